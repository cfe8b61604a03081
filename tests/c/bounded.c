/* SPDX-License-Identifier: MIT */
/* bounded.h: permits that name their holder: conserved, given back once for the dead, and never one too many. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */
static struct reaped ignored;

static struct bounded *fresh(uint32_t size, uint32_t policy)
{
    int64_t claimed = handle_claim(family, size <= BOUNDED_SMALL ? SLOT_SMALL : SLOT_LARGE, SLOT_BOUNDED);
    EXPECT(claimed >= 0);
    slot = (uint32_t)claimed;
    struct bounded *b = slot_at(family, slot);
    b->size = size;
    b->policy = policy;
    return b;
}

static void done(void) { handle_remove(family, slot); }

static void full_and_empty(uint32_t size)
{
    struct bounded *b = fresh(size, DEATH_RAISE);
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    for (uint32_t n = size; n > 0; n--) {
        EXPECT_EQ(bounded_value(b), n);
        EXPECT(bounded_available(b) && bounded_try(b, self.me));
    }
    EXPECT(!bounded_try(b, self.me) && !bounded_available(b) && bounded_holds(b, identity_index(self.me)));
    EXPECT_EQ(user_enter(&self, slot, 0, &ignored), -ETIMEDOUT);
    for (uint32_t n = 1; n <= size; n++) {
        EXPECT_EQ(user_exit(&self, slot), 0);
        EXPECT_EQ(bounded_value(b), n);
    }
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    EXPECT(!bounded_holds(b, identity_index(self.me)));
    EXPECT_EQ(bounded_value(b), size);
    done();
}

static void limits(void)
{
    full_and_empty(1);
    full_and_empty(BOUNDED_SMALL);
    full_and_empty(BOUNDED_SMALL + 1);
    full_and_empty(BOUNDED_LARGE);
}

static void timeouts(void)
{
    struct bounded *b = fresh(1, DEATH_RAISE);
    EXPECT_EQ(user_enter(&self, slot, 0, &ignored), 0);
    EXPECT_EQ(user_enter(&self, slot, clock_deadline(-1), &ignored), -ETIMEDOUT);
    int64_t deadline = in(30 * MILLISECOND);
    EXPECT_EQ(user_enter(&self, slot, deadline, &ignored), -ETIMEDOUT);
    EXPECT(clock_now() >= deadline);
    EXPECT(load_relaxed(&b->word) & BOUNDED_W);
    EXPECT_EQ(user_exit(&self, slot), 0); /* nobody sleeps any more */
    EXPECT(!(load_relaxed(&b->word) & BOUNDED_W));
    struct waiting w;
    waiting_begin(&w, 0, BACKSTOP_OWNED);
    EXPECT_EQ(bounded_wait(self.f, slot, self.me, &w, &self.history), 0); /* late, but there is one */
    waiting_end(&w);
    EXPECT_EQ(user_exit(&self, slot), 0);
    done();
}

/* One acquires, another releases: first what is the releaser's own. */
static void handed_over(void)
{
    struct user b = {.number = 1};
    struct bounded *s = fresh(3, DEATH_RAISE);
    user_join(&b, family);
    EXPECT_EQ(user_enter(&self, slot, 0, &ignored), 0);
    EXPECT_EQ(user_enter(&b, slot, 0, &ignored), 0);
    EXPECT_EQ(user_exit(&b, slot), 0);
    EXPECT(bounded_holds(s, identity_index(self.me)) && !bounded_holds(s, identity_index(b.me)));
    EXPECT_EQ(user_exit(&b, slot), 0);
    EXPECT_EQ(bounded_value(s), 3);
    EXPECT_EQ(user_exit(&b, slot), -EOVERFLOW);
    view_leave(b.f);
    done();
}

static shared32 inside, taken;
static uint32_t permits;
static uint64_t counter; /* guarded by the semaphore if it has one permit */

static void section(void)
{
    EXPECT(add_relaxed(&inside, 1u) < permits);
    if (permits == 1)
        counter++;
    STEP();
    sub_relaxed(&inside, 1u);
    add_relaxed(&taken, 1u);
}

static void hammer(struct user *u)
{
    for (int i = times(8000); i > 0; i--) {
        bool patient = chance(2);
        int64_t deadline = patient ? NEVER : chance(2) ? 0 : in(chance(200) * MICROSECOND);
        int rc = user_enter(u, slot, deadline, &ignored);
        EXPECT(rc == 0 || (rc == -ETIMEDOUT && !patient));
        if (rc == 0) {
            section();
            EXPECT_EQ(user_exit(u, slot), 0);
        }
    }
}

/* No sleeper has a backstop: each wake-up must come. */
static void conserved(uint32_t size)
{
    struct bounded *b = fresh(permits = size, DEATH_RAISE);
    counter = 0;
    store_relaxed(&taken, 0);
    crowd(family, 4, true, hammer);
    EXPECT_EQ(bounded_value(b), size);
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    EXPECT(size > 1 || counter == load_relaxed(&taken));
    done();
}

static void exclusion(void) { conserved(1); }
static void permits_conserved(void) { conserved(3); }

static shared32 claimed;

static void take_and_count(struct user *u)
{
    for (int i = times(200); i > 0; i--) {
        EXPECT_EQ(user_enter(u, slot, NEVER, &ignored), 0);
        add_seq(&claimed, 1u);
    }
}

/* As many get up as permits come back, one directly after the other, all released by one that took none of them. */
static void several_at_once(void)
{
    struct user sleepers[3];
    struct bounded *b = fresh(3, DEATH_RAISE);
    store_relaxed(&claimed, 0);
    for (int i = 0; i < 3; i++)
        user_start(&sleepers[i], family, i, true, take_and_count);
    uint32_t given = 0, all = 3 * (uint32_t)times(200);
    while (given < all) {
        while (load_seq(&claimed) < given + 3 && load_seq(&claimed) < all)
            sched_yield();
        if (chance(4) == 0)
            usleep(200); /* time to fall asleep */
        for (uint32_t n = 1 + chance(3); n > 0 && given < all; n--, given++)
            EXPECT_EQ(user_exit(&self, slot), 0);
    }
    for (int i = 0; i < 3; i++)
        user_finish(&sleepers[i]);
    EXPECT_EQ(bounded_value(b), 3);
    done();
}

/* A process takes n permits, then is killed or leaves. Its identity. */
static uint32_t holder_ends(uint32_t n, void (*end)(struct family *))
{
    struct user a = {.number = 1};
    user_join(&a, family);
    user_keep(&a, slot);
    for (; n > 0; n--)
        EXPECT_EQ(user_enter(&a, slot, 0, &ignored), 0);
    end(a.f);
    return a.me;
}

static uint32_t reap(uint32_t identity)
{
    struct reaped r = {0};
    reap_owner(family, identity, &r);
    EXPECT(r.permits == 0 || r.pid >= NO_SUCH_PID);
    return r.permits;
}

static void given_back_once(void)
{
    struct bounded *b = fresh(3, DEATH_RAISE);
    uint32_t dead = holder_ends(2, view_die);
    EXPECT_EQ(bounded_value(b), 1);
    EXPECT_EQ(reap(dead), 2);
    EXPECT_EQ(reap(dead), 0);
    EXPECT_EQ(bounded_value(b), 3);
    EXPECT_EQ(load_relaxed(&b->returned), 2);
    EXPECT_EQ(user_exit(&self, slot), 0); /* what the dead one had given to somebody else */
    EXPECT_EQ(bounded_value(b), 3);
    EXPECT_EQ(user_enter(&self, slot, 0, &ignored), 0);
    EXPECT_EQ(user_exit(&self, slot), 0); /* its own comes first */
    EXPECT_EQ(load_relaxed(&b->returned), 1);
    EXPECT_EQ(user_exit(&self, slot), 0);
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    EXPECT_EQ(bounded_value(b), 3);
    done();
}

/* A reaper killed after its first cell: the next one gives back the rest, and nothing twice. */
static void reaped_half(void)
{
    struct bounded *b = fresh(3, DEATH_RAISE);
    uint32_t dead = holder_ends(3, view_die);
    EXPECT(bounded_free(b, 0, (uint16_t)identity_index(dead)));
    EXPECT_EQ(user_enter(&self, slot, 0, &ignored), 0);
    EXPECT_EQ(reap(dead), 2);
    EXPECT_EQ(bounded_value(b), 2);
    EXPECT_EQ(bounded_reap(b, identity_index(dead), true), 0);
    EXPECT_EQ(user_exit(&self, slot), 0);
    EXPECT_EQ(bounded_value(b), 3);
    done();
}

/* With who leaves, and with on_owner_death="wait", permits stay out, and anybody may release them. */
static void stay_out(uint32_t policy, void (*end)(struct family *))
{
    struct bounded *b = fresh(2, policy);
    uint32_t gone = holder_ends(2, end);
    reap_holders(family, b, &ignored);
    EXPECT_EQ(reap(gone), 0);
    EXPECT_EQ(bounded_value(b), 0);
    EXPECT(!bounded_holds(b, identity_index(gone)));
    EXPECT_EQ(user_enter(&self, slot, in(25 * MILLISECOND), &ignored), -ETIMEDOUT);
    EXPECT_EQ(holder_ends(0, view_die), identity_make(identity_index(gone), identity_generation(gone) + 1));
    EXPECT_EQ(user_exit(&self, slot), 0);
    EXPECT_EQ(user_exit(&self, slot), 0);
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    done();
}

static void take_one(struct user *u) { EXPECT_EQ(user_enter(u, slot, NEVER, &ignored), 0); }

/* A sleeper hears of it by itself, within the time that is promised. */
static void sleeper_hears(void)
{
    struct user sleeper;
    struct bounded *b = fresh(1, DEATH_RAISE);
    struct user a = {.number = 1};
    user_join(&a, family);
    user_keep(&a, slot);
    EXPECT_EQ(user_enter(&a, slot, 0, &ignored), 0);
    user_start(&sleeper, family, 2, false, take_one);
    while (!(load_seq(&b->word) & BOUNDED_W))
        sched_yield();
    view_die(a.f);
    int64_t died = clock_now();
    pthread_join(sleeper.thread, NULL);
    EXPECT(clock_now() - died < SECOND);
    EXPECT(bounded_holds(b, identity_index(sleeper.me)));
    EXPECT_EQ(user_exit(&sleeper, slot), 0);
    view_leave(sleeper.f);
    EXPECT_EQ(bounded_value(b), 1);
    done();
}

static void policies(void)
{
    stay_out(DEATH_WAIT, view_die);
    stay_out(DEATH_RAISE, view_leave);
    stay_out(DEATH_RELEASE, view_leave);
}

static shared32 deaths;

static void hammer_and_die(struct user *u)
{
    user_keep(u, slot);
    for (int i = times(60); i > 0; i--) {
        struct reaped r = {0};
        EXPECT_EQ(user_enter(u, slot, NEVER, &r), 0);
        section();
        if (i % 10 != u->number) {
            EXPECT_EQ(user_exit(u, slot), 0);
            continue;
        }
        add_relaxed(&deaths, 1u);
        view_die(u->f);
        user_join(u, family);
        user_keep(u, slot);
    }
    slot_drop(u->f, identity_index(u->me), slot);
}

/* Never more than there are, and all are there in the end. */
static void holders_die(void)
{
    struct bounded *b = fresh(permits = 2, DEATH_RAISE);
    crowd(family, 4, false, hammer_and_die);
    reap_holders(family, b, &ignored);
    EXPECT(load_relaxed(&deaths) >= 4);
    EXPECT_EQ(load_relaxed(&b->returned), load_relaxed(&deaths));
    EXPECT_EQ(bounded_value(b), 2);
    done();
}

/* A stray write made it larger than its slot: a reaper keeps off its neighbours, a reader inside of the segment. */
static void damaged_size(void)
{
    const uint32_t sizes[] = {BOUNDED_SMALL + 1, BOUNDED_LARGE, BOUNDED_LARGE + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct bounded *b = fresh(2, DEATH_RAISE);
        uint32_t dead = holder_ends(1, view_die);
        shared16 *neighbour = slot_at(family, slot + 1);
        for (size_t k = 0; k < SMALL_SLOT_SIZE / sizeof *neighbour; k++)
            store_relaxed(&neighbour[k], (uint16_t)identity_index(dead));
        b->size = sizes[i];
        EXPECT(bounded_value(b) <= BOUNDED_LARGE);
        EXPECT(bounded_holds(b, identity_index(dead)));
        EXPECT_EQ(reap(dead), 0);
        for (size_t k = 0; k < SMALL_SLOT_SIZE / sizeof *neighbour; k++)
            EXPECT_EQ(load_relaxed(&neighbour[k]), identity_index(dead));
        slot_clear(family, slot + 1);
        b->size = 2;
        done();
    }
}

/* Cells that name nobody: taken, asked after nowhere, and anybody's to release. */
static void damaged_cells(void)
{
    const uint16_t cells[] = {FAMILY_PARTICIPANTS, 0xfff, CELL_ANONYMOUS, 0xffff};
    struct bounded *b = fresh(4, DEATH_RAISE);
    for (uint32_t i = 0; i < 4; i++)
        store_relaxed(&b->cells[i], cells[i]);
    EXPECT_EQ(bounded_value(b), 0);
    EXPECT_EQ(user_enter(&self, slot, in(25 * MILLISECOND), &ignored), -ETIMEDOUT);
    reap_holders(family, b, &ignored);
    store_relaxed(&b->word, UINT32_MAX);
    for (uint32_t n = 1; n <= 4; n++) {
        EXPECT_EQ(user_exit(&self, slot), 0);
        EXPECT_EQ(bounded_value(b), n);
    }
    EXPECT_EQ(user_exit(&self, slot), -EOVERFLOW);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(limits);
    RUN(timeouts);
    RUN(handed_over);
    RUN(exclusion);
    RUN(permits_conserved);
    RUN(several_at_once);
    RUN(given_back_once);
    RUN(reaped_half);
    RUN(policies);
    RUN(sleeper_hears);
    RUN(holders_die);
    RUN(damaged_size);
    RUN(damaged_cells);
    family_end(family);
    return GOOD;
}
