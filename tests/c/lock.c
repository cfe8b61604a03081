/* SPDX-License-Identifier: MIT */
/* lock.h and rlock.h: exclusion, timeouts, abandoned locks. The counters are not atomic: ThreadSanitizer watches them. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t slot;
static struct family *family;
static uint64_t counter; /* guarded by the lock */
static shared64 entered;
static shared32 inside;

static void section(void)
{
    EXPECT_EQ(add_relaxed(&inside, 1u), 0);
    counter++;
    STEP();
    add_relaxed(&entered, 1u);
    EXPECT_EQ(sub_relaxed(&inside, 1u), 1);
}

static struct lock *fresh(enum slot_kind kind, uint32_t policy)
{
    slot = make(family, kind);
    counter = 0;
    store_relaxed(&entered, 0);
    struct lock *l = slot_at(family, slot);
    l->policy = policy;
    return l;
}

static void done(void)
{
    EXPECT_EQ(counter, load_relaxed(&entered));
    handle_remove(family, slot);
}

static void hammer(struct user *u)
{
    for (int i = times(30000); i > 0; i--) {
        EXPECT_EQ(user_lock(u, slot, NEVER), 0);
        section();
        EXPECT(user_unlock(u, slot));
    }
}

/* No sleeper has a backstop: each wake-up must come. */
static void exclusion(void)
{
    fresh(SLOT_LOCK, DEATH_RAISE);
    crowd(family, 4, true, hammer);
    EXPECT_EQ(load_relaxed(&((struct lock *)slot_at(family, slot))->word), 0);
    done();
}

static void hammer_impatiently(struct user *u)
{
    for (int i = times(10000); i > 0; i--) {
        int64_t deadline = chance(3) == 0 ? NEVER : chance(2) ? 0 : in(chance(200) * MICROSECOND);
        int rc = user_lock(u, slot, deadline);
        if (rc == 0) {
            section();
            EXPECT(user_unlock(u, slot));
        }
        EXPECT(rc == 0 || (rc == -ETIMEDOUT && deadline != NEVER));
    }
}

static void timeouts(void)
{
    fresh(SLOT_LOCK, DEATH_RAISE);
    crowd(family, 5, true, hammer_impatiently);
    done();
}

static void nest(struct user *u)
{
    struct lock *l = slot_at(u->f, slot);
    for (int i = times(10000); i > 0; i--) {
        EXPECT(!rlock_reenter(l, u->me));
        EXPECT_EQ(rlock_release(u->f, l, u->me), -EPERM);
        EXPECT_EQ(user_lock(u, slot, NEVER), 0);
        rlock_set_depth(l, 1);
        for (uint32_t depth = 1 + chance(3), n = 1; n < depth; n++)
            EXPECT(rlock_reenter(l, u->me));
        section();
        while (lock_mine(l, u->me))
            EXPECT_EQ(rlock_release(u->f, l, u->me), 0);
    }
}

/* Two threads of one process, which share an identity, are told apart by their ids. */
static void *second_thread(void *user)
{
    struct user *first = user, u = {.f = first->f, .me = first->me, .patient = first->patient};
    nest(&u);
    return NULL;
}

static void nest_twice(struct user *u)
{
    pthread_t other;
    EXPECT_EQ(pthread_create(&other, NULL, second_thread, u), 0);
    nest(u);
    pthread_join(other, NULL);
}

static void reentry(void)
{
    fresh(SLOT_RLOCK, DEATH_RAISE);
    crowd(family, 2, true, nest_twice);
    done();
}

static shared32 deaths, recoveries;

/* Killed inside. A kernel publishes what a process did before its end; here `deaths` has to. */
static void die_inside(struct user *u)
{
    counter++;
    add_relaxed(&entered, 1u);
    sub_relaxed(&inside, 1u);
    add_seq(&deaths, 1u); /* pairs with mend */
    view_die(u->f);
    user_join(u, family);
    ref_set(u->f, identity_index(u->me), slot);
    refs_vouched(u->f);
}

static void mend(struct user *u)
{
    struct lock *l = slot_at(u->f, slot);
    if (chance(2))
        user_reap(u, load_relaxed(&l->word));
    if (!lock_recover(u->f, l, u->me))
        return;
    EXPECT(load_seq(&deaths) > 0); /* pairs with die_inside */
    EXPECT(load_relaxed(&l->dead_pid) >= NO_SUCH_PID);
    add_relaxed(&recoveries, 1u);
    section();
    user_unlock(u, slot);
}

static void hammer_and_die(struct user *u)
{
    ref_set(u->f, identity_index(u->me), slot);
    refs_vouched(u->f);
    for (int i = times(60); i > 0; i--) {
        int rc;
        while ((rc = user_lock(u, slot, NEVER)) == -EOWNERDEAD)
            mend(u);
        EXPECT_EQ(rc, 0);
        section();
        if (i % 10 == u->number) {
            EXPECT_EQ(add_relaxed(&inside, 1u), 0);
            die_inside(u);
        } else {
            EXPECT(user_unlock(u, slot));
        }
    }
    slot_drop(u->f, identity_index(u->me), slot);
}

static void owners_die(void)
{
    struct lock *l = fresh(SLOT_LOCK, DEATH_RAISE);
    crowd(family, 4, false, hammer_and_die);
    lock_check_owner(family, l, load_relaxed(&l->word));
    if (load_relaxed(&l->word) & LOCK_DEAD) {
        EXPECT(lock_recover(family, l, family_me(family)));
        add_relaxed(&recoveries, 1u);
    }
    EXPECT(load_relaxed(&deaths) >= 4);
    EXPECT_EQ(load_relaxed(&recoveries), load_relaxed(&deaths));
    done();
}

/* One who holds the lock is killed, or leaves, and another finds the lock so. */
static int found_after(uint32_t policy, bool leaves)
{
    struct user a = {0}, b = {.number = 1};
    struct lock *l = fresh(SLOT_LOCK, policy);
    user_join(&a, family);
    user_join(&b, family);
    ref_set(a.f, identity_index(a.me), slot);
    EXPECT_EQ(user_lock(&a, slot, 0), 0);
    (leaves ? view_leave : view_die)(a.f);
    int64_t began = clock_now();
    int rc = user_lock(&b, slot, in(400 * MILLISECOND));
    if (policy == DEATH_RAISE && !leaves)
        EXPECT(rc == -EOWNERDEAD && load_relaxed(&l->dead_tid) == thread_id(b.me) && clock_now() - began < SECOND);
    if (rc == 0)
        EXPECT(lock_mine(l, b.me));
    else
        EXPECT(!lock_mine(l, b.me) && user_unlock(&b, slot) && user_lock(&b, slot, 0) == 0);
    EXPECT(!lock_recover(b.f, l, b.me));
    EXPECT(user_unlock(&b, slot) && !user_unlock(&b, slot));
    view_leave(b.f);
    handle_remove(family, slot);
    return rc;
}

static void policies(void)
{
    EXPECT_EQ(found_after(DEATH_RAISE, false), -EOWNERDEAD);
    EXPECT_EQ(found_after(DEATH_RELEASE, false), 0);
    EXPECT_EQ(found_after(DEATH_WAIT, false), -ETIMEDOUT);
    EXPECT_EQ(found_after(DEATH_RAISE, true), -ETIMEDOUT);
    EXPECT_EQ(found_after(DEATH_RELEASE, true), -ETIMEDOUT);
}

/* Who only polls hears of it as well. */
static void polling(void)
{
    struct user a = {0}, b = {.number = 1};
    struct lock *l = fresh(SLOT_LOCK, DEATH_RAISE);
    user_join(&a, family);
    user_join(&b, family);
    EXPECT_EQ(user_lock(&a, slot, 0), 0);
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(lock_poll_owner(b.f, l, &b.suspicion), 0);
    view_die(a.f);
    int64_t began = clock_now();
    while (lock_poll_owner(b.f, l, &b.suspicion) == 0)
        EXPECT(!lock_try(l, b.me) && clock_now() - began < SECOND);
    EXPECT_EQ(lock_poll_owner(b.f, l, &b.suspicion), -EOWNERDEAD);
    EXPECT(lock_recover(b.f, l, b.me) && lock_mine(l, b.me) && !lock_recover(family, l, family_me(family)));
    EXPECT(user_unlock(&b, slot));
    view_leave(b.f);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    RUN(exclusion);
    RUN(timeouts);
    RUN(reentry);
    RUN(policies);
    RUN(polling);
    RUN(owners_die);
    family_end(family);
    return GOOD;
}
