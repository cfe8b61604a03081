/* SPDX-License-Identifier: MIT */
/* Damage that can be recognized is, by the next call that meets it, and from then on by every call of everybody. What it
 * does besides is for queue_fuzz.c. */
#define PATIENCE 4096u
#include "queuers.h"

#define BEGUN 11 /* items, of which so many were taken: the head is in the middle of a page that others had before */
#define TAKEN 5

static struct family *family;
static struct queue *q;

static uint64_t head(void) { return load_relaxed(&q->header->head); }
static uint64_t tail(void) { return load_relaxed(&q->header->tail); }
static shared64 *entry_of(uint64_t ticket) { return &q->directory[ticket_page(ticket) % QUEUE_DIRECTORY]; }

static struct block *first_block(void)
{
    uint64_t name = cell_what(load_relaxed(cell_find(q, head())));
    return block_at(&q->store, name_class(name), name_index(name));
}

static void set_cell(uint64_t ticket, uint64_t word)
{
    shared64 *cell = cell_find(q, ticket);
    EXPECT(cell != NULL);
    store_relaxed(cell, word);
}

static void set_name(uint64_t name) { set_cell(head(), cell_make(CELL_BLOCK, ticket_page(head()), name)); }

static void nothing(void) {}

/* What is first in the queue */
static void class_unknown(void) { set_name((uint64_t)STORE_CLASSES << 29); }
static void block_unknown(void) { set_name(block_name(0, class_blocks(0))); }
static void large_block_unknown(void) { set_name(block_name(STORE_LARGE, class_blocks(STORE_LARGE))); }
static void value_of_another_page(void) { set_cell(head(), cell_make(CELL_VALUE, ticket_page(head()) + 9, 1)); }
static void block_of_another_page(void) { set_cell(head(), cell_make(CELL_BLOCK, ticket_page(head()) - 1, 1)); }
static void taken_of_another_page(void) { set_cell(head(), cell_taken(ticket_page(head()) + 1)); }
static void emptied(void) { set_cell(head(), cell_empty(ticket_page(head()))); }
static void zeroed(void) { set_cell(head(), 0); }
static void state_unknown(void) { store_relaxed(&first_block()->word, UINT64_C(5) << 61); }
static void longer_than_its_block(void)
{
    uint64_t name = cell_what(load_relaxed(cell_find(q, head())));
    store_relaxed(&first_block()->about, class_capacity(name_class(name)) + 1);
}

/* Where its page is */
static void segment_unknown(void) { store_relaxed(entry_of(head()), directory_entry(ticket_page(head()), 0xfffff)); }
static void page_lost(void) { store_relaxed(entry_of(head()), 0); }
static void page_of_the_future(void)
{
    store_relaxed(entry_of(head()), directory_entry(ticket_page(head()) + QUEUE_DIRECTORY, 0));
}
static void page_of_another_place(void)
{
    store_relaxed(entry_of(head()), directory_entry(ticket_page(head()) - 1, 0));
}

/* The ends */
static void head_beyond_tail(void) { store_relaxed(&q->header->head, tail() + 2); }
static void head_far_beyond_tail(void) { store_relaxed(&q->header->head, tail() + 1000000); }
static void head_far_back(void) { store_relaxed(&q->header->head, head() - QUEUE_DIRECTORY * QUEUE_PAGE_TICKETS); }
static void tail_ahead(void) { store_relaxed(&q->header->tail, tail() + 1); }
static void tail_far_back(void) { store_relaxed(&q->header->tail, tail() - QUEUE_DIRECTORY * QUEUE_PAGE_TICKETS); }

/* Where the next is put */
static void next_of_another_page(void) { set_cell(tail(), cell_empty(ticket_page(tail()) + 7)); }
static void next_segment_unknown(void)
{
    store_relaxed(entry_of(tail()), directory_entry(ticket_page(tail()), 0xfffff));
}

static const struct damage {
    const char *name;
    void (*inflict)(void);
    int met; /* by whoever does so: */
} damages[] = {
#define LOOK 1 /* asks for the size */
#define GET 2  /* takes all there is */
#define PUT 4
#define DAMAGE(what, met) {#what, what, met}
    DAMAGE(nothing, 0),
    DAMAGE(class_unknown, LOOK | GET),
    DAMAGE(block_unknown, LOOK | GET),
    DAMAGE(large_block_unknown, LOOK | GET),
    DAMAGE(value_of_another_page, LOOK | GET),
    DAMAGE(block_of_another_page, LOOK | GET),
    DAMAGE(taken_of_another_page, LOOK | GET),
    DAMAGE(emptied, GET),
    DAMAGE(zeroed, LOOK | GET),
    DAMAGE(state_unknown, LOOK | GET),
    DAMAGE(longer_than_its_block, GET),
    DAMAGE(segment_unknown, GET),
    DAMAGE(page_lost, GET),
    DAMAGE(page_of_the_future, GET),
    DAMAGE(page_of_another_place, GET),
    DAMAGE(head_beyond_tail, GET),
    DAMAGE(head_far_beyond_tail, GET),
    DAMAGE(head_far_back, LOOK | GET),
    DAMAGE(tail_ahead, GET),
    DAMAGE(tail_far_back, PUT),
    DAMAGE(next_of_another_page, PUT),
    DAMAGE(next_segment_unknown, PUT),
};

static void prepare(uint32_t first)
{
    uint32_t number;
    for (uint32_t i = 0; i < 2 * ROOM; i++) { /* so that nothing was never used */
        EXPECT_EQ(item_put(q, 0), 0);
        EXPECT_EQ(item_get(q, &number), 0);
    }
    for (uint32_t i = 0; i < BEGUN; i++)
        EXPECT_EQ(item_put(q, i == TAKEN ? first : i), 0);
    for (uint32_t i = 0; i < TAKEN; i++)
        EXPECT_EQ(item_get(q, &number), 0);
}

static int take_all(void)
{
    struct store_item item;
    int rc;
    while ((rc = queue_take(q, &item)) == 0)
        item_release(&q->store, &item);
    return rc;
}

/* All are told, nobody waits. */
static void expect_broken(void)
{
    struct store_item item;
    struct spin_history history = {0};
    struct waiting w;
    EXPECT_EQ(queue_take(q, &item), -EBADMSG);
    EXPECT_EQ(queue_put_value(q, 1), -EBADMSG);
    EXPECT_EQ(item_prepare(&q->store, 10, 0, &item), 0);
    EXPECT_EQ(queue_put(q, &item), -EBADMSG);
    item_release(&q->store, &item);
    for (int end = QUEUE_ITEMS; end <= QUEUE_DONE; end++) {
        waiting_begin(&w, NEVER, BACKSTOP_IDLE);
        EXPECT_EQ(queue_wait(q, (enum queue_end)end, &w, &history), 0);
        waiting_end(&w);
    }
}

/* One of those who meet it does, or nobody (0). */
static void inflict(const struct damage *d, uint32_t first, int who)
{
    doing = d->name;
    uint32_t slot = queue_make(family, 0, 0);
    q = queue_view(family, slot);
    prepare(first);
    d->inflict();
    if (who == LOOK)
        (void)queue_size(q);
    else if (who == PUT)
        EXPECT_EQ(queue_put_value(q, 1), -EBADMSG);
    else
        EXPECT_EQ(take_all(), who == GET ? -EBADMSG : -EAGAIN);
    if (who != 0)
        expect_broken();
    else
        EXPECT_EQ(queue_put_value(q, 1), 0);
    queue_close(q);
    handle_remove(family, slot);
}

/* Who lets go of a view meets holders that no participant can be. */
static void holders_unknown(void)
{
    struct store_item item;
    uint32_t slot = queue_make(family, 0, 0);
    q = queue_view(family, slot);
    EXPECT_EQ(item_put(q, 6), 0);
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT_EQ(item_pin(&q->store, &item), 0);
    store_relaxed(&pinned_block(&q->store, item.block)->holders[3], UINT16_MAX);
    item_unpin(&q->store, &item);
    EXPECT_EQ(load_relaxed(&pinned_block(&q->store, item.block)->block.word), 0);
    queue_close(q);
    handle_remove(family, slot);
}

int main(void)
{
    begin(60);
    family = family_new();
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        for (uint32_t first = 1; first <= 6; first++) /* small and large blocks */
            for (int who = 0; who <= PUT; who = who == 0 ? LOOK : 2 * who)
                if (damages[i].met & who || damages[i].met == who)
                    inflict(&damages[i], first, who);
    RUN(holders_unknown);
    family_end(family);
    return GOOD;
}
