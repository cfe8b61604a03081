/* SPDX-License-Identifier: MIT */
/* A queue whose memory somebody has overwritten, anywhere in its header and its window.
 *
 * A child does all that one can do with it, another one reaps the first. Each call must return, in time, one of the
 * values that it may return at all; no child may die of a signal. What was put may be lost or damaged then, of course:
 * whoever writes there can do that. MPFAST_SEED=n does case n alone, in this process, for a debugger. */
#define PATIENCE 4096u
#define POINT() ((void)0) /* one process at a time: nobody is to be let go first */
#define READ_POINT() ((void)0)
#include "check.h"
#include "queuers.h"

#include <sys/wait.h>

#define SECONDS 20
#define EXTENTS 64

static struct family *family;
static uint32_t slot;
static struct queue *q;
static struct books *books; /* results[-rc] here: how often each error came */
static volatile uint32_t *results;

static const int allowed[] = {0,          -EAGAIN, -EBADMSG, -ENOMEM, -ESHUTDOWN, -EMSGSIZE,
                              -ETIMEDOUT, -EINTR,  -ERANGE,  -EUSERS, -EBADF};

static int expect_allowed(int rc)
{
    bool found = false;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        found |= rc == allowed[i];
    if (!found)
        EXPECT_EQ(rc, 0);
    results[-rc]++;
    return rc;
}

/* Some of everything: values, blocks of several sizes, free ones, taken tickets, pages that were used again. */
static void prepare(void)
{
    uint32_t number = 0, got;
    slot = queue_make(family, chance(3) == 0 ? 2 + chance(6) : 0, 0);
    q = queue_view(family, slot);
    for (uint32_t i = chance(40); i > 0; i--) {
        if (item_put(q, number) == 0)
            number++;
        if (chance(2))
            (void)item_get(q, &got);
    }
}

static uint64_t damaged(uint64_t word)
{
    static const uint64_t bad[] = {0,         UINT64_MAX, 1, UINT64_C(1) << 63, UINT64_C(1) << 62, UINT64_C(1) << 61,
                                   0xffffffff};
    switch (chance(7)) {
    case 0:
        return bad[chance(sizeof bad / sizeof *bad)];
    case 1:
        return word ^ UINT64_C(1) << chance(64);
    case 2:
        return word + chance(16) - 8;
    case 3:
        return word << chance(32) | chance(4);
    case 4: /* a cell that names something else */
        return word ^ ((uint64_t)chance(UINT32_MAX) & 0x7ffffffff) << 2;
    case 5: /* a directory entry */
        return word ^ chance(1u << 20);
    default:
        return (uint64_t)chance(UINT32_MAX) << 32 | chance(UINT32_MAX);
    }
}

/* Where the window has memory at all. */
static uint32_t extents(off_t begin[EXTENTS], off_t end[EXTENTS])
{
    off_t first = (off_t)window_offset(slot), last = first + (off_t)WINDOW_SIZE, at = first;
    uint32_t n = 0;
    while (n < EXTENTS && (at = lseek(family->fd, at, SEEK_DATA)) >= 0 && at < last) {
        begin[n] = at;
        at = end[n++] = lseek(family->fd, at, SEEK_HOLE);
    }
    return n;
}

static void damage_window(void)
{
    off_t begin[EXTENTS], end[EXTENTS];
    uint32_t n = extents(begin, end);
    if (n == 0)
        return;
    uint32_t e = chance(n);
    uint32_t used = chance(3) ? 256 : (uint32_t)(end[e] - begin[e]); /* most is at the begin of a page */
    off_t at = begin[e] + (off_t)FAMILY_PAGE * chance((uint32_t)((end[e] - begin[e]) / FAMILY_PAGE));
    at += (off_t)chance((used < FAMILY_PAGE ? used : FAMILY_PAGE) / 8) * 8;
    uint64_t word;
    EXPECT_EQ(pread(family->fd, &word, sizeof word, at), sizeof word);
    word = damaged(word);
    EXPECT_EQ(pwrite(family->fd, &word, sizeof word, at), sizeof word);
}

static void damage_header(void)
{
    uint64_t *words = slot_at(family, slot);
    uint32_t i = chance(sizeof(struct queue_header) / 8);
    words[i] = damaged(words[i]);
}

static void wait_briefly(enum queue_end end)
{
    struct spin_history history = {0};
    struct waiting w;
    waiting_begin(&w, in(200 * MICROSECOND), BACKSTOP_IDLE);
    int rc = expect_allowed(queue_wait(q, end, &w, &history));
    waiting_end(&w);
    if (rc < 0)
        queue_pass_on(q, end);
}

static void put_something(void)
{
    struct store_item item;
    if (chance(3) == 0) {
        expect_allowed(queue_put_value(q, chance(1000)));
        return;
    }
    if (expect_allowed(item_prepare(&q->store, chance(5) ? chance(6000) : chance(100000), chance(256), &item)) < 0)
        return;
    memset(item.data, 'x', item.size);
    if (expect_allowed(queue_put(q, &item)) < 0)
        item_release(&q->store, &item);
}

static void take_something(void)
{
    struct store_item item;
    volatile char last = 0;
    if (expect_allowed(queue_take(q, &item)) < 0 || item.block == NO_BLOCK)
        return;
    item_touch(&q->store, &item);
    for (uint64_t i = 0; i < item.size; i += 64)
        last = item.data[i];
    if (item.size > 0)
        last = item.data[item.size - 1];
    (void)last;
    bool large = name_class(item.block) >= STORE_LARGE;
    if (large && chance(2) && expect_allowed(item_pin(&q->store, &item)) == 0)
        item_unpin(&q->store, &item);
    else
        item_release(&q->store, &item);
}

static void look(void)
{
    struct queue_stats stats;
    (void)queue_size(q);
    (void)queue_empty(q);
    (void)queue_full(q);
    (void)queue_unfinished(q);
    (void)load_relaxed(&q->header->shutdown);
    queue_stats(q, &stats);
}

static void use(void)
{
    for (int i = 0; i < 60; i++) {
        uint32_t what = chance(16);
        if (what < 6)
            put_something();
        else if (what < 12)
            take_something();
        else if (what == 12)
            wait_briefly((enum queue_end)chance(4));
        else if (what == 13)
            look();
        else if (what == 14)
            expect_allowed(queue_task_done(q));
        else if (chance(20) == 0)
            queue_shutdown(q);
    }
    if (chance(2))
        queue_close(q);
}

static void reap(void)
{
    reap_all(family);
    queue_close(q);
    handle_remove(family, slot);
}

static void in_a_child(void (*body)(void), uint64_t seed)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        alarm(SECONDS);
        body();
        _exit(GOOD);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != GOOD)
        fprintf(stderr, "MPFAST_SEED=%llu\n", (unsigned long long)seed);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), GOOD);
}

static void one(uint64_t seed, bool alone)
{
    chance_seed(seed);
    prepare();
    for (uint32_t i = chance(chance(3) ? 2 : 12) + 1; i > 0; i--)
        (chance(3) ? damage_window : damage_header)();
    if (alone)
        use();
    else
        in_a_child(use, seed);
    if (alone)
        reap();
    else
        in_a_child(reap, seed);
    if (!alone)
        reap(); /* what the children had done to it changes nothing for us */
}

static void overwritten(void)
{
    int n = times(400);
    for (int i = 0; i < n; i++)
        one((uint64_t)i, false);
    printf("%d cases; calls that succeeded %u, were refused %u, told of damage %u, had no memory %u\n", n, results[0],
           results[EAGAIN], results[EBADMSG], results[ENOMEM]);
    EXPECT(results[EBADMSG] > 0);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(120);
    books = books_new();
    results = (volatile uint32_t *)books;
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    const char *seed = getenv("MPFAST_SEED");
    if (seed != NULL)
        one(strtoull(seed, NULL, 10), true);
    else
        RUN(overwritten);
    family_end(family);
    return GOOD;
}
