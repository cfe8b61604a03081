/* SPDX-License-Identifier: MIT */
/* Kills in the queue's work: put, get, pages, blocks, wake-ups, views, reaping. See scenes.h. */
#include "scenes.h"

/* A victim's child has an n-th write of its own, and stays there. */
static void own_child_ends(pid_t child)
{
    int status;
    while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status))
        kill(child, SIGKILL);
    EXPECT(child < 0 || WIFSIGNALED(status) || WEXITSTATUS(status) == GOOD);
}

static void puts_items(void *unused)
{
    (void)unused;
    for (int i = 0; i < 7; i++)
        (void)books_put(books, q, VICTIM);
}

static void gets_items(void *unused)
{
    (void)unused;
    for (int i = 0; i < 7; i++)
        (void)books_get_at_risk(books, q);
}

/* Pages come and go. */
static void puts_and_gets(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2 * (int)QUEUE_PAGE_TICKETS; i++) {
        (void)books_put(books, q, VICTIM);
        (void)books_put(books, q, VICTIM);
        (void)books_get_at_risk(books, q);
        (void)books_get_at_risk(books, q);
    }
}

/* Reaps somebody who has put items, some of them large, had taken some, and was about to put one. */
static void is_reaped(void *unused)
{
    struct store_item item;
    (void)unused;
    for (int i = 0; i < 4; i++)
        (void)books_put(books, q, VICTIM);
    EXPECT_EQ(item_make(q, 6, &item), 0);
    EXPECT_EQ(item_make(q, 3, &item), 0);
}

static void reaps_another(void *unused)
{
    (void)unused;
    pid_t mine = fork();
    if (mine == 0) {
        fault.at = 0;
        is_reaped(NULL);
        _exit(GOOD);
    }
    own_child_ends(mine);
    reap_all(family);
}

/* As if somebody slept at both ends, so that it has to wake them. */
static void wakes(void *unused)
{
    struct queue_header *h = slot_at(family, slot);
    (void)unused;
    for (int i = 0; i < 3; i++) {
        atomic_fetch_or(&h->items, 1u);
        atomic_fetch_or(&h->space, 1u);
        (void)books_put(books, q, VICTIM);
        (void)books_get_at_risk(books, q);
    }
}

/* Prepared, and thought better of. */
static void abandons(void *unused)
{
    struct store_item item[4];
    (void)unused;
    for (uint32_t i = 0; i < 4; i++)
        EXPECT_EQ(item_make(q, i + 3, &item[i]), 0);
    for (uint32_t i = 0; i < 4; i++)
        item_release(&q->store, &item[i]);
}

/* Takes everything, and keeps what is large: views into shared memory. Returns how many. */
static int keep_all(struct store_item *kept)
{
    int n = 0;
    for (bool more = true; more;) {
        books->getting++;
        more = queue_take(q, &kept[n]) == 0;
        if (more) {
            books_note(books, item_number(&kept[n]));
            n += item_keep(q, &kept[n]);
        }
        books->getting--;
    }
    return n;
}

static void pins(void *unused)
{
    struct store_item kept[MOST_KEPT];
    (void)unused;
    int n = keep_all(kept);
    for (int i = 0; i < n; i++)
        (void)item_number(&kept[i]);
    for (int i = 1; i < n; i += 2)
        item_unpin(&q->store, &kept[i]); /* and the rest at its end */
}

static void unpin_all(struct store_item *kept, int n)
{
    for (; n > 0; item_unpin(&q->store, &kept[n]))
        (void)item_number(&kept[--n]);
}

/* A child inherits them, and has them also when the victim is dead. */
static void forks_with_pins(void *unused)
{
    struct store_item kept[MOST_KEPT];
    (void)unused;
    int n = keep_all(kept);
    pid_t child = fork();
    if (child == 0) {
        if (fault.reads)
            fault.at = 0; /* only the victim is late */
        unpin_all(kept, n);
        books->child = 2;
        _exit(GOOD);
    }
    if (books->child == 0)
        books->child = 1;
    unpin_all(kept, n / 2);
    own_child_ends(child);
    unpin_all(kept + n / 2, n - n / 2);
}

/* A view of its own, as an object that was unpickled makes it. */
static void attaches(void *unused)
{
    (void)unused;
    struct queue *view;
    EXPECT_EQ(handle_attach(family, slot, SLOT_QUEUE, generation_of(family, slot)), 0);
    EXPECT_EQ(queue_open(family, slot, &view), 0);
    (void)books_put(books, view, VICTIM);
    queue_close(view);
    handle_remove(family, slot);
    queue_close(q);
    handle_remove(family, slot);
}

/* A queue of its own, made and dropped with an item in it. */
static void makes(void *unused)
{
    (void)unused;
    uint32_t own = queue_make(family, 0, 0);
    struct queue *view = queue_view(family, own);
    EXPECT_EQ(item_put(view, 6), 0);
    queue_close(view);
    handle_remove(family, own);
}

static void leaves(void *unused)
{
    (void)unused;
    (void)books_put(books, q, VICTIM);
    participant_leave(family);
    (void)books_put(books, q, VICTIM);
}

static void sets_down(void *unused)
{
    (void)unused;
    (void)queue_task_done(q);
    queue_pass_on(q, QUEUE_ITEMS);
    queue_pass_on(q, QUEUE_SPACE);
}

static const struct scene scenes[] = {
    {"puts", 0, 0, 2, puts_items},
    {"puts, pages wrap", 0, 0, 5, puts_items},
    {"puts, maxsize", 3, 0, 1, puts_items},
    {"gets", 0, 0, 5, gets_items},
    {"gets, pages wrap", 0, 0, 11, gets_items},
    {"puts and gets", 0, 0, 3, puts_and_gets},
    {"puts and gets, maxsize", 2, 0, 1, puts_and_gets},
    {"reaps", 0, 0, 2, reaps_another},
    {"wakes", 0, 0, 0, wakes},
    {"wakes, maxsize", 2, 0, 1, wakes},
    {"abandons", 0, 0, 1, abandons},
    {"pins", 0, 0, 14, pins},
    {"attaches", 0, 0, 1, attaches},
    {"makes", 0, 0, 1, makes},
    {"leaves", 0, 0, 1, leaves},
    {"is done", 0, 0, 3, sets_down},
    {"forks with pins", 0, 0, 14, forks_with_pins},
};

int main(void) { return play(scenes, sizeof scenes / sizeof *scenes, NULL); }
