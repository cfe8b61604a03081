/* SPDX-License-Identifier: MIT */
/* Putting: one CAS on the cell of the first ticket that is not filled both claims the ticket and puts the item. */
#ifndef MPFAST_QUEUE_PUT_H
#define MPFAST_QUEUE_PUT_H

#include "core/queue/page.h"

#if defined(__x86_64__)
#define prefetch_write(p) __builtin_prefetch((const void *)(p), 1)
#else
#define prefetch_write(p) ((void)(p))
#endif

/* Is there no room for the ticket, whose cell was seen empty? 0: there is room. -EAGAIN: it was full at the moment when
 * the cell was looked at last. 1: the cell has changed since. */
static inline int ticket_refused(const struct queue *q, uint64_t ticket, shared64 *cell, uint64_t seen)
{
    int64_t most = (int64_t)q->header->maxsize;
    uint64_t head = load_acquire(&q->header->head); /* pairs with head_advance */
    if ((int64_t)(ticket - head) < most)
        return 0;
    int rc = head_help(q, &head);
    if (rc < 0)
        return rc;
    if ((int64_t)(ticket - head) < most)
        return 0;
    return load_seq(cell) == seen ? -EAGAIN : 1; /* pairs with cell_fill */
}

/* The cell of the first ticket that is perhaps not filled, for a put. 0, with *cell NULL: look again. */
static inline int ticket_cell(const struct queue *q, uint64_t ticket, shared64 **cell)
{
    *cell = cell_find(q, ticket);
    if (likely(*cell != NULL))
        return 0;
    uint64_t head;
    int rc = page_install(q, ticket_page(ticket));
    if (rc == -ENOBUFS && (rc = head_help(q, &head)) == 0)
        rc = page_install(q, ticket_page(ticket));
    return rc == -ENOBUFS ? -EAGAIN : rc;
}

/* The step that puts. b: the block whose name is in the cell, NULL for a value. */
static inline bool cell_fill(const struct queue *q, uint64_t ticket, shared64 *cell, uint64_t seen, struct block *b,
                             uint64_t full)
{
    if (b != NULL)
        store_relaxed(&b->word, block_queued(queue_me(q), ticket)); /* published by the next line */
    /* pairs with the load in ticket_take, which reads the payload after it. Before a look at the eventcount it also
     * pairs with the last look of a call that goes to sleep, in queue_empty */
    return cas_seq(cell, &seen, full);
}

/* Puts a block, or a value (b == NULL). -EAGAIN: full. */
static inline int ticket_put(const struct queue *q, struct block *b, uint64_t what)
{
    struct patience p = {.turns = 0};
    for (;;) {
        shared64 *cell;
        uint64_t t = load_acquire(&q->header->tail); /* pairs with tail_advance */
        int rc = ticket_cell(q, t, &cell);
        if (unlikely(rc < 0))
            return rc;
        if (unlikely(patience_lost(&p, t)))
            return queue_damaged(q);
        if (cell == NULL)
            continue;
        prefetch_write(cell);
        uint64_t page = ticket_page(t), seen = load_acquire(cell); /* pairs with page_install */
        if (seen != cell_empty(page)) {
            if (cell_of_page(seen, page))
                tail_advance(q, t); /* for a process that has not come to it */
            continue;
        }
        rc = q->header->maxsize == 0 ? 0 : ticket_refused(q, t, cell, seen);
        if (unlikely(rc < 0))
            return rc;
        uint64_t full = cell_make(b == NULL ? CELL_VALUE : CELL_BLOCK, page, what);
        if (rc == 0 && cell_fill(q, t, cell, seen, b, full)) {
            tail_advance(q, t);
            return 0;
        }
    }
}

#endif
