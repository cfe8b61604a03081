/* SPDX-License-Identifier: MIT */
/* Semaphore. A counter and a waiters' bit in one futex word. Permits have no owner. One process may acquire what
 * another releases, so it is not known which permits a killed process took with it (bounded.h knows).
 *
 *   word:  permits:31 (from bit 1) | W:1
 *
 * A release clears W and wakes one. A waiter that slept acquires with W set again. If permits are left, it wakes the
 * next. */
#ifndef MPFAST_SEMAPHORE_H
#define MPFAST_SEMAPHORE_H

#include "core/family/peers.h"
#include "core/family/waiting.h"

#define SEMAPHORE_W 1u
#define SEMAPHORE_SPIN (20 * MICROSECOND)
#define SEMAPHORE_MAX INT32_MAX

struct semaphore {
    shared32 word;
    uint32_t maximum; /* a release beyond it fails */
    struct spin spin;
};

static inline void semaphore_init(struct semaphore *s, uint32_t value, uint32_t maximum)
{
    s->maximum = maximum;
    store_relaxed(&s->word, value << 1);
}

static inline uint32_t semaphore_value(const struct semaphore *s) { return load_relaxed(&s->word) >> 1; }

static inline bool semaphore_try(struct semaphore *s, uint32_t keep)
{
    uint32_t word = load_relaxed(&s->word);
    while (word >> 1 > 0)
        if (cas_acquire(&s->word, &word, (word - 2) | keep)) { /* pairs with semaphore_release */
            STEP();
            if (keep && word >> 1 > 1) /* a release in between cleared W, so this thread wakes the next sleeper */
                futex_wake(&s->word, 1);
            return true;
        }
    return false;
}

/* 0, -ETIMEDOUT, or -EINTR: serve signals and call again with the same w. */
static inline int semaphore_wait(struct family *f, uint32_t slot, uint32_t me, struct waiting *w,
                                 struct spin_history *h)
{
    struct semaphore *s = slot_at(f, slot);
    for (int slept = 0;;) {
        if (semaphore_try(s, w->slept ? SEMAPHORE_W : 0))
            return 0;
        if (slept == -ETIMEDOUT || slept == -EINTR)
            return slept;
        uint32_t word = load_relaxed(&s->word);
        if (word >> 1 > 0 || (waiting_may_spin(w) && spin_on(&s->word, word, &s->spin, me, h, SEMAPHORE_SPIN)))
            continue;
        if (!(word & SEMAPHORE_W) && !cas_relaxed(&s->word, &word, word | SEMAPHORE_W))
            continue;
        STEP();
        slept = waiting_sleep(w, f, slot, &s->word, SEMAPHORE_W, FUTEX_ALL);
    }
}

/* 0, or -EOVERFLOW at the maximum. */
static inline int semaphore_release(struct semaphore *s, uint32_t me)
{
    uint32_t word = load_relaxed(&s->word);
    do
        if (word >> 1 >= s->maximum)
            return -EOVERFLOW;
    while (!cas_release(&s->word, &word, (word + 2) & ~SEMAPHORE_W)); /* pairs with semaphore_try */
    STEP();
    spin_here(&s->spin, me);
    if (word & SEMAPHORE_W)
        futex_wake(&s->word, 1);
    return 0;
}

#endif
