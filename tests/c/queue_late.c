/* SPDX-License-Identifier: MIT */
/* Somebody is slow: before each access of an operation in turn, others put and take so and so many items, and leave so
 * and so many; then it goes on in a world in which pages, segments and blocks have other uses. Every access, every
 * distance until all has come round, one after the other: what queue_faults.c does to processes by chance. The others run
 * inside of the slow one, as a signal handler would; nothing is held that they could need. So do holders of a block. */
static void late_point(void);
#define POINT() late_point()
#define READ_POINT() late_point()
#include "check.h"
#include "queuers.h"

#define MOST_LATE 1000 /* accesses of an operation, that it has an end */

enum { OTHERS, SLOW };

static struct family *family;
static struct queue *q;
static struct books *books;
static char where[100];
static struct {
    long at, seen; /* 0: nobody is slow */
    void (*others)(void);
    uint32_t distance, leave;
    bool lag; /* the last of them who put is slow, too: it has not come to move the tail */
} late;

static void others(void)
{
    for (uint32_t i = 0; i < late.distance; i++) {
        int rc = books_put(books, q, OTHERS);
        EXPECT(rc == 0 || rc == -EAGAIN);
        while (queue_size(q) > late.leave)
            EXPECT_EQ(books_get(books, q), 0);
    }
    if (late.lag)
        sub_relaxed(&q->header->tail, 1);
}

static void late_point(void)
{
    if (late.at == 0 || ++late.seen != late.at)
        return;
    late.at = 0;
    late.others();
}

static void puts_one(void)
{
    int rc = books_put(books, q, SLOW);
    EXPECT(rc == 0 || rc == -EAGAIN);
}

static void gets_one(void)
{
    int rc = books_get(books, q);
    EXPECT(rc == 0 || rc == -EAGAIN);
}

static void looks(void)
{
    struct queue_stats s;
    EXPECT(queue_size(q) <= ROOM);
    (void)queue_empty(q);
    queue_stats(q, &s);
    EXPECT(s.unfinished >= s.size);
}

static void trims(void) { queue_trim(q); }

static void nothing_kept(void)
{
    for (uint32_t c = 0; c < STORE_CLASSES; c++)
        for (uint32_t i = 0; i < load_relaxed(&q->header->store.top[c]); i++)
            EXPECT_EQ(load_relaxed(&block_at(&q->store, c, i)->word), 0);
    for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++)
        EXPECT(!segment_is_init(load_relaxed(&q->states[i])));
}

/* False: the operation had no n-th access. `before`: items that came and went. */
static bool slow_at(void (*operation)(void), uint32_t maxsize, uint32_t before, long n)
{
    memset(books, 0, offsetof(struct books, begun) + 4);
    uint32_t slot = queue_make(family, maxsize, 0);
    q = queue_view(family, slot);
    for (uint32_t i = 0; i < before; i++) {
        EXPECT_EQ(books_put(books, q, OTHERS), 0);
        if (queue_size(q) > 1)
            EXPECT_EQ(books_get(books, q), 0);
    }
    late.others = others;
    late.seen = 0;
    late.at = n;
    operation();
    bool hit = late.at == 0;
    late.at = 0;
    EXPECT_EQ(books_put(books, q, SLOW), 0);
    books_drain(books, q);
    books_close(books);
    nothing_kept();
    for (uint32_t number = 0; number < books->next; number++)
        books->begun[number] = books->put[number] = books->refused[number] = books->got[number] = 0;
    queue_close(q);
    handle_remove(family, slot);
    return hit;
}

static void slow(const char *name, void (*operation)(void), uint32_t maxsize)
{
    long cases = 0;
    for (uint32_t before = 0; before < 8; before += stress() ? 1 : 3)
        for (late.leave = 0; late.leave < 4; late.leave += 1 + late.leave)
            for (late.distance = 1; late.distance <= 3 * ROOM; late.distance += stress() ? 1 : 1 + late.distance / 2)
                for (long n = 1;; n++, cases++) {
                    snprintf(where, sizeof where, "%s, maxsize %u, after %u, at access %ld, by %u, leaving %u, lag %d",
                             name, maxsize, before, n, late.distance, late.leave, late.lag);
                    EXPECT(n < MOST_LATE);
                    if (!slow_at(operation, maxsize, before, n))
                        break;
                }
    printf("  %-10s maxsize %u, lag %d, %ld cases\n", name, maxsize, late.lag, cases);
}

/* Participants that hold a block; nothing but their numbers is looked at. */
enum { LEFT = 3, PARENT, CHILD };

static struct large_block *held;

/* It is slow as well: it has not come to settle the block. */
static void parent_forks_and_leaves(void)
{
    hold_add(held, PARENT);
    hold_add(held, CHILD);
    hold_claim(held, PARENT);
    hold_leave(held, PARENT);
}

/* Who lets go looks through the holders, while one of them names another, where it has looked already, and leaves, before
 * it has looked there. */
static bool lets_go_at(long n)
{
    struct store_item item = {0};
    uint32_t slot = queue_make(family, 0, 0);
    q = queue_view(family, slot);
    EXPECT_EQ(item_put(q, 6), 0);
    EXPECT_EQ(queue_take(q, &item), 0);
    held = pinned_block(&q->store, item.block);
    hold_add(held, LEFT);
    hold_add(held, queue_me(q));
    hold_add(held, PARENT);
    hold_leave(held, LEFT);
    late.others = parent_forks_and_leaves;
    late.seen = 0;
    late.at = n;
    hold_end(&q->store, held, queue_me(q));
    bool hit = late.at == 0;
    late.at = 0;
    if (!hit)
        parent_forks_and_leaves();
    hold_settle(&q->store, held, load_relaxed(&held->block.word) & TICKET_MASK);
    EXPECT_EQ(block_participant(load_relaxed(&held->block.word)), CHILD);
    hold_end(&q->store, held, CHILD);
    EXPECT_EQ(load_relaxed(&held->block.word), 0);
    queue_close(q);
    handle_remove(family, slot);
    return hit;
}

static void lets_go(void)
{
    for (long n = 1; lets_go_at(n); n++)
        EXPECT(n < MOST_LATE);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread");
    return SKIP;
#endif
    begin(60);
    family = family_new();
    books = books_new();
    doing = where;
    for (int lag = 0; lag < 2; lag++) {
        late.lag = lag;
        slow("puts", puts_one, 0);
        slow("puts", puts_one, 8);
        slow("gets", gets_one, 0);
        slow("gets", gets_one, 8);
        slow("looks", looks, 8);
        slow("trims", trims, 0);
    }
    RUN(lets_go);
    family_end(family);
    return GOOD;
}
