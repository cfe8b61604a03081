/* SPDX-License-Identifier: MIT */
/* Blocks: taking one that is free by one CAS, and giving it back by one store.
 *
 * A process takes a block by a CAS on its word, from free to owned. Where to look is only advice (sweep.h). What a dead
 * process had is free as soon as its words are. */
#ifndef MPFAST_STORE_BLOCK_H
#define MPFAST_STORE_BLOCK_H

#include "core/family/eventcount.h"
#include "core/store/map.h"

/* 1: ours, with *out its header. 0: in use. */
static inline int block_try(const struct store *s, uint32_t class, uint32_t index, struct block **out)
{
    struct block *b = block_at(s, class, index);
    if (unlikely(b == NULL))
        return -ENOMEM;
    uint64_t word = load_relaxed(&b->word);
    *out = b;
    /* pairs with block_free: the last owner's accesses are over */
    return word == 0 && cas_acquire(&b->word, &word, block_owned(store_me(s), NO_TICKET));
}

/* Gives back a block that this process owns, and wakes one waiter for memory. */
static inline void block_free_told(const struct store *s, struct block *b)
{
    store_seq(&b->word, 0); /* pairs with block_try, and as Dekker with eventcount_enter */
    eventcount_notify(&s->header->freed, 1);
}

/* Where memory is not limited, no process waits for small blocks. */
static inline void block_free(const struct store *s, struct block *b)
{
    if (likely(s->header->budget == 0))
        store_release(&b->word, 0); /* pairs with block_try */
    else
        block_free_told(s, b);
}

/* Blocks at or above it were never used, or have been given back. */
static inline uint32_t block_top(const struct store *s, uint32_t class)
{
    uint32_t top = load_relaxed(&s->header->top[class]);
    return top < class_blocks(class) ? top : class_blocks(class);
}

/* Is it free, as far as a look tells? */
static inline bool block_idle(const struct store *s, uint32_t class, uint32_t index)
{
    struct block *b = block_at(s, class, index);
    return b != NULL && load_relaxed(&b->word) == 0;
}

#endif
