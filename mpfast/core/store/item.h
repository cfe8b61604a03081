/* SPDX-License-Identifier: MIT */
/* An item: a value, or a block of a store with a payload in it. */
#ifndef MPFAST_STORE_ITEM_H
#define MPFAST_STORE_ITEM_H

#include "core/store/map.h"

/* What was taken, or is to be put: a value, or a block with a payload. */
struct store_item {
    uint64_t block; /* its name, or NO_BLOCK */
    uint64_t value;
    char *data;
    uint64_t size;
    uint32_t kind;
};

#define NO_BLOCK UINT64_MAX

/* What the header of an owned block says of its payload. */
static inline int item_describe(const struct store *s, struct block *b, uint64_t name, struct store_item *item)
{
    uint64_t about = load_relaxed(&b->about);
    uint32_t class = name_class(name);
    item->block = name;
    item->size = about & ((UINT64_C(1) << 56) - 1);
    item->kind = (uint32_t)(about >> 56);
    if (item->size > class_capacity(class))
        return store_damaged(s);
    item->data = block_data(s, b, class, name_index(name));
    return item->data == NULL ? -ENOMEM : 0;
}

#endif
