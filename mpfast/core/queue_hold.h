/* SPDX-License-Identifier: MIT */
/* Pins: blocks that views keep after their items were taken, also the views that a forked child inherits.
 *
 * The owner of a pinned block is the process that took it. Before it forks, it names the child among the block's
 * holders, as each holder does for its own children. Whoever has done with a block takes itself out of the holders, and
 * if the block is its own, makes it another holder's, or frees it. So a holder leaves, then looks who the owner is; and
 * an owner hands over, then looks whether the other one is still there. */
#ifndef MPFAST_QUEUE_HOLD_H
#define MPFAST_QUEUE_HOLD_H

#include "queue_memory.h"

/* -1: nobody holds it any more. */
static inline int hold_find(const struct large_block *b, uint32_t participant)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++)
        if (load_seq(&b->holders[i]) == participant) /* pairs with the CAS in hold_leave */
            return i;
    return -1;
}

/* The participant is a process that will have a view of the block; 0: one that we cannot name. */
static inline void hold_add(struct large_block *b, uint32_t participant)
{
    for (int i = 0; participant != 0 && i < BLOCK_HOLDERS; i++) {
        uint16_t nobody = 0;
        if (cas_seq(&b->holders[i], &nobody, (uint16_t)participant)) /* pairs with hold_find */
            return;
    }
    store_relaxed(&b->crowded, 1);
}

static inline void hold_leave(struct large_block *b, uint32_t participant)
{
    int i = hold_find(b, participant);
    uint16_t seen = (uint16_t)participant;
    if (i >= 0)
        cas_seq(&b->holders[i], &seen, 0); /* pairs with hold_find, of hold_end */
}

/* Some other holder of the block, 0: none. */
static inline uint32_t hold_next(const struct large_block *b)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++) {
        uint32_t participant = load_seq(&b->holders[i]); /* pairs with the CAS in hold_leave */
        if (participant != 0)
            return participant;
    }
    return 0;
}

/* The participant has done with the block. Idempotent; also for the dead. */
static inline void hold_end(const struct queue *q, struct large_block *b, uint32_t participant)
{
    shared64 *owner = &b->block.word;
    hold_leave(b, participant);
    while (!load_relaxed(&b->crowded)) {
        uint64_t word = block_owned(participant);
        uint32_t next = hold_next(b);
        if (next == 0) {
            uint64_t backed = load_relaxed(&b->backed);
            if (cas_seq(owner, &word, 0)) /* pairs with block_try: our accesses are over */
                add_relaxed(&q->header->idle, backed);
            return;
        }
        if (!cas_seq(owner, &word, block_owned(next))) /* pairs with the same CAS of the next owner, in hold_end */
            return;
        if (hold_find(b, next) >= 0)
            return;
        participant = next; /* it left when the block was not its own yet */
    }
}

static inline struct large_block *pinned_block(const struct queue *q, uint64_t name)
{
    return large_block(block_at(q, name_class(name), name_index(name)));
}

/* The views of an item that was taken keep its block from now on: instead of queue_release. -EINVAL: it is a small one,
 * copy it. */
static inline int queue_pin(struct queue *q, const struct queue_item *item)
{
    if (item->block == QUEUE_NO_BLOCK || name_class(item->block) < QUEUE_LARGE)
        return -EINVAL;
    int rc = 0;
    pthread_mutex_lock(&q->family->mutex);
    if (q->pinned == q->pins_size) {
        size_t size = q->pins_size == 0 ? 16 : 2 * q->pins_size;
        uint64_t *grown = realloc(q->pins, size * sizeof *grown);
        rc = grown == NULL ? -ENOMEM : 0;
        if (grown != NULL) {
            q->pins = grown;
            q->pins_size = size;
        }
    }
    if (rc == 0)
        q->pins[q->pinned++] = item->block;
    pthread_mutex_unlock(&q->family->mutex);
    return rc;
}

/* The last view is gone, in this process. */
static inline void queue_unpin(struct queue *q, const struct queue_item *item)
{
    pthread_mutex_lock(&q->family->mutex);
    for (size_t i = 0; i < q->pinned; i++)
        if (q->pins[i] == item->block) {
            q->pins[i] = q->pins[--q->pinned];
            break;
        }
    if (family_me(q->family) != 0)
        hold_end(q, pinned_block(q, item->block), queue_me(q));
    pthread_mutex_unlock(&q->family->mutex);
}

/* This process is about to fork: the child keeps what our views keep. The caller holds the family's mutex. */
static inline void queues_fork(const struct family *f, uint32_t child)
{
    for (struct queue *q = f->queues; q != NULL; q = q->next)
        for (size_t i = 0; i < q->pinned; i++)
            hold_add(pinned_block(q, q->pins[i]), child);
}

#endif
