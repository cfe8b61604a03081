/* SPDX-License-Identifier: MIT */
/* turn.h: who waits is woken, and what a forked child thinks of turns. wire.c has the rest. */
#include "check.h"
#include "core/wire/turn.h"

#include <sys/wait.h>

static pthread_mutex_t interpreter = PTHREAD_MUTEX_INITIALIZER; /* what guards the turns */
static struct turn turn;

static void lock(void) { EXPECT_EQ(pthread_mutex_lock(&interpreter), 0); }

static void unlock(void) { EXPECT_EQ(pthread_mutex_unlock(&interpreter), 0); }

/* As a connection begins. Returns how often it was told to serve signals. */
static int begin_turn(void)
{
    int served = 0;
    while (turn_taken(&turn)) {
        EXPECT(!turn_mine(&turn));
        uint32_t seen = load_relaxed(&turn.given);
        turn.waiters++;
        unlock();
        int rc = turn_wait(&turn, seen);
        EXPECT(rc == 0 || rc == -EINTR);
        served += rc == -EINTR;
        lock();
        turn.waiters--;
    }
    turn_take(&turn);
    EXPECT(turn_taken(&turn) && turn_mine(&turn) && !turn_orphaned(&turn));
    return served;
}

static void *take_one_turn(void *served)
{
    lock();
    *(int *)served += begin_turn();
    turn_give(&turn);
    unlock();
    return NULL;
}

static void until_one_waits(void)
{
    for (bool waits = false; !waits; usleep(500)) {
        lock();
        waits = turn.waiters == 1;
        unlock();
    }
}

/* Who waits is woken: not so if it were the second after which it would look by itself. A signal is told at once. */
static void waking(void)
{
    pthread_t other;
    int served = 0;
    uint32_t given = load_relaxed(&turn.given);
    for (int i = 0; i < 10 && served < 3; i++) {
        lock();
        begin_turn();
        unlock();
        EXPECT_EQ(pthread_create(&other, NULL, take_one_turn, &served), 0);
        until_one_waits();
        lock();
        turn_give(&turn);
        unlock();
        EXPECT_EQ(pthread_join(other, NULL), 0);
        EXPECT_EQ(load_relaxed(&turn.given), ++given);
    }
    EXPECT(served < 3); /* a slow machine may need the second, but not again and again */
    lock();
    begin_turn();
    turn_give(&turn);
    unlock();
    EXPECT_EQ(load_relaxed(&turn.given), given); /* nobody waits, nobody is woken */
    int64_t began = clock_now();
    EXPECT_EQ(turn_wait(&turn, given + 1), 0); /* it has ended meanwhile */
    EXPECT_EQ(turn_wait(&turn, given), -EINTR);
    EXPECT(clock_now() >= began + SECOND);
}

/* The process that a fork makes: what it thinks of a turn of its own thread, and of one that only its parent has. */
static void in_a_child(bool mine)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        EXPECT_EQ(turn_taken(&turn), mine);
        EXPECT_EQ(turn_mine(&turn), mine);
        EXPECT_EQ(turn_orphaned(&turn), !mine);
        turn.waiters = 3; /* who waited at the fork is not here */
        uint32_t given = load_relaxed(&turn.given);
        turn_take(&turn);
        EXPECT(turn_mine(&turn) && turn.waiters == 0);
        turn_give(&turn);
        EXPECT_EQ(load_relaxed(&turn.given), given);
        EXPECT(!turn_taken(&turn) && !turn_orphaned(&turn));
        _exit(GOOD);
    }
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT(turn_taken(&turn) && !turn_orphaned(&turn));
    EXPECT_EQ(turn_mine(&turn), mine);
}

static shared32 may_end;

static void *hold_turn(void *unused)
{
    lock();
    begin_turn();
    unlock();
    while (!load_relaxed(&may_end))
        usleep(100);
    lock();
    turn_give(&turn);
    unlock();
    return unused;
}

static void turn_is_taken(void)
{
    for (bool taken = false; !taken; usleep(100)) {
        lock();
        taken = turn_taken(&turn);
        unlock();
    }
}

static void forking(void)
{
    pthread_t other;
    lock();
    begin_turn();
    in_a_child(true);
    turn_give(&turn);
    unlock();
    EXPECT_EQ(pthread_create(&other, NULL, hold_turn, NULL), 0);
    turn_is_taken();
    lock();
    in_a_child(false);
    unlock();
    store_relaxed(&may_end, 1);
    EXPECT_EQ(pthread_join(other, NULL), 0);
}

int main(void)
{
    begin(30);
    RUN(waking);
    RUN(forking);
    return GOOD;
}
