/* SPDX-License-Identifier: MIT */
/* Barrier. The whole state is one 64-bit word, so that arriving, completing, breaking and resetting are one CAS each.
 * Waiters sleep on its upper half, which changes whenever their round is decided.
 *
 *   low half:   count of the arrived:32, or while ACTING, when all have arrived, the identity that runs the action
 *   upper half: round:22 | outcomes of the last 8 rounds:8 (1 = was whole) | BROKEN:1 | ACTING:1
 *
 * There is no draining phase. The next round may begin while threads of the last one still wake up. They learn from the
 * outcomes how it ended. ACTING means that all have arrived and the last one runs the action.
 *
 * members[] has the arrivals in this round and in the last one. A member that was killed before it arrived again breaks
 * the barrier, since multiprocessing's would wait for it for ever. An arrival counts before its cell is written. So a
 * whole round may lack a cell, which is a gap. If a process that has the barrier was killed, the gap was perhaps its.
 *
 *   cell:  index:12 | round / 2:2 (from bit 12), so that what is older shows | LEFT:1 | KILLED:1 */
#ifndef MPFAST_BARRIER_H
#define MPFAST_BARRIER_H

#include "core/locks/lock.h"
#include "core/family/slots.h"
#include "core/family/peers.h"
#include "core/family/waiting.h"

#define BARRIER_ACTING (UINT64_C(1) << 32)
#define BARRIER_BROKEN (UINT64_C(1) << 33)
#define BARRIER_OUTCOMES_SHIFT 34
#define BARRIER_ROUND_SHIFT 42
#define BARRIER_ROUND_MASK 0x3fffffu
#define BARRIER_ANY_ROUND UINT32_MAX
#define BARRIER_SPIN (20 * MICROSECOND)
#define MEMBER_LEFT 0x4000u   /* of a process that ended normally. Names no participant */
#define MEMBER_KILLED 0x8000u /* the index may have a new owner */
#define MEMBER_INDEX(cell) ((cell) & 0xfffu)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the futex of a barrier is the second 32-bit half of its word"
#endif

struct barrier {
    shared64 word;
    uint32_t parties;
    uint32_t policy;     /* with DEATH_WAIT killed members do not matter */
    shared32 broken_pid; /* the process whose death broke the barrier, 0 if a call broke it */
    shared32 killed_pid; /* the member that was killed last */
    struct spin spin;
    shared16 members[]; /* [parity of the round][about the order of arrival]: cells, 0 = nobody */
};

#define BARRIER_SMALL ((SMALL_SLOT_SIZE - sizeof(struct barrier)) / sizeof(shared16) / 2)
#define BARRIER_LARGE ((LARGE_SLOT_SIZE - sizeof(struct barrier)) / sizeof(shared16) / 2)

static inline uint32_t barrier_round(uint64_t word) { return (uint32_t)(word >> BARRIER_ROUND_SHIFT); }
static inline uint32_t barrier_count(uint64_t word) { return (uint32_t)word; }
static inline uint32_t barrier_actor(uint64_t word) { return word & BARRIER_ACTING ? (uint32_t)word : 0; }
static inline shared32 *barrier_futex(struct barrier *b) { return (shared32 *)&b->word + 1; }

/* The word that begins the next round. No arrivals, not broken. */
static inline uint64_t barrier_next(uint64_t word, bool whole)
{
    uint64_t round = (barrier_round(word) + 1) & BARRIER_ROUND_MASK;
    uint64_t outcomes = ((word >> BARRIER_OUTCOMES_SHIFT & 0xff) << 1 | whole) & 0xff;
    return round << BARRIER_ROUND_SHIFT | outcomes << BARRIER_OUTCOMES_SHIFT;
}

static inline bool barrier_tracks(const struct barrier *b) { return b->parties <= BARRIER_LARGE; }

static inline shared16 *barrier_members(struct barrier *b, uint32_t round)
{
    return b->members + (round & 1) * b->parties;
}

static inline void barrier_wake(struct barrier *b)
{
    STEP();
    futex_wake(barrier_futex(b), INT_MAX);
}

/* How the round of a waiter was decided. 0 if complete, -EPIPE if broken or reset, -EAGAIN if not yet. */
static inline int barrier_outcome(uint64_t word, uint32_t round)
{
    uint32_t later = (barrier_round(word) - round) & BARRIER_ROUND_MASK;
    if (later == 0)
        return word & BARRIER_BROKEN ? -EPIPE : -EAGAIN;
    return later > 8 || word >> (BARRIER_OUTCOMES_SHIFT + later - 1) & 1 ? 0 : -EPIPE;
}

static inline uint16_t member_cell(uint32_t index, uint32_t round)
{
    return (uint16_t)(index | (round >> 1 & 3) << 12);
}
static inline bool member_of(uint16_t cell, uint32_t round)
{
    return cell != 0 && (cell >> 12 & 3) == (round >> 1 & 3);
}

/* Notes an arrival, in another cell if a waiter withdrew. A late writer must not overwrite a cell of a later round. */
static inline void barrier_note(struct barrier *b, uint32_t me, uint32_t round, uint32_t first)
{
    if (!barrier_tracks(b))
        return;
    for (uint32_t i = 0; i < b->parties; i++) {
        shared16 *cell = &barrier_members(b, round)[(first + i) % b->parties];
        uint16_t seen = load_acquire(cell); /* pairs with the CAS of barrier_note: a later cell comes with its word */
        for (; !member_of(seen, round); seen = load_acquire(cell))
            if (((barrier_round(load_relaxed(&b->word)) - round) & BARRIER_ROUND_MASK) > 1 ||
                cas_release(cell, &seen, member_cell(identity_index(me), round))) /* pairs with barrier_note */
                return;
    }
}

static inline void barrier_blank(struct barrier *b, uint32_t me, uint32_t round)
{
    for (uint32_t i = 0; barrier_tracks(b) && i < b->parties; i++) {
        uint16_t mine = member_cell(identity_index(me), round);
        if (cas_relaxed(&barrier_members(b, round)[i], &mine, 0))
            return;
    }
}

enum { ARRIVED, ARRIVED_LAST, ARRIVED_TOO_EARLY };

/* Joins the round. -EPIPE: the barrier is broken. ARRIVED: *round and *index say what to wait for. ARRIVED_LAST: the
 * caller completes the round (`acting`: after its action). ARRIVED_TOO_EARLY: the round before *round+1 is not over. */
static inline int barrier_arrive(struct barrier *b, uint32_t me, bool acting, uint32_t *round, uint32_t *index)
{
    uint64_t word = load_acquire(&b->word); /* pairs with barrier_complete and barrier_reset */
    for (;;) {
        *round = barrier_round(word);
        *index = barrier_count(word);
        if (word & BARRIER_BROKEN)
            return -EPIPE;
        if (word & BARRIER_ACTING)
            return ARRIVED_TOO_EARLY;
        CHECK(*index < b->parties);
        bool last = *index + 1 >= b->parties;
        uint64_t act = (word & ~(uint64_t)UINT32_MAX) | BARRIER_ACTING | me;
        uint64_t next = !last ? word + 1 : acting ? act : barrier_next(word, true);
        if (!cas_acqrel(&b->word, &word, next)) /* pairs with barrier_wait, and with itself in earlier arrivals */
            continue;
        STEP();
        barrier_note(b, me, *round, *index);
        spin_here(&b->spin, me);
        if (last && !acting)
            barrier_wake(b);
        return last ? ARRIVED_LAST : ARRIVED;
    }
}

/* The action has run. False if the barrier was broken or reset meanwhile. */
static inline bool barrier_complete(struct barrier *b, uint32_t round)
{
    uint64_t word = load_relaxed(&b->word);
    while (barrier_round(word) == round && word & BARRIER_ACTING && !(word & BARRIER_BROKEN))
        if (cas_acqrel(&b->word, &word, barrier_next(word, true))) { /* pairs with barrier_wait */
            barrier_wake(b);
            return true;
        }
    return false;
}

/* Breaks `round`, or the present one. Waiters get a broken barrier. killed is the dead process, or 0 for a call. */
static inline bool barrier_break(struct barrier *b, uint32_t round, pid_t killed)
{
    uint64_t word = load_relaxed(&b->word);
    while ((round == BARRIER_ANY_ROUND || barrier_round(word) == round) && !(word & BARRIER_BROKEN)) {
        store_relaxed(&b->broken_pid, (uint32_t)killed);
        if (cas_acqrel(&b->word, &word, (word | BARRIER_BROKEN) & ~BARRIER_ACTING)) { /* pairs with barrier_wait */
            barrier_wake(b);
            return true;
        }
    }
    return false;
}

/* No thread waits, and no member is missing. Such resets use no round, as late waiters know only eight outcomes. */
static inline bool barrier_resets_nobody(uint64_t word)
{
    return barrier_count(word) == 0 && barrier_outcome(word, barrier_round(word) - 1) != 0;
}

static inline void barrier_reset(struct barrier *b)
{
    uint64_t word = load_relaxed(&b->word);
    uint64_t next;
    if (barrier_tracks(b))
        for (uint32_t i = 0; i < 2 * b->parties; i++)
            store_relaxed(&b->members[i], 0);
    store_relaxed(&b->killed_pid, 0);
    do
        next = barrier_resets_nobody(word) ? word & ~BARRIER_BROKEN : barrier_next(word, false);
    while (!cas_acqrel(&b->word, &word, next)); /* pairs with barrier_wait and barrier_arrive */
    barrier_wake(b);
}

/* An interrupted waiter takes its arrival back. False if its round is decided. The cell goes first. Then a kill in
 * between leaves a gap, whereas a cell without an arrival would hide the death. */
static inline bool barrier_withdraw(struct barrier *b, uint32_t me, uint32_t round)
{
    barrier_blank(b, me, round);
    uint64_t word = load_relaxed(&b->word);
    while (barrier_round(word) == round && !(word & (BARRIER_BROKEN | BARRIER_ACTING)) && barrier_count(word) > 0)
        if (cas_release(&b->word, &word, word - 1)) /* pairs with barrier_arrive: it may use the blanked cell */
            return true;
    barrier_note(b, me, round, 0);
    return false;
}

/* How many cells of the round name the index, or any index for BARRIER_ANYBODY. */
#define BARRIER_ANYBODY UINT32_MAX
static inline uint32_t barrier_arrivals(struct barrier *b, uint32_t round, uint32_t index)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < b->parties; i++) {
        uint16_t cell = load_relaxed(&barrier_members(b, round)[i]);
        found += member_of(cell, round) && (index == BARRIER_ANYBODY || MEMBER_INDEX(cell) == index);
    }
    return found;
}

/* Is a member of this round unknown? */
static inline bool barrier_gap(struct barrier *b, uint64_t word)
{
    uint32_t count = word & BARRIER_ACTING ? b->parties : barrier_count(word);
    return barrier_arrivals(b, barrier_round(word), BARRIER_ANYBODY) < count;
}

/* Or of the last one? A round that was not whole has no missing member. */
static inline bool barrier_gap_before(struct barrier *b, uint64_t word)
{
    uint32_t last = barrier_round(word) - 1;
    return barrier_outcome(word, last) == 0 && barrier_arrivals(b, last, BARRIER_ANYBODY) < b->parties;
}

static inline pid_t barrier_killed_pid(const struct family *f, uint32_t index)
{
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    return participant_killed(f, index, state) ? state_pid(state) : 0;
}

/* A process that has the barrier and was killed, or had it when it was reaped. 0 if there is none. */
static inline pid_t barrier_dead_user(struct family *f, uint32_t slot, struct barrier *b)
{
    pid_t pid;
    uint32_t top = load_relaxed(&f->header->participants_top);
    for (uint32_t i = 1; i < top; i++)
        if (ref_get(f, i, slot) && (pid = barrier_killed_pid(f, i)) != 0)
            return pid;
    return (pid_t)load_relaxed(&b->killed_pid);
}

/* The pid of a member of the last round that was killed and has come less often in this one. 0 if there is none. */
static inline pid_t barrier_dead_member(struct family *f, uint32_t slot, struct barrier *b, uint64_t word)
{
    uint32_t round = barrier_round(word);
    if (barrier_outcome(word, round - 1) != 0)
        return 0;
    for (uint32_t i = 0; i < b->parties; i++) {
        uint16_t cell = load_relaxed(&barrier_members(b, round - 1)[i]);
        uint32_t index = MEMBER_INDEX(cell);
        if (!member_of(cell, round - 1) || index == 0 || index >= FAMILY_PARTICIPANTS ||
            barrier_arrivals(b, round - 1, index) <= barrier_arrivals(b, round, index))
            continue; /* all its threads that came last time are here */
        pid_t pid = cell & MEMBER_KILLED ? (pid_t)load_relaxed(&b->killed_pid) : barrier_killed_pid(f, index);
        if (pid != 0)
            return pid;
    }
    return barrier_gap_before(b, word) ? barrier_dead_user(f, slot, b) : 0;
}

/* A backstop expired. Does the round wait for a member that will never come? */
static inline void barrier_check_members(struct family *f, uint32_t slot, struct barrier *b, uint32_t round)
{
    uint64_t word = load_acquire(&b->word); /* pairs with barrier_arrive */
    if (barrier_round(word) != round || b->policy == DEATH_WAIT)
        return;
    pid_t killed = 0;
    if (word & BARRIER_ACTING) {
        uint32_t actor = barrier_actor(word);
        killed = participant_died(f, actor) ? participant_pid(f, actor) : 0;
    } else if (barrier_tracks(b)) {
        killed = barrier_dead_member(f, slot, b, word);
    }
    if (killed != 0)
        barrier_break(b, round, killed);
}

/* Waits until `round` is decided. 0 if complete, -EPIPE if broken or reset, -ETIMEDOUT (the caller breaks it), or
 * -EINTR: serve signals and call again. While the action runs there is no deadline, as in threading.Barrier. */
static inline int barrier_wait(struct family *f, uint32_t slot, uint32_t me, uint32_t round, struct waiting *w,
                               struct spin_history *h)
{
    struct barrier *b = slot_at(f, slot);
    for (int slept = 0;;) {
        uint64_t word = load_acquire(&b->word); /* pairs with barrier_complete, barrier_break, barrier_reset */
        int outcome = barrier_outcome(word, round);
        if (outcome != -EAGAIN)
            return outcome;
        if (slept == -EINTR || (slept == -ETIMEDOUT && !(word & BARRIER_ACTING)))
            return slept;
        if (word & BARRIER_ACTING)
            w->deadline = NEVER;
        if (waiting_may_spin(w) && spin_on(barrier_futex(b), (uint32_t)(word >> 32), &b->spin, me, h, BARRIER_SPIN))
            continue;
        slept = waiting_sleep(w, f, slot, barrier_futex(b), (uint32_t)(word >> 32), FUTEX_ALL);
        if (slept == -EINTR)
            barrier_check_members(f, slot, b, round);
    }
}

/* The participant's entry is about to be reused. Members that were killed stay known as such. An actor's death is told
 * now, because later the identity may have a new owner. Idempotent. */
static inline void barrier_reap(struct barrier *b, uint32_t identity, bool died, pid_t pid)
{
    uint64_t word = load_acquire(&b->word); /* pairs with barrier_arrive */
    if (died && barrier_actor(word) == identity && b->policy != DEATH_WAIT)
        barrier_break(b, barrier_round(word), pid);
    if (!barrier_tracks(b))
        return;
    if (died && (barrier_gap(b, word) || barrier_gap_before(b, word)))
        store_relaxed(&b->killed_pid, (uint32_t)pid);
    for (uint32_t i = 0; i < 2 * b->parties; i++) {
        uint16_t cell = load_relaxed(&b->members[i]);
        if (MEMBER_INDEX(cell) != identity_index(identity) || cell & MEMBER_KILLED)
            continue;
        if (died)
            store_relaxed(&b->killed_pid, (uint32_t)pid);
        uint16_t next = died ? cell | MEMBER_KILLED : (cell & 0x3000u) | MEMBER_LEFT;
        cas_relaxed(&b->members[i], &cell, next);
    }
}

#endif
