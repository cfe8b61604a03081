/* SPDX-License-Identifier: MIT */
/* Monotonic nanoseconds and deadlines. A deadline is a point on CLOCK_MONOTONIC. NEVER means none. */
#ifndef MPFAST_CLOCK_H
#define MPFAST_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NEVER INT64_MAX
#define MICROSECOND INT64_C(1000)
#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)

static inline int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static inline struct timespec clock_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
}

/* A timeout in seconds, as Python gives it, to a deadline. Negative means now, and what does not fit means NEVER. */
static inline int64_t clock_deadline(double seconds)
{
    if (!(seconds > 0))
        return 0;
    if (seconds > 4e9)
        return NEVER;
    return clock_now() + (int64_t)(seconds * 1e9);
}

#endif
