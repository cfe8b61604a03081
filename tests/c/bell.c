/* SPDX-License-Identifier: MIT */
/* Ringing for a watcher by each of the ways there are (ring.h), by processes that are killed or stopped at every
 * write to shared memory; strangers who ring; and the thread that helps where no way is left. */
#include "faults.h"

#include "core/queue/relay.h"

#include <poll.h>

enum way { INHERITED, PROC, SOCKET, NONE, WAYS };
static const char *const names[WAYS] = {"inherited", "proc", "socket", "none"};

static struct family *family;
static struct queue *q, *far; /* two views: who watches, and one that knows nothing of the bell */
static enum way way;
static struct pollfd readable;
static char where[80];

static bool is_readable(int ms) { return poll(&readable, 1, ms) == 1; }

/* As a process that has dropped its privileges: others may not look into its /proc entry. */
static void hide(bool hidden) { EXPECT_EQ(prctl(PR_SET_DUMPABLE, !hidden), 0); }

static void drop_rights(void)
{
    if (geteuid() == 0)
        EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
}

static void watch(void)
{
    hide(way >= SOCKET);
    uint32_t slot = queue_make(family, 0, 0);
    q = queue_view(family, slot);
    far = queue_view(family, slot);
    readable = (struct pollfd){.fd = queue_bell(q, false), .events = POLLIN};
    EXPECT(readable.fd > 2);
    EXPECT(way < SOCKET || q->bell_socket > 2);
    if (way == NONE) {
        close(q->bell_socket);
        q->bell_socket = -1;
        q->bell_hidden = true;
        queue_relay(q);
        EXPECT_EQ(family->relay, family_me(family));
    }
    queue_settle(q);
    EXPECT(!is_readable(0));
}

static void unwatch(void)
{
    uint32_t slot = q->store.slot;
    queue_close(far);
    queue_close(q);
    for (int i = 0; i < 1000 && (volatile uint32_t)family->relay != 0; i++)
        usleep(1000);
    EXPECT_EQ(family->relay, 0);
    handle_remove(family, slot);
}

static void rings(void *unused)
{
    (void)unused;
    EXPECT_EQ(queue_put_value(way == INHERITED ? q : far, 1), 0);
}

static void rings_without_rights(void *unused)
{
    long at = fault.at;
    fault.at = 0;
    if (way >= SOCKET)
        drop_rights();
    fault.at = at;
    rings(unused);
    if (at == 0 && way != INHERITED) {
        const struct ringer *r = &far->ringers[0];
        EXPECT_EQ(r->fd < 0 ? NONE : r->by_socket ? SOCKET : PROC, way);
    }
}

/* What is readable has an item, and what has an item is readable, at the latest when it is looked at. */
static void take_all(void)
{
    struct store_item item;
    EXPECT(!queue_empty(q) || !is_readable(0));
    while (!queue_empty(q)) {
        queue_settle(q);
        EXPECT(is_readable(0));
        EXPECT_EQ(queue_take(q, &item), 0);
        queue_settle_if_empty(q);
    }
    EXPECT(!is_readable(0));
}

static void another_rings(void)
{
    pid_t unused;
    struct store_item item;
    EXPECT(!child_hit(rings_without_rights, NULL, 0, SIGKILL, &unused));
    EXPECT(is_readable(1000));
    EXPECT_EQ(queue_take(q, &item), 0);
    queue_settle_if_empty(q);
    EXPECT(!is_readable(0));
}

static bool case_of(int signal, long n)
{
    pid_t stopped;
    snprintf(where, sizeof where, "%s, signal %d at %ld", names[way], signal, n);
    watch();
    bool hit = child_hit(rings_without_rights, NULL, n, signal, &stopped);
    EXPECT(hit || is_readable(1000));
    take_all();
    another_rings();
    if (stopped != 0)
        child_kill(stopped);
    reap_all(family);
    another_rings();
    unwatch();
    return hit;
}

static void by_each_way(void)
{
    for (way = 0; way < WAYS; way++) {
        long kills = 1, stops = 1;
        while (case_of(SIGKILL, kills))
            kills++;
        while (case_of(SIGSTOP, stops))
            stops += stress() ? 1 : 2;
        EXPECT(kills > 5 && stops > 5);
        printf("  %-10s %ld kills, %ld stops\n", names[way], kills - 1, stops - 1);
    }
}

/* Sends to the socket of q, whose name everybody can read in /proc/net/unix. */
static ssize_t ring_socket(const void *text, size_t size)
{
    struct sockaddr_un address;
    struct watcher *w = q->bell_watcher;
    socklen_t length = bell_address(load_relaxed(&w->inode), load_relaxed(&w->name), &address);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ssize_t n = sendto(fd, text, size, MSG_DONTWAIT, (struct sockaddr *)&address, length);
    int error = errno;
    close(fd);
    errno = error;
    return n;
}

static void strangers(void)
{
    uint8_t word[2 * BELL_WORD] = {0};
    way = SOCKET;
    watch();
    for (size_t size = 0; size <= sizeof word; size++)
        (void)ring_socket(word, size);
    EXPECT(!is_readable(0));
    memcpy(word, family->header->id, BELL_WORD); /* a stranger that another watcher's socket has told of the family */
    EXPECT_EQ(ring_socket(word, BELL_WORD), BELL_WORD);
    EXPECT(!is_readable(0));
    uint64_t ours = bell_word(family, load_relaxed(&q->header->words[0]));
    memcpy(word, &ours, BELL_WORD);
    EXPECT_EQ(ring_socket(word, BELL_WORD + 1), BELL_WORD + 1);
    word[BELL_WORD - 1] ^= 1;
    EXPECT_EQ(ring_socket(word, BELL_WORD), BELL_WORD);
    EXPECT(!is_readable(0));
    word[BELL_WORD - 1] ^= 1;
    EXPECT_EQ(ring_socket(word, BELL_WORD), BELL_WORD);
    EXPECT(is_readable(0));
    unwatch();
}

static void rings_very_often(void *unused)
{
    struct watched w = {.word = bell_word(family, load_relaxed(&q->header->words[0]))};
    rings_without_rights(unused);
    for (int i = 0; i < 2000; i++)
        EXPECT_EQ(ringer_write(&far->ringers[0], q->bell_watcher, &w), 0);
}

/* A socket that is full is readable: nobody waits for room in it. */
static void full(void)
{
    pid_t unused;
    way = SOCKET;
    watch();
    EXPECT(!child_hit(rings_very_often, NULL, 0, SIGKILL, &unused));
    EXPECT(is_readable(0));
    take_all();
    another_rings();
    unwatch();
}

/* What this process keeps is its child's as well, whatever rights the child has. */
static void kept_at_fork(void)
{
    pid_t unused;
    way = PROC;
    watch();
    rings(NULL);
    EXPECT(is_readable(0));
    take_all();
    hide(true);
    EXPECT(!child_hit(rings_without_rights, NULL, 0, SIGKILL, &unused));
    EXPECT(is_readable(0));
    take_all();
    unwatch();
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(60);
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    doing = where;
    by_each_way();
    RUN(strangers);
    RUN(full);
    RUN(kept_at_fork);
    family_end(family);
    return GOOD;
}
