/* SPDX-License-Identifier: MIT */
/* Items that can be recognized, the books about them, and looks at a queue's memory from outside.
 *
 * Everything is tiny, so that pages, directory entries, segments and blocks are used again within a few items. */
#ifndef MPFAST_TEST_QUEUERS_H
#define MPFAST_TEST_QUEUERS_H

#ifndef FAMILY_PARTICIPANTS
#define FAMILY_PARTICIPANTS 16
#endif
#ifndef FAMILY_SMALL_SLOTS
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#endif
#ifndef QUEUE_PAGE_BITS
#define QUEUE_PAGE_BITS 2
#endif
#ifndef QUEUE_DIRECTORY
#define QUEUE_DIRECTORY 4u
#endif
#ifndef STORE_BLOCKS
#define STORE_BLOCKS 64u
#endif

#include "users.h"

#include "core/life/fork.h"
#include "core/queue/queue.h"
#include "core/life/tend.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define ROOM (QUEUE_DIRECTORY * QUEUE_PAGE_TICKETS) /* items that a queue holds here at most */

/* An item's number says what it looks like: a value in the cell, a small block of some size, or a large one. */
static inline uint64_t size_of(uint32_t number)
{
    static const uint64_t sizes[] = {0, 8, 48, 52, 1000, 4096, 20000};
    return sizes[number % (sizeof sizes / sizeof *sizes)];
}

static inline uint32_t kind_of(uint32_t number) { return 1 + number % 200; }

static inline int item_make(struct queue *q, uint32_t number, struct store_item *item)
{
    int rc = item_prepare(&q->store, size_of(number), kind_of(number), item);
    if (rc < 0)
        return rc;
    EXPECT(item->block != NO_BLOCK && item->size == size_of(number));
    for (uint64_t i = 0; i < item->size; i += 4)
        memcpy(item->data + i, &number, 4);
    return 0;
}

/* Puts it at once, or not at all. */
static inline int item_put(struct queue *q, uint32_t number)
{
    struct store_item item;
    if (size_of(number) == 0)
        return queue_put_value(q, number);
    int rc = item_make(q, number, &item);
    if (rc < 0)
        return rc;
    rc = queue_put(q, &item);
    if (rc < 0)
        item_release(&q->store, &item);
    return rc;
}

/* Which one is it? Ends the process if the item is not whole. */
static inline uint32_t item_number(const struct store_item *item)
{
    uint32_t number, word;
    if (item->block == NO_BLOCK) {
        EXPECT(size_of((uint32_t)item->value) == 0);
        return (uint32_t)item->value;
    }
    EXPECT(item->size >= 4);
    memcpy(&number, item->data, 4);
    EXPECT_EQ(item->size, size_of(number));
    EXPECT_EQ(item->kind, kind_of(number));
    for (uint64_t i = 0; i < item->size; i += 4) {
        memcpy(&word, item->data + i, 4);
        EXPECT_EQ(word, number);
    }
    return number;
}

static inline int item_get(struct queue *q, uint32_t *number)
{
    struct store_item item = {0};
    int rc = queue_take(q, &item);
    if (rc < 0)
        return rc;
    *number = item_number(&item);
    item_release(&q->store, &item);
    return 0;
}

/* Keeps a large item; lets go of a small one, which cannot be kept. */
static inline bool item_keep(struct queue *q, const struct store_item *item)
{
    int rc = item_pin(&q->store, item);
    if (rc == 0)
        return true;
    EXPECT(rc == -EINVAL && size_of(item_number(item)) <= class_capacity(STORE_LARGE - 1));
    item_release(&q->store, item);
    return false;
}

/* The books are kept in memory of their own, and survive those who keep them. */
#define NUMBERS 65536

struct books {
    volatile uint32_t next;
    volatile uint8_t begun[NUMBERS]; /* who put it, + 1 */
    volatile uint8_t put[NUMBERS];   /* and has heard that it was */
    volatile uint8_t refused[NUMBERS];
    volatile uint8_t got[NUMBERS];
    volatile uint32_t getting; /* how many items the victim may have with it */
    volatile uint32_t child;   /* of the victim; 1: runs, 2: has done what it had to do */
};

static inline struct books *books_new(void)
{
    void *p = mmap(NULL, sizeof(struct books), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED);
    return p;
}

static inline int books_put(struct books *b, struct queue *q, uint8_t who)
{
    EXPECT(b->next < NUMBERS);
    uint32_t number = b->next++;
    b->begun[number] = who + 1;
    int rc = item_put(q, number);
    (rc == 0 ? b->put : b->refused)[number] = 1;
    return rc;
}

static inline void books_note(struct books *b, uint32_t number)
{
    EXPECT(number < NUMBERS && b->begun[number] && !b->refused[number]);
    EXPECT_EQ(b->got[number], 0);
    b->got[number] = 1;
}

static inline int books_get(struct books *b, struct queue *q)
{
    uint32_t number;
    int rc = item_get(q, &number);
    if (rc == 0)
        books_note(b, number);
    return rc;
}

/* The victim's own: what it has taken may die with it. */
static inline int books_get_at_risk(struct books *b, struct queue *q)
{
    b->getting++;
    int rc = books_get(b, q);
    b->getting--;
    return rc;
}

/* Takes all that is left; what each putter has put comes in its order. */
static inline void books_drain(struct books *b, struct queue *q)
{
    uint32_t number, last[256] = {0};
    int rc;
    while ((rc = item_get(q, &number)) == 0) {
        books_note(b, number);
        EXPECT(number >= last[b->begun[number]]);
        last[b->begun[number]] = number;
    }
    EXPECT_EQ(rc, load_relaxed(&q->header->shutdown) ? -ESHUTDOWN : -EAGAIN);
    EXPECT(queue_empty(q) && queue_size(q) == 0);
}

/* What was put came; all but what the victim was getting. What came was put, or its putter died over it. */
static inline void books_close(const struct books *b)
{
    uint32_t lost = 0, left = 0;
    for (uint32_t number = 0; number < b->next; number++) {
        lost += b->put[number] && !b->got[number];
        left += b->got[number] && !b->put[number];
    }
    EXPECT(lost <= b->getting);
    EXPECT(left <= 1);
}

/* A word of the queue's window, read without any view of it. What never existed reads as 0, and is not made by that. */
static inline uint64_t window_word(const struct family *f, uint32_t slot, uint64_t offset)
{
    uint64_t word = 0;
    EXPECT_EQ(pread(f->fd, &word, sizeof word, (off_t)(window_offset(slot) + offset)), sizeof word);
    return word;
}

static inline uint64_t block_word_at(uint32_t class, uint32_t index)
{
    return class < STORE_LARGE ? class_data_at(class) + index * class_size(class)
                               : class_headers_at(class) + index * sizeof(struct large_block);
}

/* In an empty queue that nobody uses all blocks are free, and no segment is about to become a page. */
static inline void expect_nothing_kept(const struct family *f, uint32_t slot)
{
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        for (uint32_t i = 0; i < class_blocks(class); i++)
            EXPECT_EQ(window_word(f, slot, block_word_at(class, i)), 0);
    for (uint32_t s = 0; s < QUEUE_SEGMENTS; s++)
        EXPECT(!segment_is_init(window_word(f, slot, QUEUE_STATES + s * 8)));
}

/* The queue is gone: so is its memory. */
static inline void expect_no_memory(const struct family *f, uint32_t slot)
{
    off_t begin = (off_t)window_offset(slot), data = lseek(f->fd, begin, SEEK_DATA);
    EXPECT(data < 0 || data >= begin + (off_t)WINDOW_SIZE);
}

static inline uint32_t queue_make(struct family *f, uint64_t maxsize, uint64_t budget)
{
    int64_t slot = handle_claim(f, SLOT_LARGE, SLOT_QUEUE);
    EXPECT(slot >= 0);
    queue_init(slot_at(f, (uint32_t)slot), maxsize, budget);
    return (uint32_t)slot;
}

static inline struct queue *queue_view(struct family *f, uint32_t slot)
{
    struct queue *q;
    EXPECT_EQ(queue_open(f, slot, &q), 0);
    return q;
}

/* Reaps all entries whose processes are dead. */
static inline void reap_all(struct family *f)
{
    struct reaped r = {0};
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(f)))
            reap_owner(f, identity_make(i, 0), &r);
}

#endif
