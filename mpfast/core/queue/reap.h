/* SPDX-License-Identifier: MIT */
/* What a dead participant had in a queue: pages that it was installing, blocks that it owned, items that it was about
 * to put. The process that reaps its entry does this for every queue that it had, before the entry gets a new owner. No
 * process waits for it. Until then the queue goes on, and only has less memory. Every step may be repeated. */
#ifndef MPFAST_QUEUE_REAP_H
#define MPFAST_QUEUE_REAP_H

#include "core/store/reap.h"
#include "core/queue/take.h"

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

/* Is the block the item of its ticket? If it was, and was taken since, its word has changed. */
static inline bool block_published(const void *user, uint64_t name, uint64_t word)
{
    const struct queue *q = user;
    uint64_t ticket = word & TICKET_MASK;
    shared64 *cell = cell_find(q, ticket);
    /* pairs with cell_fill */
    return cell != NULL && load_seq(cell) == cell_make(CELL_BLOCK, ticket_page(ticket), name);
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

/* The dead participant, for the store. Its entry is not given back yet. */
static inline struct store_reaper queue_reaper(const struct queue *q, uint32_t index)
{
    uint32_t generation = state_generation(load_relaxed(&q->store.family->participants[index].state));
    return (struct store_reaper){&q->store, index, identity_make(index, generation), block_published, q};
}

static inline void queue_reap(struct family *f, uint32_t slot, uint32_t index)
{
    struct queue q;
    if (view_open(f, slot, &q) == 0) {
        reap_segments(&q, index);
        struct store_reaper reaper = queue_reaper(&q, index);
        store_reap(&reaper);
        reap_watchers(&q, index);
        eventcount_wake(&q.header->items, INT_MAX); /* it may have put or taken, and died before it woke others */
        eventcount_wake(&q.header->space, INT_MAX);
        eventcount_wake(&q.header->joined, INT_MAX);
    }
    view_close(&q);
}

#endif
