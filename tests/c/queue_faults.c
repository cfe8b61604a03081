/* SPDX-License-Identifier: MIT */
/* The queue when a process is killed, or stopped for ever, before any of its writes to shared memory.
 *
 * A victim does one kind of work and gets no further than its n-th write, for every n. First the survivor is asked to
 * put and get beside it, without any recovery; a stopped one must not be in the way either. Then the victim is reaped;
 * in pairs, the reaper is a victim as well, and another finishes. At last the queue is drained and counted: no item
 * twice, none damaged, none out of order, none lost but those that the victim was getting, no block or segment that is
 * nobody's, and once the queue is gone no memory. */
#include "faults.h"

#include <poll.h>
#include <sys/syscall.h>

#define BESIDE 12 /* puts and gets of the survivor */
#define MOST_WRITES 3000
#define MOST_KEPT 16
#define MOST_LEAVING 8 /* writes of somebody who lets go of a view */

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
    uint32_t prepared;    /* items that the survivor has put before */
    void (*body)(void *); /* the victim's life */
};

static void begin_scene(const struct scene *s)
{
    memset(books, 0, sizeof *books);
    slot = queue_make(family, s->maxsize, 0);
    q = queue_view(family, slot);
    for (uint32_t i = 0; i < s->prepared; i++)
        EXPECT_EQ(books_put(books, q, SURVIVOR), 0);
}

/* Nobody has reaped yet. What blocked here would block until the deadline. */
static void go_on_beside(const struct scene *s)
{
    int rc;
    for (int i = 0; i < BESIDE; i++) {
        while ((rc = books_put(books, q, SURVIVOR)) == -EAGAIN) {
            EXPECT(s->maxsize > 0 ? queue_size(q) == s->maxsize : queue_size(q) > ROOM / 2);
            EXPECT_EQ(books_get(books, q), 0);
        }
        EXPECT_EQ(rc, 0);
        if (queue_size(q) > 3)
            EXPECT_EQ(books_get(books, q), 0);
    }
    EXPECT_EQ(books_get(books, q), 0);
}

static void end_scene(void)
{
    books_drain(books, q);
    books_close(books);
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
    end_scene();
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

static void expect_ours(const struct queue_item *item)
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
    struct queue_item kept[MOST_KEPT];
    int n = 0, rc;
    for (uint32_t i = 0; i < distance; i++) {
        struct queue_item item;
        rc = books_put(books, q, SURVIVOR);
        EXPECT(rc == 0 || rc == -EAGAIN);
        while (queue_size(q) > 1) {
            EXPECT_EQ(queue_take(q, &item), 0);
            books_note(books, item_number(&item));
            if (item.block == QUEUE_NO_BLOCK || n == MOST_KEPT)
                queue_release(q, &item);
            else
                kept[n++] = item;
        }
    }
    go_on_later();
    for (int i = 0; i < n; i++)
        expect_ours(&kept[i]);
    while (n > 0) {
        (void)item_number(&kept[--n]);
        queue_release(q, &kept[n]);
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
    end_scene();
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

/* A victim's child has an n-th write of its own, and stays there. */
static void own_child_ends(pid_t child)
{
    int status;
    while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status))
        kill(child, SIGKILL);
    EXPECT(child < 0 || WIFSIGNALED(status) || WEXITSTATUS(status) == GOOD);
}

/* Reaps somebody who has put items, some of them large, had taken some, and was about to put one. */
static void is_reaped(void *unused)
{
    struct queue_item item;
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
    struct queue_item item[4];
    (void)unused;
    for (uint32_t i = 0; i < 4; i++)
        EXPECT_EQ(item_make(q, i + 3, &item[i]), 0);
    for (uint32_t i = 0; i < 4; i++)
        queue_release(q, &item[i]);
}

/* Takes everything, and keeps what is large: views into shared memory. Returns how many. */
static int keep_all(struct queue_item *kept)
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
    struct queue_item kept[MOST_KEPT];
    (void)unused;
    int n = keep_all(kept);
    for (int i = 0; i < n; i++)
        (void)item_number(&kept[i]);
    for (int i = 1; i < n; i += 2)
        queue_unpin(q, &kept[i]); /* and the rest at its end */
}

static void unpin_all(struct queue_item *kept, int n)
{
    for (; n > 0; queue_unpin(q, &kept[n]))
        (void)item_number(&kept[--n]);
}

/* A child inherits them, and has them also when the victim is dead. */
static void forks_with_pins(void *unused)
{
    struct queue_item kept[MOST_KEPT];
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

/* Two that let go of one view: the parent is stopped before its n-th write, its child is killed before its m-th, and the
 * parent, which goes on, before its k-th. Each is reaped at once. */
struct leavers {
    long n, m, k;
};

static void leave_alone(long at, int signal, long end, struct queue_item *kept)
{
    fault_arm(at, signal);
    fault.end = end;
    queue_unpin(q, kept);
    _exit(GOOD);
}

static void parent_and_child_leave(void *with)
{
    const struct leavers *l = with;
    struct queue_item kept;
    EXPECT_EQ(queue_take(q, &kept), 0);
    EXPECT(item_keep(q, &kept));
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        raise(SIGSTOP); /* until it is asked for */
        leave_alone(l->m, SIGKILL, 0, &kept);
    }
    EXPECT(WIFSTOPPED(child_wait(child)));
    books->child = (uint32_t)child;
    leave_alone(l->n, SIGSTOP, l->k, &kept);
}

/* Lets somebody else's child go on to its end. */
static void grandchild_ends(void)
{
    pid_t pid = (pid_t)books->child;
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    EXPECT(ended.fd >= 0);
    EXPECT_EQ(kill(pid, SIGCONT), 0);
    EXPECT_EQ(poll(&ended, 1, -1), 1);
    close(ended.fd);
}

static bool pair_case(const struct leavers *l, bool *killed)
{
    static const struct scene s = {"pairs of leavers", 0, 0, NULL};
    snprintf(where, sizeof where, "%s: stopped before write %ld, killed before %ld, %ld", s.name, l->n, l->m, l->k);
    begin_scene(&s);
    EXPECT_EQ(item_put(q, 6), 0);
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        parent_and_child_leave((void *)l);
    int status = child_wait(pid);
    bool stopped = WIFSTOPPED(status);
    grandchild_ends();
    reap_all(family);
    if (stopped) {
        EXPECT_EQ(kill(pid, SIGCONT), 0);
        status = child_wait(pid);
    }
    EXPECT(WIFSIGNALED(status) || WEXITSTATUS(status) == GOOD);
    *killed = WIFSIGNALED(status);
    orphans_end();
    reap_plainly(&s);
    end_scene();
    return stopped;
}

/* Only both deaths at such places can make one forget what the other has begun. */
static void pairs_of_leavers(void)
{
    bool killed, stopped = true;
    long cases = 0;
    doing = where;
    for (struct leavers l = {.n = 1}; stopped; l.n++)
        for (l.m = 1; stopped && l.m <= MOST_LEAVING; l.m++)
            for (l.k = l.n, killed = true; stopped && killed; cases++) {
                l.k++;
                stopped = pair_case(&l, &killed);
            }
    printf("  %-24s %ld cases\n", "pairs of leavers", cases);
    pairs += cases;
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
    {"puts", 0, 2, puts_items},
    {"puts, pages wrap", 0, 5, puts_items},
    {"puts, maxsize", 3, 1, puts_items},
    {"gets", 0, 5, gets_items},
    {"gets, pages wrap", 0, 11, gets_items},
    {"puts and gets", 0, 3, puts_and_gets},
    {"puts and gets, maxsize", 2, 1, puts_and_gets},
    {"reaps", 0, 2, reaps_another},
    {"wakes", 0, 0, wakes},
    {"wakes, maxsize", 2, 1, wakes},
    {"abandons", 0, 1, abandons},
    {"pins", 0, 14, pins},
    {"attaches", 0, 1, attaches},
    {"makes", 0, 1, makes},
    {"leaves", 0, 1, leaves},
    {"is done", 0, 3, sets_down},
    {"forks with pins", 0, 14, forks_with_pins},
};

int main(void)
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
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        sweep(&scenes[i]);
    pairs_of_leavers();
    printf("%ld kills, %ld stops, %ld pairs, %ld late\n", kills, stops, pairs, lates);
    family_end(family);
    return GOOD;
}
