/* SPDX-License-Identifier: MIT */
/* Invariants and counters of a debug build (MPFAST_DEBUG). In any other build they cost nothing and prove nothing. */
#ifndef MPFAST_CHECK_H
#define MPFAST_CHECK_H

#ifdef MPFAST_DEBUG

#include "core/base/atomic.h"

#include <stdio.h>
#include <stdlib.h>

/* Ends the process, because memory that others share is not what the algorithm says. */
#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "mpfast: %s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition); \
            abort(); \
        } \
    } while (0)

#define COUNT(counter, n) add_relaxed(&(counter), (n))

#else

#define CHECK(condition) ((void)0)
#define COUNT(counter, n) ((void)0)

#endif
#endif
