/* SPDX-License-Identifier: MIT */
/* The queue when a process is killed, or stopped for ever, before any of its writes to shared memory.
 *
 * Include this before any other header. A victim does one kind of work, a scene, and gets no further than its n-th write,
 * for every n. First the survivor is asked to put and get beside it, without any recovery; a stopped one must not be in
 * the way either. Then the victim is reaped; in pairs, the reaper is a victim as well, and another finishes. At last the
 * queue is drained and counted: no item twice, none damaged, none out of order, none lost but those that the victim was
 * getting, no block or segment that is nobody's, and once the queue is gone no memory. */
#ifndef MPFAST_TEST_SCENES_H
#define MPFAST_TEST_SCENES_H

#include "faults.h"

#define BESIDE 12 /* puts and gets of the survivor */
#define MOST_WRITES 3000
#define MOST_KEPT 16

enum { SURVIVOR, VICTIM };

static struct family *family;
static char where[100]; /* what is being done, for who finds a fault */
static struct queue *q;
static struct books *books;
static uint32_t slot;
static long kills, stops, pairs, lates;
static pid_t late; /* a victim that is stopped and will go on; 0: none */

struct scene {
    const char *name;
    uint32_t maxsize;
    uint32_t budget;      /* bytes; 0: no limit */
    uint32_t prepared;    /* items that the survivor has put before */
    void (*body)(void *); /* the victim's life */
};

static void begin_scene(const struct scene *s)
{
    memset(books, 0, sizeof *books);
    slot = queue_make(family, s->maxsize, s->budget);
    q = queue_view(family, slot);
    for (uint32_t i = 0; i < s->prepared; i++)
        EXPECT_EQ(books_put(books, q, SURVIVOR), 0);
}

/* A put of the survivor that makes room where there is none. Only memory may be lacking in an empty queue, as long as the
 * dead have it; and once a put was refused for a shutdown, all are. */
static void put_beside(const struct scene *s)
{
    bool shut = load_relaxed(&q->header->shutdown);
    int rc;
    while ((rc = books_put(books, q, SURVIVOR)) == -EAGAIN) {
        if (s->budget > 0 && queue_empty(q))
            return;
        EXPECT(s->budget > 0 || (s->maxsize > 0 ? queue_size(q) == s->maxsize : queue_size(q) > ROOM / 2));
        EXPECT_EQ(books_get(books, q), 0);
    }
    EXPECT_EQ(rc, shut ? -ESHUTDOWN : 0);
}

/* Nobody has reaped yet. What blocked here would block until the deadline. */
static void go_on_beside(const struct scene *s)
{
    for (int i = 0; i < BESIDE; i++) {
        put_beside(s);
        if (queue_size(q) > 3)
            EXPECT_EQ(books_get(books, q), 0);
    }
    if (!queue_empty(q))
        EXPECT_EQ(books_get(books, q), 0);
    else
        EXPECT(s->budget > 0 || load_relaxed(&q->header->shutdown));
}

/* All that the dead had came back: as much may be put as ever. */
static void expect_room(const struct scene *s)
{
    for (int i = 0; i < BESIDE && s->budget > 0; i++)
        EXPECT_EQ(item_put(q, 6), i < (int)(s->budget / 20480) ? 0 : -EAGAIN);
    uint32_t number;
    while (s->budget > 0 && item_get(q, &number) == 0)
        ;
}

static void end_scene(const struct scene *s)
{
    books_drain(books, q);
    books_close(books);
    expect_room(s);
    expect_nothing_kept(family, slot);
    queue_close(q);
    handle_remove(family, slot);
    EXPECT_EQ(slot_kind(load_acquire(&family->states[slot])), SLOT_FREE);
    expect_no_memory(family, slot);
}

/* What the survivor of a scene does who finds the victim killed before its n-th write. */
static void reap_plainly(const struct scene *s)
{
    reap_all(family);
    reap_all(family);
    go_on_beside(s);
}

static void reaps(void *unused)
{
    (void)unused;
    reap_all(family);
}

/* The m-th write is the last of the first reaper; another one finishes. */
static bool reap_in_pairs(const struct scene *s, long m)
{
    pid_t stopped;
    bool hit = child_hit(reaps, NULL, m, SIGKILL, &stopped);
    go_on_beside(s);
    reap_all(family);
    return hit;
}

/* True if the victim had an n-th write. m: of the reaper's, 0: it lives. */
static bool case_of(const struct scene *s, long n, int signal, long m, bool *reaper_hit)
{
    pid_t stopped;
    snprintf(where, sizeof where, "%s: signal %d before write %ld, reaper's %ld", s->name, signal, n, m);
    begin_scene(s);
    bool hit = child_hit(s->body, NULL, n, signal, &stopped);
    go_on_beside(s);
    if (stopped != 0) {
        reap_all(family); /* it is not dead, and keeps what it has */
        go_on_beside(s);
        child_kill(stopped);
    }
    orphans_end();
    if (m > 0)
        *reaper_hit = reap_in_pairs(s, m);
    reap_plainly(s);
    end_scene(s);
    return hit;
}

static long sweep_kills(const struct scene *s)
{
    long n = 1;
    for (; case_of(s, n, SIGKILL, 0, NULL); n++)
        EXPECT(n < MOST_WRITES);
    return n - 1;
}

static void sweep_pairs(const struct scene *s, long writes)
{
    bool reaper_hit;
    for (long n = 1; n <= writes; n += stress() ? 1 : 1 + writes / 8)
        for (long m = 1; case_of(s, n, SIGKILL, m, &reaper_hit) && reaper_hit; m += stress() ? 1 : 5)
            pairs++;
}

static void expect_ours(const struct store_item *item)
{
    uint64_t word = window_word(family, slot, block_word_at(name_class(item->block), name_index(item->block)));
    EXPECT_EQ(block_state(word), BLOCK_OWNED);
    EXPECT_EQ(block_participant(word), identity_index(family_me(family)));
}

static void go_on_later(void)
{
    int status;
    if (late == 0)
        return;
    EXPECT_EQ(kill(late, SIGCONT), 0);
    EXPECT_EQ(waitpid(late, &status, 0), late);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == GOOD);
    late = 0;
}

/* So many items come and go; some are kept for a while. Far enough, and every page, segment and block was used again. */
static void go_around(uint32_t distance)
{
    struct store_item kept[MOST_KEPT];
    int n = 0, rc;
    for (uint32_t i = 0; i < distance; i++) {
        struct store_item item;
        rc = books_put(books, q, SURVIVOR);
        EXPECT(rc == 0 || rc == -EAGAIN || (rc == -ESHUTDOWN && load_relaxed(&q->header->shutdown)));
        while (queue_size(q) > 1) {
            EXPECT_EQ(queue_take(q, &item), 0);
            books_note(books, item_number(&item));
            if (item.block == NO_BLOCK || n == MOST_KEPT)
                item_release(&q->store, &item);
            else
                kept[n++] = item;
        }
    }
    go_on_later();
    for (int i = 0; i < n; i++)
        expect_ours(&kept[i]);
    while (n > 0) {
        (void)item_number(&kept[--n]);
        item_release(&q->store, &kept[n]);
    }
}

/* Stopped before its n-th access, reads too, the victim goes on when the world is another one. Nothing is lost. */
static bool late_case(const struct scene *s, long n, uint32_t distance)
{
    begin_scene(s);
    snprintf(where, sizeof where, "%s: late at access %ld, by %u", s->name, n, distance);
    fault.reads = true;
    bool hit = child_hit(s->body, NULL, n, SIGSTOP, &late);
    fault.reads = false;
    for (int i = 0; i < 100 && books->child == 1; i++)
        usleep(1000);
    go_around(distance);
    reap_plainly(s);
    EXPECT_EQ(books->getting, 0);
    end_scene(s);
    return hit;
}

static void sweep(const struct scene *s)
{
    doing = where;
    long writes = sweep_kills(s), accesses = 1;
    for (long n = 1; n <= writes; n += stress() ? 1 : 3, stops++)
        (void)case_of(s, n, SIGSTOP, 0, NULL); /* it may have found its way with fewer writes this time */
    sweep_pairs(s, writes);
    for (; late_case(s, accesses, chance(2) ? 3 * ROOM : 1 + chance(2 * QUEUE_PAGE_TICKETS)); lates++)
        accesses += stress() ? 1 : 1 + (long)chance(5);
    kills += writes;
    printf("  %-24s %ld writes, %ld accesses\n", s->name, writes, accesses);
}

/* All scenes, then what else there is. */
static int play(const struct scene *scenes, size_t count, void (*more)(void))
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(300);
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    books = books_new();
    for (size_t i = 0; i < count; i++)
        sweep(&scenes[i]);
    if (more != NULL)
        more();
    printf("%ld kills, %ld stops, %ld pairs, %ld late\n", kills, stops, pairs, lates);
    family_end(family);
    return GOOD;
}

#endif
