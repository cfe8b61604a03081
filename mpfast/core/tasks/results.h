/* SPDX-License-Identifier: MIT */
/* The result ring. A worker appends results to a block of its own and puts it, the pool takes it.
 *
 * A result is safe as soon as it is counted (group.h). If the worker dies then, the pool finds the block in the ledger.
 * So `count` is 0 in every block that nobody owns. A process that gives a block back clears it first, and until a worker
 * has counted, a block that it has just taken says the same. */
#ifndef MPFAST_TASKS_RESULTS_H
#define MPFAST_TASKS_RESULTS_H

#include "core/tasks/tasks.h"

#define RESULT_PATIENCE (500 * MICROSECOND) /* of a drainer, before it asks what else may have happened */

static inline struct result *result_of(const struct store_item *item) { return (struct result *)item->data; }

/* Where cells begin. */
static inline char *result_payload(const struct store_item *item) { return item->data + sizeof(struct result); }

/* How many cells may be read. A worker that was killed while it prepared the block may have left any header, but a count
 * of 0, or no room for one. */
static inline uint32_t result_cells(const struct store_item *item)
{
    return item->size < sizeof(struct result) ? 0 : result_counted(&result_of(item)->count);
}

/* Worker: a private block with `size` bytes for cells, of the job's elements from `first` on. Status as item_prepare. */
static inline int result_prepare(struct queue *results, uint64_t size, enum result_kind kind, uint64_t job,
                                 uint64_t first, struct store_item *item)
{
    int rc = item_prepare(&results->store, sizeof(struct result) + size, kind, item);
    if (rc < 0)
        return rc;
    struct result *r = result_of(item);
    CHECK(load_relaxed(&r->count) == 0);
    r->job = job; /* published by result_count, as is the rest */
    r->first = first;
    r->elapsed = 0;
    return 0;
}

/* Worker: all its cells are counted, and took so many nanoseconds. Wakes a drainer, and rings. Status as queue_put. After
 * an error the block is still the caller's, and its cells are safe. */
static inline int result_put(const struct seat *s, struct queue *results, const struct store_item *item,
                             uint64_t elapsed)
{
    result_of(item)->worker = s->number; /* published by cell_fill, */
    result_of(item)->elapsed = elapsed;  /* as is this */
    return queue_put(results, item);
}

/* Pool: its cells are settled, also those of a lost block. Worker: it will not be put. */
static inline void result_free(struct queue *results, const struct store_item *item)
{
    if (item->size >= sizeof(struct result))
        store_relaxed(&result_of(item)->count, 0); /* published by block_free */
    item_release(&results->store, item);
}

/* Pool: the cells of a block, by its name, that a worker has counted and not put. *item is the block then. The worker
 * does nothing to counted cells, and only this process frees the block. If the worker is killed meanwhile, or puts it,
 * the cells are met again. 0: there are none. */
static inline uint32_t result_peek(const struct queue *results, uint64_t name, struct store_item *item)
{
    uint32_t class = name_class(name), index = name_index(name);
    struct block *b = block_at(&results->store, class, index);
    uint64_t word = b == NULL ? 0 : load_acquire(&b->word); /* pairs with block_try */
    if (block_state(word) != BLOCK_OWNED || block_participant(word) == queue_me(results))
        return 0;
    if (class >= STORE_LARGE && load_relaxed(&large_block(b)->backed) == 0)
        return 0; /* a look would make memory */
    const struct result *r = (const struct result *)block_data(&results->store, b, class, index);
    uint32_t count = r == NULL ? 0 : result_counted(&r->count);
    if (count == 0 || item_describe(&results->store, b, name, item) < 0) /* what it says was written before the count */
        return 0;
    return item->kind == RESULT_CELLS ? count : 0;
}

/* Pool: from now on, views of its cells keep the block, as with item_pin. It is freed by item_unpin, not by result_free.
 * -EINVAL: the block is small, or was lost, so copy what is in it. */
static inline int result_pin(struct queue *results, const struct store_item *item)
{
    const struct block *b = block_at(&results->store, name_class(item->block), name_index(item->block));
    if (block_state(load_relaxed(&b->word)) == BLOCK_LOST) /* nobody but this process changes it */
        return -EINVAL;
    int rc = item_pin(&results->store, item);
    if (rc == 0)
        store_relaxed(&result_of(item)->count, 0); /* published by hold_settle */
    return rc;
}

/* Pool: takes the first block. -EAGAIN: there is none. -EBADMSG: the ring is damaged. -ENOMEM: it cannot be mapped. */
static inline int result_take(struct queue *results, struct store_item *item)
{
    int rc = queue_take(results, item);
    if (rc == 0 && unlikely(item->block == NO_BLOCK || item->size < sizeof(struct result)))
        return queue_damaged(results);
    return rc;
}

static inline bool result_ready(const void *ring)
{
    const struct queue *results = ring;
    return load_relaxed(&results->header->store.broken) || !queue_empty(results);
}

/* Pool: waits for a result, RESULT_PATIENCE at most, and not beyond the deadline. 0: try again. -EINTR: serve signals,
 * then try again. -ETIMEDOUT: nothing came. Then it may be time to look at what workers do. The caller is the only thread
 * that drains. */
static inline int result_wait(struct queue *results, int64_t deadline, struct spin_history *history)
{
    struct queue_header *h = results->header;
    uint32_t seen;
    if (spin_first(result_ready, results, &h->putters, family_me(results->store.family), history, TASK_SPIN))
        return 0;
    while (!eventcount_enter(&h->items, &seen))
        ;
    if (result_ready(results))
        return 0;
    int64_t now = clock_now(), end = now + RESULT_PATIENCE;
    int rc = futex_wait(&h->items, seen, end < deadline ? end : deadline);
    if (rc != 0 && rc != -EAGAIN)
        return rc;
    return result_ready(results) || clock_now() < end
               ? 0
               : -ETIMEDOUT; /* where the kernel refuses the wait, it never says so */
}

/* Pool: another thread has something for the one that waits, which looks again. One that is about to sleep does so after
 * RESULT_PATIENCE. */
static inline void result_hasten(struct queue *results) { eventcount_notify(&results->header->items, 1); }

#endif
