/* SPDX-License-Identifier: MIT */
/* Waiting for a queue. Meanwhile a waiter gives back what killed processes had. */
#ifndef MPFAST_TEND_H
#define MPFAST_TEND_H

#include "core/family/peers.h"
#include "core/queue/queue.h"
#include "core/life/reap.h"
#include "core/family/waiting.h"

#define QUEUE_SPIN (20 * MICROSECOND)
#define QUEUE_MEMORY_BACKSTOP (10 * MILLISECOND) /* memory can come free without a wake-up */
#define QUEUE_LOOK_AFTER SECOND

/* Once a second, one of the waiters gives back what killed processes had. Memory that was not used for so long goes
 * back to the system. */
static inline void queue_look_after(struct queue *q)
{
    struct family *f = q->store.family;
    struct queue_header *h = q->header;
    uint64_t now = (uint64_t)clock_now(), last = load_relaxed(&h->looked_after);
    if (now - last < (uint64_t)QUEUE_LOOK_AFTER || !cas_relaxed(&h->looked_after, &last, now))
        return;
    uint64_t tail = load_relaxed(&h->tail);
    if (load_relaxed(&h->looked_tail) == tail)
        queue_trim(q);
    store_relaxed(&h->looked_tail, tail);
    struct reaped r = {0};
    uint32_t top = load_relaxed(&f->header->participants_top);
    for (uint32_t i = 1; i < top && i < FAMILY_PARTICIPANTS; i++) {
        uint64_t state = load_acquire(&f->participants[i].state); /* pairs with participant_announce */
        if (i == queue_me(q) || state_kind(state) == PARTICIPANT_FREE || !ref_get(f, i, q->store.slot))
            continue;
        if (participant_gone(f, i, state))
            reap_owner(f, identity_make(i, state_generation(state)), &r);
    }
}

/* Waits until trying again makes sense. 0: try. -EINTR: serve signals, then call again. -ETIMEDOUT: try a last time. */
static inline int queue_wait(struct queue *q, enum queue_end end, struct waiting *w, struct spin_history *h)
{
    struct queue_want want = {q, end};
    shared32 *word = queue_word(q, end);
    struct spin *peers = end == QUEUE_ITEMS ? &q->header->putters : &q->header->takers;
    uint32_t seen;
    if (end != QUEUE_MEMORY && waiting_may_spin(w) &&
        spin_first(queue_ready, &want, peers, family_me(q->store.family), h, QUEUE_SPIN))
        return 0;
    while (!eventcount_enter(word, &seen))
        ;
    if (queue_ready(&want))
        return 0;
    if (end == QUEUE_MEMORY)
        w->backstop = QUEUE_MEMORY_BACKSTOP;
    int rc = waiting_sleep(w, q->store.family, q->store.slot, word, seen, FUTEX_ALL);
    if (rc == -EINTR)
        queue_look_after(q);
    return rc;
}

#endif
