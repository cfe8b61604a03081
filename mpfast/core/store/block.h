/* SPDX-License-Identifier: MIT */
/* Blocks: finding a free one, and giving it back with one store.
 *
 * A block is had by a CAS on its word from free to owned, wherever it was found: where to look is advice, and what a
 * dead process had is free as soon as its words are. The lowest blocks are preferred, because those are in caches; but
 * no allocation looks at more than a few blocks that are in use before it takes one that never was. */
#ifndef MPFAST_STORE_BLOCK_H
#define MPFAST_STORE_BLOCK_H

#include "core/family/eventcount.h"
#include "core/store/map.h"

#define BLOCK_LOW 12     /* how many of the lowest blocks are asked whether it is time to begin again there, */
#define BLOCK_FEW 3      /* which it is unless more of them are in use */
#define BLOCK_RESTART 64 /* small allocations between such questions */
#define BLOCK_PROBES 4   /* blocks in use that one allocation puts up with; large ones: */
#define BLOCK_PROBES_LARGE 64
#define BLOCK_STRIDE 64 /* between the lowest blocks of two processes: they should not meet */

/* 1: ours, with *out its header; 0: in use. */
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

/* Gives a block back whose owner is this process, and tells who waits for memory. */
static inline void block_free_told(const struct store *s, struct block *b)
{
    store_seq(&b->word, 0); /* pairs with block_try; and Dekker with eventcount_enter */
    eventcount_notify(&s->header->freed, 1);
}

/* For small blocks nobody waits where memory is not limited. */
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

static inline uint32_t block_lowest(const struct store *s, uint32_t class)
{
    return class < STORE_LARGE ? store_me(s) % 8 * BLOCK_STRIDE : 0;
}

/* Are the lowest blocks hardly in use? */
static inline bool block_low_free(const struct store *s, uint32_t class, uint32_t top)
{
    uint32_t first = block_lowest(s, class), used = 0;
    if (first + BLOCK_LOW > top)
        return false;
    for (uint32_t i = first; i < first + BLOCK_LOW; i++) {
        struct block *b = block_at(s, class, i);
        used += b == NULL || load_relaxed(&b->word) != 0;
    }
    return used <= BLOCK_FEW;
}

/* Large blocks: always the lowest first, as one that exists costs a tenth of one that does not. */
static inline int block_find_low(const struct store *s, uint32_t class, uint32_t top, uint32_t *index,
                                 struct block **out)
{
    for (uint32_t i = 0; i < BLOCK_LOW && i < top; i++) {
        int rc = block_try(s, class, i, out);
        if (rc != 0) {
            *index = i;
            return rc;
        }
    }
    return 0;
}

/* Goes on from where the last allocation ended, round and round. */
static inline int block_find(struct store *s, uint32_t class, uint32_t top, uint32_t probes, uint32_t *index,
                             struct block **out)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t i = load_relaxed(&c->next);
    for (; probes > 0 && top > 0; probes--) {
        if (i >= top)
            i = 0;
        int rc = block_try(s, class, i, out);
        *index = i++;
        if (rc != 0) {
            store_relaxed(&c->next, i);
            return rc;
        }
    }
    store_relaxed(&c->next, i);
    return 0;
}

/* An existing block that is free: 1, 0 if none was met, or -ENOMEM. */
static inline int block_reuse(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    uint32_t top = block_top(s, class);
    if (class >= STORE_LARGE) {
        int rc = block_find_low(s, class, top, index, out);
        return rc != 0 ? rc : block_find(s, class, top, BLOCK_PROBES_LARGE, index, out);
    }
    struct store_cursor *c = &s->cursors[class];
    uint32_t count = load_relaxed(&c->count);
    store_relaxed(&c->count, count + 1);
    if (count % BLOCK_RESTART == 0 && block_low_free(s, class, top))
        store_relaxed(&c->next, block_lowest(s, class));
    return block_find(s, class, top, BLOCK_PROBES, index, out);
}

/* As block_reuse, but nothing is left out: before memory is refused. */
static inline int block_reuse_any(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    return block_find(s, class, block_top(s, class), block_top(s, class), index, out);
}

#endif
