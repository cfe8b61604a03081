/* SPDX-License-Identifier: MIT */
/* Eventcount: sleeping until something that other words say may have changed.
 *
 *   word:  how often it was advanced:31 (from bit 1) | W:1: a thread sleeps, or is about to
 *
 * A waiter sets W, checks once more, and sleeps on the word as it was then. A thread that changes something checks W
 * afterwards. A waker that finds fewer sleepers than it would wake clears W, and wakes all once more, because a waiter
 * that relied on W may have gone to sleep between its call and the clearing. After Vyukov's eventcount. A model checker
 * found that the last wake-up is needed (tests/models/queue_sleep.pml). */
#ifndef MPFAST_EVENTCOUNT_H
#define MPFAST_EVENTCOUNT_H

#include "core/base/futex.h"

#define EVENTCOUNT_W 1u

/* True if the caller may sleep on the word while it is *seen, once it has checked again and still must wait. */
static inline bool eventcount_enter(shared32 *word, uint32_t *seen)
{
    *seen = load_seq(word); /* pairs with eventcount_notify */
    if (*seen & EVENTCOUNT_W)
        return true;
    if (!cas_seq(word, seen, *seen | EVENTCOUNT_W)) /* pairs with the load in eventcount_notify */
        return false;
    *seen |= EVENTCOUNT_W;
    return true;
}

static inline void eventcount_wake(shared32 *word, int n)
{
    uint32_t seen = add_seq(word, 2u) + 2; /* pairs with eventcount_enter: with the old word no waiter sleeps */
    STEP();
    if (futex_wake(word, n) >= n)
        return;
    STEP();
    if (cas_seq(word, &seen, (seen + 2) & ~EVENTCOUNT_W)) { /* pairs with eventcount_enter */
        STEP();
        futex_wake(word, INT_MAX);
    }
}

/* Call it after a seq_cst change. Wakes n of the threads that wait for the change. */
static inline void eventcount_notify(shared32 *word, int n)
{
    if (unlikely(load_seq(word) & EVENTCOUNT_W)) /* pairs with eventcount_enter: Dekker with the change */
        eventcount_wake(word, n);
}

#endif
