/* SPDX-License-Identifier: MIT */
/* RLock. A lock (lock.h) that its owning thread may enter again. Only that thread writes the depth. */
#ifndef MPFAST_RLOCK_H
#define MPFAST_RLOCK_H

#include "core/locks/lock.h"

static inline uint32_t rlock_depth(const struct lock *l) { return load_relaxed(&l->depth); }
static inline void rlock_set_depth(struct lock *l, uint32_t depth) { store_relaxed(&l->depth, depth); }

static inline bool rlock_reenter(struct lock *l, uint32_t me)
{
    if (!lock_mine(l, me))
        return false;
    rlock_set_depth(l, rlock_depth(l) + 1);
    return true;
}

/* -EPERM if the calling thread does not own it. */
static inline int rlock_release(struct family *f, struct lock *l, uint32_t me)
{
    if (!lock_mine(l, me))
        return -EPERM;
    CHECK(rlock_depth(l) > 0);
    uint32_t depth = rlock_depth(l) - 1;
    rlock_set_depth(l, depth);
    STEP();
    if (depth == 0)
        lock_release(f, l);
    return 0;
}

#endif
