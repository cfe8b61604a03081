/* SPDX-License-Identifier: MIT */
/* A pool for the harnesses of kills: one job of a few elements, workers that run them, and the pool's process, which
 * deals, drains and settles deaths. The judge is the pool's process, and has one thread, so there is no mutex. */
#ifndef MPFAST_TEST_POOL_H
#define MPFAST_TEST_POOL_H

#include "core/tasks/ledger.h"

#define ELEMENTS 6
#define DEALT 16
#define JOB UINT64_C(0x100000007)

enum outcome { NONE, RESULT, DIED, CANCELLED };

/* What is not part of what is tested: no access is a step. */
static struct {
    _Atomic int ran[ELEMENTS];
    enum outcome outcome[ELEMENTS];
    int died, lost;
    _Atomic uint32_t dying; /* the worker that stays in an element until it is killed there */
    _Atomic int dead;       /* it was */
    _Atomic int given_up;   /* a worker waits to be killed, as it was condemned */
} *watch;

static struct queue *tasks, *results;
static struct pool_header *pool;
static struct {
    uint64_t block;
    uint32_t next; /* of its group at first */
} dealt[DEALT];
static int deals;
static uint64_t cell_bytes = 16; /* room for one result */
static int64_t dies_in = -1;     /* the element in which this worker waits to be killed */

static inline uint64_t cell_of(uint64_t element) { return 100 + element; }

static inline struct queue *ring_new(void)
{
    struct queue *q;
    int64_t slot = handle_claim(family, SLOT_LARGE, SLOT_QUEUE);
    EXPECT(slot >= 0);
    scene->slot[scene->slots++] = (uint32_t)slot;
    ring_init(slot_at(family, (uint32_t)slot), 0);
    EXPECT_EQ(queue_open(family, (uint32_t)slot, &q), 0);
    return q;
}

static inline void pool_new(void)
{
    watch = mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)watch != MAP_FAILED);
    tasks = ring_new();
    results = ring_new();
    pool = pool_map(tasks);
    EXPECT(pool != NULL);
}

/* Worker ------------------------------------------------------------------------------------------------------------ */

/* The last cell of a block is as far from its begin as a large result's. */
static inline uint64_t *cell_at(const struct store_item *item, uint32_t n)
{
    return (uint64_t *)(result_payload(item) + (n + 1) * cell_bytes) - 1;
}

static inline void run_element(uint64_t element)
{
    STEP();
    watch->ran[element]++;
    STEP();
    if ((int64_t)element == dies_in) {
        watch->dying = family_me(family);
        for (;;)
            pause();
    }
}

static inline void append(struct store_item *out, uint32_t n, uint64_t element)
{
    store_relaxed((shared64 *)cell_at(out, n), cell_of(element)); /* a step */
    result_count(&result_of(out)->count, n + 1);
}

static inline void run_group(const struct seat *s, struct store_item *item)
{
    struct store_item out;
    struct task *t = task_of(item);
    uint32_t n = 0, end = t->count;
    int64_t i;
    EXPECT_EQ(t->job, JOB);
    while ((i = group_claim(&t->group)) >= 0) {
        run_element(t->first + (uint64_t)i);
        if (n == 0) {
            uint64_t room = (end - (uint64_t)i) * cell_bytes;
            EXPECT_EQ(result_prepare(results, room, RESULT_CELLS, JOB, t->first + (uint64_t)i, &out), 0);
            EXPECT_EQ(result_cells(&out), 0);
        }
        append(&out, n++, t->first + (uint64_t)i);
    }
    for (; i == GROUP_GIVEN_UP; pause()) /* until it is killed */
        watch->given_up = 1;
    if (n > 0)
        EXPECT_EQ(result_put(s, results, &out, 1), 0);
    task_free(tasks, item);
}

static inline struct seat seat_for(uint32_t number)
{
    return (struct seat){.tasks = tasks, .pool = pool, .number = number, .pid = (uint32_t)real_pid()};
}

/* Until there is nothing to take. */
static inline void work(uint32_t number)
{
    struct seat s = seat_for(number);
    struct store_item item;
    int rc;
    seat_starting(&s);
    seat_ready(&s);
    while ((rc = task_take(&s, &item)) == 0)
        run_group(&s, &item);
    EXPECT_EQ(rc, -EAGAIN);
    seat_leaving(&s);
}

/* Until it is told to go. */
static inline void serve(uint32_t number)
{
    struct seat s = seat_for(number);
    struct store_item item;
    struct waiting w;
    int rc;
    seat_starting(&s);
    seat_ready(&s);
    while ((rc = task_take(&s, &item)) != -ESHUTDOWN) {
        EXPECT(rc == 0 || rc == -EAGAIN);
        if (rc == 0) {
            run_group(&s, &item);
            continue;
        }
        task_waits(&s, &w);
        while (task_wait(&s, &w) == -EINTR)
            ;
        waiting_end(&w);
    }
    seat_leaving(&s);
}

/* Pool -------------------------------------------------------------------------------------------------------------- */

/* Elements first + [next, end), of `count` in the block. */
static inline void deal(uint64_t first, uint32_t count, uint32_t next, uint32_t end)
{
    struct store_item item;
    EXPECT_EQ(task_prepare(tasks, 40, &item), 0);
    struct task *t = task_of(&item);
    t->job = JOB;
    t->first = first;
    t->count = count;
    EXPECT_EQ(task_deal(tasks, &item, next, end), 0);
    EXPECT(deals < DEALT);
    dealt[deals].block = item.block;
    dealt[deals++].next = next;
}

static inline void settle(uint64_t element, enum outcome what)
{
    EXPECT(element < ELEMENTS);
    EXPECT_EQ(watch->outcome[element], NONE);
    watch->outcome[element] = what;
}

static inline void deliver(struct store_item *item)
{
    uint32_t n = result_cells(item);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t element = result_of(item)->first + k;
        EXPECT_EQ(result_of(item)->job, JOB);
        EXPECT_EQ(*cell_at(item, k), cell_of(element));
        if (watch->outcome[element] != CANCELLED)
            settle(element, RESULT);
        *cell_at(item, k) = 0;
    }
    result_free(results, item);
}

static inline void drain(void)
{
    struct store_item item;
    int rc;
    while ((rc = result_take(results, &item)) == 0)
        deliver(&item);
    EXPECT_EQ(rc, -EAGAIN);
}

static inline void settle_task(struct store_item *item)
{
    struct task *t = task_of(item);
    uint32_t from, to;
    bool left = group_left(&t->group, &from, &to);
    for (uint32_t i = 0; i < from; i++)
        if (watch->outcome[t->first + i] == NONE) {
            settle(t->first + i, DIED);
            watch->died++;
        }
    if (left)
        EXPECT_EQ(ledger_again(tasks, item, from, to), 0);
    else
        task_free(tasks, item);
}

static inline void settle_lost(struct queue *ring, uint32_t dead, void (*with)(struct store_item *))
{
    struct block_walk walk;
    struct store_item item;
    int rc;
    walk_begin(&walk);
    while ((rc = ledger_next(ring, dead, &walk, &item)) == 1) {
        watch->lost++;
        with(&item);
    }
    EXPECT_EQ(rc, 0);
}

/* The worker that was in this place is dead. */
static inline void settle_death(uint32_t number)
{
    uint32_t dead = worker_identity(worker_look(pool, number));
    ledger_mark(tasks, dead);
    ledger_mark(results, dead);
    drain();
    settle_lost(results, dead, deliver);
    settle_lost(tasks, dead, settle_task);
    workers_wake(tasks, INT_MAX);
}

static inline bool all_settled(void)
{
    for (int i = 0; i < ELEMENTS; i++)
        if (watch->outcome[i] == NONE)
            return false;
    return true;
}

static inline void expect_outcomes(void)
{
    for (int i = 0; i < ELEMENTS; i++) {
        EXPECT(watch->outcome[i] != NONE);
        EXPECT(watch->ran[i] <= 1);
        EXPECT(watch->outcome[i] != RESULT || watch->ran[i] == 1);
    }
}

static inline void expect_free(const struct queue *ring)
{
    struct block_walk walk;
    struct block *b;
    uint64_t name;
    walk_begin(&walk);
    while ((b = walk_next(&ring->store, &walk, &name)) != NULL) {
        EXPECT_EQ(load_acquire(&b->word), 0);
        if (ring == results)
            EXPECT_EQ(*(uint32_t *)block_data(&ring->store, b, name_class(name), name_index(name)), 0);
    }
}

/* Nothing is left in either ring, and no free block says that it has results. */
static inline void pool_end(void)
{
    EXPECT(queue_empty(tasks) && queue_empty(results));
    expect_free(tasks);
    expect_free(results);
    pool_unmap(pool);
    queue_close(tasks);
    queue_close(results);
}

#endif
