/* SPDX-License-Identifier: MIT */
/* Mutants: the vocabulary of atomic.h with one word weakened, to show by -DMUTANT=n that a harness notices.
 * test_c_mutants.py does so with single expressions. */
#ifndef MPFAST_TEST_WEAKEN_H
#define MPFAST_TEST_WEAKEN_H

#ifndef MUTANT
#define MUTANT 0
#endif

/* A word of its own for each: a macro that is redefined below must not be used here. */
#define weak_swap(p, v) \
    ({ \
        __typeof__(load_relaxed(p)) old_ = load_relaxed(p); \
        while (!cas_relaxed((p), &old_, (v))) \
            ; \
        old_; \
    })

#if MUTANT == 1 /* what was done under the lock is not published */
#undef swap_release
#define swap_release(p, v) weak_swap(p, v)
#elif MUTANT == 2 /* the new owner does not see it */
#undef cas_acquire
#define cas_acquire(p, e, v) cas_relaxed(p, e, v)
#elif MUTANT == 3 /* a permit, an event: not published */
#undef cas_release
#define cas_release(p, e, v) cas_relaxed(p, e, v)
#elif MUTANT == 4 /* an event, a round, a ticket: not seen */
#undef load_acquire
#define load_acquire(p) load_relaxed(p)
#elif MUTANT == 5 /* a permit's cell */
#undef cas_seq
#define cas_seq(p, e, v) cas_relaxed(p, e, v)
#elif MUTANT == 6 /* a round, a slot's state, an entry */
#undef cas_acqrel
#define cas_acqrel(p, e, v) cas_relaxed(p, e, v)
#elif MUTANT == 7 /* nobody says that he sleeps before he looks again */
#undef or_seq
#define or_seq(p, v) load_relaxed(p)
#elif MUTANT == 8 /* a lock that forgets to wake */
#include "core/base/futex.h"
#define futex_wake(word, n) ((void)(word))
#elif MUTANT == 9 /* a reference is taken and dropped without a trace */
#undef and_seq
#define and_seq(p, v) load_relaxed(p)
#elif MUTANT == 10 /* a CAS that does not compare */
#undef cas_acqrel
#define cas_acqrel(p, e, v) (store_relaxed((p), (v)), *(e) == *(e))
#elif MUTANT == 11 /* a timed-out ticket is not given up; a member not noted; bits lost */
#undef or_relaxed
#define or_relaxed(p, v) load_relaxed(p)
#elif MUTANT == 12 /* an entry is given back before what was the dead one's is done */
#undef store_release
#define store_release(p, v) store_relaxed(p, v)
#elif MUTANT == 13 /* the futex sleeps whatever the word is */
#include "core/base/futex.h"
#define futex_wait_bits(word, expected, deadline, bits) futex_wait_bits((word), load_relaxed(word), (deadline), (bits))
#endif

#endif
