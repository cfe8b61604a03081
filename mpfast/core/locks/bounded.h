/* SPDX-License-Identifier: MIT */
/* BoundedSemaphore. Each permit is a cell that names the participant that took it, so that what a killed process held
 * can be given back. Acquiring is one CAS on a cell. `word` is an eventcount (seq << 1 | W) for the sleepers.
 *
 * A release frees a cell of the caller's own if it has one. If not, it gives back what another process acquired. Then a
 * permit that was returned on its holder's death already counts first, as it must not be given back twice. */
#ifndef MPFAST_BOUNDED_H
#define MPFAST_BOUNDED_H

#include "core/family/peers.h"
#include "core/family/waiting.h"

#define BOUNDED_W 1u
#define BOUNDED_SCANS 8 /* permits may move behind one scan, so only an error that lasts is one */
#define BOUNDED_SPIN (20 * MICROSECOND)
#define CELL_ANONYMOUS 0x8000u /* held by a process that left. No index is that large */

struct bounded {
    shared32 word;
    uint32_t size;     /* permits, only the first `size` cells exist */
    shared32 returned; /* permits given back for the dead and not claimed by a late release */
    uint32_t policy;   /* DEATH_WAIT: permits of the dead stay lost */
    struct spin spin;
    shared16 cells[];
};

#define BOUNDED_SMALL ((SMALL_SLOT_SIZE - sizeof(struct bounded)) / sizeof(shared16))
#define BOUNDED_LARGE ((LARGE_SLOT_SIZE - sizeof(struct bounded)) / sizeof(shared16))

/* However damaged, no cell is outside of the segment. */
static inline uint32_t bounded_size(const struct bounded *b)
{
    return b->size <= BOUNDED_LARGE ? b->size : (uint32_t)BOUNDED_LARGE;
}

static inline uint32_t bounded_value(const struct bounded *b)
{
    uint32_t free = 0;
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++)
        free += load_relaxed(&b->cells[i]) == 0;
    return free;
}

static inline bool bounded_try(struct bounded *b, uint32_t me)
{
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++) {
        uint16_t nobody = 0;
        if (load_relaxed(&b->cells[i]) == 0 &&
            cas_seq(&b->cells[i], &nobody, (uint16_t)identity_index(me))) /* pairs with bounded_free */
            return true;
    }
    return false;
}

/* Is there a free cell, in the one order of seq_cst operations? This is the last check before sleeping. */
static inline bool bounded_available(const struct bounded *b)
{
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++)
        if (load_seq(&b->cells[i]) == 0) /* pairs with bounded_free: Dekker with the W of bounded_wait */
            return true;
    return false;
}

static inline bool bounded_ready(const void *b) { return bounded_available(b); }

static inline void bounded_wake(struct bounded *b)
{
    uint32_t word = load_seq(&b->word); /* pairs with bounded_wait: a waiter that set W sees the free cell or wakes */
    while (word & BOUNDED_W)
        if (cas_relaxed(&b->word, &word, (word + 2) & ~BOUNDED_W)) {
            STEP();
            futex_wake(&b->word, 1);
            return;
        }
}

/* A waiter that slept may have been the only one woken for several permits. It wakes the next if one is left. */
static inline void bounded_pass_on(struct bounded *b)
{
    or_seq(&b->word, BOUNDED_W); /* others may still sleep, pairs with bounded_wake */
    if (bounded_available(b))
        bounded_wake(b);
}

static inline int bounded_wait(struct family *f, uint32_t slot, uint32_t me, struct waiting *w, struct spin_history *h)
{
    struct bounded *b = slot_at(f, slot);
    for (int slept = 0;;) {
        if (bounded_try(b, me)) {
            if (w->slept)
                bounded_pass_on(b);
            return 0;
        }
        if (slept == -ETIMEDOUT || slept == -EINTR)
            return slept;
        uint32_t word = load_seq(&b->word); /* pairs with bounded_wake: before the cells are looked at again */
        if (waiting_may_spin(w) && spin_first(bounded_ready, b, &b->spin, me, h, BOUNDED_SPIN))
            continue;
        if (!(word & BOUNDED_W) && !cas_seq(&b->word, &word, word | BOUNDED_W)) /* pairs with bounded_wake */
            continue;
        STEP();
        if (bounded_available(b))
            continue;
        slept = waiting_sleep(w, f, slot, &b->word, word | BOUNDED_W, FUTEX_ALL);
    }
}

static inline bool bounded_free(struct bounded *b, uint32_t cell, uint16_t owner)
{
    if (!cas_seq(&b->cells[cell], &owner, 0)) /* pairs with bounded_try and bounded_available */
        return false;
    STEP();
    bounded_wake(b);
    return true;
}

static inline bool bounded_free_of(struct bounded *b, uint16_t owner)
{
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++)
        if (load_relaxed(&b->cells[i]) == owner && bounded_free(b, i, owner))
            return true;
    return false;
}

static inline bool bounded_take_returned(struct bounded *b)
{
    uint32_t returned = load_relaxed(&b->returned);
    while (returned > 0)
        if (cas_relaxed(&b->returned, &returned, returned - 1))
            return true;
    return false;
}

static inline bool bounded_free_any(struct bounded *b)
{
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++) {
        uint16_t owner = load_relaxed(&b->cells[i]);
        if (owner != 0 && bounded_free(b, i, owner))
            return true;
    }
    return false;
}

/* 0, or -EOVERFLOW if no permit is out. */
static inline int bounded_release(struct bounded *b, uint32_t me)
{
    CHECK(b->size <= BOUNDED_LARGE && bounded_value(b) <= b->size);
    spin_here(&b->spin, me);
    for (int scan = 0; scan < BOUNDED_SCANS; scan++)
        if (bounded_free_of(b, (uint16_t)identity_index(me)) || bounded_take_returned(b) || bounded_free_any(b))
            return 0;
    return -EOVERFLOW;
}

static inline bool bounded_holds(const struct bounded *b, uint32_t index)
{
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++)
        if (load_relaxed(&b->cells[i]) == index)
            return true;
    return false;
}

/* The participant's entry is about to be reused. Gives back the permits that it was killed with. If it left, makes them
 * anonymous. Returns how many permits came back. Idempotent. */
static inline uint32_t bounded_reap(struct bounded *b, uint32_t index, bool died)
{
    uint32_t count = 0;
    for (uint32_t i = 0, size = bounded_size(b); i < size; i++) {
        uint16_t owner = (uint16_t)index;
        if (load_relaxed(&b->cells[i]) != owner)
            continue;
        if (!died || b->policy == DEATH_WAIT) {
            cas_relaxed(&b->cells[i], &owner, CELL_ANONYMOUS);
        } else if (bounded_free(b, i, owner)) {
            add_relaxed(&b->returned, 1u);
            count++;
        }
    }
    return count;
}

#endif
