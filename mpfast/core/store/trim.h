/* SPDX-License-Identifier: MIT */
/* Giving memory of free blocks back to the system, while others go on.
 *
 * Who owns all blocks of a piece may punch it: their words read as zero then, which is "free". Killed half-way, it
 * leaves words that say so, and recovery frees them. */
#ifndef MPFAST_STORE_TRIM_H
#define MPFAST_STORE_TRIM_H

#include "core/store/block.h"

#ifndef STORE_CHUNK
#define STORE_CHUNK ((uint64_t)64 << 10) /* small blocks come and go in pieces of this size; the first one stays */
#endif

/* Punches a large block, which is ours. */
static inline void large_punch(const struct store *s, uint32_t class, uint32_t index, struct large_block *b)
{
    uint64_t backed = load_relaxed(&b->backed);
    store_relaxed(&b->backed, 0);
    store_relaxed(&b->punched, load_relaxed(&b->punched) + 1);
    (void)window_punch(s->family, s->slot, class_data_at(class) + ((uint64_t)index << (class + 6)), class_size(class));
    sub_relaxed(&s->header->memory, backed);
}

static inline void trim_large(const struct store *s, uint32_t class)
{
    struct block *b;
    for (uint32_t i = 0; i < block_top(s, class); i++) {
        if ((b = block_at(s, class, i)) == NULL)
            return;
        uint64_t backed = load_relaxed(&large_block(b)->backed);
        if (backed == 0 || block_try(s, class, i, &b) != 1)
            continue;
        sub_relaxed(&s->header->idle, load_relaxed(&large_block(b)->backed));
        large_punch(s, class, i, large_block(b));
        block_free(s, b);
    }
}

static inline void chunk_free(const struct store *s, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if ((b = block_at(s, class, first + i)) != NULL)
            block_free(s, b);
}

/* Makes all blocks of a piece ours, or none. */
static inline bool chunk_own(const struct store *s, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if (block_try(s, class, first + i, &b) != 1) {
            chunk_free(s, class, first, i);
            return false;
        }
    return true;
}

/* From the top down to the first block that is in use. */
static inline void trim_small(const struct store *s, uint32_t class)
{
    uint32_t count = (uint32_t)(STORE_CHUNK >> (class + 6)), top;
    while ((top = block_top(s, class)) > count) {
        uint32_t first = (top - 1) / count * count;
        uint64_t offset = class_data_at(class) + ((uint64_t)first << (class + 6));
        if (!chunk_own(s, class, first, count))
            return;
        if (window_punch(s->family, s->slot, offset, STORE_CHUNK) < 0) {
            chunk_free(s, class, first, count);
            return;
        }
        sub_relaxed(&s->header->memory, STORE_CHUNK);
        if (!cas_relaxed(&s->header->top[class], &top, first))
            return;
    }
}

/* Gives back what can be had without waiting for anybody. */
static inline void store_trim(const struct store *s)
{
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        (class < STORE_LARGE ? trim_small : trim_large)(s, class);
}

#endif
