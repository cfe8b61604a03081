/* SPDX-License-Identifier: MIT */
/* Giving memory of free blocks and past pages back to the system, while others go on.
 *
 * Who owns all blocks of a piece may punch it: their words read as zero then, which is "free". Killed half-way, it
 * leaves words that say so, and recovery frees them. */
#ifndef MPFAST_QUEUE_TRIM_H
#define MPFAST_QUEUE_TRIM_H

#include "queue_block.h"

#ifndef QUEUE_CHUNK
#define QUEUE_CHUNK ((uint64_t)64 << 10) /* small blocks come and go in pieces of this size; the first one stays */
#endif
#ifndef SEGMENTS_KEPT
#define SEGMENTS_KEPT 8u
#endif

/* Punches a large block, which is ours. */
static inline void large_punch(const struct queue *q, uint32_t class, uint32_t index, struct large_block *b)
{
    uint64_t backed = load_relaxed(&b->backed);
    store_relaxed(&b->backed, 0);
    store_relaxed(&b->punched, load_relaxed(&b->punched) + 1);
    (void)window_punch(q->family, q->slot, class_data_at(class) + ((uint64_t)index << (class + 6)), class_size(class));
    sub_relaxed(&q->header->memory, backed);
}

static inline void trim_large(const struct queue *q, uint32_t class)
{
    struct block *b;
    for (uint32_t i = 0; i < block_top(q, class); i++) {
        if ((b = block_at(q, class, i)) == NULL)
            return;
        uint64_t backed = load_relaxed(&large_block(b)->backed);
        if (backed == 0 || block_try(q, class, i, &b) != 1)
            continue;
        sub_relaxed(&q->header->idle, load_relaxed(&large_block(b)->backed));
        large_punch(q, class, i, large_block(b));
        block_free(q, b);
    }
}

static inline void chunk_free(const struct queue *q, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if ((b = block_at(q, class, first + i)) != NULL)
            block_free(q, b);
}

/* Makes all blocks of a piece ours, or none. */
static inline bool chunk_own(const struct queue *q, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if (block_try(q, class, first + i, &b) != 1) {
            chunk_free(q, class, first, i);
            return false;
        }
    return true;
}

/* From the top down to the first block that is in use. */
static inline void trim_small(const struct queue *q, uint32_t class)
{
    uint32_t count = (uint32_t)(QUEUE_CHUNK >> (class + 6)), top;
    while ((top = block_top(q, class)) > count) {
        uint32_t first = (top - 1) / count * count;
        uint64_t offset = class_data_at(class) + ((uint64_t)first << (class + 6));
        if (!chunk_own(q, class, first, count))
            return;
        if (window_punch(q->family, q->slot, offset, QUEUE_CHUNK) < 0) {
            chunk_free(q, class, first, count);
            return;
        }
        sub_relaxed(&q->header->memory, QUEUE_CHUNK);
        if (!cas_relaxed(&q->header->top[class], &top, first))
            return;
    }
}

static inline void trim_segments(const struct queue *q)
{
    uint64_t past = ticket_page(load_acquire(&q->header->head)); /* pairs with head_advance: its readers are done */
    uint32_t top = load_relaxed(&q->header->segments_top);
    for (uint32_t i = SEGMENTS_KEPT; i < top && i < QUEUE_SEGMENTS; i++) {
        uint64_t state = load_acquire(&q->states[i]); /* pairs with the release in page_install */
        if (state == 0 || segment_is_init(state) || (state & PAGE_MASK) >= past)
            continue;
        if (!cas_acqrel(&q->states[i], &state, segment_init(queue_me(q), PAGE_MASK))) /* pairs with segment_claim */
            continue;
        (void)window_punch(q->family, q->slot, QUEUE_SEGMENTS_AT + i * QUEUE_SEGMENT_SIZE, QUEUE_SEGMENT_SIZE);
        store_release(&q->states[i], 0); /* pairs with segment_claim */
    }
}

/* Gives back what can be had without waiting for anybody. */
static inline void queue_trim(const struct queue *q)
{
    for (uint32_t class = 0; class < QUEUE_CLASSES; class ++)
        (class < QUEUE_LARGE ? trim_small : trim_large)(q, class);
    trim_segments(q);
}

#endif
