/* SPDX-License-Identifier: MIT */
/* Bells whose descriptors the program has closed behind our back, and calls that wait for a ringer that never ends. */
#define STEP() ((void)0)
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#define BELL_PATIENCE (10 * SECOND)
#include "check.h"

#include "queuers.h"

#include "core/queue/relay.h"

#include <poll.h>

static struct family *family;
static uint32_t slot;
static struct queue *q;

static void watch(bool hidden)
{
    EXPECT_EQ(prctl(PR_SET_DUMPABLE, !hidden), 0);
    slot = queue_make(family, 0, 0);
    q = queue_view(family, slot);
    EXPECT(queue_bell(q, false) > 2);
    EXPECT(!hidden || q->bell_socket > 2);
    queue_settle(q);
}

static void unwatch(void)
{
    queue_close(q);
    handle_remove(family, slot);
}

/* The program's own file gets the number of each descriptor in turn. It is neither read, written nor closed. */
static void take_over(bool hidden, int which)
{
    int ends[2], theirs;
    watch(hidden);
    int fds[] = {q->bell[0], q->bell[1], q->bell_socket, q->bell_fd};
    theirs = fds[which];
    struct store_item first;
    EXPECT_EQ(queue_put_value(q, 1), 0); /* so that what it rings by is kept */
    EXPECT_EQ(queue_take(q, &first), 0);
    queue_settle(q);
    if (theirs >= 0 && (which < 3 || hidden)) {
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
        EXPECT_EQ(dup2(ends[0], theirs), theirs);
        EXPECT_EQ(write(ends[1], "theirs", 6), 6);
        char text[8];
        struct store_item item;
        EXPECT_EQ(queue_put_value(q, 1), 0);
        queue_settle(q);
        EXPECT_EQ(queue_take(q, &item), 0);
        queue_settle(q);
        queue_silence(q);
        EXPECT_EQ(read(theirs, text, sizeof text), 6);
        EXPECT(read(ends[1], text, sizeof text) < 0 && errno == EAGAIN);
        int fd = queue_bell(q, false);
        EXPECT(fd > 2 && fd != theirs);
        EXPECT_EQ(queue_put_value(q, 1), 0);
        queue_settle(q);
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        EXPECT_EQ(poll(&readable, 1, 1000), 1);
    }
    unwatch();
    if (theirs >= 0 && (which < 3 || hidden)) {
        EXPECT(fcntl(theirs, F_GETFD) >= 0);
        close(theirs);
        close(ends[0]);
        close(ends[1]);
    }
}

static void closed_and_taken(void)
{
    for (int which = 0; which < 4; which++) {
        take_over(false, which);
        take_over(true, which);
    }
}

/* All epoll descriptors have one inode. */
static void another_epoll(void)
{
    watch(true);
    int number = q->bell_fd, theirs = epoll_create1(0);
    EXPECT_EQ(dup2(theirs, number), number);
    close(theirs);
    EXPECT(queue_bell(q, false) != number);
    unwatch();
    EXPECT_EQ(fcntl(number, F_GETFD), 0);
    close(number);
}

/* Two watchers have nothing in common that one could learn from the other's socket. */
static void secrets(void)
{
    watch(true);
    struct sockaddr_un address;
    uint32_t name = load_relaxed(&q->bell_watcher->name), word = load_relaxed(&q->header->words[0]), half;
    memcpy(&half, family->header->id, sizeof half);
    bell_address(load_relaxed(&q->bell_watcher->inode), name, &address);
    for (size_t i = 0; i < sizeof family->header->id; i++) {
        char digits[9];
        memcpy(&half, family->header->id + (i & ~3u), sizeof half);
        snprintf(digits, sizeof digits, "%08x", half);
        EXPECT(strstr(address.sun_path + 1, digits) == NULL);
    }
    unwatch();
    watch(true);
    EXPECT(load_relaxed(&q->bell_watcher->name) != name && load_relaxed(&q->header->words[0]) != word);
    unwatch();
}

static shared32 inside;

static void *settle(void *unused)
{
    (void)unused;
    store_seq(&inside, 1);
    queue_settle(q);
    return NULL;
}

/* A ringer is stopped. Another thread needs the family meanwhile, and gets it. */
static void stopped_ringer(void)
{
    pthread_t thread;
    watch(false);
    queue_ring(q); /* so that it is not silent */
    store_seq(&q->header->ringing, 1);
    EXPECT_EQ(pthread_create(&thread, NULL, settle, NULL), 0);
    while (!load_seq(&inside))
        sched_yield();
    for (int i = 0; i < 1000 && pthread_mutex_trylock(&family->mutex) == 0; i++) {
        pthread_mutex_unlock(&family->mutex);
        sched_yield();
    }
    pthread_mutex_lock(&family->mutex);
    store_seq(&q->header->ringing, 0);
    pthread_mutex_unlock(&family->mutex);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(q->bell_lost, 0);
    unwatch();
}

int main(void)
{
    begin(60);
    family = family_new();
    RUN(closed_and_taken);
    RUN(another_epoll);
    RUN(secrets);
    RUN(stopped_ringer);
    family_end(family);
    return GOOD;
}
