/* SPDX-License-Identifier: MIT */
/* What to try before sleeping. If the peer was last seen on another CPU: spin, one spinner a slot, not after failures.
 * If it was seen on this one: give it the CPU once, unless that has not helped of late.
 *
 * On one CPU a spinner keeps the very thread that it waits for from running: a naive spin made everything there slower
 * than sleeping. All of this is advice: every word may be stale or lost without harm. */
#ifndef MPFAST_SPIN_H
#define MPFAST_SPIN_H

#include "atomic.h"
#include "clock.h"
#include "participant.h"
#include "thread.h"

#define SPIN_FAILURES 2 /* in a row, then SPIN_SKIP waits go to sleep at once */
#define SPIN_SKIP 32
#define YIELD_FAILURES 11u
#define YIELD_LONG (100 * MICROSECOND)

/* In the slot. */
struct spin {
    shared32 peers[2]; /* the last two participants that acted here: index << 16 | CPU; newest first, 0 = nobody */
    shared64 lease;    /* somebody spins until then; it expires by itself, so a killed spinner costs nothing */
};

/* In the object of this process. */
struct spin_history {
    shared32 failures;
    shared32 skip;
    shared32 yield_failures;
    shared32 yield_skip;
};

static inline uint32_t spin_mark(uint32_t me) { return identity_index(me) << 16 | thread_cpu(); }

/* I act on this slot: who waits for me may look where I run. */
static inline void spin_here(struct spin *s, uint32_t me)
{
    uint32_t mark = spin_mark(me), last = load_relaxed(&s->peers[0]);
    if (last == mark)
        return;
    if (last >> 16 != mark >> 16)
        store_relaxed(&s->peers[1], last);
    store_relaxed(&s->peers[0], mark);
}

static inline bool mark_elsewhere(uint32_t mark, uint32_t cpu)
{
    return (mark & 0xffff) != cpu && (mark & 0xffff) != CPU_UNKNOWN && cpu != CPU_UNKNOWN;
}

/* Where the last other process that acted here was seen: its CPU, or CPU_UNKNOWN. */
static inline uint32_t spin_peer_cpu(const struct spin *s, uint32_t me)
{
    for (int i = 0; i < 2; i++) {
        uint32_t mark = load_relaxed(&s->peers[i]);
        if (mark >> 16 != 0 && mark >> 16 != identity_index(me))
            return mark & 0xffff;
    }
    return CPU_UNKNOWN;
}

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

/* For locks: where a process runs is noted by those who wait and wake only, as a free lock's nanoseconds are dear. */
static inline void spin_note_cpu(struct family *f, uint32_t me)
{
    store_relaxed(&f->participants[identity_index(me)].cpu, (uint64_t)thread_cpu() + 1);
}

static inline bool spin_owner_elsewhere(const struct family *f, uint32_t owner)
{
    uint64_t noted = load_relaxed(&f->participants[identity_index(owner)].cpu);
    return noted != 0 && mark_elsewhere((uint32_t)(noted - 1), thread_cpu());
}

/* Watches until ready(what), or until the budget is spent. The caller has checked that a peer runs elsewhere. True is
 * advice as well: the caller looks again, with the memory order that it needs. */
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

/* The peer shares our CPU: sched_yield() lets it act without the two futex calls and the timer of a sleep. But where
 * others want the CPU as well it may take milliseconds to come back. So a yield that failed or took long is not tried
 * again for 32 waits, then 64, and so on to 2^16. */
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

/* Tries to get by without sleeping. True is advice as spin_until's. */
static inline bool spin_first(bool (*ready)(const void *), const void *what, struct spin *s, uint32_t me,
                              struct spin_history *h, int64_t budget)
{
    uint32_t peer = spin_peer_cpu(s, me), here = thread_cpu();
    if (peer == CPU_UNKNOWN || here == CPU_UNKNOWN)
        return false;
    return peer == here ? spin_yield(ready, what, h) : spin_until(ready, what, h, &s->lease, budget);
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

static inline bool spin_on(const shared32 *word, uint32_t seen, struct spin *s, uint32_t me, struct spin_history *h,
                           int64_t budget)
{
    struct spin_word w = {word, seen};
    return spin_first(spin_word_changed, &w, s, me, h, budget);
}

#endif
