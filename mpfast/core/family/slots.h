/* SPDX-License-Identifier: MIT */
/* Slots: 64-byte and 1-KiB cells for locks and the like, counted by reference bits.
 *
 * Bit (participant, slot) says that the process has objects on the slot. It is set by the participant itself when it
 * claims the slot, or takes it from one that offers it (handle_adopt), or on a child's behalf by a participant whose own
 * bit is set (vouching). The process that clears the
 * last bit frees the slot. It clears (seq_cst), scans all bits, and changes the state by CAS. If two clear at once, at
 * least one sees none. A reference could wander past the scan, set for a child behind it, then cleared before it. So
 * vouching ends with an advance of `vouched`, and a scan during which `vouched` moved does not count. In any other scan
 * bits are only cleared, so that what was seen clear one by one was clear all at once. Then no process is left that
 * could vouch.
 *
 *   state word:  kind:8 (0 = free) | emptied by:12 (from bit 8) | generation:32 (from bit 32), advanced when freed */
#ifndef MPFAST_SLOTS_H
#define MPFAST_SLOTS_H

#include "core/family/family.h"
#include "core/family/participant.h"

enum slot_kind {
    SLOT_FREE,
    SLOT_LOCK,
    SLOT_RLOCK,
    SLOT_SEMAPHORE,
    SLOT_BOUNDED,
    SLOT_EVENT,
    SLOT_CONDITION,
    SLOT_BARRIER,
    SLOT_QUEUE,
    SLOT_VALUE,    /* memory of a Value or Array: the slot, or a block of the heap */
    SLOT_ARRAY,    /* memory of a large Array: the window */
    SLOT_DICT,     /* a shared Dict: its writers' lock and its header. The rest is in the window */
    SLOT_LIST,     /* a shared List, the same */
    SLOT_CLAIMED,  /* claimed, but what lies in it is still the last user's */
    SLOT_EMPTYING, /* unused, but a participant has still to give its window's memory back */
    SLOT_KINDS
};

/* Is there memory in its window, which has to be given back before the slot is free? */
static inline bool kind_has_window(enum slot_kind kind)
{
    return kind == SLOT_QUEUE || kind == SLOT_ARRAY || kind == SLOT_DICT || kind == SLOT_LIST;
}

/* Does it begin with a struct lock, which is held by one owner? */
static inline bool kind_has_lock(enum slot_kind kind)
{
    return kind == SLOT_LOCK || kind == SLOT_RLOCK || kind == SLOT_DICT || kind == SLOT_LIST;
}

static inline enum slot_kind slot_kind(uint64_t state) { return (enum slot_kind)(state & 0xff); }
static inline uint32_t slot_generation(uint64_t state) { return (uint32_t)(state >> 32); }
static inline uint64_t slot_state(enum slot_kind kind, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)kind;
}

static inline uint32_t class_first(enum slot_class class) { return class == SLOT_SMALL ? 0 : FAMILY_SMALL_SLOTS; }
static inline uint32_t class_count(enum slot_class class)
{
    return class == SLOT_SMALL ? FAMILY_SMALL_SLOTS : FAMILY_LARGE_SLOTS;
}
static inline enum slot_class class_of(uint32_t slot) { return slot < FAMILY_SMALL_SLOTS ? SLOT_SMALL : SLOT_LARGE; }

static inline shared64 *refs_of(const struct family *f, uint32_t participant)
{
    return f->refs + (size_t)participant * REFS_WORDS;
}

static inline uint64_t refs_page(uint32_t slot) { return UINT64_C(1) << (slot / 8 / FAMILY_PAGE); }

static inline void ref_set(struct family *f, uint32_t participant, uint32_t slot)
{
    shared64 *pages = &f->participants[participant].pages;
    if (!(load_relaxed(pages) & refs_page(slot)))
        or_seq(pages, refs_page(slot)); /* pairs with slot_referenced: it must not skip the page of a set bit */
    or_seq(refs_of(f, participant) + slot / 64, UINT64_C(1) << slot % 64); /* pairs with slot_referenced */
    STEP();
}

static inline bool ref_get(const struct family *f, uint32_t participant, uint32_t slot)
{
    if (!(load_seq(&f->participants[participant].pages) & refs_page(slot))) /* pairs with ref_set */
        return false; /* and the page need not be made to find it empty */
    return load_seq(refs_of(f, participant) + slot / 64) >> slot % 64 & 1; /* pairs with ref_set and slot_drop */
}

/* Call after setting bits for another participant, before it is told and before any own bit is cleared. Or after setting
 * one's own bit on a slot that another offers, before its bit is looked at. */
static inline void refs_vouched(struct family *f)
{
    add_seq(&f->header->vouched, 1u); /* pairs with slot_referenced */
    STEP();
}

static inline bool slot_referenced(const struct family *f, uint32_t slot)
{
    uint32_t before, after = load_seq(&f->header->vouched); /* pairs with refs_vouched */
    do {
        before = after;
        uint32_t top = load_seq(&f->header->participants_top); /* pairs with entry_extend: none in use is beyond it */
        for (uint32_t i = 1; i < top; i++)
            if (ref_get(f, i, slot))
                return true;
        after = load_seq(&f->header->vouched); /* pairs with refs_vouched */
    } while (before != after);
    return false;
}

static inline void slot_hint_freed(struct family *f, uint32_t slot)
{
    or_relaxed(f->freed + slot / 64, UINT64_C(1) << slot % 64);
    add_relaxed(&f->header->slots_freed[class_of(slot)], 1u);
}

/* One participant alone empties a window, so that the next claimer does not lose what it puts there. True if
 * `participant` is the one, and has done so. Where that fails the slot is given up for as long as the family lives. */
static inline bool slot_emptied(struct family *f, uint32_t participant, uint32_t slot, uint64_t *state)
{
    uint64_t emptying = slot_state(SLOT_EMPTYING, slot_generation(*state)) | (uint64_t)participant << 8;
    if (*state != emptying && slot_kind(*state) == SLOT_EMPTYING)
        return false;
    if (*state != emptying && !cas_acqrel(&f->states[slot], state, emptying)) /* pairs with slot_take */
        return false;
    *state = emptying;
    int rc = window_clear(f, slot);
    return rc == 0 || rc == -EBADF; /* a process that lost its descriptor cannot: slot_take does it then */
}

/* Frees a slot without a reference. The state is loaded before the scan, so that the CAS fails if the slot was freed
 * and claimed anew meanwhile. `participant` is the one with the slot in its `dropping`. */
static inline void slot_free_unreferenced(struct family *f, uint32_t participant, uint32_t slot)
{
    uint64_t state = load_seq(&f->states[slot]); /* pairs with the CAS in slot_take */
    if (slot_kind(state) == SLOT_FREE || slot_referenced(f, slot))
        return;
    if ((kind_has_window(slot_kind(state)) || slot_kind(state) == SLOT_EMPTYING) &&
        !slot_emptied(f, participant, slot, &state))
        return;
    uint64_t free = slot_state(SLOT_FREE, slot_generation(state) + 1);
    if (cas_acqrel(&f->states[slot], &state, free)) { /* pairs with slot_take: our last accesses are over */
        STEP();
        slot_hint_freed(f, slot);
    }
}

/* Clears a participant's bit and frees the slot if that was the last. The note outlives a kill in between. Without it
 * no process would ever look at the slot again. Callers of one participant exclude each other. */
static inline void slot_drop(struct family *f, uint32_t participant, uint32_t slot)
{
    CHECK(slot < FAMILY_SLOTS && participant > 0 && participant < FAMILY_PARTICIPANTS);
    shared64 *note = &f->participants[participant].dropping;
    store_relaxed(note, (uint64_t)slot + 1); /* published by the next line */
    STEP();
    and_seq(refs_of(f, participant) + slot / 64, ~(UINT64_C(1) << slot % 64)); /* pairs with ref_get of another drop */
    STEP();
    slot_free_unreferenced(f, participant, slot);
    STEP();
    store_relaxed(note, 0);
}

static inline void slot_clear(struct family *f, uint32_t slot)
{
    shared64 *words = slot_at(f, slot);
    size_t count = (class_of(slot) == SLOT_SMALL ? SMALL_SLOT_SIZE : LARGE_SLOT_SIZE) / 8;
    for (size_t i = 0; i < count; i++)
        store_relaxed(words + i, 0);
}

/* Tries to make a slot ours that looks free. The bit comes first, so that a kill here leaves a bit, no lost slot. */
static inline bool slot_take(struct family *f, uint32_t me, uint32_t slot, enum slot_kind kind)
{
    uint64_t state = load_relaxed(&f->states[slot]);
    if (slot_kind(state) != SLOT_FREE || load_relaxed(&f->handles[slot]) != 0)
        return false;
    ref_set(f, identity_index(me), slot);
    uint64_t claimed = slot_state(SLOT_CLAIMED, slot_generation(state));
    if (!cas_acqrel(&f->states[slot], &state, claimed)) { /* pairs with slot_free_unreferenced */
        slot_drop(f, identity_index(me), slot);
        return false;
    }
    STEP();
    slot_clear(f, slot);
    int rc = kind_has_window(kind) ? window_clear(f, slot) : 0; /* the process that freed it may have been unable to */
    if (rc < 0 && rc != -EBADF) {                               /* without a descriptor no process can use the window */
        store_release(&f->states[slot], slot_state(SLOT_FREE, slot_generation(state))); /* pairs with slot_take */
        slot_drop(f, identity_index(me), slot);
        return false;
    }
    STEP();
    store_release(&f->states[slot], slot_state(kind, slot_generation(state))); /* pairs with reap_slot */
    return true;
}

/* A slot that the hints call free, or -1 if they know none. The hints may be wrong either way. */
static inline int64_t slot_hinted(struct family *f, enum slot_class class)
{
    if (load_relaxed(&f->header->slots_freed[class]) == 0)
        return -1;
    uint32_t first = class_first(class) / 64, top = load_relaxed(&f->header->slots_top[class]);
    for (uint32_t w = first; w < first + ROUND_UP(top, 64) / 64; w++) {
        uint64_t bits = load_relaxed(f->freed + w);
        if (bits == 0)
            continue;
        uint64_t bit = bits & -bits;
        if (and_relaxed(f->freed + w, ~bit) & bit) {
            sub_relaxed(&f->header->slots_freed[class], 1u);
            return (int64_t)w * 64 + __builtin_ctzll(bit);
        }
    }
    store_relaxed(&f->header->slots_freed[class], 0);
    return -1;
}

/* A slot that was never used, or -1 if there is none left. */
static inline int64_t slot_unused(struct family *f, enum slot_class class)
{
    uint32_t top = load_relaxed(&f->header->slots_top[class]);
    while (top < class_count(class))
        if (cas_relaxed(&f->header->slots_top[class], &top, top + 1))
            return (int64_t)class_first(class) + top;
    return -1;
}

/* Claims a slot for this process, zeroed. The caller holds f->mutex. Returns its index, or -ENOSPC. */
static inline int64_t slot_claim(struct family *f, enum slot_class class, enum slot_kind kind)
{
    uint32_t me = family_me(f);
    int64_t slot;
    while ((slot = slot_hinted(f, class)) >= 0 || (slot = slot_unused(f, class)) >= 0)
        if (slot_take(f, me, (uint32_t)slot, kind))
            return slot;
    for (slot = class_first(class); slot < (int64_t)class_first(class) + class_count(class); slot++)
        if (slot_take(f, me, (uint32_t)slot, kind)) /* its freer was killed before it could leave a hint */
            return slot;
    return -ENOSPC;
}

/* Does this process keep the slot, and is it still the one that a handle with this kind and generation means? */
static inline bool slot_valid(const struct family *f, uint32_t slot, enum slot_kind kind, uint32_t generation)
{
    return slot < FAMILY_SLOTS && ref_get(f, identity_index(family_me(f)), slot) &&
           load_acquire(&f->states[slot]) == slot_state(kind, generation); /* pairs with slot_take */
}

#endif
