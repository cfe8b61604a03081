/* SPDX-License-Identifier: MIT */
/* Kills while memory is given back, or is not enough, while a queue is shut down, and of two that let go of one view. See
 * scenes.h. Pieces of memory are as small as can be. */
#define STORE_CHUNK ((uint64_t)4096)
#define STORE_SLACK ((uint64_t)16384)
#define STORE_RUN 4u
#define STORE_HOME 1u
#define TRIM_PERIOD 1
#define TRIM_REVIEW 4u
#define TRIM_LEASES 2u
#define SEGMENTS_KEPT 1u
#include "scenes.h"

#include <poll.h>
#include <sys/syscall.h>

#define MOST_LEAVING 8 /* writes of somebody who lets go of a view */

/* Memory and pages that are used no more, given back while others go on. */
static void trims(void *unused)
{
    struct store_item item[16];
    uint32_t n = 0;
    (void)unused;
    for (; n < 16; n++) /* several pieces of small blocks, and some large ones */
        if (item_make(q, n % 4 == 0 ? 6 : 4, &item[n]) < 0)
            break;
    while (n > 0)
        item_release(&q->store, &item[--n]);
    for (uint32_t i = 0; i < 2 * QUEUE_PAGE_TICKETS; i++) {
        (void)books_put(books, q, VICTIM);
        (void)books_get_at_risk(books, q);
    }
    queue_trim(q);
}

/* There is never enough memory: what is free is given back for what is wanted, and somebody waits for it. */
static void spends(void *unused)
{
    struct queue_header *h = slot_at(family, slot);
    (void)unused;
    for (int i = 0; i < 14; i++) {
        atomic_fetch_or(&h->store.freed, 1u);
        if (books_put(books, q, VICTIM) == -EAGAIN)
            (void)books_get_at_risk(books, q);
    }
}

static void shuts_down(void *unused)
{
    struct queue_header *h = slot_at(family, slot);
    (void)unused;
    (void)books_put(books, q, VICTIM);
    atomic_fetch_or(&h->items, 1u);
    atomic_fetch_or(&h->space, 1u);
    queue_shutdown(q);
    EXPECT_EQ(books_put(books, q, VICTIM), -ESHUTDOWN);
    for (int i = 0; i < 3; i++) { /* immediately: nobody is to get them */
        (void)books_get_at_risk(books, q);
        (void)queue_task_done(q);
    }
}

/* Two that let go of one view: the parent is stopped before its n-th write, its child is killed before its m-th, and the
 * parent, which goes on, before its k-th. Each is reaped at once. */
struct leavers {
    long n, m, k;
};

static void leave_alone(long at, int signal, long end, struct store_item *kept)
{
    fault_arm(at, signal);
    fault.end = end;
    item_unpin(&q->store, kept);
    _exit(GOOD);
}

static void parent_and_child_leave(void *with)
{
    const struct leavers *l = with;
    struct store_item kept;
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
    static const struct scene s = {.name = "pairs of leavers"};
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
    end_scene(&s);
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

static const struct scene scenes[] = {
    {"trims", 0, 0, 3, trims},
    {"trims, pages wrap", 0, 0, 13, trims},
    {"spends", 0, 4 * 20480 - 64, 2, spends},
    {"spends, maxsize", 4, 3 * 20480 - 64, 1, spends},
    {"shuts down", 0, 0, 2, shuts_down},
    {"shuts down, maxsize", 2, 0, 1, shuts_down},
};

int main(void) { return play(scenes, sizeof scenes / sizeof *scenes, pairs_of_leavers); }
