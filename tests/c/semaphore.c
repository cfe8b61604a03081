/* SPDX-License-Identifier: MIT */
/* semaphore.h: permits are conserved, publish what was done before, and wake who waits; limits; damage; deaths. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */

static struct semaphore *fresh(uint32_t value, uint32_t maximum)
{
    slot = make(family, SLOT_SEMAPHORE);
    struct semaphore *s = slot_at(family, slot);
    semaphore_init(s, value, maximum);
    return s;
}

static void done(void) { handle_remove(family, slot); }

static void limits(void)
{
    struct semaphore *s = fresh(2, 3);
    EXPECT(semaphore_try(s, 0) && semaphore_try(s, 0) && !semaphore_try(s, 0));
    for (uint32_t value = 1; value <= 3; value++) {
        EXPECT_EQ(user_up(&self, slot), 0);
        EXPECT_EQ(semaphore_value(s), value);
    }
    EXPECT_EQ(user_up(&self, slot), -EOVERFLOW);
    EXPECT_EQ(semaphore_value(s), 3);
    semaphore_init(s, SEMAPHORE_MAX - 1, SEMAPHORE_MAX);
    EXPECT_EQ(user_up(&self, slot), 0);
    EXPECT_EQ(user_up(&self, slot), -EOVERFLOW);
    EXPECT_EQ(semaphore_value(s), SEMAPHORE_MAX);
    EXPECT(semaphore_try(s, 0));
    EXPECT_EQ(semaphore_value(s), SEMAPHORE_MAX - 1);
    semaphore_init(s, 0, 0);
    EXPECT_EQ(user_up(&self, slot), -EOVERFLOW);
    done();
}

/* Not before its time, nor without a look at the permits. */
static void timeouts(void)
{
    struct semaphore *s = fresh(0, 1);
    EXPECT_EQ(user_down(&self, slot, 0), -ETIMEDOUT);
    EXPECT_EQ(user_down(&self, slot, clock_deadline(-1)), -ETIMEDOUT);
    int64_t deadline = in(30 * MILLISECOND); /* longer than the first backstop */
    EXPECT_EQ(user_down(&self, slot, deadline), -ETIMEDOUT);
    EXPECT(clock_now() >= deadline);
    EXPECT_EQ(semaphore_value(s), 0);
    struct waiting w;
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    EXPECT_EQ(semaphore_wait(self.f, slot, self.me, &w, &self.history), -EINTR); /* the backstop */
    EXPECT_EQ(user_up(&self, slot), 0);
    EXPECT_EQ(semaphore_wait(self.f, slot, self.me, &w, &self.history), 0);
    EXPECT(w.record != NULL);
    waiting_end(&w);
    EXPECT_EQ(user_up(&self, slot), 0);
    waiting_begin(&w, 0, BACKSTOP_IDLE); /* too late, but there is one */
    EXPECT_EQ(semaphore_wait(self.f, slot, self.me, &w, &self.history), 0);
    waiting_end(&w);
    done();
}

/* A stray write, or a value beyond the maximum: nothing is given that is not there, nothing overflows. */
static void damage(void)
{
    struct semaphore *s = fresh(0, 1);
    store_relaxed(&s->word, UINT32_MAX);
    EXPECT_EQ(user_up(&self, slot), -EOVERFLOW);
    EXPECT(semaphore_try(s, 0));
    EXPECT_EQ(semaphore_value(s), SEMAPHORE_MAX - 1);
    s->maximum = UINT32_MAX;
    store_relaxed(&s->word, SEMAPHORE_W);
    EXPECT(!semaphore_try(s, 0) && !semaphore_try(s, SEMAPHORE_W));
    EXPECT_EQ(user_down(&self, slot, in(MILLISECOND)), -ETIMEDOUT);
    EXPECT_EQ(user_up(&self, slot), 0); /* W of somebody who is no more: nobody to wake */
    EXPECT_EQ(load_relaxed(&s->word), 2);
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
    for (int i = times(10000); i > 0; i--) {
        EXPECT_EQ(user_down(u, slot, NEVER), 0);
        section();
        EXPECT_EQ(user_up(u, slot), 0);
    }
}

static void hammer_impatiently(struct user *u)
{
    for (int i = times(8000); i > 0; i--) {
        int64_t deadline = chance(3) == 0 ? NEVER : chance(2) ? 0 : in(chance(200) * MICROSECOND);
        int rc = user_down(u, slot, deadline);
        EXPECT(rc == 0 || (rc == -ETIMEDOUT && deadline != NEVER));
        if (rc == 0) {
            section();
            EXPECT_EQ(user_up(u, slot), 0);
        }
    }
}

/* No sleeper has a backstop: each wake-up must come. */
static void conserved(uint32_t n, void (*body)(struct user *))
{
    struct semaphore *s = fresh(permits = n, n);
    counter = 0;
    store_relaxed(&taken, 0);
    crowd(family, 4, true, body);
    EXPECT_EQ(semaphore_value(s), n);
    EXPECT_EQ(user_up(&self, slot), -EOVERFLOW);
    EXPECT(n > 1 || counter == load_relaxed(&taken));
    done();
}

static void exclusion(void) { conserved(1, hammer); }
static void permits_conserved(void) { conserved(2, hammer); }
static void impatience(void)
{
    conserved(1, hammer_impatiently);
    conserved(3, hammer_impatiently);
}

#define ITEMS 64
static uint64_t items[ITEMS];
static uint32_t room;
static shared32 claimed;
static int total;

/* What one did before it gave a permit is there for the other who took it. */
static void pass(struct user *u)
{
    for (int i = 0; i < total; i++) {
        EXPECT_EQ(user_down(u, u->number == 0 ? room : slot, NEVER), 0);
        if (u->number == 0)
            items[i % ITEMS] = (uint64_t)i;
        else
            EXPECT_EQ(items[i % ITEMS], i);
        EXPECT_EQ(user_up(u, u->number == 0 ? slot : room), 0);
    }
}

static void publication(void)
{
    total = times(20000);
    fresh(ITEMS, SEMAPHORE_MAX);
    room = slot;
    struct semaphore *s = fresh(0, SEMAPHORE_MAX);
    crowd(family, 2, true, pass);
    EXPECT_EQ(semaphore_value(s), 0);
    EXPECT_EQ(semaphore_value(slot_at(family, room)), ITEMS);
    handle_remove(family, room);
    done();
}

static void take_and_count(struct user *u)
{
    for (int i = times(200); i > 0; i--) {
        EXPECT_EQ(user_down(u, slot, NEVER), 0);
        add_seq(&claimed, 1u);
    }
}

/* As many as sleep get up for as many releases in a row, though one wake-up may meet who is awake already. */
static void several_at_once(void)
{
    struct user sleepers[3];
    struct semaphore *s = fresh(0, SEMAPHORE_MAX);
    store_relaxed(&claimed, 0);
    for (int i = 0; i < 3; i++)
        user_start(&sleepers[i], family, i, true, take_and_count);
    uint32_t given = 0, all = 3 * (uint32_t)times(200);
    while (given < all) {
        uint32_t n = 1 + chance(3);
        for (; n > 0 && given < all; n--, given++)
            EXPECT_EQ(user_up(&self, slot), 0);
        while (load_seq(&claimed) < given)
            sched_yield();
        if (chance(4) == 0)
            usleep(200); /* time to fall asleep */
    }
    for (int i = 0; i < 3; i++)
        user_finish(&sleepers[i]);
    EXPECT_EQ(semaphore_value(s), 0);
    done();
}

static void take_one(struct user *u) { EXPECT_EQ(user_down(u, slot, NEVER), 0); }

static void await_sleeper(struct semaphore *s)
{
    while (!(load_relaxed(&s->word) & SEMAPHORE_W))
        sched_yield();
}

/* Who releases is killed before it can wake anybody; who waits is killed; who had a permit took it with it. */
static void deaths(void)
{
    struct user sleeper, dying = {0};
    struct semaphore *s = fresh(0, 1);
    user_start(&sleeper, family, 1, false, take_one);
    await_sleeper(s);
    store_relaxed(&s->word, 2);
    int64_t began = clock_now();
    user_finish(&sleeper);
    EXPECT(clock_now() - began < 3 * BACKSTOP_IDLE);
    user_join(&dying, family);
    user_keep(&dying, slot);
    uint32_t word = dying.me;
    or_relaxed(&s->word, SEMAPHORE_W);
    EXPECT_EQ(user_up(&self, slot), 0);
    EXPECT_EQ(user_down(&dying, slot, 0), 0);
    view_die(dying.f);
    user_reap(&self, word);
    EXPECT(!participant_died(family, word) && !ref_get(family, identity_index(word), slot));
    EXPECT_EQ(semaphore_value(s), 0);
    EXPECT_EQ(user_down(&self, slot, in(5 * MILLISECOND)), -ETIMEDOUT);
    EXPECT_EQ(user_up(&self, slot), 0); /* anybody may give another's back */
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(limits);
    RUN(timeouts);
    RUN(damage);
    RUN(exclusion);
    RUN(permits_conserved);
    RUN(impatience);
    RUN(publication);
    RUN(several_at_once);
    RUN(deaths);
    family_end(family);
    return GOOD;
}
