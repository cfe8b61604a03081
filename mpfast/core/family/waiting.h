/* SPDX-License-Identifier: MIT */
/* Every sleep has a deadline, a backstop, and a record of what the thread waits for.
 *
 * A peer may be killed between its store and its wake-up call, and a lock's owner at any time. So no sleep is longer
 * than a backstop. After it the waiter checks memory again, and the caller serves signals. */
#ifndef MPFAST_WAITING_H
#define MPFAST_WAITING_H

#include "core/family/family.h"
#include "core/base/futex.h"
#include "core/family/participant.h"
#include "core/base/thread.h"

#define SPIN_ATTEMPTS 8
#define BACKSTOP_FIRST (20 * MILLISECOND)
#define BACKSTOP_OWNED (80 * MILLISECOND) /* an owner may die, and its waiters must hear of it within 200 ms */
#define BACKSTOP_IDLE SECOND              /* only a wake-up may be lost, and only to a kill within nanoseconds */

struct waiting {
    struct wait_record *record;
    int64_t deadline;
    int64_t backstop; /* the next sleep's length */
    int64_t longest;
    uint32_t slept; /* has this thread slept since it began to wait? */
    uint32_t spins; /* how often it tried to get by without */
    uint32_t seen;  /* what the word held at the last expiry of a backstop */
};

static inline void waiting_record(struct waiting *w, struct family *f, uint32_t slot)
{
    uint32_t me = family_me(f);
    struct wait_record *records = f->participants[identity_index(me)].waits;
    for (int i = 0; i < WAIT_RECORDS; i++) {
        uint32_t nobody = 0;
        if (load_relaxed(&records[i].tid) != 0 || !cas_relaxed(&records[i].tid, &nobody, thread_id(me)))
            continue;
        store_relaxed(&records[i].slot, slot);
        store_relaxed(&records[i].since, (uint64_t)clock_now());
        w->record = &records[i];
        return;
    }
}

/* longest: BACKSTOP_OWNED or BACKSTOP_IDLE. Makes no system call. The record is made at the first sleep. */
static inline void waiting_begin(struct waiting *w, int64_t deadline, int64_t longest)
{
    *w = (struct waiting){.deadline = deadline, .backstop = BACKSTOP_FIRST, .longest = longest};
}

/* Before the first sleep, and a few times only. A thread that loses every race it spins for must look at the clock. */
static inline bool waiting_may_spin(struct waiting *w) { return !w->slept && w->spins++ < SPIN_ATTEMPTS; }

static inline void waiting_end(struct waiting *w)
{
    if (w->record != NULL)
        store_relaxed(&w->record->tid, 0);
    w->record = NULL;
}

/* For a child that a signal handler forked during the wait. The record is the parent's. */
static inline void waiting_disown(struct waiting *w) { w->record = NULL; }

/* Sleeps while *word == expected. 0: check again. -EINTR, after a signal or a backstop that expired: serve signals,
 * then check again. -ETIMEDOUT: the deadline has passed. */
static inline int waiting_sleep(struct waiting *w, struct family *f, uint32_t slot, shared32 *word, uint32_t expected,
                                uint32_t bits)
{
    int64_t now = clock_now();
    if (now >= w->deadline)
        return -ETIMEDOUT;
    if (w->record == NULL)
        waiting_record(w, f, slot);
    w->slept = 1;
    bool last = w->deadline - now <= w->backstop;
    int rc = futex_wait_bits(word, expected, last ? w->deadline : now + w->backstop, bits);
    if (rc == -ETIMEDOUT && !last) {
        w->backstop = w->backstop * 2 < w->longest ? w->backstop * 2 : w->longest;
        return -EINTR;
    }
    return rc == -EAGAIN ? 0 : rc;
}

#endif
