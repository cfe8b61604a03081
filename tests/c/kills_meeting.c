/* SPDX-License-Identifier: MIT */
/* Kills at every step of what processes do with conditions and barriers. */
#include "kills.h"

#define LONG (5 * SECOND) /* for what must not take long: the judge sees to that */
#define PARTIES 3

/* Condition --------------------------------------------------------------------------------------------------------- */

static struct lock *lock(void) { return slot_at(family, scene->slot[0]); }
static struct condition *condition(void) { return slot_at(family, scene->slot[1]); }

static void settle(void) { condition_settle(condition(), load_relaxed(&lock()->deaths)); }

static void notify(struct user *u, uint64_t n)
{
    settle();
    user_notify(u, scene->slot[0], scene->slot[1], n);
}

/* As Lock.acquire(), with Condition.recover() where it raises. */
static void enter(struct user *u)
{
    int rc;
    while ((rc = user_lock(u, scene->slot[0], in(LONG))) == -EOWNERDEAD) {
        EXPECT(scene->killed);
        user_reap(u, load_relaxed(&lock()->word));
        if (lock_recover(family, lock(), u->me)) {
            notify(u, UINT32_MAX);
            return;
        }
    }
    EXPECT_EQ(rc, 0);
}

/* Without the lock. What a killed holder was to notify may never come: who waits for it looks at the lock as well. */
static void doze(struct user *u, uint32_t ticket)
{
    struct waiting w;
    int rc;
    waiting_begin(&w, in(LONG), BACKSTOP_OWNED);
    while ((rc = condition_sleep(family, scene->slot[1], u->me, ticket, &w, &u->history)) == -EINTR)
        if (lock_suspect(family, lock(), &w))
            break;
    waiting_end(&w);
    EXPECT(rc != -ETIMEDOUT);
}

static bool wait_once(struct user *u)
{
    settle();
    uint32_t ticket = condition_take(condition(), u->me);
    user_unlock(u, scene->slot[0]);
    doze(u, ticket);
    enter(u);
    settle();
    return condition_cancel(condition(), ticket);
}

static void condition_prepare(void)
{
    keep(SLOT_LOCK);
    keep(SLOT_CONDITION);
}

static void await_flag(void)
{
    struct user u = self();
    enter(&u);
    while (!scene->flag)
        wait_once(&u);
    user_unlock(&u, scene->slot[0]);
}

static void raise_flag(uint64_t n)
{
    struct user u = self();
    enter(&u);
    scene->flag = 1;
    notify(&u, n);
    user_unlock(&u, scene->slot[0]);
}

static void notify_sleepers(void)
{
    companions_asleep();
    raise_flag(2);
}

/* Unless the dead never said so, its companions need nobody else. */
static void condition_afterwards(void)
{
    if (!scene->flag)
        raise_flag(UINT32_MAX);
    await_flag();
    EXPECT_EQ(load_relaxed(&lock()->word) & LOCK_DEAD, 0);
}

/* The victim's ticket is the older: no notify may be spent on it once it is dead. */
static void wait_first(void)
{
    struct user u = self();
    enter(&u);
    scene->inside = 1;
    while (!scene->flag)
        wait_once(&u);
    user_unlock(&u, scene->slot[0]);
}

/* When the two wait for it; or as soon as the victim is halted, and dead if it is to die at once. */
static void notify_waiters(void)
{
    UNTIL((asleep(scene->victim) && asleep(scene->companion[0])) || scene->reached || scene->go);
    if (mode == KILL && scene->reached)
        UNTIL(scene->go && asleep(scene->companion[0]));
    raise_flag(scene->killed && scene->go ? 1 : 2); /* one that was alive then may take its notify with it */
}

static void wait_second_and_notify(void)
{
    if (number == 1) {
        notify_waiters();
        return;
    }
    UNTIL(scene->inside || scene->reached || scene->go);
    await_flag();
}

/* Gives up in time: no notify finds its ticket. */
static void wait_in_vain(void)
{
    struct user u = self();
    for (int i = 0; i < 2; i++) {
        enter(&u);
        settle();
        uint32_t ticket = condition_take(condition(), u.me);
        user_unlock(&u, scene->slot[0]);
        EXPECT_EQ(user_doze(&u, scene->slot[1], ticket, in(MILLISECOND)), -ETIMEDOUT);
        enter(&u);
        condition_cancel(condition(), ticket);
        user_unlock(&u, scene->slot[0]);
    }
}

/* Barrier ----------------------------------------------------------------------------------------------------------- */

static struct barrier *barrier(void) { return slot_at(family, scene->slot[0]); }

static void barrier_prepare(void)
{
    keep(SLOT_BARRIER);
    barrier()->parties = PARTIES;
}

static void act(struct user *u)
{
    (void)u;
    scene->acted++;
}

/* All meet twice unarmed, so that each half of the members' table has known them. */
static void acquainted(void (*action)(struct user *))
{
    struct user u = self();
    uint32_t round;
    int steps = steps_left;
    steps_left = 0;
    for (int i = 0; i < 2; i++)
        EXPECT(user_meet(&u, scene->slot[0], in(LONG), action, &round) >= 0);
    steps_left = steps;
}

/* Of the dead one's rounds some may be whole, but no later one, and none goes on waiting. The last is unarmed. */
static void meet_until_broken(void (*action)(struct user *), int rounds)
{
    struct user u = self();
    uint32_t round;
    for (int i = 0; i < rounds; i++) {
        if (i == rounds - 1)
            steps_left = 0;
        int rc = user_meet(&u, scene->slot[0], in(LONG), action, &round);
        EXPECT(rc < PARTIES && (rc >= 0 || scene->killed));
        if (rc >= 0)
            continue;
        EXPECT_EQ(load_relaxed(&barrier()->broken_pid), victim_pid != 0 ? (uint32_t)victim_pid : 0);
        break;
    }
}

static void meet(void)
{
    acquainted(NULL);
    meet_until_broken(NULL, 4);
}

static void meet_and_act(void)
{
    acquainted(act);
    meet_until_broken(act, 4);
}

static void know_victim(void)
{
    UNTIL(scene->victim);
    victim_pid = participant_pid(family, scene->victim);
}

static void companion_meets(void)
{
    know_victim();
    meet();
}

static void companion_meets_and_acts(void)
{
    know_victim();
    meet_and_act();
}

static void barrier_whole(void) { EXPECT(!(load_relaxed(&barrier()->word) & BARRIER_BROKEN)); }

/* Long enough for two backstops: a stopped member is none that was killed. */
static void barrier_meanwhile(void)
{
    if (steps_given % 4 == 0)
        usleep(70000);
    barrier_whole();
}

static void barrier_afterwards(void)
{
    UNTIL(scene->done == COMPANIONS);
    EXPECT_EQ((load_relaxed(&barrier()->word) & BARRIER_BROKEN) != 0, scene->killed);
    EXPECT(scene->acted == 0 || (scene->acted >= 2 && scene->acted <= 6));
    EXPECT(scene->killed || scene->acted == 0 || scene->acted == 6);
    barrier_reset(barrier());
    barrier_whole();
    EXPECT_EQ(barrier_count(load_relaxed(&barrier()->word)), 0);
}

/* An interrupted waiter takes its arrival back; then it comes with the others after all. */
static void withdraw(void)
{
    struct user u = self();
    uint32_t round, index;
    acquainted(NULL);
    bool came = barrier_arrive(barrier(), u.me, false, &round, &index) != ARRIVED;
    for (int i = came || !barrier_withdraw(barrier(), u.me, round); i < 4; i++) {
        if (i == 3)
            steps_left = 0;
        user_meet(&u, scene->slot[0], in(LONG), NULL, &round);
    }
}

static uint32_t arrived(void) { return barrier_count(load_relaxed(&barrier()->word)); }

/* Who withdraws and comes again must not blot the cell of the victim, who came in between. */
static void come_second(void)
{
    acquainted(NULL);
    UNTIL(scene->flag);
    meet_until_broken(NULL, 4);
}

static void come_first_and_withdraw(void)
{
    struct user u = self();
    uint32_t round, index;
    know_victim();
    acquainted(NULL);
    if (number == 1) {
        UNTIL(scene->flag == 2);
    } else {
        EXPECT_EQ(barrier_arrive(barrier(), u.me, false, &round, &index), ARRIVED);
        scene->flag = 1;
        UNTIL(arrived() == 2 || scene->reached || scene->go);
        EXPECT(barrier_withdraw(barrier(), u.me, round));
        scene->flag = 2;
    }
    meet_until_broken(NULL, 4);
}

/* Resets while others come: their rounds are broken or whole, and both know which. */
static void reset_victim(void)
{
    for (int i = 0; i < 2; i++) {
        barrier_break(barrier(), BARRIER_ANY_ROUND, 0);
        barrier_reset(barrier());
    }
}

static void meet_or_break(void)
{
    struct user u = self();
    uint32_t round;
    for (int i = 0; i < 3; i++)
        user_meet(&u, scene->slot[0], in(50 * MILLISECOND), NULL, &round);
}

static void reset_afterwards(void)
{
    UNTIL(scene->done == COMPANIONS);
    barrier_reset(barrier());
    barrier_whole();
}

static const struct scenario scenarios[] = {
    {.name = "condition, notify",
     .prepare = condition_prepare,
     .victim = notify_sleepers,
     .companion = await_flag,
     .companions = 2,
     .afterwards = condition_afterwards},
    {.name = "condition, wait",
     .prepare = condition_prepare,
     .victim = wait_first,
     .companion = wait_second_and_notify,
     .companions = 2},
    {.name = "condition, give up",
     .prepare = condition_prepare,
     .victim = wait_in_vain,
     .companion = await_flag,
     .companions = 1,
     .afterwards = condition_afterwards},
    {.name = "barrier",
     .prepare = barrier_prepare,
     .victim = meet,
     .companion = companion_meets,
     .companions = 2,
     .meanwhile = barrier_meanwhile,
     .afterwards = barrier_afterwards},
    {.name = "barrier with an action",
     .prepare = barrier_prepare,
     .victim = meet_and_act,
     .companion = companion_meets_and_acts,
     .companions = 2,
     .meanwhile = barrier_meanwhile,
     .afterwards = barrier_afterwards},
    {.name = "barrier, withdraw",
     .prepare = barrier_prepare,
     .victim = withdraw,
     .companion = companion_meets,
     .companions = 2,
     .meanwhile = barrier_meanwhile,
     .afterwards = barrier_afterwards},
    {.name = "barrier, another withdraws",
     .prepare = barrier_prepare,
     .victim = come_second,
     .companion = come_first_and_withdraw,
     .companions = 2,
     .meanwhile = barrier_meanwhile,
     .afterwards = barrier_afterwards},
    {.name = "barrier, reset",
     .prepare = barrier_prepare,
     .victim = reset_victim,
     .companion = meet_or_break,
     .companions = 2,
     .afterwards = reset_afterwards},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
