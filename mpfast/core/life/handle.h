/* SPDX-License-Identifier: MIT */
/* Handles count the objects of this process on a slot. The first sets the process's reference, the last drops it. */
#ifndef MPFAST_HANDLE_H
#define MPFAST_HANDLE_H

#include "core/locks/barrier.h"
#include "core/locks/bounded.h"
#include "core/locks/condition.h"
#include "core/locks/lock.h"
#include "core/family/slots.h"

/* A new object on a slot that this process keeps already, or that was just claimed. The caller holds f->mutex. */
static inline void handle_add(struct family *f, uint32_t slot) { add_relaxed(&f->handles[slot], 1u); }

static inline bool slot_referenced_by_others(const struct family *f, uint32_t slot)
{
    uint32_t me = identity_index(family_me(f)), top = load_relaxed(&f->header->participants_top);
    for (uint32_t i = 1; i < top; i++)
        if (i != me && ref_get(f, i, slot))
            return true;
    return false;
}

static inline bool handle_holds(const struct family *f, uint32_t slot, enum slot_kind kind)
{
    const void *cell = slot_at(f, slot);
    if (kind == SLOT_BOUNDED)
        return bounded_holds(cell, identity_index(family_me(f)));
    if (kind_has_lock(kind))
        return LOCK_OWNER(load_relaxed(&((const struct lock *)cell)->word)) == family_me(f);
    return false;
}

/* The last object on a slot is gone. If the process still holds what is there, others may wait and must hear of its
 * death. Only slots to which a participant refers are checked when it dies, so then the reference stays. It is checked
 * again later. False if it stays. */
static inline bool handle_drop(struct family *f, uint32_t slot)
{
    uint32_t me = family_me(f);
    enum slot_kind kind = slot_kind(load_relaxed(&f->states[slot]));
    if (handle_holds(f, slot, kind) && slot_referenced_by_others(f, slot))
        return false;
    if (kind == SLOT_CONDITION)
        condition_reap(slot_at(f, slot), identity_index(me)); /* no thread here waits, and the index may be reused */
    if (kind == SLOT_BARRIER)
        barrier_reap(slot_at(f, slot), me, false, 0);
    slot_drop(f, identity_index(me), slot);
    return true;
}

/* Beyond so many, they stay until the process ends. The caller holds f->mutex. */
static inline void handle_keep(struct family *f, uint32_t slot)
{
    for (uint32_t i = 0; i < f->kept_count; i++)
        if (f->kept[i] == slot)
            return;
    if (f->kept_count < FAMILY_KEPT)
        f->kept[f->kept_count++] = slot;
}

/* Drops what was kept and is not held any more. The caller holds f->mutex. */
static inline void handle_drop_kept(struct family *f)
{
    for (uint32_t i = f->kept_count; i-- > 0;)
        if (load_relaxed(&f->handles[f->kept[i]]) > 0 || handle_drop(f, f->kept[i]))
            f->kept[i] = f->kept[--f->kept_count];
}

/* An object is gone. */
static inline void handle_remove(struct family *f, uint32_t slot)
{
    pthread_mutex_lock(&f->mutex);
    CHECK(load_relaxed(&f->handles[slot]) > 0);
    if (sub_relaxed(&f->handles[slot], 1u) == 1 && family_me(f) != 0 && !handle_drop(f, slot))
        handle_keep(f, slot);
    pthread_mutex_unlock(&f->mutex);
}

/* Claims a slot for a new object. -ENOSPC, or -EOWNERDEAD in a process without an identity (fork.h). */
static inline int64_t handle_claim(struct family *f, enum slot_class class, enum slot_kind kind)
{
    if (family_me(f) == 0)
        return -EOWNERDEAD;
    pthread_mutex_lock(&f->mutex);
    handle_drop_kept(f);
    int64_t slot = slot_claim(f, class, kind);
    if (slot >= 0)
        handle_add(f, (uint32_t)slot);
    pthread_mutex_unlock(&f->mutex);
    return slot;
}

/* A new object for a slot that came from elsewhere. -ESTALE if this process keeps no such slot. */
static inline int handle_attach(struct family *f, uint32_t slot, enum slot_kind kind, uint32_t generation)
{
    pthread_mutex_lock(&f->mutex);
    bool valid = family_me(f) != 0 && slot_valid(f, slot, kind, generation);
    if (valid)
        handle_add(f, slot);
    pthread_mutex_unlock(&f->mutex);
    return valid ? 0 : -ESTALE;
}

/* A new object for a slot that another living process offers. It names itself (`giver`), the slot, its kind and its
 * generation, and keeps its own object until it has the answer. This process sets its own bit, and looks at the giver's
 * afterwards. If that one is still set, no scan has missed both, and every later scan meets ours. If it is not, the slot
 * may be about to be freed, and ours is dropped again. A bit set by the giver for us would be wrong. Our entry might
 * have another process by then, which would never clear it. -ESTALE: the giver has it no more. */
static inline int handle_adopt(struct family *f, uint32_t slot, enum slot_kind kind, uint32_t generation,
                               uint32_t giver)
{
    if (family_me(f) == 0)
        return -EOWNERDEAD;
    if (slot >= FAMILY_SLOTS || giver == 0 || giver >= FAMILY_PARTICIPANTS)
        return -ESTALE;
    uint32_t me = identity_index(family_me(f));
    pthread_mutex_lock(&f->mutex);
    bool valid = slot_valid(f, slot, kind, generation);
    if (!valid && !ref_get(f, me, slot)) {
        ref_set(f, me, slot);
        refs_vouched(f); /* a scan that has passed our bit does not count */
        valid = ref_get(f, giver, slot) && slot_valid(f, slot, kind, generation);
        if (!valid)
            slot_drop(f, me, slot);
    }
    if (valid)
        handle_add(f, slot);
    pthread_mutex_unlock(&f->mutex);
    return valid ? 0 : -ESTALE;
}

#endif
