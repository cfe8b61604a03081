/* SPDX-License-Identifier: MIT */
/* Puts POINT() before every access to shared memory that the core makes, to stop there, to be killed there, or to let
 * others go first. The accesses are seq_cst then, whatever they were: this is for interleavings and crashes; orders are
 * for ThreadSanitizer to see. */
#ifndef MPFAST_TEST_POINTS_H
#define MPFAST_TEST_POINTS_H

#include "core/base/atomic.h"

#undef load_relaxed
#undef load_acquire
#undef load_seq
#undef store_relaxed
#undef store_release
#undef store_seq
#undef swap_release
#undef swap_acqrel
#undef swap_seq
#undef add_relaxed
#undef add_seq
#undef sub_relaxed
#undef sub_release
#undef or_relaxed
#undef or_seq
#undef xor_seq
#undef and_relaxed
#undef and_seq
#undef cas_relaxed
#undef cas_acquire
#undef cas_release
#undef cas_acqrel
#undef cas_seq

#define point_load(p) (READ_POINT(), atomic_load(p))
#define point_store(p, v) (POINT(), atomic_store((p), (v)))
#define point_swap(p, v) (POINT(), atomic_exchange((p), (v)))
#define point_cas(p, e, v) (POINT(), atomic_compare_exchange_strong((p), (e), (v)))

#define load_relaxed(p) point_load(p)
#define load_acquire(p) point_load(p)
#define load_seq(p) point_load(p)
#define store_relaxed(p, v) point_store(p, v)
#define store_release(p, v) point_store(p, v)
#define store_seq(p, v) point_store(p, v)
#define swap_release(p, v) point_swap(p, v)
#define swap_acqrel(p, v) point_swap(p, v)
#define swap_seq(p, v) point_swap(p, v)
#define add_relaxed(p, v) (POINT(), atomic_fetch_add((p), (v)))
#define add_seq(p, v) (POINT(), atomic_fetch_add((p), (v)))
#define sub_relaxed(p, v) (POINT(), atomic_fetch_sub((p), (v)))
#define sub_release(p, v) (POINT(), atomic_fetch_sub((p), (v)))
#define or_relaxed(p, v) (POINT(), atomic_fetch_or((p), (v)))
#define or_seq(p, v) (POINT(), atomic_fetch_or((p), (v)))
#define xor_seq(p, v) (POINT(), atomic_fetch_xor((p), (v)))
#define and_relaxed(p, v) (POINT(), atomic_fetch_and((p), (v)))
#define and_seq(p, v) (POINT(), atomic_fetch_and((p), (v)))
#define cas_relaxed(p, e, v) point_cas(p, e, v)
#define cas_acquire(p, e, v) point_cas(p, e, v)
#define cas_release(p, e, v) point_cas(p, e, v)
#define cas_acqrel(p, e, v) point_cas(p, e, v)
#define cas_seq(p, e, v) point_cas(p, e, v)

#endif
