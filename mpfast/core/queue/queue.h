/* SPDX-License-Identifier: MIT */
/* The queue: any number of putters and takers, in any processes of a family, killed or stopped at any instruction.
 *
 * At no time does a ticket, a cell or an item belong to a process that has not finished with it. An item is prepared
 * privately, put by one CAS, and taken by one CAS. Any process may move head and tail. So no process waits for another,
 * the order is one global order, and empty and full are exact. It follows Michael and Scott's queue, which helps its
 * tail forward and never gives its nodes another type. Fober, Letz and Orlarey's queue and Morrison and Afek's, which
 * it follows too, have the nodes in arrays. A call that needs to wait returns -EAGAIN. queue_wait() of tend.h waits,
 * and holds nothing meanwhile. */
#ifndef MPFAST_QUEUE_H
#define MPFAST_QUEUE_H

#include "core/family/peers.h"
#include "core/store/memory.h"
#include "core/queue/relay.h"

enum queue_end { QUEUE_ITEMS, QUEUE_SPACE, QUEUE_MEMORY, QUEUE_DONE };

/* For a slot that was just claimed. maxsize is in items, budget in bytes of memory. 0: unlimited. */
static inline void queue_init(struct queue_header *h, uint64_t maxsize, uint64_t budget)
{
    h->maxsize = maxsize;
    h->store.budget = budget;
}

/* Where the items of a queue are prepared and released. */
static inline struct store *queue_store(struct queue *q) { return &q->store; }

/* This process's view of a queue that it keeps a reference to. */
static inline int queue_open(struct family *f, uint32_t slot, struct queue **out)
{
    struct queue *q = malloc(sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    int rc = view_open(f, slot, q);
    if (rc < 0) {
        view_close(q);
        free(q);
        return rc;
    }
    pthread_mutex_lock(&f->mutex);
    q->store.next = f->stores;
    f->stores = &q->store;
    pthread_mutex_unlock(&f->mutex);
    *out = q;
    return 0;
}

/* No thread uses the view any more, nor anything that it has pinned. */
static inline void queue_close(struct queue *q)
{
    struct family *f = q->store.family;
    pthread_mutex_lock(&f->mutex);
    struct store **link = &f->stores;
    while (*link != &q->store)
        link = &(*link)->next;
    *link = q->store.next;
    bell_close(q);
    pthread_mutex_unlock(&f->mutex);
    ringers_close(q);
    view_close(q);
    free(q);
}

/* Lets calls that wait know where their peers run. */
static inline void queue_note(const struct queue *q, struct spin *s, shared32 *left)
{
    uint32_t me = family_me(q->store.family), mark = spin_mark(me);
    if (likely(load_relaxed(left) == mark))
        return;
    store_relaxed(left, mark);
    spin_here(s, me);
}

/* Why a call cannot go on at all. 0: it can. */
static inline int queue_refuses(const struct queue *q, bool putting)
{
    if (unlikely(load_relaxed(&q->header->store.broken)))
        return -EBADMSG;
    return unlikely(putting && load_relaxed(&q->header->shutdown)) ? -ESHUTDOWN : 0;
}

/* Puts what item_prepare gave. -EAGAIN: full. -ESHUTDOWN: no more puts. -EBADMSG: the queue is damaged. The item is
 * still the caller's after an error. */
static inline int queue_put(struct queue *q, const struct store_item *item)
{
    int rc = queue_refuses(q, true);
    if (unlikely(rc < 0))
        return rc;
    if (item->block == NO_BLOCK)
        rc = ticket_put(q, NULL, item->value);
    else
        rc = ticket_put(q, block_at(&q->store, name_class(item->block), name_index(item->block)), item->block);
    if (unlikely(rc < 0))
        return rc;
    queue_note(q, &q->header->putters, &q->putter);
    eventcount_notify(&q->header->items, 1);
    bell_answer(q, BELL_ITEMS);
    return 0;
}

/* Puts a value of up to 34 bits, for which no memory is needed. */
static inline int queue_put_value(struct queue *q, uint64_t value)
{
    const struct store_item item = {.block = NO_BLOCK, .value = value & 0x3ffffffff};
    return queue_put(q, &item);
}

/* Takes the first item. A block is the caller's then, for item_release or item_pin. -EAGAIN: empty. -ESHUTDOWN: empty
 * for ever. */
static inline int queue_take(struct queue *q, struct store_item *item)
{
    int rc = queue_refuses(q, false);
    if (unlikely(rc < 0))
        return rc;
    bool closed = load_seq(&q->header->shutdown); /* pairs with queue_shutdown: before it is found empty */
    rc = ticket_take(q, item);
    if (unlikely(rc < 0))
        return rc == -EAGAIN && closed ? -ESHUTDOWN : rc;
    queue_note(q, &q->header->takers, &q->taker);
    if (q->header->maxsize != 0) {
        eventcount_notify(&q->header->space, 1);
        bell_answer(q, BELL_SPACE);
    }
    return 0;
}

/* No more puts. Calls that wait are woken. */
static inline void queue_shutdown(struct queue *q)
{
    struct queue_header *h = q->header;
    store_seq(&h->shutdown, 1); /* pairs with queue_ready */
    eventcount_wake(&h->items, INT_MAX);
    eventcount_wake(&h->space, INT_MAX);
    eventcount_wake(&h->store.freed, INT_MAX);
    bell_answer(q, BELL_ITEMS);
    bell_answer(q, BELL_SPACE);
}

/* How many items were put and not done with. */
static inline uint64_t queue_unfinished(const struct queue *q)
{
    uint64_t done = load_seq(&q->header->done); /* pairs with queue_task_done */
    int64_t unfinished = (int64_t)(queue_put_count(q) - done);
    return unfinished < 0 ? 0 : (uint64_t)unfinished;
}

/* -ERANGE: more often than items were put. */
static inline int queue_task_done(struct queue *q)
{
    uint64_t done = load_relaxed(&q->header->done), count;
    do
        if ((count = queue_put_count(q)) <= done)
            return -ERANGE;
    while (!cas_seq(&q->header->done, &done, done + 1)); /* pairs with queue_unfinished: Dekker with the sleepers */
    if (queue_put_count(q) == done + 1)
        eventcount_notify(&q->header->joined, INT_MAX);
    return 0;
}

struct queue_want {
    const struct queue *q;
    enum queue_end end;
};

static inline bool queue_ready(const void *what)
{
    const struct queue_want *want = what;
    const struct queue_header *h = want->q->header;
    if (want->end == QUEUE_DONE)
        return queue_unfinished(want->q) == 0 || load_relaxed(&h->store.broken);
    if (load_seq(&h->shutdown) || load_relaxed(&h->store.broken)) /* pairs with queue_shutdown */
        return true;
    if (want->end == QUEUE_MEMORY)
        return false;
    return want->end == QUEUE_ITEMS ? !queue_empty(want->q) : !queue_full(want->q);
}

/* Gives back what memory it can without waiting for another process. */
static inline void queue_trim(const struct queue *q)
{
    store_trim(&q->store);
    trim_segments(q);
}

static inline shared32 *queue_word(const struct queue *q, enum queue_end end)
{
    struct queue_header *h = q->header;
    switch (end) {
    case QUEUE_ITEMS:
        return &h->items;
    case QUEUE_SPACE:
        return &h->space;
    case QUEUE_MEMORY:
        return &h->store.freed;
    default:
        return &h->joined;
    }
}

/* For a call that leaves a wait without having tried again. It may have been woken for what another has to take now. */
static inline void queue_pass_on(struct queue *q, enum queue_end end)
{
    struct queue_want want = {q, end};
    if (queue_ready(&want))
        eventcount_notify(queue_word(q, end), 1);
}

struct queue_stats {
    uint64_t size, put, unfinished; /* items */
    uint64_t memory, idle;          /* bytes of blocks, and about how many of them in large blocks that are free */
};

static inline void queue_stats(struct queue *q, struct queue_stats *s)
{
    int64_t idle = (int64_t)load_relaxed(&q->header->store.idle);
    *s = (struct queue_stats){
        .size = queue_size(q),
        .put = queue_put_count(q),
        .unfinished = queue_unfinished(q),
        .memory = memory_measure(&q->store),
        .idle = idle < 0 ? 0 : (uint64_t)idle,
    };
}

#endif
