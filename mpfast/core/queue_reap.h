/* SPDX-License-Identifier: MIT */
/* What a dead participant had in a queue: pages that it was installing, blocks that it owned, items that it was about to
 * put. Whoever reaps its entry does this for every queue that it had, before the entry gets a new owner. Nobody waits
 * for it: a queue goes on without, it only has less memory. Every step may be repeated. */
#ifndef MPFAST_QUEUE_REAP_H
#define MPFAST_QUEUE_REAP_H

#include "queue_hold.h"

static inline void reap_segments(const struct queue *q, uint32_t index)
{
    uint32_t top = load_relaxed(&q->header->segments_top);
    for (uint32_t i = 0; i < top && i < QUEUE_SEGMENTS; i++) {
        uint64_t state = load_acquire(&q->states[i]); /* pairs with segment_claim */
        if (!segment_is_init(state) || segment_participant(state) != index)
            continue;
        uint64_t page = state & PAGE_MASK;
        uint64_t entry = load_acquire(&q->directory[page % QUEUE_DIRECTORY]); /* pairs with page_install */
        bool installed = directory_page(entry) == page && directory_segment(entry) == i;
        cas_acqrel(&q->states[i], &state, installed ? segment_live(page) : 0); /* pairs with segment_claim */
    }
}

/* Is the block the item of its ticket? If it was, and was taken since, then its word has changed. */
static inline bool block_published(const struct queue *q, uint64_t name, uint64_t word)
{
    uint64_t ticket = word & TICKET_MASK;
    shared64 *cell = cell_find(q, ticket);
    /* pairs with cell_fill */
    return cell != NULL && load_seq(cell) == cell_make(CELL_BLOCK, ticket_page(ticket), name);
}

/* A large block that was the dead one's alone: nobody knows how much of its memory exists. */
static inline void reap_large(const struct queue *q, uint64_t name, struct large_block *b)
{
    large_punch(q, name_class(name), name_index(name), b);
    store_release(&b->block.word, 0); /* pairs with block_try */
}

/* An item that was not put becomes a block that is the dead one's: only then may it be touched. */
static inline bool reap_unpublished(const struct queue *q, uint64_t name, struct block *b, uint32_t index)
{
    uint64_t word = load_acquire(&b->word); /* pairs with cell_fill */
    return block_state(word) == BLOCK_QUEUED && block_participant(word) == index && !block_published(q, name, word) &&
           cas_acqrel(&b->word, &word, block_owned(index, NO_TICKET)); /* pairs with item_take_block */
}

static inline void reap_block(const struct queue *q, uint64_t name, struct block *b, uint32_t index)
{
    bool large = name_class(name) >= QUEUE_LARGE;
    uint32_t shared = large ? load_acquire(&large_block(b)->shared) : BLOCK_PRIVATE; /* pairs with hold_add */
    uint64_t word = load_acquire(&b->word);                                          /* pairs with block_try */
    if (large && hold_reap(q, large_block(b), index, shared, word))
        return;
    bool owned = block_state(word) == BLOCK_OWNED && block_participant(word) == index;
    if (!owned && !reap_unpublished(q, name, b, index))
        return;
    if (large)
        reap_large(q, name, large_block(b));
    else
        store_release(&b->word, 0); /* pairs with block_try */
}

/* All blocks of a class whose headers exist: to look at others would make them. */
static inline void reap_class(const struct queue *q, uint32_t class, uint32_t index)
{
    bool large = class >= QUEUE_LARGE;
    uint64_t step = large ? sizeof(struct large_block) : class_size(class);
    off_t start = (off_t)(window_offset(q->slot) + (large ? class_headers_at(class) : class_data_at(class)));
    off_t at = start, end = start + (off_t)(class_blocks(class) * step);
    while (at < end) {
        off_t data = lseek(q->family->fd, at, SEEK_DATA);
        off_t hole = data < 0 || data >= end ? -1 : lseek(q->family->fd, data, SEEK_HOLE);
        if (hole < 0)
            return;
        at = hole < end ? hole : end;
        for (off_t o = data; o < at; o += (off_t)step) {
            uint32_t i = (uint32_t)((uint64_t)(o - start) / step);
            struct block *b = block_at(q, class, i);
            if (b != NULL)
                reap_block(q, block_name(class, i), b, index);
        }
    }
}

static inline void reap_watchers(const struct queue *q, uint32_t index)
{
    for (int i = 0; i < QUEUE_WATCHERS; i++) {
        uint32_t identity = load_relaxed(&q->header->watchers[i].identity);
        if (identity == 0 || identity_index(identity) != index)
            continue;
        store_relaxed(&q->header->watchers[i].inode, 0);
        cas_release(&q->header->watchers[i].identity, &identity, 0); /* pairs with watcher_take */
    }
}

static inline void queue_reap(struct family *f, uint32_t slot, uint32_t index)
{
    struct queue q;
    if (view_open(f, slot, &q) == 0) {
        reap_segments(&q, index);
        for (uint32_t class = 0; class < QUEUE_CLASSES; class ++)
            if (load_relaxed(&q.header->top[class]) != 0)
                reap_class(&q, class, index);
        reap_watchers(&q, index);
        store_relaxed(&q.header->memory, memory_measure(&q));
        eventcount_wake(&q.header->items, INT_MAX); /* it may have put or taken, and not have come to wake others */
        eventcount_wake(&q.header->space, INT_MAX);
        eventcount_wake(&q.header->freed, INT_MAX);
        eventcount_wake(&q.header->joined, INT_MAX);
    }
    view_close(&q);
}

#endif
