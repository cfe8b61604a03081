/* SPDX-License-Identifier: MIT */
/* Reaping: giving back what a dead participant held, then its entry.
 *
 * The right to do so is the OFD lock on the entry's reap_byte, taken through a description of the reaper's own; it
 * vanishes with the reaper. Every step may be run again, so a reaper killed half-way is finished by the next. Until the last
 * step the index is not reused, so what names it cannot mean a newcomer. */
#ifndef MPFAST_REAP_H
#define MPFAST_REAP_H

#include "barrier.h"
#include "bounded.h"
#include "condition.h"
#include "lock.h"
#include "slots.h"

struct reaped {
    uint32_t permits; /* of BoundedSemaphores, given back */
    pid_t pid;        /* whose */
};

static inline void reap_slot(struct family *f, uint32_t identity, uint32_t slot, bool died, struct reaped *r)
{
    uint32_t index = identity_index(identity);
    void *cell = slot_at(f, slot);
    switch (slot_kind(load_acquire(&f->states[slot]))) { /* pairs with slot_take */
    case SLOT_LOCK:
    case SLOT_RLOCK: {
        uint32_t word = load_relaxed(&((struct lock *)cell)->word);
        if (died && LOCK_OWNER(word) == identity)
            lock_abandon(cell, word, r->pid);
        break;
    }
    case SLOT_BOUNDED:
        r->permits += bounded_reap(cell, index, died);
        break;
    case SLOT_CONDITION:
        condition_reap(cell, index);
        break;
    case SLOT_BARRIER:
        barrier_reap(cell, identity, died, r->pid);
        break;
    default:
        break; /* semaphores and events do not know who uses them */
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

/* The caller holds the reap_byte, or holds the entry's own byte for a child that will not come. */
static inline void reap_entry(struct family *f, uint32_t index, struct reaped *r)
{
    struct participant *p = &f->participants[index];
    uint64_t state = load_acquire(&p->state); /* pairs with participant_announce and participant_leave */
    if (state_kind(state) == PARTICIPANT_FREE)
        return;
    uint32_t identity = identity_make(index, state_generation(state));
    r->pid = state_pid(state);
    for (uint64_t pages = load_relaxed(&p->pages); pages != 0; pages &= pages - 1)
        reap_page(f, identity, (uint32_t)__builtin_ctzll(pages), state_kind(state) == PARTICIPANT_LIVE, r);
    uint64_t note = load_relaxed(&p->dropping);
    if (note != 0 && note <= FAMILY_SLOTS)
        slot_free_unreferenced(f, (uint32_t)note - 1);
    store_relaxed(&p->dropping, 0);
    store_release(&p->pages, 0); /* pairs with ref_get: who skips the page for it may free what the dead one used */
    for (int i = 0; i < WAIT_RECORDS; i++)
        store_relaxed(&p->waits[i].tid, 0);
    STEP();
    uint64_t free = state_make(PARTICIPANT_FREE, state_generation(state) + 1, 0, 0);
    store_release(&p->state, free); /* pairs with the CAS in entry_take: all that was the dead one's is done */
    STEP();
}

/* Reaps the entry if its process is dead. The caller holds its reap_byte. True if the entry is free then. */
static inline bool reap_held(struct family *f, uint32_t index, struct reaped *r)
{
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    if (state_kind(state) == PARTICIPANT_FREE)
        return true;
    if (!participant_gone(f, index, state)) /* also if it closed all its descriptors, or is another program now */
        return false;
    reap_entry(f, index, r);
    return true;
}

/* As reap_held, through a fresh description `right`; false also if somebody else is at it. */
static inline bool reap_if_gone(struct family *f, uint32_t index, int right, struct reaped *r)
{
    if (byte_lock(right, reap_byte(index)) < 0)
        return false;
    bool free = reap_held(f, index, r);
    byte_unlock(right, reap_byte(index)); /* not left to close(): a fork may have copied the descriptor */
    return free;
}

/* Somebody noticed that the owner in a lock word is dead: mends all that it held. */
static inline void reap_owner(struct family *f, uint32_t word, struct reaped *r)
{
    int right = family_reopen(f);
    if (right < 0)
        return;
    reap_if_gone(f, identity_index(word), right, r);
    close(right);
}

/* A backstop expired: gives back the permits of holders that were killed. */
static inline void reap_holders(struct family *f, const struct bounded *b, struct reaped *r)
{
    if (b->policy == DEATH_WAIT)
        return;
    for (uint32_t i = 0; i < b->size; i++) {
        uint32_t index = load_relaxed(&b->cells[i]);
        if (index == 0 || index >= FAMILY_PARTICIPANTS || index == identity_index(family_me(f)))
            continue;
        uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
        if (participant_killed(f, index, state))
            reap_owner(f, identity_make(index, state_generation(state)), r);
    }
}

#endif
