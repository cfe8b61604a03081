/* SPDX-License-Identifier: MIT */
/* Waiting for a shared 32-bit word to change, and waking the waiters.
 *
 * Futexes here are never FUTEX_PRIVATE, because the word lies in memory that several processes map. All waits have an
 * absolute deadline. So a process killed between its store and its wake delays others by a backstop, never for ever. */
#ifndef MPFAST_FUTEX_H
#define MPFAST_FUTEX_H

#include "core/base/atomic.h"
#include "core/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUTEX_ALL UINT32_MAX
#define FUTEX_LOOK MILLISECOND /* how often a waiter looks by itself where it may not sleep on a word */

/* The sleep of a waiter whose call is refused. -EINTR: look again. -ETIMEDOUT: the deadline has passed. */
static inline int futex_look(int64_t deadline)
{
    int64_t now = clock_now();
    if (now >= deadline)
        return -ETIMEDOUT;
    struct timespec t = clock_timespec(deadline - now < FUTEX_LOOK ? deadline : now + FUTEX_LOOK);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    return -EINTR;
}

/* 0 if woken (perhaps for nothing), -EAGAIN if the word was not `expected`, -ETIMEDOUT, or -EINTR. */
static inline int futex_wait_bits(shared32 *word, uint32_t expected, int64_t deadline, uint32_t bits)
{
    struct timespec t = clock_timespec(deadline);
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline == NEVER ? NULL : &t, NULL, bits);
    if (rc >= 0)
        return 0;
    return errno == EPERM || errno == EACCES || errno == ENOSYS ? futex_look(deadline) : -errno;
}

static inline int futex_wait(shared32 *word, uint32_t expected, int64_t deadline)
{
    return futex_wait_bits(word, expected, deadline, FUTEX_ALL);
}

/* Wakes at most n sleepers whose bits meet `bits`. Returns how many. */
static inline int futex_wake_bits(shared32 *word, int n, uint32_t bits)
{
    return (int)syscall(SYS_futex, word, FUTEX_WAKE_BITSET, n, NULL, NULL, bits);
}

static inline int futex_wake(shared32 *word, int n) { return futex_wake_bits(word, n, FUTEX_ALL); }

#endif
