/* SPDX-License-Identifier: MIT */
/* event.h: no set() is missed, not even one that is cleared at once; it publishes what was done before it. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */

static struct event *fresh(void)
{
    slot = make(family, SLOT_EVENT);
    return slot_at(family, slot);
}

static void done(void) { handle_remove(family, slot); }

static uint32_t count_of(const struct event *e) { return EVENT_COUNT(load_relaxed(&e->word)); }

static int await_since(struct user *u, uint32_t since, int64_t deadline)
{
    struct waiting w;
    user_waits(u, &w, deadline, BACKSTOP_IDLE);
    int rc;
    while ((rc = event_wait(u->f, slot, u->me, since, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

static void meaning(void)
{
    struct event *e = fresh();
    EXPECT(!event_is_set(e));
    event_clear(e);
    EXPECT_EQ(load_relaxed(&e->word), 0);
    event_set(e, self.me);
    EXPECT(event_is_set(e));
    EXPECT_EQ(count_of(e), EVENT_ONE);
    event_set(e, self.me); /* is set already: not once more */
    EXPECT_EQ(count_of(e), EVENT_ONE);
    EXPECT_EQ(user_await(&self, slot, 0), 0);
    event_clear(e);
    event_clear(e);
    EXPECT(!event_is_set(e));
    EXPECT_EQ(await_since(&self, 0, 0), 0); /* was set since */
    EXPECT_EQ(await_since(&self, EVENT_ONE, 0), -ETIMEDOUT);
    store_relaxed(&e->word, EVENT_W | EVENT_SET | EVENT_ONE); /* sleepers left over: they are woken by whoever comes */
    event_set(e, self.me);
    EXPECT_EQ(load_relaxed(&e->word), EVENT_SET | EVENT_ONE);
    done();
}

static void timeouts(void)
{
    fresh();
    EXPECT_EQ(user_await(&self, slot, 0), -ETIMEDOUT);
    EXPECT_EQ(user_await(&self, slot, clock_deadline(-1)), -ETIMEDOUT);
    int64_t deadline = in(30 * MILLISECOND);
    EXPECT_EQ(user_await(&self, slot, deadline), -ETIMEDOUT);
    EXPECT(clock_now() >= deadline);
    struct waiting w;
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    EXPECT_EQ(event_wait(self.f, slot, self.me, 0, &w, &self.history), -EINTR); /* the backstop */
    event_set(slot_at(family, slot), self.me);
    EXPECT_EQ(event_wait(self.f, slot, self.me, 0, &w, &self.history), 0);
    waiting_end(&w);
    done();
}

/* The count has no end, and no word is one that harms. */
static void damage(void)
{
    struct event *e = fresh();
    uint32_t last = EVENT_COUNT(UINT32_MAX);
    store_relaxed(&e->word, last | EVENT_W);
    EXPECT_EQ(await_since(&self, last, 0), -ETIMEDOUT);
    event_set(e, self.me);
    EXPECT_EQ(load_relaxed(&e->word), EVENT_SET);
    event_clear(e);
    EXPECT_EQ(await_since(&self, last, 0), 0);
    store_relaxed(&e->word, UINT32_MAX);
    EXPECT(event_is_set(e));
    EXPECT_EQ(user_await(&self, slot, 0), 0);
    event_clear(e);
    EXPECT_EQ(load_relaxed(&e->word), UINT32_MAX - EVENT_SET);
    done();
}

#define WAITERS 3
#define ROUNDS 4096
static uint64_t told[ROUNDS]; /* written before the set() of the round */
static shared32 ready, woken;
static int rounds;

/* Between the rounds nothing goes from who sets to who waits but the event. */
static void hear(struct user *u)
{
    struct event *e = slot_at(u->f, slot);
    for (int round = 0; round < rounds; round++) {
        while (load_relaxed(&e->word) & EVENT_SET) /* from the last round */
            sched_yield();
        uint32_t since = count_of(e);
        EXPECT_EQ(since, (uint32_t)round * EVENT_ONE);
        add_relaxed(&ready, 1u);
        EXPECT_EQ(await_since(u, since, NEVER), 0);
        EXPECT_EQ(told[round], round + 1);
        add_relaxed(&woken, 1u);
    }
}

static void await_all(shared32 *number, uint32_t shall)
{
    while (load_relaxed(number) < shall)
        sched_yield();
}

/* Set and cleared at once, perhaps before they sleep, perhaps before they wake: each of them hears of it. */
static void pulses(void)
{
    struct user waiters[WAITERS];
    struct event *e = fresh();
    store_relaxed(&ready, 0);
    store_relaxed(&woken, 0);
    rounds = times(2000) < ROUNDS ? times(2000) : ROUNDS;
    for (int i = 0; i < WAITERS; i++)
        user_start(&waiters[i], family, i, true, hear);
    for (uint32_t round = 0; round < (uint32_t)rounds; round++) {
        await_all(&ready, (round + 1) * WAITERS);
        if (chance(8) == 0)
            usleep(chance(100));
        told[round] = round + 1;
        event_set(e, self.me);
        event_clear(e);
        await_all(&woken, (round + 1) * WAITERS);
    }
    for (int i = 0; i < WAITERS; i++)
        user_finish(&waiters[i]);
    EXPECT(!event_is_set(e));
    EXPECT_EQ(count_of(e), (uint32_t)rounds * EVENT_ONE);
    done();
}

static uint64_t prepared;

static void look(struct user *u)
{
    while (!event_is_set(slot_at(u->f, slot)))
        sched_yield();
    EXPECT_EQ(prepared, 7);
}

/* Who only asks sees what was done before as well. */
static void polling(void)
{
    for (int i = times(40); i > 0; i--) {
        struct user asker;
        struct event *e = fresh();
        prepared = 0;
        user_start(&asker, family, 1, false, look);
        prepared = 7;
        event_set(e, self.me);
        user_finish(&asker);
        done();
    }
}

static shared32 heard, missed, quitting;

static void anything(struct user *u)
{
    struct event *e = slot_at(u->f, slot);
    for (int i = times(4000); i > 0; i--) {
        uint32_t what = chance(8), since = count_of(e);
        if (what == 0)
            event_clear(e);
        else if (what < 3)
            event_set(e, u->me);
        else if (await_since(u, since, in(chance(300) * MICROSECOND)) == 0)
            add_relaxed(&heard, 1u);
        else
            add_relaxed(&missed, 1u);
        uint32_t now = count_of(e);
        EXPECT((int32_t)(now - since) >= 0);
    }
    add_relaxed(&quitting, 1u);
    if (u->number == 0) {
        await_all(&quitting, 3);
        event_set(e, u->me);
    } else {
        EXPECT_EQ(user_await(u, slot, NEVER), 0); /* of the last one's set() */
    }
}

static void mixture(void)
{
    struct event *e = fresh();
    store_relaxed(&quitting, 0);
    crowd(family, 3, true, anything);
    EXPECT(event_is_set(e) && load_relaxed(&heard) > 0);
    done();
}

static void await_it(struct user *u) { EXPECT_EQ(user_await(u, slot, NEVER), 0); }

/* Who sets is killed before it wakes anybody; or before that: then W stays and harms nobody. */
static void deaths(void)
{
    struct user sleeper, dying = {0};
    struct event *e = fresh();
    user_start(&sleeper, family, 1, false, await_it);
    while (!(load_relaxed(&e->word) & EVENT_W))
        sched_yield();
    or_relaxed(&e->word, EVENT_SET); /* not even counted */
    int64_t began = clock_now();
    user_finish(&sleeper);
    EXPECT(clock_now() - began < 3 * BACKSTOP_IDLE);
    user_join(&dying, family);
    user_keep(&dying, slot);
    event_clear(e);
    EXPECT_EQ(user_await(&dying, slot, in(MILLISECOND)), -ETIMEDOUT);
    uint32_t word = load_relaxed(&e->word), dead = dying.me;
    EXPECT(word & EVENT_W);
    view_die(dying.f);
    user_reap(&self, dead);
    EXPECT_EQ(load_relaxed(&e->word), word);
    EXPECT(!ref_get(family, identity_index(dead), slot));
    event_set(e, self.me);
    EXPECT_EQ(user_await(&self, slot, 0), 0);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(meaning);
    RUN(timeouts);
    RUN(damage);
    RUN(pulses);
    RUN(polling);
    RUN(mixture);
    RUN(deaths);
    family_end(family);
    return GOOD;
}
