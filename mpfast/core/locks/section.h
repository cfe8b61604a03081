/* SPDX-License-Identifier: MIT */
/* Sections in C: an RLock is held for a few instructions, the effect of which is one store.
 *
 * The holder is not named. So nothing is half done if the owner was killed with holder == 0. It had not begun, was done,
 * or was in such a section. The next owner comes in as if nothing had happened (lock_whole). A section runs no other
 * code, as its thread does not know the lock again. */
#ifndef MPFAST_SECTION_H
#define MPFAST_SECTION_H

#include "core/locks/lock.h"

enum section { SECTION_BUSY, SECTION_TAKEN, SECTION_MINE };

/* SECTION_BUSY: call section_wait(). SECTION_MINE: the calling thread holds the lock anyway, so it does not leave. */
static inline enum section section_enter(struct lock *l, uint32_t me)
{
    uint32_t free = 0;
    if (unlikely(!cas_acquire(&l->word, &free, me))) /* pairs with lock_release and section_leave */
        return lock_mine(l, me) ? SECTION_MINE : SECTION_BUSY;
    STEP();
    store_relaxed(&l->holder, 0); /* a killed owner's name may be there, if its lock was freed: DEATH_RELEASE */
    return SECTION_TAKEN;
}

/* Waits for the lock, as lock_wait() does. -EOWNERDEAD: perhaps it can be had by section_inherit(). */
static inline int section_wait(struct family *f, uint32_t slot, uint32_t me, struct waiting *w, struct spin_history *h)
{
    int rc = lock_await(f, slot, me, w, h);
    if (rc == 0)
        store_relaxed(&((struct lock *)slot_at(f, slot))->holder, 0); /* as in section_enter */
    return rc;
}

/* Takes the lock over from an owner that left nothing half done. section_leave makes the wake-ups that it left. */
static inline bool section_inherit(struct lock *l, uint32_t me)
{
    uint32_t word = lock_whole(l);
    return word != 0 && lock_inherit(l, me, word);
}

static inline void section_leave(struct family *f, struct lock *l)
{
    if (unlikely(load_relaxed(&l->wake_bits) != 0)) { /* left by an owner that was killed */
        lock_release(f, l);
        return;
    }
    uint32_t word = swap_release(&l->word, 0); /* pairs with section_enter and lock_enter */
    STEP();
    if (unlikely(word & LOCK_W)) {
        futex_wake(&l->word, 1);
        spin_note_cpu(f, family_me(f));
    }
}

#endif
