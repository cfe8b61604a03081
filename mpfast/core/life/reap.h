/* SPDX-License-Identifier: MIT */
/* Reaping gives back what a dead participant held, then its entry.
 *
 * The right to do so is a word in the entry that names the reaper, so that even a process without descriptors can have
 * it. A dead reaper's right goes to the next. Every step may be run again, so what was half done is finished. Until the
 * last step the index is not reused, so what names it cannot mean a newcomer. */
#ifndef MPFAST_REAP_H
#define MPFAST_REAP_H

#include "core/locks/barrier.h"
#include "core/locks/bounded.h"
#include "core/locks/condition.h"
#include "core/locks/lock.h"
#include "core/queue/reap.h"
#include "core/family/slots.h"

struct reaped {
    uint32_t permits; /* of BoundedSemaphores, given back */
    pid_t pid;        /* of the process that held them */
};

/* Does the object end within its slot? A size that a stray write has changed would reach into other slots. */
static inline bool reap_fits(uint32_t slot, uint32_t size, size_t small, size_t large)
{
    return size <= (class_of(slot) == SLOT_SMALL ? small : large);
}

static inline void reap_slot(struct family *f, uint32_t identity, uint32_t slot, bool died, struct reaped *r)
{
    uint32_t index = identity_index(identity);
    void *cell = slot_at(f, slot);
    switch (slot_kind(load_acquire(&f->states[slot]))) { /* pairs with slot_take */
    case SLOT_LOCK:
    case SLOT_RLOCK:
    case SLOT_DICT:
    case SLOT_LIST: {
        uint32_t word = load_relaxed(&((struct lock *)cell)->word);
        if (died && LOCK_OWNER(word) == identity)
            lock_abandon(cell, word, r->pid);
        break;
    }
    case SLOT_BOUNDED:
        if (reap_fits(slot, ((struct bounded *)cell)->size, BOUNDED_SMALL, BOUNDED_LARGE))
            r->permits += bounded_reap(cell, index, died);
        break;
    case SLOT_CONDITION:
        condition_reap(cell, index);
        break;
    case SLOT_BARRIER:
        if (reap_fits(slot, ((struct barrier *)cell)->parties, BARRIER_SMALL, UINT32_MAX))
            barrier_reap(cell, identity, died, r->pid);
        break;
    case SLOT_QUEUE:
        queue_reap(f, slot, index);
        break;
    default:
        break; /* semaphores, events and memory do not know their users */
    }
    STEP();
    slot_drop(f, index, slot);
}

static inline void reap_page(struct family *f, uint32_t identity, uint32_t page, bool died, struct reaped *r)
{
    shared64 *words = refs_of(f, identity_index(identity)) + (size_t)page * (FAMILY_PAGE / 8);
    for (uint32_t w = 0; w < FAMILY_PAGE / 8; w++)
        for (uint64_t bits = load_relaxed(words + w); bits != 0; bits &= bits - 1)
            reap_slot(f, identity, (page * (FAMILY_PAGE / 8) + w) * 64 + (uint32_t)__builtin_ctzll(bits), died, r);
}

/* The caller has the right, or reserved the entry for a child that was not started. */
static inline void reap_entry(struct family *f, uint32_t index, struct reaped *r)
{
    struct participant *p = &f->participants[index];
    uint64_t state = load_acquire(&p->state); /* pairs with participant_announce and participant_leave */
    if (state_kind(state) == PARTICIPANT_FREE)
        return;
    uint32_t identity = identity_make(index, state_generation(state));
    r->pid = state_pid(state);
    uint64_t note = load_relaxed(&p->dropping); /* first, because each drop below writes a note of its own over it */
    if (note != 0 && note <= FAMILY_SLOTS)
        slot_free_unreferenced(f, index, (uint32_t)note - 1);
    for (uint64_t pages = load_relaxed(&p->pages); pages != 0; pages &= pages - 1)
        reap_page(f, identity, (uint32_t)__builtin_ctzll(pages), state_kind(state) == PARTICIPANT_LIVE, r);
    store_relaxed(&p->dropping, 0);
    store_release(&p->pages, 0); /* pairs with ref_get: a process that skips the page may free what the dead one used */
    for (int i = 0; i < WAIT_RECORDS; i++)
        store_relaxed(&p->waits[i].tid, 0);
    STEP();
    uint64_t free = state_make(PARTICIPANT_FREE, state_generation(state) + 1, 0, 0);
    store_release(&p->state, free); /* pairs with the CAS in entry_take: all that was the dead one's is done */
    STEP();
}

/* Is the reaper that `right` names dead, or has its entry a new owner? */
static inline bool reaper_gone(const struct family *f, uint32_t right)
{
    uint32_t index = identity_index(right);
    if (index >= FAMILY_PARTICIPANTS)
        return true;
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    return state_kind(state) == PARTICIPANT_FREE || state_generation(state) != identity_generation(right) ||
           participant_gone(f, index, state);
}

/* Takes the right to reap the entry. False if another process has it, or another thread of this one. */
static inline bool reap_begin(struct family *f, uint32_t index)
{
    shared64 *right = &f->participants[index].reaper;
    uint64_t holder = load_relaxed(right);
    if (family_me(f) == 0 || (holder != 0 && !reaper_gone(f, (uint32_t)holder)))
        return false;
    bool taken = cas_acquire(right, &holder, family_me(f)); /* pairs with reap_end */
    STEP();
    return taken;
}

static inline void reap_end(struct family *f, uint32_t index)
{
    store_release(&f->participants[index].reaper, 0); /* pairs with reap_begin */
    STEP();
}

/* A child that has not come yet must not come from now on. */
static inline bool reap_cancel(struct family *f, uint32_t index, uint64_t state)
{
    uint64_t cancelled = state_make(PARTICIPANT_CANCELLED, state_generation(state), 0, state_pid(state));
    return state_kind(state) != PARTICIPANT_RESERVED ||
           cas_acqrel(&f->participants[index].state, &state, cancelled); /* pairs with participant_announce */
}

/* Reaps the entry if its process is dead. The caller has the right to. True if the entry is free then. */
static inline bool reap_held(struct family *f, uint32_t index, struct reaped *r)
{
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    if (state_kind(state) == PARTICIPANT_FREE)
        return true;
    if (!participant_gone(f, index, state) || !reap_cancel(f, index, state))
        return false;
    STEP();
    reap_entry(f, index, r);
    return true;
}

/* As reap_held, but also false if another thread is at it. */
static inline bool reap_if_gone(struct family *f, uint32_t index, struct reaped *r)
{
    if (!reap_begin(f, index))
        return false;
    bool free = reap_held(f, index, r);
    reap_end(f, index);
    return free;
}

/* A thread has noticed that the owner in a lock word is dead. Mends all that it held. */
static inline void reap_owner(struct family *f, uint32_t word, struct reaped *r)
{
    if (identity_index(word) > 0 && identity_index(word) < FAMILY_PARTICIPANTS)
        reap_if_gone(f, identity_index(word), r);
}

/* A backstop expired. Gives back the permits of holders that were killed. */
static inline void reap_holders(struct family *f, const struct bounded *b, struct reaped *r)
{
    if (b->policy == DEATH_WAIT)
        return;
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++) {
        uint32_t index = load_relaxed(&b->cells[i]);
        if (index == 0 || index >= FAMILY_PARTICIPANTS || index == identity_index(family_me(f)))
            continue;
        uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
        if (participant_killed(f, index, state))
            reap_owner(f, identity_make(index, state_generation(state)), r);
    }
}

#endif
