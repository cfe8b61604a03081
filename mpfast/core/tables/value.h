/* SPDX-License-Identifier: MIT */
/* Values and what refers to them: numbers in the ref itself, all else in a block. */
#ifndef MPFAST_TABLES_VALUE_H
#define MPFAST_TABLES_VALUE_H

#include "core/tables/block.h"

/* Where the block of a ref lies. 0, -EBADMSG if there is no such block, -ENOMEM or -EBADF. */
static inline int ref_place(const struct table *t, uint64_t ref, shared64 **about, shared64 **payload)
{
    uint32_t class = ref_class(ref), index = ref_index(ref);
    if (!ref_sound(ref) || index >= load_acquire(&t->header->top[class])) /* pairs with top_push */
        return -EBADMSG;
    *about = table_about(t, class, index);
    *payload = *about == NULL ? NULL : table_payload(t, class, index, *about);
    return *payload == NULL ? table_unmapped(t) : 0;
}

/* Copies what a word refers to. -EAGAIN: it was changed meanwhile. -EMSGSIZE: room->size is what it takes. -EBADMSG: what
 * no writer leaves, if the root is still the same. */
static inline int ref_read(const struct table *t, const shared64 *word, uint64_t ref, struct table_room *room)
{
    shared64 *about, *payload;
    if (ref & REF_IMMEDIATE) {
        room->kind = ref & REF_CONSTANT ? TABLE_CONSTANT : TABLE_INT;
        room->number = ref_number(ref);
        room->size = 0;
        return 0;
    }
    int rc = ref_place(t, ref, &about, &payload);
    if (rc < 0)
        return load_acquire(word) != ref ? -EAGAIN : rc; /* pairs with the stores of refs, as in dict_replace */
    uint64_t says = load_acquire(about);                 /* pairs with value_write and list_push_block */
    room->kind = about_kind(says);
    room->size = about_size(says);
    bool fits = room->size <= blocks_capacity(ref_class(ref)) && room->kind < TABLE_KINDS;
    if (fits && room->size <= room->room)
        words_out(room->data, payload, room->size);
    if (load_acquire(word) != ref) /* pairs with the stores of refs, as in dict_replace */
        return -EAGAIN;
    return !fits ? -EBADMSG : room->size > room->room ? -EMSGSIZE : 0;
}

/* Below, the caller holds the lock ---------------------------------------------------------------------------------- */

/* A ref to a block with these bytes. 0, -ENOSPC, -ENOMEM, -EBADF or -EBADMSG. */
static inline int value_write(const struct table *t, uint32_t kind, const void *data, uint64_t size, uint64_t *ref)
{
    uint32_t class = blocks_class(size);
    if (class >= TABLE_CLASSES)
        return -ENOSPC;
    int64_t index = table_take(t, class);
    if (index < 0)
        return (int)index;
    shared64 *about = table_about(t, class, (uint32_t)index), *payload = NULL;
    if (about != NULL)
        payload = table_payload(t, class, (uint32_t)index, about);
    if (payload == NULL) {
        table_give(t, ref_block(0, class, (uint32_t)index));
        return table_unmapped(t);
    }
    store_release(about, about_make(kind, size)); /* pairs with ref_read */
    words_in(payload, data, size);
    *ref = ref_block(table_next_tag(t), class, (uint32_t)index);
    return 0;
}

static inline int value_new(const struct table *t, const struct table_value *v, uint64_t *ref)
{
    if (v->kind < TABLE_KINDS)
        return value_write(t, v->kind, v->data, v->size, ref);
    *ref = v->kind == TABLE_CONSTANT ? ref_constant(v->number) : ref_int(v->number);
    return 0;
}

/* 1 if the ref means this value, 0 if another. */
static inline int value_same(const struct table *t, uint64_t ref, const struct table_value *v)
{
    shared64 *about, *payload;
    if (ref & REF_IMMEDIATE || v->kind >= TABLE_KINDS)
        return v->kind >= TABLE_KINDS &&
               ref == (v->kind == TABLE_CONSTANT ? ref_constant(v->number) : ref_int(v->number));
    int rc = ref_place(t, ref, &about, &payload);
    if (rc < 0)
        return rc == -EBADMSG ? table_damaged(t) : rc;
    return load_relaxed(about) == about_make(v->kind, v->size) && v->size <= blocks_capacity(ref_class(ref)) &&
           words_same(payload, v->data, v->size);
}

#endif
