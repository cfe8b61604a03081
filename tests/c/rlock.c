/* SPDX-License-Identifier: MIT */
/* rlock.h: depth, and who may do what; locks that a dead owner left at any depth. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */

static struct lock *fresh(uint32_t policy)
{
    slot = make(family, SLOT_RLOCK);
    struct lock *l = slot_at(family, slot);
    l->policy = policy;
    return l;
}

static void done(void) { handle_remove(family, slot); }

static int enter(struct user *u, int64_t deadline)
{
    struct lock *l = slot_at(u->f, slot);
    if (rlock_reenter(l, u->me))
        return 0;
    int rc = user_lock(u, slot, deadline);
    if (rc == 0)
        rlock_set_depth(l, 1);
    return rc;
}

static int leave(struct user *u) { return rlock_release(u->f, slot_at(u->f, slot), u->me); }

static void depth(void)
{
    struct lock *l = fresh(DEATH_RAISE);
    EXPECT_EQ(leave(&self), -EPERM);
    EXPECT(!rlock_reenter(l, self.me));
    for (uint32_t n = 1; n <= 1000; n++) {
        EXPECT_EQ(enter(&self, 0), 0);
        EXPECT_EQ(rlock_depth(l), n);
    }
    for (uint32_t n = 1000; n > 0; n--) {
        EXPECT(lock_mine(l, self.me));
        EXPECT_EQ(rlock_depth(l), n);
        EXPECT_EQ(leave(&self), 0);
    }
    EXPECT_EQ(leave(&self), -EPERM);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(load_relaxed(&l->holder), 0);
    done();
}

static void *stranger(void *argument)
{
    struct user *first = argument, u = {.f = first->f, .me = first->me};
    EXPECT(!lock_mine(slot_at(u.f, slot), u.me));
    EXPECT_EQ(leave(&u), -EPERM);
    EXPECT_EQ(enter(&u, 0), -ETIMEDOUT);
    EXPECT_EQ(enter(&u, clock_deadline(-1)), -ETIMEDOUT);
    int64_t deadline = in(30 * MILLISECOND);
    EXPECT_EQ(enter(&u, deadline), -ETIMEDOUT);
    EXPECT(clock_now() >= deadline);
    return NULL;
}

/* Another thread of the owner's process, and another process: neither owns it. */
static void others(void)
{
    struct user b = {.number = 1};
    pthread_t thread;
    struct lock *l = fresh(DEATH_RAISE);
    user_join(&b, family);
    EXPECT_EQ(enter(&self, 0), 0);
    EXPECT_EQ(enter(&self, 0), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, stranger, &self), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(pthread_create(&thread, NULL, stranger, &b), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(rlock_depth(l), 2);
    EXPECT_EQ(leave(&self), 0);
    EXPECT_EQ(enter(&b, 0), -ETIMEDOUT);
    EXPECT_EQ(leave(&self), 0);
    EXPECT_EQ(enter(&b, 0), 0);
    EXPECT_EQ(rlock_depth(l), 1);
    EXPECT_EQ(leave(&self), -EPERM);
    EXPECT_EQ(leave(&b), 0);
    view_leave(b.f);
    done();
}

static uint64_t counter; /* guarded by the lock */
static shared32 inside, entered;

static void nest(struct user *u)
{
    struct lock *l = slot_at(u->f, slot);
    for (int i = times(8000); i > 0; i--) {
        int64_t deadline = chance(2) ? NEVER : in(chance(200) * MICROSECOND);
        int rc = enter(u, deadline);
        EXPECT(rc == 0 || (rc == -ETIMEDOUT && deadline != NEVER));
        if (rc != 0)
            continue;
        EXPECT_EQ(add_relaxed(&inside, 1u), 0);
        uint32_t more = chance(4);
        for (uint32_t n = 0; n < more; n++)
            EXPECT_EQ(enter(u, 0), 0);
        EXPECT_EQ(rlock_depth(l), more + 1);
        counter++;
        STEP();
        for (uint32_t n = 0; n < more; n++)
            EXPECT_EQ(leave(u), 0);
        add_relaxed(&entered, 1u);
        EXPECT_EQ(sub_relaxed(&inside, 1u), 1);
        EXPECT_EQ(leave(u), 0);
    }
}

static void exclusion(void)
{
    struct lock *l = fresh(DEATH_RAISE);
    crowd(family, 3, true, nest);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(counter, load_relaxed(&entered));
    done();
}

/* Takes the lock at a depth and is killed; perhaps reaped before anybody asks for the lock. */
static struct lock *left_behind(struct user *b, uint32_t policy, uint32_t deep, bool reaped)
{
    struct user a = {0};
    struct lock *l = fresh(policy);
    user_join(&a, family);
    user_join(b, family);
    user_keep(&a, slot);
    for (uint32_t n = 0; n < deep; n++)
        EXPECT_EQ(enter(&a, 0), 0);
    if (deep == 0) /* between the lock and its depth */
        EXPECT_EQ(user_lock(&a, slot, 0), 0);
    view_die(a.f);
    if (reaped)
        user_reap(b, a.me);
    return l;
}

static void recovered(uint32_t deep, bool reaped)
{
    struct user b = {.number = 1};
    struct lock *l = left_behind(&b, DEATH_RAISE, deep, reaped);
    EXPECT(!rlock_reenter(l, b.me));
    EXPECT_EQ(enter(&b, in(400 * MILLISECOND)), -EOWNERDEAD);
    EXPECT_EQ(leave(&b), -EPERM);
    EXPECT(load_relaxed(&l->dead_pid) >= NO_SUCH_PID);
    EXPECT(lock_recover(b.f, l, b.me));
    EXPECT(!lock_recover(family, l, self.me));
    EXPECT_EQ(load_relaxed(&l->deaths), 1);
    EXPECT_EQ(rlock_depth(l), 1); /* whatever the dead one's was */
    EXPECT_EQ(enter(&b, 0), 0);
    EXPECT_EQ(leave(&b), 0);
    EXPECT_EQ(leave(&b), 0);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(enter(&self, 0), 0);
    EXPECT_EQ(leave(&self), 0);
    view_leave(b.f);
    done();
}

static void given_free(uint32_t deep)
{
    struct user b = {.number = 1};
    struct lock *l = left_behind(&b, DEATH_RELEASE, deep, true);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(enter(&b, 0), 0);
    EXPECT_EQ(rlock_depth(l), 1);
    EXPECT_EQ(leave(&b), 0);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    view_leave(b.f);
    done();
}

static void deaths(void)
{
    for (uint32_t deep = 0; deep < 4; deep++) {
        recovered(deep, false);
        recovered(deep, true);
        given_free(deep);
    }
    struct user b = {.number = 1};
    struct lock *l = left_behind(&b, DEATH_WAIT, 2, true);
    EXPECT_EQ(enter(&b, in(5 * MILLISECOND)), -ETIMEDOUT);
    EXPECT(!lock_recover(b.f, l, b.me));
    view_leave(b.f);
    done();
}

/* Names of nobody: beyond the table, of entry 0, of a generation to come. They hold the lock, and nothing is read there. */
static void damage(void)
{
    uint32_t free = FAMILY_PARTICIPANTS - 1;
    const uint32_t words[] = {identity_make(4095, 7), identity_make(0, 1), identity_make(free, 3), UINT32_MAX - 2};
    struct lock *l = fresh(DEATH_RAISE);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        store_relaxed(&l->word, words[i]);
        EXPECT_EQ(enter(&self, in(50 * MILLISECOND)), words[i] & LOCK_DEAD ? -EOWNERDEAD : -ETIMEDOUT);
        EXPECT_EQ(leave(&self), -EPERM);
        EXPECT(!lock_mine(l, self.me) && !participant_died(family, words[i]));
        lock_check_owner(family, l, words[i]);
        EXPECT(!lock_recover(family, l, self.me));
    }
    store_relaxed(&l->word, identity_make(4095, 7) | LOCK_DEAD);
    EXPECT(lock_recover(family, l, self.me));
    EXPECT_EQ(leave(&self), 0);
    done();
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(depth);
    RUN(others);
    RUN(exclusion);
    RUN(deaths);
    RUN(damage);
    family_end(family);
    return GOOD;
}
