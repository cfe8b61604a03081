/* SPDX-License-Identifier: MIT */
/* barrier.h: a round is whole for all that came to it or for none; deaths break it and say whose. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#define MEMBERS 4
#define ROUNDS 32768

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */

static struct barrier *fresh(uint32_t parties, uint32_t policy)
{
    int64_t claimed = handle_claim(family, parties <= BARRIER_SMALL ? SLOT_SMALL : SLOT_LARGE, SLOT_BARRIER);
    EXPECT(claimed >= 0);
    slot = (uint32_t)claimed;
    struct barrier *b = slot_at(family, slot);
    b->parties = parties;
    b->policy = policy;
    return b;
}

static void done(void) { handle_remove(family, slot); }

static bool broken(const struct barrier *b) { return load_relaxed(&b->word) & BARRIER_BROKEN; }

static uint32_t round_of(const struct barrier *b) { return barrier_round(load_relaxed(&b->word)); }

static void arrives(struct barrier *b, uint32_t me, bool acting, int shall, uint32_t at)
{
    uint32_t round, index;
    EXPECT_EQ(barrier_arrive(b, me, acting, &round, &index), shall);
    if (shall == ARRIVED || shall == ARRIVED_LAST)
        EXPECT_EQ(index, at);
}

static int outcome(struct barrier *b, uint32_t round) { return barrier_outcome(load_relaxed(&b->word), round); }

static void alone(void)
{
    struct barrier *b = fresh(1, DEATH_RAISE);
    uint32_t round;
    for (uint32_t n = 0; n < 20; n++) {
        EXPECT_EQ(user_meet(&self, slot, 0, NULL, &round), 0);
        EXPECT_EQ(round, n);
        EXPECT_EQ(outcome(b, n), 0);
    }
    done();
}

static void by_turns(uint32_t parties)
{
    struct barrier *b = fresh(parties, DEATH_RAISE);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t n = 0; n < parties; n++) {
            EXPECT_EQ(barrier_count(load_relaxed(&b->word)), n);
            EXPECT_EQ(outcome(b, round), -EAGAIN);
            arrives(b, self.me, false, n + 1 == parties ? ARRIVED_LAST : ARRIVED, n);
        }
        EXPECT_EQ(outcome(b, round), 0);
    }
    done();
}

static void sizes(void)
{
    by_turns(2);
    by_turns(BARRIER_SMALL);
    by_turns(BARRIER_SMALL + 1);
    by_turns(BARRIER_LARGE);
    by_turns(BARRIER_LARGE + 1); /* members are not tracked */
}

static void broken_and_mended(void)
{
    struct barrier *b = fresh(2, DEATH_RAISE);
    arrives(b, self.me, false, ARRIVED, 0);
    EXPECT(barrier_break(b, 0, 0) && !barrier_break(b, 0, 7) && broken(b));
    EXPECT_EQ(load_relaxed(&b->broken_pid), 0);
    EXPECT_EQ(outcome(b, 0), -EPIPE);
    arrives(b, self.me, false, -EPIPE, 0);
    barrier_reset(b);
    EXPECT(!broken(b) && round_of(b) == 1 && outcome(b, 0) == -EPIPE);
    EXPECT(!barrier_break(b, 0, 0)); /* not another round */
    EXPECT(barrier_break(b, BARRIER_ANY_ROUND, 0) && broken(b));
    barrier_reset(b);
    arrives(b, self.me, false, ARRIVED, 0);
    uint32_t round = round_of(b);
    EXPECT(barrier_withdraw(b, self.me, round) && !barrier_withdraw(b, self.me, round));
    arrives(b, self.me, false, ARRIVED, 0);
    arrives(b, self.me, false, ARRIVED_LAST, 1);
    EXPECT(!barrier_withdraw(b, self.me, round));
    EXPECT_EQ(outcome(b, round), 0);
    done();
}

/* While the action runs nobody is let in, and what it was part of may still break. */
static void actions(void)
{
    struct barrier *b = fresh(2, DEATH_RAISE);
    arrives(b, self.me, true, ARRIVED, 0);
    EXPECT(!barrier_complete(b, 0));
    arrives(b, self.me, true, ARRIVED_LAST, 1);
    EXPECT_EQ(barrier_actor(load_relaxed(&b->word)), self.me);
    EXPECT_EQ(outcome(b, 0), -EAGAIN);
    arrives(b, self.me, true, ARRIVED_TOO_EARLY, 0);
    EXPECT(!barrier_withdraw(b, self.me, 0));
    EXPECT(barrier_complete(b, 0) && !barrier_complete(b, 0));
    EXPECT_EQ(outcome(b, 0), 0);
    for (int reset = 0; reset < 2; reset++) {
        uint32_t round = round_of(b);
        arrives(b, self.me, true, ARRIVED, 0);
        arrives(b, self.me, true, ARRIVED_LAST, 1);
        if (reset)
            barrier_reset(b);
        else
            EXPECT(barrier_break(b, round, 0));
        EXPECT(!barrier_complete(b, round));
        EXPECT_EQ(outcome(b, round), -EPIPE);
        barrier_reset(b);
    }
    done();
}

static void timeouts(void)
{
    struct barrier *b = fresh(2, DEATH_RAISE);
    uint32_t round;
    EXPECT_EQ(user_meet(&self, slot, 0, NULL, &round), -EPIPE);
    EXPECT(broken(b));
    barrier_reset(b);
    EXPECT_EQ(user_meet(&self, slot, clock_deadline(-1), NULL, &round), -EPIPE);
    barrier_reset(b);
    int64_t deadline = in(30 * MILLISECOND);
    EXPECT_EQ(user_meet(&self, slot, deadline, NULL, &round), -EPIPE);
    EXPECT(clock_now() >= deadline);
    EXPECT_EQ(user_meet(&self, slot, NEVER, NULL, &round), -EPIPE); /* at once */
    done();
}

/* Resets that nobody waits for are not told of, so that they do not push out what late waiters want to know. */
static void resets_in_a_row(void)
{
    struct barrier *b = fresh(2, DEATH_RAISE);
    for (int whole = 0; whole < 2; whole++) {
        uint32_t round = round_of(b);
        arrives(b, self.me, false, ARRIVED, 0);
        if (whole)
            arrives(b, self.me, false, ARRIVED_LAST, 1);
        for (int i = 0; i < 20; i++) {
            barrier_reset(b);
            if (i % 2)
                EXPECT(barrier_break(b, BARRIER_ANY_ROUND, 0));
        }
        barrier_reset(b);
        EXPECT(!broken(b));
        EXPECT_EQ(outcome(b, round), whole ? 0 : -EPIPE);
    }
    done();
}

static shared32 arrived[ROUNDS]; /* bits of indices that the round gave out */
static uint64_t written[2][MEMBERS], acts;
static uint32_t rounds;

static void act(struct user *u)
{
    (void)u;
    acts++;
}

static void (*action)(struct user *);

/* What each did before the barrier each sees behind it; between rounds nothing else orders them. */
static void meet(struct user *u)
{
    for (uint32_t n = 0; n < rounds; n++) {
        uint32_t round;
        written[n % 2][u->number] = n + 1;
        int index = user_meet(u, slot, NEVER, action, &round);
        EXPECT(index >= 0 && index < MEMBERS);
        EXPECT_EQ(round, n);
        EXPECT_EQ(or_relaxed(&arrived[round], 1u << index) >> index & 1, 0);
        for (int i = 0; i < MEMBERS; i++)
            EXPECT_EQ(written[n % 2][i], n + 1);
        if (action != NULL)
            EXPECT_EQ(acts, n + 1); /* once a round; the next action runs when I have come again */
    }
}

static void forget(void)
{
    acts = 0;
    for (uint32_t n = 0; n < ROUNDS; n++)
        store_relaxed(&arrived[n], 0);
}

static void rounds_of_all(void (*what)(struct user *))
{
    struct barrier *b = fresh(MEMBERS, DEATH_RAISE);
    action = what;
    rounds = (uint32_t)times(1500);
    rounds = rounds < ROUNDS ? rounds : ROUNDS;
    forget();
    crowd(family, MEMBERS, true, meet);
    for (uint32_t n = 0; n < rounds; n++)
        EXPECT_EQ(load_relaxed(&arrived[n]), (1u << MEMBERS) - 1);
    EXPECT_EQ(barrier_count(load_relaxed(&b->word)), 0);
    done();
}

static void whole_rounds(void) { rounds_of_all(NULL); }
static void rounds_with_action(void) { rounds_of_all(act); }

static shared32 meetings;

static void meet_in_pairs(struct user *u)
{
    while (add_relaxed(&meetings, 1u) < 2 * rounds) {
        uint32_t round;
        int index = user_meet(u, slot, NEVER, action, &round);
        EXPECT(index == 0 || index == 1);
        EXPECT_EQ(or_relaxed(&arrived[round], 1u << index) >> index & 1, 0);
    }
}

/* More members than parties: the next round begins, and ends, while some of the last still get up. */
static void overlapping(void)
{
    for (int acting = 0; acting < 2; acting++) {
        fresh(2, DEATH_RAISE);
        action = acting ? act : NULL;
        rounds = (uint32_t)times(2000);
        rounds = rounds < ROUNDS ? rounds : ROUNDS;
        store_relaxed(&meetings, 0);
        forget();
        crowd(family, MEMBERS, true, meet_in_pairs);
        for (uint32_t n = 0; n < rounds; n++)
            EXPECT_EQ(load_relaxed(&arrived[n]), 3);
        EXPECT_EQ(acts, acting ? rounds : 0);
        done();
    }
}

static shared32 whole[ROUNDS], torn[ROUNDS], late[ROUNDS];

static void told(struct user *u, uint32_t round, bool was_whole)
{
    struct barrier *b = slot_at(u->f, slot);
    if (round_of(b) - round > 8)
        add_relaxed(&late[round], 1u); /* perhaps nobody could tell it any more */
    else
        add_relaxed(was_whole ? &whole[round] : &torn[round], 1u);
}

static void come(struct user *u)
{
    struct barrier *b = slot_at(u->f, slot);
    uint32_t round, index;
    int rc = barrier_arrive(b, u->me, false, &round, &index);
    if (rc == -EPIPE)
        return chance(2) ? barrier_reset(b) : (void)0;
    if (rc == ARRIVED_LAST)
        return told(u, round, true);
    if (chance(8) == 0 && barrier_withdraw(b, u->me, round))
        return;
    rc = user_decided(u, slot, round, in(chance(8) == 0 ? 0 : 2 * MILLISECOND));
    if (rc == -ETIMEDOUT) {
        barrier_break(b, round, 0);
        rc = user_decided(u, slot, round, 0);
    }
    EXPECT(rc == 0 || rc == -EPIPE);
    told(u, round, rc == 0);
}

static void anything(struct user *u)
{
    struct barrier *b = slot_at(u->f, slot);
    for (int i = times(2000); i > 0; i--) {
        uint32_t what = chance(40);
        if (what == 0)
            barrier_reset(b);
        else if (what == 1)
            barrier_break(b, BARRIER_ANY_ROUND, 0);
        else
            come(u);
        if (round_of(b) > ROUNDS - 64)
            return;
    }
}

/* Timeouts, aborts, resets, interrupts: all of a round hear the same, and whole means as many as there are parties. */
static void all_or_none(void)
{
    uint32_t good = 0, bad = 0;
    fresh(3, DEATH_RAISE);
    crowd(family, MEMBERS, true, anything);
    for (uint32_t n = 0; n < ROUNDS; n++) {
        uint32_t w = load_relaxed(&whole[n]), t = load_relaxed(&torn[n]), l = load_relaxed(&late[n]);
        EXPECT(w == 0 || t == 0);
        EXPECT(w == 0 || w + l == 3);
        good += w == 3;
        bad += t > 0;
    }
    EXPECT(good > 0 && bad > 0);
    done();
}

/* Two members of a round that was whole; then one of them ends, here or after it has come again. */
static struct barrier *known(struct user *a, struct user *b, uint32_t policy)
{
    *a = (struct user){.number = 1};
    *b = (struct user){.number = 2};
    struct barrier *barrier = fresh(2, policy);
    user_join(a, family);
    user_join(b, family);
    user_keep(a, slot);
    user_keep(b, slot);
    arrives(barrier, a->me, false, ARRIVED, 0);
    arrives(barrier, b->me, false, ARRIVED_LAST, 1);
    return barrier;
}

static int meets(struct user *u, int64_t within)
{
    uint32_t round;
    return user_meet(u, slot, in(within), NULL, &round);
}

static void missed(bool reaped)
{
    struct user a, b;
    struct barrier *barrier = known(&a, &b, DEATH_RAISE);
    pid_t pid = participant_pid(family, a.me);
    view_die(a.f);
    if (reaped)
        user_reap(&b, a.me);
    int64_t began = clock_now();
    EXPECT_EQ(meets(&b, 10 * SECOND), -EPIPE);
    EXPECT(clock_now() - began < 2 * SECOND && broken(barrier));
    EXPECT_EQ(load_relaxed(&barrier->broken_pid), pid);
    barrier_reset(barrier); /* the dead one is forgotten */
    arrives(barrier, b.me, false, ARRIVED, 0);
    barrier_check_members(b.f, slot, barrier, round_of(barrier));
    EXPECT(!broken(barrier));
    arrives(barrier, self.me, false, ARRIVED_LAST, 1);
    view_leave(b.f);
    done();
}

/* Not missed: who has come, who left in peace, who was reset, and with on_owner_death="wait" nobody. */
static void not_missed(uint32_t policy, bool comes, void (*end)(struct family *), bool reaped)
{
    struct user a, b;
    struct barrier *barrier = known(&a, &b, policy);
    if (comes)
        arrives(barrier, a.me, false, ARRIVED, 0);
    end(a.f);
    if (reaped)
        user_reap(&b, a.me);
    if (comes) {
        EXPECT_EQ(meets(&b, 10 * SECOND), 1);
    } else {
        EXPECT_EQ(meets(&b, 50 * MILLISECOND), -EPIPE); /* in time only */
        EXPECT_EQ(load_relaxed(&barrier->broken_pid), 0);
    }
    view_leave(b.f);
    done();
}

static void actor_dies(uint32_t policy, bool reaped)
{
    struct user a, b;
    struct barrier *barrier = known(&a, &b, policy);
    uint32_t round = round_of(barrier);
    pid_t pid = participant_pid(family, a.me);
    arrives(barrier, b.me, true, ARRIVED, 0);
    arrives(barrier, a.me, true, ARRIVED_LAST, 1);
    view_die(a.f);
    if (reaped)
        user_reap(&b, a.me);
    barrier_check_members(b.f, slot, barrier, round);
    EXPECT_EQ(broken(barrier), policy != DEATH_WAIT);
    if (policy != DEATH_WAIT)
        EXPECT(outcome(barrier, round) == -EPIPE && (pid_t)load_relaxed(&barrier->broken_pid) == pid);
    EXPECT(!barrier_break(barrier, round, pid) || policy == DEATH_WAIT);
    view_leave(b.f);
    done();
}

static void deaths(void)
{
    for (int reaped = 0; reaped < 2; reaped++) {
        missed(reaped);
        not_missed(DEATH_WAIT, false, view_die, reaped);
        not_missed(DEATH_RAISE, false, view_leave, reaped);
        not_missed(DEATH_RAISE, true, view_die, reaped);
        actor_dies(DEATH_RAISE, reaped);
        actor_dies(DEATH_WAIT, reaped);
    }
}

/* Words and cells that no barrier writes. Counts beyond the parties are for debug builds to stop at. */
static void damage(void)
{
    const uint16_t cells[] = {0xfff, FAMILY_PARTICIPANTS, MEMBER_KILLED, MEMBER_LEFT, 0xffff, 0x3fff};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        struct barrier *b = fresh(2, DEATH_RAISE);
        arrives(b, self.me, false, ARRIVED, 0);
        arrives(b, self.me, false, ARRIVED_LAST, 1);
        for (uint32_t k = 0; k < 4; k++)
            store_relaxed(&b->members[k], (uint16_t)(cells[i] & ~0x3000u) | (cells[i] & 0x3000u & (k << 12)));
        arrives(b, self.me, false, ARRIVED, 0);
        barrier_check_members(family, slot, b, round_of(b));
        barrier_reap(b, identity_make(3, 1), true, 7);
        barrier_reset(b);
        store_relaxed(&b->word, UINT64_MAX);
        barrier_check_members(family, slot, b, round_of(b));
        arrives(b, self.me, false, -EPIPE, 0);
        EXPECT(!barrier_break(b, BARRIER_ANY_ROUND, 7) && !barrier_complete(b, round_of(b)));
        barrier_reset(b);
        EXPECT(!broken(b) && round_of(b) == 0); /* its number begins anew */
        arrives(b, self.me, false, ARRIVED, 0);
        store_relaxed(&b->word, BARRIER_ACTING | UINT32_MAX);
        barrier_check_members(family, slot, b, 0);
        EXPECT(!broken(b));
        done();
    }
}

/* A stray write made it larger than its slot: a reaper keeps off its neighbours. */
static void damaged_parties(void)
{
    struct user a, b;
    struct barrier *barrier = known(&a, &b, DEATH_RAISE);
    shared16 *neighbour = slot_at(family, slot + 1);
    for (size_t k = 0; k < SMALL_SLOT_SIZE / sizeof *neighbour; k++)
        store_relaxed(&neighbour[k], member_cell(identity_index(a.me), 0));
    barrier->parties = BARRIER_LARGE;
    view_die(a.f);
    user_reap(&b, a.me);
    for (size_t k = 0; k < SMALL_SLOT_SIZE / sizeof *neighbour; k++)
        EXPECT_EQ(load_relaxed(&neighbour[k]), member_cell(identity_index(a.me), 0));
    slot_clear(family, slot + 1);
    barrier->parties = 2;
    view_leave(b.f);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(alone);
    RUN(sizes);
    RUN(broken_and_mended);
    RUN(actions);
    RUN(timeouts);
    RUN(resets_in_a_row);
    RUN(whole_rounds);
    RUN(rounds_with_action);
    RUN(overlapping);
    RUN(all_or_none);
    RUN(deaths);
    RUN(damage);
    RUN(damaged_parties);
    family_end(family);
    return GOOD;
}
