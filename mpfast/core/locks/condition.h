/* SPDX-License-Identifier: MIT */
/* Condition. It works by tickets. A waiter takes the next one. notify(n) advances `notified` over the tickets of n
 * living waiters.
 *
 * The condition's lock guards everything but `notified` and the ring's cells (which a reaper may blank). One store
 * commits every change, of `tail` by a waiter, of `notified` by a notifier. So a lock recovered from a killed owner
 * guards a sound condition. Waiters sleep on `notified`, each with the bit of its ticket, so that a notifier wakes the
 * right ones. The ring names the waiters of the 256 oldest tickets. Of later ones nothing is *known*. A notifier wakes
 * them all when it gets there and counts none. That is legal, as spurious wake-ups are, and loses nothing. */
#ifndef MPFAST_CONDITION_H
#define MPFAST_CONDITION_H

#include "core/locks/lock.h"
#include "core/family/peers.h"
#include "core/family/waiting.h"

#define CONDITION_RING 256u
#define CONDITION_SPIN (20 * MICROSECOND)
#define TICKET_NOBODY 0x8000u /* the waiter is dead. No index is that large */

struct condition {
    shared32 notified; /* the first ticket that was not notified, and the futex */
    shared32 tail;     /* the next ticket */
    shared32 unknown_from, unknown_to;
    shared32 sleepers; /* bits of tickets that may sleep, set by the waiter, cleared by its waker */
    shared32 settled;  /* what lock.deaths was when the tickets were settled last */
    struct spin spin;
    shared64 cancelled[CONDITION_RING / 64]; /* bit t % RING: ticket t was given up. Cleared when it is taken anew */
    shared16 ring[CONDITION_RING];           /* cell t % RING: the participant that waits with ticket t */
};
_Static_assert(sizeof(struct condition) <= LARGE_SLOT_SIZE, "a condition fits a large slot");

static inline uint32_t ticket_bit(uint32_t ticket) { return UINT32_C(1) << ticket % 32; }

static inline bool ticket_notified(const struct condition *c, uint32_t ticket)
{
    return (int32_t)(load_acquire(&c->notified) - ticket) > 0; /* pairs with condition_notify */
}

static inline bool ticket_unknown(const struct condition *c, uint32_t ticket)
{
    uint32_t from = load_relaxed(&c->unknown_from), to = load_relaxed(&c->unknown_to);
    return ticket - from < to - from;
}

static inline void ticket_mark_unknown(struct condition *c, uint32_t ticket)
{
    bool over = (int32_t)(load_relaxed(&c->notified) - load_relaxed(&c->unknown_to)) >= 0;
    store_relaxed(&c->unknown_to, ticket + 1); /* first, so that a kill leaves too much unknown, and not for long */
    STEP();
    if (over)
        store_relaxed(&c->unknown_from, ticket); /* the range before is over */
}

/* Lock held. The store of `tail` makes the ticket count, so what describes it is stored before. */
static inline uint32_t condition_take(struct condition *c, uint32_t me)
{
    uint32_t ticket = load_relaxed(&c->tail), cell = ticket % CONDITION_RING;
    if (ticket - load_relaxed(&c->notified) < CONDITION_RING) {
        store_relaxed(&c->ring[cell], (uint16_t)identity_index(me));
        and_relaxed(&c->cancelled[cell / 64], ~(UINT64_C(1) << cell % 64));
    } else {
        ticket_mark_unknown(c, ticket);
    }
    STEP();
    store_relaxed(&c->tail, ticket + 1); /* published by the release of the lock */
    STEP();
    return ticket;
}

static inline bool ticket_cancelled(const struct condition *c, uint32_t ticket)
{
    uint32_t cell = ticket % CONDITION_RING;
    return !ticket_unknown(c, ticket) && load_relaxed(&c->cancelled[cell / 64]) >> cell % 64 & 1;
}

/* Lock held. Passes over the oldest tickets while they are given up, so that only waiting ones take room. */
static inline void condition_retire(struct condition *c)
{
    uint32_t first = load_relaxed(&c->notified), ticket = first, tail = load_relaxed(&c->tail);
    while (ticket != tail && ticket_cancelled(c, ticket))
        ticket++;
    if (ticket != first)
        store_seq(&c->notified, ticket); /* pairs with ticket_notified */
    STEP();
}

/* Lock held again. True if the ticket was notified after all. Else it is given up, and no notify is spent on it. */
static inline bool condition_cancel(struct condition *c, uint32_t ticket)
{
    if (ticket_notified(c, ticket))
        return true;
    if (ticket + 1 == load_relaxed(&c->tail))
        store_relaxed(&c->tail, ticket); /* the newest is taken back, so that polling does not fill the ring */
    else if (!ticket_unknown(c, ticket))
        or_relaxed(&c->cancelled[ticket % CONDITION_RING / 64], UINT64_C(1) << ticket % 64);
    STEP();
    condition_retire(c);
    return false;
}

/* Lock held. After a holder died, tickets may belong to threads that left wait() with LockOwnerDied and did not give
 * them up. So all are notified, which wakes some for nothing and loses none. `deaths` is the lock's. */
static inline void condition_settle(struct condition *c, uint32_t deaths)
{
    if (likely(load_relaxed(&c->settled) == deaths))
        return;
    store_seq(&c->notified, load_relaxed(&c->tail)); /* pairs with ticket_notified */
    STEP();
    futex_wake(&c->notified, INT_MAX);
    store_relaxed(&c->settled, deaths);
}

static inline bool ticket_waits(const struct family *f, const struct condition *c, uint32_t ticket)
{
    uint32_t cell = ticket % CONDITION_RING, index = load_relaxed(&c->ring[cell]);
    if (load_relaxed(&c->cancelled[cell / 64]) >> cell % 64 & 1 || index >= FAMILY_PARTICIPANTS)
        return false;
    if (index == identity_index(family_me(f)))
        return true;
    const shared64 *word = &f->participants[index].state;
    uint64_t state = load_acquire(word); /* pairs with participant_announce */
    if (state_kind(state) == PARTICIPANT_FREE || participant_absent(f, index, state))
        return false;
    /* Alive if it is still the same, because a reaper blanks the cell before the entry gets a new owner. */
    return load_acquire(word) == state && load_relaxed(&c->ring[cell]) == index; /* pairs with reap_entry */
}

/* Lock held. Advances over n waiters. Returns the bits to wake on `notified` after the lock's release, 0 if none. */
static inline uint32_t condition_notify(struct family *f, struct condition *c, uint64_t n, uint32_t me)
{
    uint32_t first = load_relaxed(&c->notified), ticket = first, tail = load_relaxed(&c->tail), bits = 0;
    CHECK((int32_t)(tail - ticket) >= 0);
    if (ticket == tail)
        return 0;
    if (tail - ticket <= n) { /* all of them, so it does not matter which ones live */
        for (; ticket != tail; ticket++)
            bits |= ticket_bit(ticket);
    }
    for (; n > 0 && ticket != tail; ticket++) {
        if (ticket_unknown(c, ticket)) {
            bits |= ticket_bit(ticket);
        } else if (ticket_waits(f, c, ticket)) {
            bits |= ticket_bit(ticket);
            n--;
        }
    }
    spin_here(&c->spin, me);
    store_seq(&c->notified, ticket); /* pairs with ticket_notified, and with condition_sleep: see there */
    STEP();
    bits &= load_seq(&c->sleepers); /* pairs with condition_sleep */
    if (bits != 0 && tail - first <= 32)
        and_relaxed(&c->sleepers, ~bits); /* with more tickets out, a waiter may share a bit and be about to sleep */
    STEP();
    return bits;
}

static inline void condition_wake(struct condition *c, uint32_t bits)
{
    if (bits != 0)
        futex_wake_bits(&c->notified, INT_MAX, bits);
}

/* Lock held. How many threads wait, as far as is known. */
static inline uint32_t condition_waiters(const struct family *f, const struct condition *c)
{
    uint32_t tail = load_relaxed(&c->tail), count = 0;
    for (uint32_t t = load_relaxed(&c->notified); t != tail; t++)
        count += ticket_unknown(c, t) || ticket_waits(f, c, t);
    return count;
}

/* Lock not held. 0: notified, -ETIMEDOUT, or -EINTR: serve signals and call again with the same arguments. */
static inline int condition_sleep(struct family *f, uint32_t slot, uint32_t me, uint32_t ticket, struct waiting *w,
                                  struct spin_history *h)
{
    struct condition *c = slot_at(f, slot);
    for (int slept = 0;;) {
        uint32_t notified = load_acquire(&c->notified); /* pairs with condition_notify */
        if ((int32_t)(notified - ticket) > 0)
            return 0;
        if (slept == -ETIMEDOUT || slept == -EINTR)
            return slept;
        if (waiting_may_spin(w) && spin_on(&c->notified, notified, &c->spin, me, h, CONDITION_SPIN))
            continue;
        or_seq(&c->sleepers, ticket_bit(ticket)); /* pairs with condition_notify: it sees the bit, or we its store */
        STEP();
        if (load_seq(&c->notified) == notified) /* pairs with condition_notify */
            slept = waiting_sleep(w, f, slot, &c->notified, notified, ticket_bit(ticket));
    }
}

/* The participant's entry is about to be reused, so its tickets have no waiter. Runs without the lock. Idempotent. */
static inline void condition_reap(struct condition *c, uint32_t index)
{
    for (uint32_t i = 0; i < CONDITION_RING; i++) {
        uint16_t owner = (uint16_t)index;
        if (load_relaxed(&c->ring[i]) == owner)
            cas_relaxed(&c->ring[i], &owner, TICKET_NOBODY);
    }
}

#endif
