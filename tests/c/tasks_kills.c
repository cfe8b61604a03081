/* SPDX-License-Identifier: MIT */
/* Kills a worker of a pool before each of its writes to shared memory. Or stops it there, recalls and cancels meanwhile,
 * and kills it or lets it go on. The same with a process that reaps a worker. Each element has one outcome, none runs
 * twice, a death costs one element at most, and nothing is left in either ring. */
#define QUEUE_PAGE_BITS 2
#define QUEUE_DIRECTORY 4u
#define STORE_BLOCKS 64u
#include "kills.h"
#include "pool.h"

static bool recalls, condemns;

/* A group of four, and two singles. */
static void deal_all(void)
{
    pool_new();
    deal(0, 4, 0, 4);
    deal(4, 1, 0, 1);
    deal(5, 1, 0, 1);
    worker_prepare(pool, 0);
    worker_prepare(pool, 1);
}

static void small_results(void) { deal_all(); }

static void large_results(void)
{
    cell_bytes = 20000;
    deal_all();
}

static void recalled(void)
{
    recalls = true;
    deal_all();
}

static void condemned(void)
{
    condemns = true;
    deal_all();
}

static void work_first(void) { work(0); }
static void work_second(void) { work(1); }

/* Deals again what was taken away from a worker, one by one. */
static void deal_rest(uint64_t first, uint32_t count, uint32_t from, uint32_t to)
{
    for (; from < to; from++)
        if (watch->outcome[first + from] == NONE)
            deal(first, count, from, from + 1);
}

/* The victim is condemned. It may as well go on: it takes no other task. */
static void execute(void)
{
    if (mode == STOP_GO) {
        kill(victim_pid, SIGCONT);
        UNTIL(watch->given_up || halted());
        EXPECT(!halted());
    }
    kill_stopped();
}

/* The victim is stopped. Cancels the element that it runs, or was about to claim. */
static void condemn(struct task *t, uint32_t first)
{
    uint32_t from, to, next = group_next(load_acquire(&t->group)), element = next > first ? next - 1 : first;
    enum condemned how = group_condemn(&t->group, element, &from, &to);
    if (how == CONDEMNED_LATE)
        return;
    settle(t->first + element, CANCELLED);
    deal_rest(t->first, t->count, from, to);
    if (how == CONDEMNED_RUNNING) {
        EXPECT_EQ(load_relaxed(&t->taker), (uint32_t)victim_pid);
        execute();
    }
}

/* The victim is stopped somewhere. */
static void meanwhile(void)
{
    int before = deals;
    for (int i = 0; i < before && !scene->killed; i++) {
        struct task *t;
        uint32_t from, to;
        if (task_look(tasks, dealt[i].block, &t) != TASK_TAKEN)
            continue;
        EXPECT_EQ(t->job, JOB);
        if (recalls && group_recall(&t->group, &from, &to))
            deal_rest(t->first, t->count, from, to);
        if (condemns)
            condemn(t, dealt[i].next);
    }
}

/* Another worker does the rest. */
static void finish(void)
{
    int status;
    settle_death(0);
    pid_t pid = spawn(work_second);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    settle_death(1);
    expect_outcomes();
    pool_end();
}

static void afterwards(void)
{
    finish();
    EXPECT(watch->died <= scene->killed);
}

/* A worker is dead, in its last element of the group of four. The victim is another process that reaps it, while the pool
 * settles its death. */
static pid_t dying_pid;

static void work_and_die(void)
{
    dies_in = 3;
    work(0);
}

static void prepare_dying(void)
{
    deal_all();
    dying_pid = spawn(work_and_die);
    UNTIL(watch->dying != 0);
}

static void kill_dying(void)
{
    int status;
    kill(dying_pid, SIGKILL);
    EXPECT_EQ(waitpid(dying_pid, &status, 0), dying_pid);
    watch->dead = 1;
}

static void reap_it(void)
{
    struct reaped r = {0};
    UNTIL(watch->dead);
    reap_owner(family, watch->dying, &r);
}

static void settled_meanwhile(void)
{
    settle_death(0);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(watch->outcome[i], RESULT);
    EXPECT_EQ(watch->outcome[3], DIED);
}

static void reaped_afterwards(void)
{
    finish();
    EXPECT_EQ(watch->died, 1);
}

int main(void)
{
    static const struct scenario all[] = {
        {"worker", small_results, work_first, .meanwhile = meanwhile, .afterwards = afterwards},
        {"worker, large results", large_results, work_first, .meanwhile = meanwhile, .afterwards = afterwards},
        {"worker, recalled", recalled, work_first, .meanwhile = meanwhile, .afterwards = afterwards},
        {"worker, condemned", condemned, work_first, .meanwhile = meanwhile, .afterwards = afterwards},
        {"reaper of a worker", prepare_dying, reap_it, .alongside = kill_dying, .meanwhile = settled_meanwhile,
         .afterwards = reaped_afterwards},
    };
    return run_scenarios(all, sizeof all / sizeof *all);
}
