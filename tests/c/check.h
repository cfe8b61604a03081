/* SPDX-License-Identifier: MIT */
/* What every harness needs: expectations, a deadline, chance, threads. Include it before any header of the core. */
#ifndef MPFAST_TEST_CHECK_H
#define MPFAST_TEST_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GOOD = 0, BAD = 1, SKIP = 77 };

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Ends the process, in a child as well as in the harness itself. */
#define EXPECT(condition) \
    do { \
        if (!(condition)) \
            failed(__FILE__, __LINE__, #condition, 0, 0); \
    } while (0)

#define EXPECT_EQ(is, shall) \
    do { \
        long long is_ = (long long)(is), shall_ = (long long)(shall); \
        if (is_ != shall_) \
            failed(__FILE__, __LINE__, #is " == " #shall, is_, shall_); \
    } while (0)

static const char *doing = "beginning";

static inline _Noreturn void failed(const char *file, int line, const char *what, long long is, long long shall)
{
    fprintf(stderr, "%s:%d: in %s: not true: %s (%lld, %lld)\n", file, line, doing, what, is, shall);
    _exit(BAD);
}

/* Chance: xorshift64* after Marsaglia and Vigna; every thread has its own state. */
static _Thread_local uint64_t chance_state = 88172645463325252u;

static inline void chance_seed(uint64_t seed) { chance_state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15); }

static inline uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state >> 12;
    chance_state ^= chance_state << 25;
    chance_state ^= chance_state >> 27;
    return (uint32_t)((chance_state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % below;
}

/* Makes a race that needs a thread to be slow between two steps likely enough to be seen. */
static inline void jitter(void)
{
    uint32_t r = chance(512);
    if (r == 0)
        usleep(chance(80));
    else if (r < 8)
        sched_yield();
}

#ifndef STEP
#define STEP() jitter()
#endif

#include "core/base/atomic.h"
#include "core/base/clock.h"
#include "weaken.h"

#if !defined(POINT) && !SANITIZED && !MUTANT /* a sanitized build looks at orders, a plain one at interleavings */
#define POINT() jitter()
#define READ_POINT() jitter()
#endif
#ifdef POINT
#include "points.h"
#endif

static inline bool stress(void) { return getenv("MPFAST_STRESS") != NULL; }

/* How often to do what a plain run does n times. */
static inline int times(int n)
{
    int few = SANITIZED ? (n + 3) / 4 : n;
    return stress() ? 20 * n : few;
}

static inline void too_late(int unused)
{
    (void)unused;
    static const char text[] = "the deadline has passed in ";
    (void)!write(2, text, sizeof text - 1);
    (void)!write(2, doing, strlen(doing));
    (void)!write(2, "\n", 1);
    _exit(BAD);
}

static inline void begin(unsigned seconds)
{
    signal(SIGALRM, too_late);
    alarm(stress() ? 12 * seconds : SANITIZED ? 4 * seconds : seconds);
    (void)!nice(5);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

#define RUN(test) \
    do { \
        doing = #test; \
        int64_t began_ = clock_now(); \
        test(); \
        printf("%-28s %6.0f ms\n", #test, (double)(clock_now() - began_) / 1e6); \
    } while (0)

#endif
