/* SPDX-License-Identifier: MIT */
/* What to try before sleeping. Spin, one spinner at a time and not after failures, or give the CPU away once. The
 * caller knows which of the two can help (peers.h). All of this is advice. Every word may be stale or lost without
 * harm. */
#ifndef MPFAST_SPIN_H
#define MPFAST_SPIN_H

#include "core/base/atomic.h"
#include "core/base/clock.h"

#include <sched.h>

#define SPIN_FAILURES 2 /* in a row, then SPIN_SKIP waits go to sleep at once */
#define SPIN_SKIP 32
#define YIELD_FAILURES 11u
#define YIELD_LONG (100 * MICROSECOND)

/* In the object of this process. */
struct spin_history {
    shared32 failures;
    shared32 skip;
    shared32 yield_failures;
    shared32 yield_skip;
};

static inline bool spin_permitted(struct spin_history *h, shared64 *lease, int64_t now, int64_t budget)
{
    uint32_t skip = load_relaxed(&h->skip);
    if (skip > 0) {
        store_relaxed(&h->skip, skip - 1);
        return false;
    }
    uint64_t until = load_relaxed(lease);
    return (int64_t)until <= now && cas_relaxed(lease, &until, (uint64_t)(now + budget));
}

static inline void spin_result(struct spin_history *h, bool success)
{
    uint32_t failures = success ? 0 : load_relaxed(&h->failures) + 1;
    if (failures >= SPIN_FAILURES) {
        store_relaxed(&h->skip, SPIN_SKIP);
        failures = 0;
    }
    store_relaxed(&h->failures, failures);
}

/* Watches until ready(what), or until the budget is spent. The caller has checked that a peer runs elsewhere. True is
 * advice as well. The caller checks again, with the memory order that it needs. */
static inline bool spin_until(bool (*ready)(const void *), const void *what, struct spin_history *h, shared64 *lease,
                              int64_t budget)
{
    int64_t now = clock_now();
    if (!spin_permitted(h, lease, now, budget))
        return false;
    int64_t end = now + budget;
    bool success;
    int turn = 0;
    while (!(success = ready(what))) {
        cpu_relax();
        if (++turn % 16 == 0 && clock_now() >= end)
            break;
    }
    store_relaxed(lease, 0);
    spin_result(h, success);
    return success;
}

/* The peer shares our CPU. sched_yield() lets it act without the two futex calls and the timer of a sleep. But if
 * others want the CPU as well, it may take milliseconds to come back. So after a yield that failed or took long, the
 * next is tried after 32 waits, then 64, and so on to 2^16. */
static inline bool spin_yield(bool (*ready)(const void *), const void *what, struct spin_history *h)
{
    uint32_t skip = load_relaxed(&h->yield_skip), failures = load_relaxed(&h->yield_failures);
    if (skip > 0) {
        store_relaxed(&h->yield_skip, skip - 1);
        return false;
    }
    int64_t began = clock_now();
    sched_yield();
    bool success = ready(what);
    if (success && clock_now() - began < YIELD_LONG) {
        if (failures > 0)
            store_relaxed(&h->yield_failures, failures - 1);
        return true;
    }
    store_relaxed(&h->yield_skip, SPIN_SKIP << (failures < YIELD_FAILURES ? failures : YIELD_FAILURES));
    store_relaxed(&h->yield_failures, failures < YIELD_FAILURES ? failures + 1 : failures);
    return success;
}

struct spin_word {
    const shared32 *word;
    uint32_t seen;
};

static inline bool spin_word_changed(const void *what)
{
    const struct spin_word *s = what;
    return load_relaxed(s->word) != s->seen;
}

#endif
