/* SPDX-License-Identifier: MIT */
/* Lock: one futex word that names its owner.
 *
 *   word:  0 = free | W:1 | DEAD:1 | index:12 | generation:18        (the last two: an identity, participant.h)
 *
 * A mutex after Drepper's "Futexes are tricky" (its third), with the owner's identity in place of its 1, so that a
 * waiter can find out that the owner was killed. Then the word gets DEAD and keeps naming the owner. No thread enters
 * until recover() or release(). Any process may release a Lock, only the owning thread an RLock. */
#ifndef MPFAST_LOCK_H
#define MPFAST_LOCK_H

#include "core/family/peers.h"
#include "core/family/waiting.h"

#define LOCK_W 1u    /* a thread may sleep */
#define LOCK_DEAD 2u /* the owner was killed */
#define LOCK_OWNER(word) ((word) & ~(LOCK_W | LOCK_DEAD))
#define LOCK_SPIN (5 * MICROSECOND)

struct lock {
    shared32 word;
    uint32_t policy;    /* enum death_policy, set before the slot has a second user */
    shared32 holder;    /* tid of the thread inside, 0 while there is none */
    shared32 depth;     /* of an RLock, written by the owning thread only */
    shared32 dead_pid;  /* the process whose death set DEAD */
    shared32 wake_slot; /* the slot of a Condition with wake-ups for the next release */
    shared32 wake_bits; /* 0 if there are none */
    shared64 lease;     /* of the thread that spins, see spin.h */
    shared32 dead_tid;
    shared32 deaths; /* how often it was recovered. A Condition settles its tickets when that has changed */
};
_Static_assert(sizeof(struct lock) <= SMALL_SLOT_SIZE, "a lock fits a small slot");

static inline void lock_entered(struct lock *l, uint32_t me) { store_relaxed(&l->holder, thread_id(me)); }

static inline bool lock_try(struct lock *l, uint32_t me)
{
    uint32_t free = 0;
    if (!cas_acquire(&l->word, &free, me)) /* pairs with lock_release */
        return false;
    lock_entered(l, me);
    return true;
}

/* Held by the calling thread? Only that thread can make the answer true, so it is exact. */
static inline bool lock_mine(const struct lock *l, uint32_t me)
{
    return LOCK_OWNER(load_relaxed(&l->word)) == me && load_relaxed(&l->holder) == thread_id(me);
}

/* Tells all waiters that the owner in `word` was killed. Does nothing if the word names another owner. Idempotent. */
static inline void lock_abandon(struct lock *l, uint32_t word, pid_t pid)
{
    uint32_t owner = LOCK_OWNER(word), next;
    if (l->policy == DEATH_WAIT)
        return;
    store_relaxed(&l->dead_tid, load_relaxed(&l->holder));
    store_relaxed(&l->dead_pid, (uint32_t)pid);
    STEP();
    do {
        if (LOCK_OWNER(word) != owner || word & LOCK_DEAD)
            return;
        next = l->policy == DEATH_RAISE ? word | LOCK_DEAD : 0;
    } while (!cas_acqrel(&l->word, &word, next)); /* pairs with the acquire in lock_enter */
    STEP();
    futex_wake(&l->word, INT_MAX);
}

/* Looks whether the owner that the word names was killed, and says so in the word. */
static inline void lock_check_owner(struct family *f, struct lock *l, uint32_t word)
{
    if (word != 0 && !(word & LOCK_DEAD) && participant_died(f, word))
        lock_abandon(l, word, participant_pid(f, word));
}

/* A waiter looks at the word once. 0: acquired, for lock_entered(). -EOWNERDEAD. -EAGAIN: held, *word names the owner. */
static inline int lock_enter(struct lock *l, uint32_t me, uint32_t keep, uint32_t *word)
{
    *word = load_acquire(&l->word); /* pairs with lock_abandon: a thread that sees DEAD sees which process died */
    while (*word == 0)
        if (cas_acquire(&l->word, word, me | keep)) /* pairs with lock_release and lock_abandon */
            return 0;
    return *word & LOCK_DEAD ? -EOWNERDEAD : -EAGAIN;
}

static inline bool lock_spin(const struct family *f, struct lock *l, uint32_t me, uint32_t word, struct spin_history *h)
{
    struct spin_word w = {&l->word, word};
    if (identity_index(word) == identity_index(me))
        return false;
    return spin_owner_elsewhere(f, word) && spin_until(spin_word_changed, &w, h, &l->lease, LOCK_SPIN);
}

/* A backstop expired. If the word names the same owner as last time, asks whether it lives. True if it was killed. */
static inline bool lock_suspect(struct family *f, struct lock *l, struct waiting *w)
{
    uint32_t word = load_relaxed(&l->word);
    if (w->seen != 0 && LOCK_OWNER(word) == LOCK_OWNER(w->seen))
        lock_check_owner(f, l, word);
    w->seen = word;
    return load_acquire(&l->word) & LOCK_DEAD; /* pairs with lock_abandon */
}

/* lock_wait() without a name for the thread that comes in. A thread that has slept enters with W set, because others may
 * still sleep. */
static inline int lock_await(struct family *f, uint32_t slot, uint32_t me, struct waiting *w, struct spin_history *h)
{
    struct lock *l = slot_at(f, slot);
    spin_note_cpu(f, me);
    for (int slept = 0;;) {
        uint32_t word;
        int rc = lock_enter(l, me, w->slept ? LOCK_W : 0, &word);
        if (rc != -EAGAIN || slept == -ETIMEDOUT)
            return rc == -EAGAIN ? -ETIMEDOUT : rc;
        if (waiting_may_spin(w) && lock_spin(f, l, me, word, h))
            continue;
        if (!(word & LOCK_W) && !cas_relaxed(&l->word, &word, word | LOCK_W))
            continue;
        STEP();
        slept = waiting_sleep(w, f, slot, &l->word, word | LOCK_W, FUTEX_ALL);
        if (slept == -EINTR) {
            lock_suspect(f, l, w);
            return -EINTR;
        }
    }
}

/* Waits for the lock. 0 if acquired, -EOWNERDEAD, -ETIMEDOUT, or -EINTR: serve signals and call again with the same w. */
static inline int lock_wait(struct family *f, uint32_t slot, uint32_t me, struct waiting *w, struct spin_history *h)
{
    int rc = lock_await(f, slot, me, w, h);
    if (rc == 0)
        lock_entered(slot_at(f, slot), me);
    return rc;
}

/* What this process saw in the word, and since when. For callers that poll, and so never wait for a backstop. */
struct suspicion {
    shared32 word;
    shared64 since;
};

/* An attempt failed. Now and then asks whether the owner lives. 0, or -EOWNERDEAD if it does not. */
static inline int lock_poll_owner(struct family *f, struct lock *l, struct suspicion *s)
{
    uint32_t word = load_relaxed(&l->word);
    int64_t now = clock_now();
    if (LOCK_OWNER(word) != load_relaxed(&s->word)) {
        store_relaxed(&s->word, LOCK_OWNER(word));
        store_relaxed(&s->since, (uint64_t)now);
    } else if (now - (int64_t)load_relaxed(&s->since) >= BACKSTOP_FIRST) {
        store_relaxed(&s->since, (uint64_t)now);
        lock_check_owner(f, l, word);
    }
    return load_acquire(&l->word) & LOCK_DEAD ? -EOWNERDEAD : 0; /* pairs with lock_abandon */
}

/* Takes the wake-ups that a Condition left with the lock. */
static inline uint32_t lock_take_wakes(struct lock *l, uint32_t *slot)
{
    uint32_t bits = load_relaxed(&l->wake_bits);
    if (unlikely(bits != 0)) {
        *slot = load_relaxed(&l->wake_slot);
        store_relaxed(&l->wake_bits, 0);
    }
    return bits;
}

/* The bits stay in the lock until its release. After an earlier wake-up a waiter would only wait again for the lock. */
static inline void lock_leave_wakes(struct family *f, struct lock *l, uint32_t slot, uint32_t bits)
{
    uint32_t before = 0, old = lock_take_wakes(l, &before);
    if (old != 0 && before != slot)
        futex_wake_bits(slot_at(f, before), INT_MAX, old);
    store_relaxed(&l->wake_slot, slot);
    store_relaxed(&l->wake_bits, before == slot ? old | bits : bits);
}

/* Frees the lock, wakes one waiter, makes the wake-ups that a Condition left. Returns the old word, 0 if not held. */
static inline uint32_t lock_release(struct family *f, struct lock *l)
{
    uint32_t slot = 0, bits = lock_take_wakes(l, &slot);
    store_relaxed(&l->holder, 0);
    CHECK(slot < FAMILY_SLOTS);
    uint32_t word = swap_release(&l->word, 0); /* pairs with lock_try and lock_enter */
    STEP();
    if (unlikely(word & LOCK_W)) {
        futex_wake(&l->word, 1);
        spin_note_cpu(f, family_me(f));
    }
    if (unlikely(bits != 0))
        futex_wake_bits(slot_at(f, slot), INT_MAX, bits);
    return word;
}

/* The word of a lock, the owner of which was killed where nothing can be half done. It had not named its thread yet, or
 * not any more, or was in a section without a name (section.h). Else 0. While the word is DEAD no thread writes the
 * holder. */
static inline uint32_t lock_whole(const struct lock *l)
{
    uint32_t word = load_acquire(&l->word);                         /* pairs with lock_abandon */
    bool whole = word & LOCK_DEAD && load_acquire(&l->holder) == 0; /* pairs with the load below, in lock_whole */
    return whole && load_relaxed(&l->word) == word ? word : 0;
}

/* Takes over the lock of the killed owner that the word names, without naming a thread. True for one caller. */
static inline bool lock_inherit(struct lock *l, uint32_t me, uint32_t word)
{
    if (!(word & LOCK_DEAD) || !cas_acquire(&l->word, &word, me | LOCK_W)) /* pairs with lock_abandon */
        return false;
    STEP();
    add_relaxed(&l->deaths, 1u);
    return true;
}

/* Makes the wake-ups that a Condition left with the lock of an owner that was killed. */
static inline void lock_wake_left(struct family *f, struct lock *l)
{
    uint32_t slot = 0, bits = lock_take_wakes(l, &slot);
    if (bits != 0)
        futex_wake_bits(slot_at(f, slot), INT_MAX, bits);
}

static inline bool lock_take_over(struct family *f, struct lock *l, uint32_t me, uint32_t word)
{
    if (!lock_inherit(l, me, word))
        return false;
    store_relaxed(&l->depth, 1);
    lock_entered(l, me);
    lock_wake_left(f, l);
    return true;
}

/* Takes over the lock of a killed owner. True for one caller. That one then owns it and may mend what it guards. */
static inline bool lock_recover(struct family *f, struct lock *l, uint32_t me)
{
    lock_check_owner(f, l, load_relaxed(&l->word));
    return lock_take_over(f, l, me, load_relaxed(&l->word));
}

#endif
