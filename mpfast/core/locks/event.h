/* SPDX-License-Identifier: MIT */
/* Event. A flag, a waiters' bit and a count of set()s in one futex word, so that a waiter that sleeps through a set()
 * followed by a clear() still knows that it was set.
 *
 *   word:  SET:1 | W:1 | count of set()s:30 */
#ifndef MPFAST_EVENT_H
#define MPFAST_EVENT_H

#include "core/family/peers.h"
#include "core/family/waiting.h"

#define EVENT_SET 1u
#define EVENT_W 2u
#define EVENT_ONE 4u
#define EVENT_COUNT(word) ((word) & ~(EVENT_SET | EVENT_W))
#define EVENT_SPIN (20 * MICROSECOND)

struct event {
    shared32 word;
    uint32_t unused;
    struct spin spin;
};

static inline bool event_is_set(const struct event *e)
{
    return load_acquire(&e->word) & EVENT_SET; /* pairs with event_set */
}

static inline void event_set(struct event *e, uint32_t me)
{
    uint32_t word = load_relaxed(&e->word), next;
    do
        next = (word & EVENT_SET) ? (word & ~EVENT_W) : ((EVENT_COUNT(word) + EVENT_ONE) | EVENT_SET);
    while (!cas_release(&e->word, &word, next)); /* pairs with event_is_set and event_wait */
    STEP();
    spin_here(&e->spin, me);
    if (word & EVENT_W)
        futex_wake(&e->word, INT_MAX);
}

static inline void event_clear(struct event *e) { and_relaxed(&e->word, ~EVENT_SET); }

/* 0: it is set, or was set since `since`, the EVENT_COUNT of the word at the beginning. -ETIMEDOUT. -EINTR: serve
 * signals and call again with the same arguments. */
static inline int event_wait(struct family *f, uint32_t slot, uint32_t me, uint32_t since, struct waiting *w,
                             struct spin_history *h)
{
    struct event *e = slot_at(f, slot);
    for (int slept = 0;;) {
        uint32_t word = load_acquire(&e->word); /* pairs with event_set */
        if ((word & EVENT_SET) || EVENT_COUNT(word) != since)
            return 0;
        if (slept == -ETIMEDOUT || slept == -EINTR)
            return slept;
        if (waiting_may_spin(w) && spin_on(&e->word, word, &e->spin, me, h, EVENT_SPIN))
            continue;
        if (!(word & EVENT_W) && !cas_relaxed(&e->word, &word, word | EVENT_W))
            continue;
        STEP();
        slept = waiting_sleep(w, f, slot, &e->word, word | EVENT_W, FUTEX_ALL);
    }
}

#endif
