/* SPDX-License-Identifier: MIT */
/* Kills at every step of what processes do with locks, semaphores, events, conditions and barriers. */
#include "kills.h"

#define LONG (5 * SECOND) /* for what must not take long: the judge sees to that */

static uint32_t deaths_of_lock(void) { return load_relaxed(&((struct lock *)slot_at(family, scene->slot[0]))->deaths); }

static struct lock *first_lock(void) { return slot_at(family, scene->slot[0]); }

/* Lock and RLock ---------------------------------------------------------------------------------------------------- */

/* The lock, from whoever has it; a killed owner's by recover(). */
static void obtain(struct user *u, int64_t deadline, bool *timed_out)
{
    struct lock *l = first_lock();
    int rc;
    while ((rc = user_lock(u, scene->slot[0], deadline)) == -EOWNERDEAD) {
        EXPECT(scene->killed || scene->flag < 0); /* nobody takes a stopped process for dead */
        user_reap(u, load_relaxed(&l->word));
        if (lock_recover(family, l, u->me)) {
            scene->recoveries++;
            scene->inside = 0;
            rc = 0;
            break;
        }
    }
    *timed_out = rc == -ETIMEDOUT;
    EXPECT(rc == 0 || (*timed_out && deadline < clock_now()));
}

static void section(void)
{
    EXPECT_EQ(scene->inside++, 0);
    sched_yield();
    EXPECT_EQ(scene->inside--, 1);
}

static void use_lock(int64_t deadline)
{
    struct user u = self();
    bool timed_out;
    obtain(&u, deadline, &timed_out);
    if (timed_out)
        return;
    section();
    EXPECT(user_unlock(&u, scene->slot[0]));
}

static void lock_prepare(void) { keep(SLOT_LOCK); }
static void lock_patiently(void) { use_lock(in(LONG)); }
static void lock_meanwhile(void) { use_lock(in(MILLISECOND)); }

static void releasing_prepare(void)
{
    lock_prepare();
    first_lock()->policy = DEATH_RELEASE;
}

static void lock_afterwards(void)
{
    use_lock(in(LONG));
    use_lock(in(LONG));
    EXPECT(scene->recoveries <= scene->killed);
}

/* DEATH_RELEASE: who comes next finds the section as the dead left it. */
static void use_released(void)
{
    struct user u = self();
    EXPECT_EQ(user_lock(&u, scene->slot[0], in(LONG)), 0);
    if (scene->killed)
        scene->inside = 0;
    section();
    EXPECT(user_unlock(&u, scene->slot[0]));
}

/* The holder, when others wait already. */
static void held_victim(void)
{
    struct user u = self();
    EXPECT_EQ(user_lock(&u, scene->slot[0], NEVER), 0);
    scene->inside++;
    scene->go = 1;
    companions_asleep();
    scene->inside--;
    EXPECT(user_unlock(&u, scene->slot[0]));
}

static void late_companion(void)
{
    UNTIL(scene->go);
    use_lock(in(LONG));
}

/* The waiters, when the judge frees it. */
static void judged_prepare(void)
{
    lock_prepare();
    EXPECT(lock_try(first_lock(), family_me(family)));
}

static void release_to_sleepers(void)
{
    companions_asleep();
    UNTIL(asleep(scene->victim) || halted());
    lock_release(family, first_lock());
}

static void rlock_prepare(void) { keep(SLOT_RLOCK); }

static void use_rlock(void)
{
    struct user u = self();
    bool timed_out;
    obtain(&u, in(LONG), &timed_out);
    EXPECT(!timed_out);
    rlock_set_depth(first_lock(), 1);
    EXPECT(rlock_reenter(first_lock(), u.me));
    EXPECT_EQ(rlock_release(family, first_lock(), u.me), 0);
    section();
    EXPECT_EQ(rlock_release(family, first_lock(), u.me), 0);
    EXPECT_EQ(rlock_release(family, first_lock(), u.me), -EPERM);
}

/* Somebody died as the owner before the victim, which then mends it. */
static void dead_owner(void)
{
    struct user u = self();
    user_lock(&u, scene->slot[0], 0);
    scene->inside = 1;
    kill(getpid(), SIGKILL);
}

static void recover_prepare(void)
{
    int status;
    lock_prepare();
    scene->flag = -1; /* a death that is not the victim's */
    EXPECT(waitpid(spawn(dead_owner), &status, 0) > 0 && WIFSIGNALED(status));
}

static void recover_afterwards(void)
{
    use_lock(in(LONG));
    EXPECT(scene->recoveries >= 1 && scene->recoveries <= 1 + scene->killed);
    EXPECT(deaths_of_lock() >= 1 && deaths_of_lock() <= 1u + (uint32_t)scene->killed);
}

/* Semaphore --------------------------------------------------------------------------------------------------------- */

static struct semaphore *semaphore(void) { return slot_at(family, scene->slot[0]); }
static void semaphore_of(uint32_t value) { semaphore_init(slot_at(family, keep(SLOT_SEMAPHORE)), value, 10); }
static void semaphore_one(void) { semaphore_of(1); }
static void semaphore_none(void) { semaphore_of(0); }

static void down(void)
{
    struct user u = self();
    EXPECT_EQ(user_down(&u, scene->slot[0], in(LONG)), 0);
}

static void up(void)
{
    struct user u = self();
    EXPECT_EQ(user_up(&u, scene->slot[0]), 0);
}

static void down_and_up(void)
{
    down();
    up();
}

/* The dead took at most one with it, and this gives it back. */
static void semaphore_afterwards(void)
{
    uint32_t value = semaphore_value(semaphore());
    EXPECT(value == 1 || scene->killed);
    if (value == 0)
        up();
    down_and_up();
    EXPECT_EQ(semaphore_value(semaphore()), 1);
}

static void up_for_sleepers(void)
{
    companions_asleep();
    up();
}

/* Unless the dead was killed before it released, its companion needs nobody else. */
static void up_if_none(void)
{
    for (int i = 0; i < 300 && scene->done < 1; i++) {
        if (semaphore_value(semaphore()) == 0 && i == 100)
            up();
        usleep(100);
    }
}

static void up_twice(void)
{
    companions_asleep();
    UNTIL(asleep(scene->victim) || halted());
    up();
    up();
}

/* BoundedSemaphore -------------------------------------------------------------------------------------------------- */

static struct bounded *bounded(void) { return slot_at(family, scene->slot[0]); }

static void bounded_one(void)
{
    keep(SLOT_BOUNDED);
    bounded()->size = 1;
}

static void bounded_two_out(void)
{
    keep(SLOT_BOUNDED);
    bounded()->size = 2;
    EXPECT(bounded_try(bounded(), family_me(family)) && bounded_try(bounded(), family_me(family)));
}

static void enter_and_exit(void)
{
    struct user u = self();
    struct reaped r = {0};
    EXPECT_EQ(user_enter(&u, scene->slot[0], in(LONG), &r), 0);
    EXPECT(r.permits == 0 || scene->killed);
    EXPECT_EQ(user_exit(&u, scene->slot[0]), 0);
}

static void bounded_held_victim(void)
{
    struct user u = self();
    struct reaped r = {0};
    EXPECT_EQ(user_enter(&u, scene->slot[0], NEVER, &r), 0);
    scene->go = 1;
    companions_asleep();
    EXPECT_EQ(user_exit(&u, scene->slot[0]), 0);
}

static void bounded_late_companion(void)
{
    UNTIL(scene->go);
    enter_and_exit();
}

static void exit_twice(void)
{
    struct user u = self();
    companions_asleep();
    UNTIL(asleep(scene->victim) || halted());
    EXPECT_EQ(user_exit(&u, scene->slot[0]), 0);
    EXPECT_EQ(user_exit(&u, scene->slot[0]), 0);
}

static void bounded_afterwards(void)
{
    enter_and_exit();
    if (!scene->killed)
        return;
    struct reaped r = {0};
    reap_owner(family, scene->victim, &r);
    UNTIL(scene->done == playing->companions);
    EXPECT_EQ(bounded_value(bounded()), bounded()->size);
}

/* Event ------------------------------------------------------------------------------------------------------------- */

static struct event *event(void) { return slot_at(family, scene->slot[0]); }
static void event_unset(void) { keep(SLOT_EVENT); }
static void set_event(void) { event_set(event(), family_me(family)); }

static void await_event(void)
{
    struct user u = self();
    EXPECT_EQ(user_await(&u, scene->slot[0], in(LONG)), 0);
}

static void set_for_sleepers(void)
{
    companions_asleep();
    set_event();
}

static void set_when_all_sleep(void)
{
    companions_asleep();
    UNTIL(asleep(scene->victim) || halted());
    set_event();
    event_clear(event());
}

static void clear_and_set(void)
{
    set_event();
    event_clear(event());
    set_event();
    set_event();
    event_clear(event());
}

/* Unless it was never set, those who waited for it need nobody else. */
static void event_afterwards(void)
{
    if (EVENT_COUNT(load_relaxed(&event()->word)) == 0)
        set_event();
    UNTIL(scene->done == playing->companions);
    event_clear(event());
    EXPECT(!event_is_set(event()));
    set_event();
    await_event();
}

static const struct scenario scenarios[] = {
    {.name = "lock",
     .prepare = lock_prepare,
     .victim = lock_patiently,
     .meanwhile = lock_meanwhile,
     .afterwards = lock_afterwards},
    {.name = "lock, contended",
     .prepare = lock_prepare,
     .victim = lock_afterwards,
     .companion = lock_afterwards,
     .companions = 2,
     .meanwhile = lock_meanwhile,
     .afterwards = lock_afterwards},
    {.name = "lock, others wait",
     .prepare = lock_prepare,
     .victim = held_victim,
     .companion = late_companion,
     .companions = 2,
     .meanwhile = lock_meanwhile,
     .afterwards = lock_afterwards},
    {.name = "lock, waiter",
     .prepare = judged_prepare,
     .victim = lock_patiently,
     .companion = lock_patiently,
     .companions = 1,
     .alongside = release_to_sleepers,
     .meanwhile = lock_meanwhile,
     .afterwards = lock_afterwards},
    {.name = "lock that frees itself",
     .prepare = releasing_prepare,
     .victim = use_released,
     .afterwards = use_released},
    {.name = "rlock", .prepare = rlock_prepare, .victim = use_rlock, .afterwards = use_rlock},
    {.name = "rlock, contended",
     .prepare = rlock_prepare,
     .victim = use_rlock,
     .companion = use_rlock,
     .companions = 2,
     .afterwards = use_rlock},
    {.name = "recover",
     .prepare = recover_prepare,
     .victim = lock_patiently,
     .companion = lock_patiently,
     .companions = 1,
     .afterwards = recover_afterwards},
    {.name = "semaphore", .prepare = semaphore_one, .victim = down_and_up, .afterwards = semaphore_afterwards},
    {.name = "semaphore, others wait",
     .prepare = semaphore_none,
     .victim = up_for_sleepers,
     .companion = down,
     .companions = 1,
     .afterwards = up_if_none},
    {.name = "semaphore, waiter",
     .prepare = semaphore_none,
     .victim = down,
     .companion = down,
     .companions = 1,
     .alongside = up_twice},
    {.name = "bounded", .prepare = bounded_one, .victim = enter_and_exit, .afterwards = bounded_afterwards},
    {.name = "bounded, others wait",
     .prepare = bounded_one,
     .victim = bounded_held_victim,
     .companion = bounded_late_companion,
     .companions = 2,
     .afterwards = bounded_afterwards},
    {.name = "bounded, waiter",
     .prepare = bounded_two_out,
     .victim = enter_and_exit,
     .companion = enter_and_exit,
     .companions = 1,
     .alongside = exit_twice,
     .afterwards = bounded_afterwards},
    {.name = "event, set",
     .prepare = event_unset,
     .victim = set_for_sleepers,
     .companion = await_event,
     .companions = 2,
     .afterwards = event_afterwards},
    {.name = "event, wait",
     .prepare = event_unset,
     .victim = await_event,
     .companion = await_event,
     .companions = 1,
     .alongside = set_when_all_sleep,
     .afterwards = event_afterwards},
    {.name = "event, clear", .prepare = event_unset, .victim = clear_and_set, .afterwards = event_afterwards},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
