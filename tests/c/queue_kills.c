/* SPDX-License-Identifier: MIT */
/* Kills at every step of what a process does with a queue while others sleep on it: none of them sleeps on who could go
 * on. What the queue holds then is for queue_faults.c. */
#define QUEUE_PAGE_BITS 2
#define QUEUE_DIRECTORY 4u
#define STORE_BLOCKS 64u
#include "kills.h"
#include "core/queue/queue.h"
#include "core/life/tend.h"

#define LONG (5 * SECOND)

static struct queue *q;

static void make_queue(uint64_t maxsize)
{
    scene->slot[0] = (uint32_t)handle_claim(family, SLOT_LARGE, SLOT_QUEUE);
    scene->slots = 1;
    queue_init(slot_at(family, scene->slot[0]), maxsize, 0);
    EXPECT_EQ(queue_open(family, scene->slot[0], &q), 0);
}

static void wait_for(enum queue_end end, int64_t deadline)
{
    struct spin_history history = {0};
    struct waiting w;
    waiting_begin(&w, deadline, BACKSTOP_IDLE);
    int rc;
    while ((rc = queue_wait(q, end, &w, &history)) == -EINTR)
        ;
    waiting_end(&w);
    EXPECT(rc == 0 || clock_now() >= deadline);
}

static void put_one(void)
{
    int rc;
    int64_t deadline = in(LONG);
    while ((rc = queue_put_value(q, 1)) == -EAGAIN && clock_now() < deadline)
        wait_for(QUEUE_SPACE, deadline);
    EXPECT(rc == 0 || rc == -ESHUTDOWN);
}

static int get_one(void)
{
    struct store_item item;
    int rc;
    int64_t deadline = in(LONG);
    while ((rc = queue_take(q, &item)) == -EAGAIN && clock_now() < deadline)
        wait_for(QUEUE_ITEMS, deadline);
    EXPECT(rc == 0 || rc == -ESHUTDOWN);
    return rc;
}

/* Nobody needs more than there is: what the victim did not come to, the survivor does. */
static void until_done(bool (*stuck)(const struct queue *), void (*help)(void))
{
    while (scene->done < playing->companions) {
        if (stuck(q))
            help();
        usleep(200);
    }
}

static bool is_empty(const struct queue *view) { return queue_empty(view); }
static bool is_full(const struct queue *view) { return queue_full(view); }
static void end_queue(void) { queue_close(q); }

/* Two sleep until there is an item, the victim puts two. */
static void puts_prepare(void) { make_queue(0); }
static void gets(void) { EXPECT_EQ(get_one(), 0); }
static void puts_two(void)
{
    companions_asleep();
    put_one();
    put_one();
}
static void puts_afterwards(void)
{
    until_done(is_empty, put_one);
    end_queue();
}

/* Two sleep until there is room, the victim takes two. */
static void takes_prepare(void)
{
    make_queue(1);
    put_one();
}
static void takes_two(void)
{
    companions_asleep();
    gets();
    gets();
}
static void takes_afterwards(void)
{
    until_done(is_full, gets);
    end_queue();
}

/* The victim is one of those who sleep, and gives up. */
static void gives_up(void)
{
    wait_for(QUEUE_ITEMS, in(2 * MILLISECOND));
    queue_pass_on(q, QUEUE_ITEMS);
}
static void put_alongside(void)
{
    usleep(chance(4000));
    put_one();
    put_one();
}

/* Two sleep until the end, which the victim announces. */
static void closes(void)
{
    companions_asleep();
    queue_shutdown(q);
}
static void hears_of_end(void) { EXPECT_EQ(get_one(), -ESHUTDOWN); }
static void closes_afterwards(void)
{
    if (!load_relaxed(&q->header->shutdown))
        queue_shutdown(q);
    until_done(is_full, gets); /* never full: it only waits */
    end_queue();
}

/* Two sleep until everything is done with, which the victim does. */
static void done_prepare(void)
{
    make_queue(0);
    put_one();
    gets();
}
static void does(void)
{
    companions_asleep();
    EXPECT_EQ(queue_task_done(q), 0);
}
static void joins(void)
{
    int64_t deadline = in(LONG);
    while (queue_unfinished(q) != 0 && clock_now() < deadline)
        wait_for(QUEUE_DONE, deadline);
    EXPECT_EQ(queue_unfinished(q), 0);
}
static void done_afterwards(void)
{
    if (queue_unfinished(q) != 0)
        (void)queue_task_done(q);
    until_done(is_full, gets);
    end_queue();
}

static const struct scenario scenarios[] = {
    {"put, two sleep", puts_prepare, puts_two, gets, NULL, NULL, puts_afterwards, .companions = 2},
    {"take, two sleep", takes_prepare, takes_two, put_one, NULL, NULL, takes_afterwards, .companions = 2},
    {"give up, two sleep", puts_prepare, gives_up, gets, put_alongside, NULL, puts_afterwards, .companions = 2},
    {"shutdown, two sleep", puts_prepare, closes, hears_of_end, NULL, NULL, closes_afterwards, .companions = 2},
    {"task_done, two sleep", done_prepare, does, joins, NULL, NULL, done_afterwards, .companions = 2},
};

int main(void) { return run_scenarios(scenarios, sizeof scenarios / sizeof *scenarios); }
