/* SPDX-License-Identifier: MIT */
/* What the pool and its workers tell each other outside the rings: which participant a worker is, whether it may own
 * blocks, and that it is to go. */
#ifndef MPFAST_TASKS_WORKERS_H
#define MPFAST_TASKS_WORKERS_H

#include "core/queue/queue.h"
#include "core/tasks/layout.h"

/* For a slot that was just claimed, of the kind SLOT_QUEUE. Both rings of a pool are made by this. budget: bytes of
 * memory for blocks, 0: unlimited. */
static inline void ring_init(struct queue_header *h, uint64_t budget)
{
    queue_init(h, 0, budget);
    h->store.policy = REAP_KEEP;
}

/* The header of the pool that this task ring is of, as this process sees it until pool_unmap. NULL: no memory, or no
 * descriptor. All of it is 0 in a new ring. */
static inline struct pool_header *pool_map(const struct queue *tasks)
{
    return window_map(tasks->store.family, tasks->store.slot, POOL_AT, POOL_SIZE);
}

static inline void pool_unmap(struct pool_header *pool)
{
    if (pool != NULL)
        munmap(pool, POOL_SIZE);
}

/* A worker's place in its pool, in the worker's own memory. Only one thread of the worker uses it. */
struct seat {
    struct queue *tasks;
    struct queue *results; /* NULL: it is not to give back memory */
    struct pool_header *pool;
    uint32_t number; /* below POOL_WORKERS */
    uint32_t pid;
    uint64_t tail; /* how many tasks there were when it fell asleep */
    struct spin_history history;
};

static inline shared32 *seat_word(const struct seat *s) { return &s->pool->workers[s->number].word; }

static inline void seat_say(const struct seat *s, enum worker_state state)
{
    /* pairs with worker_look. A worker that may own blocks has said so for a process that has heard of its end */
    store_release(seat_word(s), worker_word(state, family_me(s->tasks->store.family)));
}

/* Worker: it exists. Before it prepares a result, for example one that says that it cannot start. */
static inline void seat_starting(const struct seat *s) { seat_say(s, WORKER_STARTING); }

/* Worker: it is ready. Before its first task_take. */
static inline void seat_ready(const struct seat *s) { seat_say(s, WORKER_READY); }

/* Worker: it ends by itself, and owns nothing. A wake-up that it got instead of another worker is passed on. */
static inline void seat_leaving(const struct seat *s)
{
    seat_say(s, WORKER_LEAVING);
    queue_pass_on(s->tasks, QUEUE_ITEMS);
}

/* Worker: is it to go? */
static inline bool seat_dismissed(const struct seat *s)
{
    /* pairs with pool_leave and worker_leave */
    return load_seq(&s->pool->leave) || load_seq(&s->pool->workers[s->number].leave);
}

/* Pool: the last word of the worker in a place, for worker_state and worker_identity. If the worker is dead and has an
 * identity, the pool settles its death, whatever the state. */
static inline uint32_t worker_look(const struct pool_header *pool, uint32_t number)
{
    return load_acquire(&pool->workers[number].word); /* pairs with seat_say */
}

/* Pool: the place gets a new worker, which is not started yet. */
static inline void worker_prepare(struct pool_header *pool, uint32_t number)
{
    CHECK(number < POOL_WORKERS);
    store_relaxed(&pool->workers[number].leave, 0);
    store_relaxed(&pool->workers[number].word, worker_word(WORKER_STARTING, 0)); /* the start publishes both */
}

/* Pool: after a death, or when nothing comes although the task ring is not empty. A worker that was woken for a task may
 * be dead or stopped, so another one is woken. True: more may be asleep, so if nothing comes again, call it again. */
static inline bool workers_wake(struct queue *tasks, int n)
{
    if (queue_empty(tasks))
        return false;
    eventcount_notify(&tasks->header->items, n);
    return load_relaxed(&tasks->header->items) & EVENTCOUNT_W;
}

/* Pool: one worker is to go when it has nothing. */
static inline void worker_leave(struct queue *tasks, struct pool_header *pool, uint32_t number)
{
    store_seq(&pool->workers[number].leave, 1); /* pairs with seat_dismissed, as Dekker with eventcount_enter */
    eventcount_wake(&tasks->header->items, INT_MAX);
}

/* Pool: all workers are to go, at once if they wait. Only when no element is without an outcome. What is in the task ring
 * then was recalled. */
static inline void pool_leave(struct queue *tasks, struct pool_header *pool)
{
    store_seq(&pool->leave, 1); /* pairs with seat_dismissed, as Dekker with eventcount_enter */
    eventcount_wake(&tasks->header->items, INT_MAX);
}

#endif
