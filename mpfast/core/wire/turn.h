/* SPDX-License-Identifier: MIT */
/* Turns to read, or to write. One thread of this process at a time has one. Guarded by the GIL.
 *
 * A thread takes a turn only before it gives up the GIL in the middle of a message. A forked child has none of its
 * parent's other threads, so it ignores turns that they had. */
#ifndef MPFAST_TURN_H
#define MPFAST_TURN_H

#include "core/base/atomic.h"
#include "core/base/clock.h"
#include "core/base/futex.h"

#include <pthread.h>

struct turn {
    shared32 given; /* advances whenever a turn ends and a thread waits for one */
    uint32_t waiters;
    uint32_t epoch; /* when it was taken */
    bool taken;
    pthread_t holder;
};

static uint32_t turn_epoch; /* how many forks lie between the first process and this one. Each library has its own */

static pthread_t turn_forker; /* the thread that forked this process, the only one of its parent's that it has */

static void turn_forked(void)
{
    turn_epoch++;
    turn_forker = pthread_self();
}

__attribute__((constructor)) static void turn_install(void) { pthread_atfork(NULL, NULL, turn_forked); }

/* Also in a child that a signal handler forked, because the call that it interrupted goes on there. */
static inline bool turn_taken(const struct turn *t)
{
    return t->taken &&
           (t->epoch == turn_epoch || (t->epoch + 1 == turn_epoch && pthread_equal(t->holder, turn_forker)));
}

/* Was a thread that only our parent has in the middle of a message when we were forked? */
static inline bool turn_orphaned(const struct turn *t) { return t->taken && !turn_taken(t); }

static inline bool turn_mine(const struct turn *t) { return turn_taken(t) && pthread_equal(t->holder, pthread_self()); }

static inline void turn_take(struct turn *t)
{
    if (t->epoch != turn_epoch)
        t->waiters = 0;
    t->epoch = turn_epoch;
    t->holder = pthread_self();
    t->taken = true;
}

static inline void turn_give(struct turn *t)
{
    t->taken = false;
    if (t->waiters == 0)
        return;
    add_relaxed(&t->given, 1);
    futex_wake(&t->given, 1);
}

/* How many threads of this process are in a call that uses a descriptor. It must not be closed meanwhile. */
struct users {
    uint32_t count;
    uint32_t epoch;
};

static inline uint32_t users_count(const struct users *u) { return u->epoch == turn_epoch ? u->count : 0; }

static inline void users_enter(struct users *u)
{
    u->count = users_count(u) + 1;
    u->epoch = turn_epoch;
}

static inline void users_leave(struct users *u)
{
    if (users_count(u) > 0)
        u->count--;
}

/* Without the GIL, waits until a turn has ended since `given` was `seen`. 0, or -EINTR: serve signals. */
static inline int turn_wait(struct turn *t, uint32_t seen)
{
    int rc = futex_wait(&t->given, seen, clock_now() + SECOND);
    return rc == -EAGAIN ? 0 : rc == -ETIMEDOUT ? -EINTR : rc;
}

#endif
