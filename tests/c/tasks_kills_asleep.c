/* SPDX-License-Identifier: MIT */
/* Kills or stops a worker that sleeps, is woken and takes a task, at each of its steps. Sleeps of workers have no
 * backstop. Still another worker takes what the victim did not come to, as the pool wakes it. */
#define QUEUE_PAGE_BITS 2
#define QUEUE_DIRECTORY 4u
#define STORE_BLOCKS 64u
#include "kills.h"
#include "pool.h"

static int wanted; /* tasks */

static void two_places(int n)
{
    wanted = n;
    pool_new();
    worker_prepare(pool, 0);
    worker_prepare(pool, 1);
    for (int i = n; i < ELEMENTS; i++)
        settle((uint64_t)i, CANCELLED);
}

static void one_task(void) { two_places(1); }
static void many_tasks(void) { two_places(ELEMENTS); }

static void serve_first(void) { serve(0); }

/* Behind the victim, so that the victim is woken for the first task. */
static void serve_second(void)
{
    UNTIL(scene->reached || asleep(scene->victim));
    usleep(1000);
    serve(1);
}

static void deal_singles(void)
{
    while (deals < wanted)
        deal((uint64_t)deals, 1, 0, 1);
}

/* Drains. If nothing comes, perhaps the worker that was woken is not there any more. */
static void drain_until(bool (*done)(void))
{
    struct spin_history history = {0};
    while (!done()) {
        drain();
        if (result_wait(results, NEVER, &history) == -ETIMEDOUT)
            workers_wake(tasks, 1);
    }
}

static bool halted_or_settled(void) { return all_settled() || halted(); }

static void alongside(void)
{
    UNTIL(halted() || (asleep(scene->victim) && asleep(scene->companion[0])));
    deal_singles();
    drain_until(halted_or_settled);
    if (all_settled())
        pool_leave(tasks, pool);
}

static bool is_victims(uint64_t name)
{
    struct task *t;
    const struct block *b = block_at(&tasks->store, name_class(name), name_index(name));
    return task_look(tasks, name, &t) == TASK_TAKEN &&
           block_participant(load_acquire(&b->word)) == identity_index(scene->victim);
}

/* All but what the victim has taken. */
static bool rest_settled(void)
{
    for (int i = 0; i < wanted; i++)
        if (watch->outcome[i] == NONE && !is_victims(dealt[i].block))
            return false;
    return true;
}

static void meanwhile(void)
{
    deal_singles();
    drain_until(rest_settled);
    if (mode == STOP_GO)
        pool_leave(tasks, pool);
}

static void afterwards(void)
{
    deal_singles();
    settle_death(0);
    drain_until(all_settled);
    pool_leave(tasks, pool);
    UNTIL(scene->done == playing->companions);
    settle_death(1);
    expect_outcomes();
    EXPECT(watch->died <= scene->killed);
    pool_end();
}

int main(void)
{
    static const struct scenario all[] = {
        {"woken for a task", one_task, serve_first, serve_second, alongside, meanwhile, afterwards, .companions = 1},
        {"woken for many", many_tasks, serve_first, serve_second, alongside, meanwhile, afterwards, .companions = 1},
    };
    return run_scenarios(all, sizeof all / sizeof *all);
}
