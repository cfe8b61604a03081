/* SPDX-License-Identifier: MIT */
/* The vocabulary of shared memory. Only this file names a memory order.
 *
 * Every operation carries its order in its name, and each ordered call elsewhere says which access it pairs with.
 * There are no stand-alone fences, because ThreadSanitizer does not model them and ordered operations say more. */
#ifndef MPFAST_ATOMIC_H
#define MPFAST_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2
#error "mpfast needs lock-free 32- and 64-bit atomics: a lock inside libatomic would be private to one process"
#endif

#define CACHE_LINE 64
#define OWN_LINES _Alignas(2 * CACHE_LINE) /* adjacent lines are fetched in pairs */

typedef _Atomic uint8_t shared8;
typedef _Atomic uint16_t shared16;
typedef _Atomic uint32_t shared32;
typedef _Atomic uint64_t shared64;

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)

#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define swap_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define swap_acqrel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define swap_seq(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)

#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define sub_release(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define or_relaxed(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define xor_seq(p, v) atomic_fetch_xor_explicit((p), (v), memory_order_seq_cst)
#define and_relaxed(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define and_seq(p, v) atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)

/* cas_X(p, &expected, desired). On failure `expected` becomes what was seen, with relaxed order. */
#define cas_relaxed(p, e, v) \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_relaxed, memory_order_relaxed)
#define cas_acquire(p, e, v) \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_acquire, memory_order_relaxed)
#define cas_release(p, e, v) \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_release, memory_order_relaxed)
#define cas_acqrel(p, e, v) \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_acq_rel, memory_order_relaxed)
#define cas_seq(p, e, v) \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_seq_cst, memory_order_relaxed)

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores, isb waits some 20 ns */
#endif
}

/* A point between two shared writes at which a process may be killed or stopped. A fault-injection harness defines it
 * before it includes any header of the core. Everywhere else it is nothing. */
#ifndef STEP
#define STEP() ((void)0)
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
