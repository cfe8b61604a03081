/* SPDX-License-Identifier: MIT */
/* condition.h: first come, first notified; exactly n of the living; no notify spent on who gave up or died. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t lock, slot;
static struct family *family;
static struct user self; /* the founder */

static struct condition *fresh(void)
{
    lock = make(family, SLOT_LOCK);
    slot = make(family, SLOT_CONDITION);
    return slot_at(family, slot);
}

static void done(void)
{
    EXPECT_EQ(load_relaxed(&((struct lock *)slot_at(family, lock))->word), 0);
    handle_remove(family, slot);
    handle_remove(family, lock);
}

static void enter(struct user *u) { EXPECT_EQ(user_lock(u, lock, NEVER), 0); }
static void leave(struct user *u) { EXPECT(user_unlock(u, lock)); }

static uint32_t waiting_for(struct condition *c) { return condition_waiters(family, c); }
static bool told(struct condition *c, uint32_t ticket) { return ticket_notified(c, ticket); }

static uint32_t notify(uint64_t n)
{
    struct condition *c = slot_at(family, slot);
    uint32_t before = waiting_for(c);
    condition_wake(c, condition_notify(family, c, n, self.me));
    return before - waiting_for(c);
}

/* Tickets from just before their numbers begin anew. */
static void in_order(uint32_t begin)
{
    struct condition *c = fresh();
    uint32_t t[8];
    store_relaxed(&c->notified, begin);
    store_relaxed(&c->tail, begin);
    enter(&self);
    EXPECT_EQ(notify(1), 0);
    EXPECT_EQ(load_relaxed(&c->notified), begin);
    for (int i = 0; i < 8; i++)
        EXPECT_EQ(t[i] = condition_take(c, self.me), begin + (uint32_t)i);
    EXPECT_EQ(waiting_for(c), 8);
    EXPECT_EQ(notify(0), 0);
    EXPECT(!told(c, t[0]));
    EXPECT_EQ(notify(1), 1);
    EXPECT(told(c, t[0]) && !told(c, t[1]));
    EXPECT(!condition_cancel(c, t[2]) && waiting_for(c) == 6);
    EXPECT_EQ(notify(2), 2); /* one of them is behind the one who gave up */
    EXPECT(told(c, t[1]) && told(c, t[3]) && !told(c, t[4]));
    EXPECT(condition_cancel(c, t[3]));                                     /* too late to give up */
    EXPECT(!condition_cancel(c, t[4]) && told(c, t[4]) && !told(c, t[5])); /* the oldest: makes room at once */
    EXPECT(!condition_cancel(c, t[7]) && load_relaxed(&c->tail) == t[7]);
    EXPECT_EQ(condition_take(c, self.me), t[7]);
    EXPECT_EQ(notify(UINT64_MAX), 3);
    EXPECT(told(c, t[7]) && load_relaxed(&c->notified) == load_relaxed(&c->tail));
    EXPECT_EQ(notify(1), 0);
    leave(&self);
    done();
}

static void order(void)
{
    in_order(0);
    in_order(UINT32_MAX - 3);
    in_order(INT32_MAX - 3);
    in_order(CONDITION_RING - 3);
}

/* Beyond the ring nothing is known: all are notified once a notifier gets there, and none is lost. */
static void beyond_the_ring(void)
{
    struct condition *c = fresh();
    uint32_t n = CONDITION_RING + 10;
    enter(&self);
    for (uint32_t i = 0; i < n; i++)
        EXPECT_EQ(condition_take(c, self.me), i);
    EXPECT_EQ(waiting_for(c), n);
    EXPECT(ticket_unknown(c, CONDITION_RING) && ticket_unknown(c, n - 1) && !ticket_unknown(c, CONDITION_RING - 1));
    EXPECT(!condition_cancel(c, n - 5)); /* of an unknown one nothing is noted */
    EXPECT_EQ(waiting_for(c), n);
    for (uint32_t i = 0; i < CONDITION_RING; i++)
        EXPECT(notify(1) == 1 && told(c, i) && !told(c, i + 1));
    EXPECT_EQ(notify(1), 10);
    EXPECT_EQ(condition_take(c, self.me), n); /* known again */
    EXPECT(!ticket_unknown(c, n) && notify(5) == 1);
    for (uint32_t i = 0; i < 3 * CONDITION_RING; i++) /* who polls does not fill the ring */
        EXPECT(!condition_cancel(c, condition_take(c, self.me)));
    EXPECT_EQ(waiting_for(c), 0);
    EXPECT_EQ(load_relaxed(&c->tail), n + 1);
    leave(&self);
    done();
}

static void timeouts(void)
{
    struct condition *c = fresh();
    enter(&self);
    EXPECT_EQ(user_wait(&self, lock, slot, 0), 0);
    EXPECT_EQ(user_wait(&self, lock, slot, clock_deadline(-1)), 0);
    int64_t deadline = in(30 * MILLISECOND);
    EXPECT_EQ(user_wait(&self, lock, slot, deadline), 0);
    EXPECT(clock_now() >= deadline && lock_mine(slot_at(family, lock), self.me));
    uint32_t ticket = condition_take(c, self.me);
    EXPECT_EQ(notify(1), 1);
    EXPECT_EQ(user_doze(&self, slot, ticket, 0), 0); /* late, but notified */
    EXPECT_EQ(waiting_for(c), 0);
    leave(&self);
    done();
}

static uint32_t promised, kept;          /* guarded by the lock */
static uint64_t produced, consumed, put; /* guarded by the lock */

/* Some wait, some notify. Each notify of n ends min(n, waiting) waits, no more and no less. */
static void wait_or_notify(struct user *u)
{
    struct condition *c = slot_at(u->f, slot);
    for (int i = times(4000); i > 0; i--) {
        enter(u);
        if (chance(3) == 0) {
            uint32_t n = chance(4), before = waiting_for(c), ends = n < before ? n : before;
            user_notify(u, lock, slot, n);
            EXPECT_EQ(before - waiting_for(c), ends);
            promised += ends;
            leave(u);
        } else {
            int rc = user_wait(u, lock, slot, in(chance(400) * MICROSECOND));
            EXPECT(rc == 0 || rc == 1);
            kept += (uint32_t)rc;
            leave(u);
        }
    }
}

static void exactly_n(void)
{
    struct condition *c = fresh();
    crowd(family, 4, true, wait_or_notify);
    EXPECT_EQ(promised, kept);
    EXPECT(kept > 0);
    EXPECT_EQ(waiting_for(c), 0);
    done();
}

/* No sleeper has a backstop: each notify must wake whom it means. */
static void produce_or_consume(struct user *u)
{
    for (int i = times(6000); i > 0; i--) {
        enter(u);
        if (u->number == 0) {
            produced += 2;
            put += 2;
            STEP();
            user_notify(u, lock, slot, 2);
        } else {
            while (put == 0)
                EXPECT_EQ(user_wait(u, lock, slot, NEVER), 1);
            put--;
            consumed++;
        }
        leave(u);
    }
}

static void queue(void)
{
    fresh();
    crowd(family, 3, true, produce_or_consume);
    EXPECT(produced == consumed && put == 0);
    done();
}

static shared32 returned[4], tickets_out;

static void wait_once(struct user *u)
{
    enter(u);
    struct condition *c = slot_at(u->f, slot);
    uint32_t ticket = condition_take(c, u->me);
    add_seq(&tickets_out, 1u);
    leave(u);
    if (ticket % 2)
        usleep(1000); /* some sleep when they are notified, some do not yet */
    EXPECT_EQ(user_doze(u, slot, ticket, NEVER), 0);
    enter(u);
    EXPECT(condition_cancel(c, ticket));
    leave(u);
    add_seq(&returned[u->number], 1u);
}

/* Who came first gets up first, and the others sleep on. */
static void first_come(void)
{
    for (int turn = times(12); turn > 0; turn--) {
        struct user waiters[4];
        fresh();
        store_relaxed(&tickets_out, 0);
        for (uint32_t i = 0; i < 4; i++) {
            store_relaxed(&returned[i], 0);
            user_start(&waiters[i], family, (int)i, true, wait_once);
            while (load_seq(&tickets_out) <= i)
                sched_yield();
        }
        for (uint32_t i = 0; i < 4; i++) {
            enter(&self);
            user_notify(&self, lock, slot, 1);
            leave(&self);
            while (load_seq(&returned[i]) == 0)
                sched_yield();
            for (uint32_t later = i + 1; later < 4; later++)
                EXPECT_EQ(load_seq(&returned[later]), 0);
        }
        for (int i = 0; i < 4; i++)
            user_finish(&waiters[i]);
        done();
    }
}

/* Three wait, the middle one ends; the second notify is for the third, whether or not the dead was reaped before. */
static void waiter_ends(void (*end)(struct family *), bool reaped)
{
    struct user a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    struct condition *cond = fresh();
    user_join(&a, family);
    user_join(&b, family);
    user_join(&c, family);
    user_keep(&b, slot);
    enter(&self);
    uint32_t first = condition_take(cond, a.me), dead = condition_take(cond, b.me), last = condition_take(cond, c.me);
    end(b.f);
    if (reaped) {
        user_reap(&self, b.me);
        EXPECT_EQ(load_relaxed(&cond->ring[dead % CONDITION_RING]), TICKET_NOBODY);
        condition_reap(cond, identity_index(b.me));
    }
    EXPECT_EQ(waiting_for(cond), 2);
    EXPECT_EQ(notify(1), 1);
    EXPECT(told(cond, first) && !told(cond, last));
    EXPECT_EQ(notify(1), 1);
    EXPECT(told(cond, dead) && told(cond, last));
    EXPECT_EQ(notify(1), 0);
    leave(&self);
    view_leave(a.f);
    view_leave(c.f);
    done();
}

/* Its entry has a new owner who does not wait. */
static void entry_reused(void)
{
    struct user a = {.number = 1}, b = {.number = 2};
    struct condition *c = fresh();
    user_join(&a, family);
    user_keep(&a, slot);
    enter(&self);
    condition_take(c, a.me);
    uint32_t mine = condition_take(c, self.me);
    view_die(a.f);
    user_reap(&self, a.me);
    user_join(&b, family);
    EXPECT_EQ(identity_index(b.me), identity_index(a.me));
    EXPECT_EQ(waiting_for(c), 1);
    EXPECT_EQ(notify(1), 1);
    EXPECT(told(c, mine));
    leave(&self);
    view_leave(b.f);
    done();
}

static void waiters_die(void)
{
    waiter_ends(view_die, false);
    waiter_ends(view_die, true);
    waiter_ends(view_leave, false);
    waiter_ends(view_leave, true);
    entry_reused();
}

/* Stopped for good between two stores of condition_take: the next ticket is taken as if nothing had been. */
static void taken_half(void)
{
    struct condition *c = fresh();
    store_relaxed(&c->ring[0], 5);
    or_relaxed(&c->cancelled[0], UINT64_C(3));
    EXPECT_EQ(waiting_for(c), 0);
    enter(&self);
    EXPECT_EQ(condition_take(c, self.me), 0);
    EXPECT_EQ(waiting_for(c), 1);
    EXPECT_EQ(notify(1), 1);
    store_relaxed(&c->unknown_to, 2); /* ticket_mark_unknown, half */
    EXPECT_EQ(condition_take(c, self.me), 1);
    EXPECT_EQ(notify(1), 1);
    EXPECT_EQ(condition_take(c, self.me), 2);
    EXPECT(!ticket_unknown(c, 2) && notify(1) == 1);
    leave(&self);
    done();
}

static void wait_in_vain(struct user *u)
{
    enter(u);
    int rc = user_wait(u, lock, slot, NEVER);
    if (rc != -EOWNERDEAD) { /* who wakes before the recovery hears of the death */
        EXPECT_EQ(rc, 1);
        leave(u);
    }
}

/* A holder is killed who may have had a notify in mind, or in the lock: after recovery all waiters look again. */
static void holder_dies(bool notified)
{
    struct user a = {.number = 1}, sleeper;
    struct condition *c = fresh();
    struct lock *l = slot_at(family, lock);
    user_join(&a, family);
    user_keep(&a, lock);
    user_start(&sleeper, family, 2, true, wait_in_vain);
    while (load_seq(&c->sleepers) == 0)
        sched_yield();
    enter(&a);
    if (notified)
        user_notify(&a, lock, slot, 1); /* the wake-up lies in the lock */
    EXPECT_EQ(load_relaxed(&l->wake_bits) != 0, notified);
    view_die(a.f);
    EXPECT_EQ(user_lock(&self, lock, in(SECOND)), -EOWNERDEAD);
    EXPECT(lock_recover(family, l, self.me));
    EXPECT_EQ(load_relaxed(&l->wake_bits), 0);
    condition_settle(c, load_relaxed(&l->deaths));
    EXPECT_EQ(load_relaxed(&c->settled), 1);
    EXPECT_EQ(waiting_for(c), 0);
    leave(&self);
    user_finish(&sleeper);
    done();
}

static void holders_die(void)
{
    holder_dies(false);
    holder_dies(true);
}

/* Cells of nobody, and bits that mean nothing: notifies pass over them, and read nothing outside. */
static void damage(void)
{
    const uint16_t cells[] = {0, FAMILY_PARTICIPANTS - 1, FAMILY_PARTICIPANTS, 0xfff, TICKET_NOBODY, 0xffff};
    const uint32_t n = sizeof cells / sizeof *cells;
    struct condition *c = fresh();
    enter(&self);
    for (uint32_t i = 0; i < n; i++)
        condition_take(c, self.me);
    uint32_t mine = condition_take(c, self.me);
    for (uint32_t i = 0; i < n; i++)
        store_relaxed(&c->ring[i], cells[i]);
    store_relaxed(&c->sleepers, UINT32_MAX);
    EXPECT_EQ(waiting_for(c), 1);
    EXPECT_EQ(notify(1), 1);
    EXPECT(told(c, mine));
    store_relaxed(&c->unknown_from, UINT32_MAX / 2);
    store_relaxed(&c->unknown_to, UINT32_MAX);
    condition_take(c, self.me);
    EXPECT_EQ(notify(1), 1);
    leave(&self);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(order);
    RUN(beyond_the_ring);
    RUN(timeouts);
    RUN(exactly_n);
    RUN(queue);
    RUN(first_come);
    RUN(waiters_die);
    RUN(taken_half);
    RUN(holders_die);
    RUN(damage);
    family_end(family);
    return GOOD;
}
