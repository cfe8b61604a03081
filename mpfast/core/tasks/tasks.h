/* SPDX-License-Identifier: MIT */
/* The task ring. The pool deals groups of elements, a worker takes them. results.h has the way back.
 *
 * Only the pool's process prepares and puts here. It puts, looks at what it has put, and settles deaths under one mutex.
 * It may prepare and fill blocks outside of it. Nothing in this ring is pinned. */
#ifndef MPFAST_TASKS_TASKS_H
#define MPFAST_TASKS_TASKS_H

#include "core/family/waiting.h"
#include "core/store/walk.h"
#include "core/tasks/group.h"
#include "core/tasks/workers.h"

#define TASK_SPIN (20 * MICROSECOND)
#ifndef TASK_PAUSE
#define TASK_PAUSE SECOND /* without tasks, after which memory of the rings is given back */
#endif
#define TASK_PAUSE_LONGEST (64 * TASK_PAUSE)
#define TASK_KEEP (UINT64_C(1) << 20) /* bytes that a ring may have for good */

static inline struct task *task_of(const struct store_item *item) { return (struct task *)item->data; }

/* What stands behind the header. */
static inline char *task_payload(const struct store_item *item) { return item->data + sizeof(struct task); }

/* Pool: a private block for a group with `size` bytes behind the header, which is zeroed. Status as item_prepare. */
static inline int task_prepare(struct queue *tasks, uint64_t size, struct store_item *item)
{
    int rc = item_prepare(&tasks->store, sizeof(struct task) + size, TASK_GROUP, item);
    if (rc == 0)
        memset(item->data, 0, sizeof(struct task));
    return rc;
}

/* Pool: deals elements [next, end) of the payload, and wakes a worker. The header says the rest. -EAGAIN: the ring has as
 * many tasks as fit. Else as queue_put. The block is still the caller's after an error. */
static inline int task_deal(struct queue *tasks, const struct store_item *item, uint32_t next, uint32_t end)
{
    struct task *t = task_of(item);
    CHECK(end <= t->count && t->count <= GROUP_MOST);
    store_relaxed(&t->taker, 0);
    store_relaxed(&t->began, 0);
    store_relaxed(&t->group, group_make(next, end)); /* published by cell_fill, as is the rest */
    return queue_put(tasks, item);
}

/* Worker, when it has put the results. Pool, when it will not deal, or for a lost block that has nothing left. */
static inline void task_free(struct queue *tasks, const struct store_item *item) { item_release(&tasks->store, item); }

/* Is it what task_deal puts? */
static inline bool task_sound(const struct store_item *item)
{
    return item->block != NO_BLOCK && item->kind == TASK_GROUP && item->size >= sizeof(struct task);
}

/* Worker: takes the first task, and writes its pid and the time into it. Then it claims. -EAGAIN: there is none, call
 * task_wait. -ESHUTDOWN: go, after seat_leaving. -EBADMSG: the ring is damaged. -ENOMEM: it cannot be mapped. */
static inline int task_take(const struct seat *s, struct store_item *item)
{
    if (unlikely(seat_dismissed(s)))
        return -ESHUTDOWN;
    int rc = queue_take(s->tasks, item);
    if (unlikely(rc < 0))
        return rc;
    if (unlikely(!task_sound(item)))
        return queue_damaged(s->tasks);
    struct task *t = task_of(item);
    store_relaxed(&t->taker, s->pid);
    store_relaxed(&t->began, (uint64_t)clock_now()); /* both published by group_claim */
    return 0;
}

/* Worker: it loads what several elements share, and no time counts meanwhile. */
static inline void task_loading(struct task *t) { store_relaxed(&t->began, (uint64_t)NEVER); }

/* Worker: it has loaded the payload, and runs the element that it has claimed. A reader may see it late. */
static inline void task_loaded(struct task *t) { store_relaxed(&t->began, (uint64_t)clock_now()); }

static inline bool ring_is_large(const struct queue *ring)
{
    return load_relaxed(&ring->header->store.memory) > TASK_KEEP;
}

static inline bool seat_may_tidy(const struct seat *s)
{
    return s->results != NULL && (ring_is_large(s->tasks) || ring_is_large(s->results));
}

/* Before the first task_wait. Only the pool's process puts tasks, and if it dies, the worker is ended. A wake-up that is
 * lost with another worker is made up for by the pool (workers_wake). So this wait has no backstop, unless the rings have
 * memory that may have to be given back. */
static inline void task_waits(struct seat *s, struct waiting *w)
{
    waiting_begin(w, NEVER, TASK_PAUSE_LONGEST);
    w->backstop = seat_may_tidy(s) ? TASK_PAUSE : NEVER;
    s->tail = load_relaxed(&s->tasks->header->tail);
}

/* Worker: nothing came for a while. Gives back memory that nobody has used meanwhile. */
static inline void seat_tidy(struct seat *s, struct waiting *w)
{
    struct queue_header *h = s->tasks->header;
    uint64_t tail = load_relaxed(&h->tail), now = (uint64_t)clock_now(), last = load_relaxed(&h->looked_after);
    bool mine = now - last >= (uint64_t)TASK_PAUSE / 2 && cas_relaxed(&h->looked_after, &last, now);
    if (tail == s->tail && mine) {
        queue_trim(s->tasks);
        queue_trim(s->results);
    }
    s->tail = tail;
    if (!seat_may_tidy(s))
        w->backstop = NEVER;
}

static inline bool task_ready(const void *seat)
{
    const struct seat *s = seat;
    return seat_dismissed(s) || load_relaxed(&s->tasks->header->store.broken) || !queue_empty(s->tasks);
}

/* Worker: waits until trying again makes sense. 0: try. -EINTR: serve signals, then call again. waiting_end() comes after
 * the last call. A worker that goes without having tried again calls seat_leaving. */
static inline int task_wait(struct seat *s, struct waiting *w)
{
    struct queue_header *h = s->tasks->header;
    struct family *f = s->tasks->store.family;
    uint32_t seen;
    if (waiting_may_spin(w) && spin_first(task_ready, s, &h->putters, family_me(f), &s->history, TASK_SPIN))
        return 0;
    while (!eventcount_enter(&h->items, &seen))
        ;
    if (task_ready(s))
        return 0;
    int64_t pause = w->backstop;
    int rc = waiting_sleep(w, f, s->tasks->store.slot, &h->items, seen, FUTEX_ALL);
    if (rc == -EINTR && w->backstop != pause) /* it has expired */
        seat_tidy(s, w);
    return rc;
}

/* Pool: about how many bytes of blocks are in use. */
static inline uint64_t ring_bytes(const struct queue *ring)
{
    uint64_t memory = load_relaxed(&ring->header->store.memory);
    int64_t idle = (int64_t)load_relaxed(&ring->header->store.idle);
    return idle <= 0 ? memory : memory - ((uint64_t)idle < memory ? (uint64_t)idle : memory);
}

/* Where a task is that was dealt. FREE: it is over, and the block is nobody's, or is being prepared for another. */
enum task_place { TASK_FREE, TASK_QUEUED, TASK_TAKEN, TASK_LOST };

/* Pool, under the mutex: looks at a block that it has dealt. *task may be recalled or condemned then, if it is still the
 * group that the caller means: compare its job and first. NULL: it cannot be mapped. */
static inline enum task_place task_look(const struct queue *tasks, uint64_t name, struct task **task)
{
    uint32_t class = name_class(name), index = name_index(name);
    struct block *b = block_at(&tasks->store, class, index);
    *task = b == NULL ? NULL : (struct task *)block_data(&tasks->store, b, class, index);
    if (*task == NULL)
        return TASK_FREE;
    uint64_t word = load_acquire(&b->word); /* pairs with item_take_block and block_free */
    switch (block_state(word)) {
    case BLOCK_QUEUED:
        return TASK_QUEUED;
    case BLOCK_OWNED:
        return block_participant(word) == queue_me(tasks) ? TASK_FREE : TASK_TAKEN;
    case BLOCK_LOST:
        return TASK_LOST;
    default:
        return TASK_FREE;
    }
}

/* Pool: the name of the next block of the ring after walk_begin, for task_look. False: that was all. */
static inline bool task_next(const struct queue *tasks, struct block_walk *walk, uint64_t *name)
{
    return walk_next(&tasks->store, walk, name) != NULL;
}

#endif
