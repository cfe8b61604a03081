/* SPDX-License-Identifier: MIT */
/* Tickets and their pages: where the cell of a ticket is, and how head and tail move.
 *
 * A page is installed by the first process that wants to put one of its tickets. It claims a segment, writes the page's
 * empty cells, and changes the directory by a CAS. A segment is free again when its page is below the head's. A process
 * that was slow meets cells of another page then. Cells name their page, so no CAS succeeds that expects a cell of the
 * old page. */
#ifndef MPFAST_QUEUE_PAGE_H
#define MPFAST_QUEUE_PAGE_H

#include "core/queue/map.h"

#ifndef SEGMENTS_KEPT
#define SEGMENTS_KEPT 8u /* of those that no page needs, when memory is given back */
#endif

/* A loop that helps others goes round only because another process got on. One that goes round without that has met
 * damage. */
#ifndef PATIENCE
#define PATIENCE (1u << 20)
#endif
struct patience {
    uint64_t seen;
    uint32_t turns;
};

static inline bool patience_lost(struct patience *p, uint64_t position)
{
    if (position == p->seen)
        return ++p->turns > PATIENCE;
    *p = (struct patience){.seen = position};
    return false;
}

/* The cell of a ticket. NULL: its page is not installed, or is past. */
static inline shared64 *cell_find(const struct queue *q, uint64_t ticket)
{
    uint64_t page = ticket_page(ticket);
    uint64_t entry = load_seq(&q->directory[page % QUEUE_DIRECTORY]); /* pairs with the CAS in page_install */
    if (directory_page(entry) != page || directory_segment(entry) >= QUEUE_SEGMENTS)
        return NULL;
    return segment_cells(q, directory_segment(entry)) + ticket % QUEUE_PAGE_TICKETS;
}

/* The ticket and all below it are filled. */
static inline void tail_advance(const struct queue *q, uint64_t ticket)
{
    cas_release(&q->header->tail, &ticket, ticket + 1); /* pairs with the load in ticket_put */
}

/* The ticket and all below it are taken. */
static inline void head_advance(const struct queue *q, uint64_t ticket)
{
    cas_seq(&q->header->head, &ticket, ticket + 1); /* pairs with queue_full: Dekker with calls that wait for room */
}

/* Was the item of the ticket taken? The cell is the ticket's, and filled. -EBADMSG if it names no block. */
static inline int cell_was_taken(const struct queue *q, uint64_t cell, uint64_t ticket)
{
    if (cell_kind(cell) != CELL_BLOCK)
        return cell_kind(cell) == CELL_TAKEN;
    if (!name_valid(cell_what(cell)))
        return queue_damaged(q);
    struct block *b = block_at(&q->store, name_class(cell_what(cell)), name_index(cell_what(cell)));
    if (b == NULL)
        return -ENOMEM;
    uint64_t word = load_seq(&b->word); /* pairs with the CAS in item_take_block */
    return block_word_sound(word) ? !block_has_ticket(word, ticket) : queue_damaged(q);
}

/* The head's cell was not there, or empty. -EAGAIN: so it is, and may be. 0: look again. Else there is damage, as all
 * below the tail are filled, and a process that filled one has seen the tail there. */
static inline int head_empty(const struct queue *q, uint64_t head)
{
    uint64_t tail = load_acquire(&q->header->tail); /* pairs with tail_advance */
    shared64 *cell = cell_find(q, head);
    if (cell != NULL && load_seq(cell) != cell_empty(ticket_page(head))) /* pairs with cell_fill */
        return 0;
    if (load_seq(&q->header->head) != head) /* pairs with head_advance: not past, so not yet installed */
        return 0;
    return tail <= head && head <= tail + 1 ? -EAGAIN : queue_damaged(q);
}

/* Moves the head over what was taken, and returns it in *head. The ticket that it names is not taken, or not filled. */
static inline int head_help(const struct queue *q, uint64_t *head)
{
    struct patience p = {.turns = 0};
    for (;;) {
        uint64_t h = *head = load_seq(&q->header->head); /* pairs with head_advance */
        if (unlikely(patience_lost(&p, h)))
            return queue_damaged(q);
        shared64 *cell = cell_find(q, h);
        if (cell == NULL) {
            if (load_seq(&q->header->head) == h) /* pairs with head_advance: not past, so not yet installed */
                return 0;
            continue;
        }
        uint64_t word = load_seq(cell); /* pairs with the CAS in cell_fill */
        if (word == cell_empty(ticket_page(h)))
            return 0;
        if (!cell_of_page(word, ticket_page(h)))
            continue;
        int taken = cell_was_taken(q, word, h);
        if (taken <= 0)
            return taken;
        head_advance(q, h);
    }
}

/* Claims a segment that no page needs. -ENOBUFS: there is none. */
static inline int64_t segment_claim(const struct queue *q, uint32_t me, uint64_t page, uint64_t past)
{
    struct queue_header *h = q->header;
    for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++) {
        uint32_t top = load_relaxed(&h->segments_top);
        if (i >= top && !cas_relaxed(&h->segments_top, &top, i + 1))
            continue;
        uint64_t state = load_acquire(&q->states[i]); /* pairs with the release in page_install */
        if (segment_is_init(state) || (state != 0 && (state & PAGE_MASK) >= past))
            continue;
        if (cas_acqrel(&q->states[i], &state, segment_init(me, page))) /* pairs with the release in page_install */
            return i;
    }
    return -ENOBUFS;
}

/* 0: look again. -ENOBUFS: as many pages are in use as there can be. */
static inline int page_install(const struct queue *q, uint64_t page)
{
    shared64 *entry = &q->directory[page % QUEUE_DIRECTORY];
    uint64_t seen = load_acquire(entry);                         /* pairs with the CAS below, in page_install */
    uint64_t past = ticket_page(load_acquire(&q->header->head)); /* pairs with head_advance: its readers are done */
    if (page < past || (seen != 0 && directory_page(seen) >= page))
        return 0; /* it is installed, or was and is past. A second time would lose what is put into it */
    if (page >= past + QUEUE_DIRECTORY)
        return -ENOBUFS;
    int64_t segment = segment_claim(q, queue_me(q), page, past);
    if (segment < 0)
        return (int)segment;
    for (uint32_t i = 0; i < QUEUE_PAGE_TICKETS; i++)
        store_relaxed(segment_cells(q, (uint32_t)segment) + i, cell_empty(page));
    bool installed = cas_seq(entry, &seen, directory_entry(page, (uint32_t)segment)); /* pairs with cell_find */
    /* pairs with segment_claim: the next owner of the segment writes after us */
    store_release(&q->states[segment], installed ? segment_live(page) : 0);
    return 0;
}

/* Gives the memory of past pages back to the system, while others go on. */
static inline void trim_segments(const struct queue *q)
{
    uint64_t past = ticket_page(load_acquire(&q->header->head)); /* pairs with head_advance: its readers are done */
    uint32_t top = load_relaxed(&q->header->segments_top);
    for (uint32_t i = SEGMENTS_KEPT; i < top && i < QUEUE_SEGMENTS; i++) {
        uint64_t state = load_acquire(&q->states[i]); /* pairs with the release in page_install */
        if (state == 0 || segment_is_init(state) || (state & PAGE_MASK) >= past)
            continue;
        if (!cas_acqrel(&q->states[i], &state, segment_init(queue_me(q), PAGE_MASK))) /* pairs with segment_claim */
            continue;
        /* If that is refused, the memory stays. It is of a past page, and page_install writes all cells anew. */
        (void)window_punch(q->store.family, q->store.slot, QUEUE_SEGMENTS_AT + i * QUEUE_SEGMENT_SIZE,
                           QUEUE_SEGMENT_SIZE);
        store_release(&q->states[i], 0); /* pairs with segment_claim */
    }
}

#endif
