/* SPDX-License-Identifier: MIT */
/* Pins: blocks that views keep after their items were taken, also the views that a forked child inherits.
 *
 * The owner of a pinned block is the process that took it. Before it forks, it names itself and the child among the
 * block's holders, as each holder does for its own children. Whoever has done with a block leaves the holders; then it
 * looks whether the owner is a holder, and as long as it is not, makes some holder the owner, or, if there is none, frees
 * the block. So the last to leave finishes what others were killed in. */
#ifndef MPFAST_QUEUE_HOLD_H
#define MPFAST_QUEUE_HOLD_H

#include "queue_memory.h"

static inline bool hold_has(const struct large_block *b, uint32_t participant)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++)
        if (load_seq(&b->holders[i]) == participant) /* pairs with the CAS in hold_leave */
            return true;
    return false;
}

/* The participant is a process that has views of the block, or will have; 0: one that we cannot name. */
static inline void hold_add(struct large_block *b, uint32_t participant)
{
    if (load_relaxed(&b->shared) == BLOCK_PRIVATE)
        store_relaxed(&b->shared, BLOCK_HELD);
    if (participant != 0 && hold_has(b, participant))
        return;
    for (int i = 0; participant != 0 && i < BLOCK_HOLDERS; i++) {
        uint16_t nobody = 0;
        if (cas_seq(&b->holders[i], &nobody, (uint16_t)participant)) /* pairs with hold_has */
            return;
    }
    store_relaxed(&b->shared, BLOCK_CROWDED);
}

static inline void hold_leave(struct large_block *b, uint32_t participant)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++) {
        uint16_t seen = (uint16_t)participant;
        if (load_relaxed(&b->holders[i]) == participant)
            cas_seq(&b->holders[i], &seen, 0); /* pairs with hold_has */
    }
}

/* Some holder of the block, 0: none. */
static inline uint32_t hold_any(const struct large_block *b)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++) {
        uint32_t participant = load_seq(&b->holders[i]); /* pairs with the CAS in hold_leave */
        if (participant != 0)
            return participant;
    }
    return 0;
}

/* The participant has done with the block. `seen`: the block's word when it was still its own, or one that it holds, so
 * that it cannot have been freed; who is slow afterwards may meet a block that is somebody else's by now, for the item
 * of another ticket. Idempotent; also for the dead. */
static inline void hold_end(const struct queue *q, struct large_block *b, uint32_t participant, uint64_t seen)
{
    shared64 *owner = &b->block.word;
    uint64_t ticket = seen & TICKET_MASK;
    hold_leave(b, participant);
    for (;;) {
        uint64_t word = load_seq(owner); /* pairs with the CAS of others in hold_end */
        uint32_t holder = block_participant(word), next = hold_any(b);
        if (word != block_owned(holder, ticket) || load_relaxed(&b->shared) == BLOCK_CROWDED || hold_has(b, holder))
            return;
        uint64_t backed = load_relaxed(&b->backed), then = next == 0 ? 0 : block_owned(next, ticket);
        if (!cas_seq(owner, &word, then) || then != 0) /* pairs with block_try, and with the load above, in hold_end */
            continue;
        add_relaxed(&q->header->idle, backed);
        eventcount_notify(&q->header->freed, 1);
        return;
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
    struct large_block *b = pinned_block(q, item->block);
    if (family_me(q->family) != 0)
        hold_end(q, b, queue_me(q), load_relaxed(&b->block.word));
    pthread_mutex_unlock(&q->family->mutex);
}

/* This process is about to fork: the child keeps what our views keep. The caller holds the family's mutex. */
static inline void queues_fork(const struct family *f, uint32_t child)
{
    for (struct queue *q = f->queues; q != NULL; q = q->next)
        for (size_t i = 0; i < q->pinned; i++) {
            hold_add(pinned_block(q, q->pins[i]), queue_me(q));
            hold_add(pinned_block(q, q->pins[i]), child);
        }
}

#endif
