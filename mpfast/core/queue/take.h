/* SPDX-License-Identifier: MIT */
/* Taking: one CAS on the item's own word, which the ticket names. The word goes from "queued with this ticket" to
 * "owned by me". */
#ifndef MPFAST_QUEUE_TAKE_H
#define MPFAST_QUEUE_TAKE_H

#include "core/store/item.h"
#include "core/queue/put.h"

/* 1: ours now. 0: another call was faster. */
static inline int item_take_block(const struct queue *q, uint64_t name, uint64_t ticket, struct store_item *item)
{
    if (unlikely(!name_valid(name)))
        return queue_damaged(q);
    struct block *b = block_at(&q->store, name_class(name), name_index(name));
    if (unlikely(b == NULL))
        return -ENOMEM;
    prefetch_write(b);
    uint64_t word = load_relaxed(&b->word); /* the cell was read with acquire, and the CAS orders the rest */
    if (!block_has_ticket(word, ticket))
        return block_word_sound(word) ? 0 : queue_damaged(q);
    if (name_class(name) >= STORE_LARGE && block_data(&q->store, b, name_class(name), name_index(name)) == NULL)
        return -ENOMEM; /* while it is not ours yet */
    /* pairs with cell_was_taken, and with block_free */
    if (!cas_seq(&b->word, &word, block_owned(queue_me(q), ticket)))
        return 0;
    int rc = item_describe(&q->store, b, name, item);
    return rc < 0 ? rc : 1;
}

static inline int item_take(const struct queue *q, shared64 *cell, uint64_t seen, uint64_t ticket,
                            struct store_item *item)
{
    if (cell_kind(seen) == CELL_BLOCK)
        return item_take_block(q, cell_what(seen), ticket, item);
    if (cell_kind(seen) == CELL_TAKEN)
        return 0;
    item->block = NO_BLOCK;
    item->value = cell_what(seen);
    return cas_seq(cell, &seen, cell_taken(ticket_page(ticket))); /* pairs with the load in head_help */
}

/* Takes the first item. -EAGAIN: there was none at the moment when its ticket's cell was looked at. */
static inline int ticket_take(const struct queue *q, struct store_item *item)
{
    struct patience p = {.turns = 0};
    for (;;) {
        uint64_t h = load_seq(&q->header->head); /* pairs with head_advance */
        shared64 *cell = cell_find(q, h);
        if (unlikely(patience_lost(&p, h)))
            return queue_damaged(q);
        uint64_t seen = 0;
        int rc;
        /* pairs with cell_fill: the payload is read after it */
        if (unlikely(cell == NULL || (seen = load_seq(cell)) == cell_empty(ticket_page(h)))) {
            if ((rc = head_empty(q, h)) < 0)
                return rc;
            continue;
        }
        if (!cell_of_page(seen, ticket_page(h)))
            continue;
        rc = item_take(q, cell, seen, h, item);
        if (unlikely(rc < 0))
            return rc;
        head_advance(q, h);
        if (likely(rc > 0))
            return 0;
    }
}

/* Is there nothing to take? Exact, in the one order of seq_cst operations. Takes nothing. */
static inline bool queue_empty(const struct queue *q)
{
    uint64_t head;
    if (head_help(q, &head) < 0)
        return false; /* a call that tries will report it */
    shared64 *cell = cell_find(q, head);
    if (cell == NULL)
        return load_seq(&q->header->head) == head;          /* pairs with head_advance */
    return load_seq(cell) == cell_empty(ticket_page(head)); /* pairs with cell_fill */
}

/* The first ticket that is not filled: how many items were ever put. */
static inline uint64_t queue_put_count(const struct queue *q)
{
    struct patience p = {.turns = 0};
    for (;;) {
        uint64_t t = load_acquire(&q->header->tail); /* pairs with tail_advance */
        shared64 *cell = cell_find(q, t);
        uint64_t seen = cell == NULL ? 0 : load_seq(cell); /* pairs with cell_fill */
        if (cell == NULL || seen == cell_empty(ticket_page(t)) || patience_lost(&p, t)) {
            if (load_acquire(&q->header->tail) == t || p.turns > PATIENCE) /* pairs with tail_advance */
                return t;
            continue;
        }
        if (cell_of_page(seen, ticket_page(t)))
            tail_advance(q, t);
    }
}

/* How many items there are at one moment. The head was the same before and after the look at the other end. 0 if the
 * queue is damaged. */
static inline uint64_t queue_size(const struct queue *q)
{
    uint64_t head, again, count;
    if (head_help(q, &again) < 0)
        return 0;
    do {
        head = again;
        count = queue_put_count(q);
        if (head_help(q, &again) < 0)
            return 0;
    } while (again != head);
    return (int64_t)(count - head) < 0 ? 0 : count - head;
}

/* Would a put be refused? */
static inline bool queue_full(const struct queue *q)
{
    return q->header->maxsize != 0 && queue_size(q) >= q->header->maxsize;
}

#endif
