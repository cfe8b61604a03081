/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when a process puts an item or makes room. It is for event loops, which cannot
 * wait on a futex.
 *
 * It is a pipe of the process that watches, made when it begins to. A process that changes the queue finds it (ring.h).
 * So a queue that is not watched costs no descriptor anywhere. Where others may not be allowed to open the pipe there
 * is a socket beside it, and an epoll descriptor that is readable if one of the two is.
 *
 * `armed` is odd while a watcher wants to be told. A watcher arms, then looks once more at the queue. A process that
 * changes the queue looks at `armed` afterwards. A ringer disarms only what it has seen, so a watcher that arms
 * meanwhile is told, too.
 *
 * A process that finds the descriptor readable may count on an item, as with a pipe that items go through. So no
 * process rings for an item that is gone. The ringer is counted, then looks whether there is an item. A watcher that
 * has found the queue empty waits until no process rings, then makes the descriptor silent. Either the ringer sees the
 * queue empty, or the watcher sees the ringer. (A ringer that was stopped there for longer than BELL_PATIENCE may ring
 * for nothing.) */
#ifndef MPFAST_QUEUE_BELL_H
#define MPFAST_QUEUE_BELL_H

#include "core/queue/ring.h"
#include "core/queue/take.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

enum bell_end { BELL_ITEMS, BELL_SPACE };
#ifndef BELL_PATIENCE
#define BELL_PATIENCE (100 * MILLISECOND) /* ringing takes some 20 us */
#endif
enum { SOCKET_MESSAGES = 1000 }; /* more than a socket holds */

/* A bell may ring for room that is taken again, because a process that waits for room only tries. */
static inline bool bell_wanted(const struct queue *q, enum bell_end end)
{
    return end == BELL_SPACE || load_seq(&q->header->shutdown) || !queue_empty(q); /* pairs with queue_shutdown */
}

/* False: not every watcher could be told. */
static inline bool watchers_ring(struct queue *q, enum bell_end end)
{
    bool told = true;
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        if (end == BELL_ITEMS || load_relaxed(&q->header->watchers[i].space))
            told &= watcher_ring(q, i);
    return told;
}

/* A process that is killed before it has disarmed leaves it to the next one to ring. So does a process that has no
 * descriptor left. */
static inline void bell_ring(struct queue *q, enum bell_end end)
{
    shared32 *armed = &q->header->armed[end];
    uint32_t seen = load_seq(armed); /* pairs with queue_arm */
    if (!(seen & 1))
        return;
    add_seq(&q->header->ringing, 1u); /* pairs with bell_calm */
    if (bell_wanted(q, end) && watchers_ring(q, end))
        cas_relaxed(armed, &seen, seen + 1);
    sub_release(&q->header->ringing, 1u); /* pairs with bell_calm */
}

/* After an item was put, or room was made. */
static inline void bell_answer(struct queue *q, enum bell_end end)
{
    if (unlikely(load_seq(&q->header->armed[end]) & 1)) /* pairs with queue_arm */
        bell_ring(q, end);
}

/* Does no process ring? One may have seen an item that is taken now. False: ask again. A caller does not wait twice for
 * ringers that never end. *begin is when it began, 0 at first. */
static inline bool bell_calm(struct queue *q, int64_t *begin)
{
    uint32_t n = load_seq(&q->header->ringing); /* pairs with bell_ring */
    if (n > q->bell_lost) {
        int64_t now = clock_now();
        *begin = *begin == 0 ? now : *begin;
        if (now - *begin <= BELL_PATIENCE)
            return false;
    }
    q->bell_lost = n;
    return true;
}

/* Takes the entry of a watcher. NULL: all are taken. */
static inline struct watcher *watcher_take(const struct queue *q, uint32_t fd, uint64_t inode, const uint32_t secret[2])
{
    uint32_t me = family_me(q->store.family);
    for (int i = 0; i < QUEUE_WATCHERS; i++) {
        struct watcher *w = &q->header->watchers[i];
        uint32_t nobody = 0;
        if (!cas_acqrel(&w->identity, &nobody, me)) /* pairs with reap_watchers and watcher_leave */
            continue;
        store_relaxed(&w->fd, fd);
        store_relaxed(&w->space, 0);
        store_relaxed(&w->by_socket, 0);
        store_relaxed(&w->unheard, 0);
        store_relaxed(&q->header->words[i], secret[1]);
        store_release(&w->name, secret[0]); /* pairs with watcher_ring */
        store_release(&w->inode, inode);    /* pairs with watcher_ring */
        return w;
    }
    return NULL;
}

static inline void watcher_leave(const struct queue *q, struct watcher *w)
{
    uint32_t me = family_me(q->store.family);
    store_relaxed(&w->inode, 0);
    cas_release(&w->identity, &me, 0); /* pairs with watcher_take */
}

/* Lets only messages with the watcher's word through. Others could make the descriptor readable for nothing. */
static inline int socket_guard(uint64_t message, int fd)
{
    uint32_t word[2];
    memcpy(word, &message, sizeof word);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BELL_WORD, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(word[0]), 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(word[1]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

/* The second way to a bell, a socket with a name. `secret` becomes its name and its word. -errno: there is none. */
static inline int socket_listen(const struct family *f, uint64_t inode, uint32_t secret[2], bool *open)
{
    struct sockaddr_un address;
    if (!random_bytes((uint8_t *)secret, 2 * sizeof *secret))
        return -ENOSYS;
    secret[0] |= 1; /* 0 stands for none */
    socklen_t length = bell_address(inode, secret[0], &address);
    int fd = descriptor_above(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return fd;
    *open = socket_guard(bell_word(f, secret[1]), fd) < 0;
    if (bind(fd, (struct sockaddr *)&address, length) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

/* A descriptor that is readable if a or b is, or -errno. */
static inline int descriptor_of_both(int a, int b)
{
    struct epoll_event e = {.events = EPOLLIN};
    int fd = descriptor_above(epoll_create1(EPOLL_CLOEXEC));
    if (fd < 0)
        return fd;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, a, &e) == 0 && epoll_ctl(fd, EPOLL_CTL_ADD, b, &e) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

/* Is bell_fd still the descriptor of both? All epoll descriptors have one inode, but only ours knows our files. */
static inline bool both_is_ours(const struct queue *q)
{
    struct epoll_event e = {.events = EPOLLIN};
    return (descriptor_mark(q->bell[0]) == q->bell_mark && epoll_ctl(q->bell_fd, EPOLL_CTL_MOD, q->bell[0], &e) == 0) ||
           (descriptor_mark(q->bell_socket) == q->bell_socket_mark &&
            epoll_ctl(q->bell_fd, EPOLL_CTL_MOD, q->bell_socket, &e) == 0);
}

/* A write to a pipe whose reader is gone would be SIGPIPE. */
static inline bool pipe_is_whole(const struct queue *q)
{
    return descriptor_mark(q->bell[0]) == q->bell_mark && descriptor_mark(q->bell[1]) == q->bell_mark;
}

/* Has the program left the descriptors alone? It may have closed them, and have got their numbers for its own files. */
static inline bool bell_is_whole(const struct queue *q)
{
    return pipe_is_whole(q) && (q->bell_socket < 0 || descriptor_mark(q->bell_socket) == q->bell_socket_mark) &&
           (q->bell_fd == q->bell[0] || both_is_ours(q));
}

static inline void bell_free(struct queue *q)
{
    if (q->bell_fd >= 0 && q->bell_fd != q->bell[0] && both_is_ours(q))
        close(q->bell_fd);
    for (int i = 0; i < 2; i++)
        descriptor_close(q->bell[i], q->bell_mark);
    descriptor_close(q->bell_socket, q->bell_socket_mark);
    q->bell[0] = q->bell[1] = q->bell_socket = q->bell_fd = -1;
}

/* May others be refused this process's pipe in /proc? Its children may drop the rights that it has, too. */
static inline bool pipe_is_hidden(void) { return geteuid() == 0 || prctl(PR_GET_DUMPABLE) != 1 || !proc_is_ours(); }

/* Makes the socket, and a descriptor for it and the pipe. If one is refused, the bell does without. Not having a
 * descriptor left is an error. */
static inline int bell_make_socket(struct queue *q, uint64_t inode, uint32_t secret[2])
{
    q->bell_fd = q->bell[0];
    if (!(q->bell_hidden = pipe_is_hidden()))
        return 0;
    int rc = q->bell_socket = socket_listen(q->store.family, inode, secret, &q->bell_open);
    q->bell_socket_mark = descriptor_mark(rc);
    if (rc >= 0 && (rc = descriptor_of_both(q->bell[0], q->bell_socket)) >= 0) {
        q->bell_fd = rc;
        q->bell_hidden = false;
        return 0;
    }
    if (q->bell_socket >= 0)
        close(q->bell_socket);
    q->bell_socket = -1;
    secret[0] = 0;
    return lacks_descriptor(rc) ? rc : 0;
}

static inline int bell_make_pipe(struct queue *q)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    int rc = descriptors_above(ends);
    for (int i = 0; i < 2 && rc == 0; i++)
        q->bell[i] = ends[i];
    return rc;
}

static inline int bell_make(struct queue *q)
{
    struct stat st;
    uint32_t secret[2] = {0}; /* without a socket there is no name */
    q->bell_armed = 0;
    q->bell_space = false;
    int rc = bell_make_pipe(q);
    q->bell_mark = descriptor_mark(q->bell[0]);
    if (rc == 0)
        rc = fstat(q->bell[0], &st) < 0 ? -errno : bell_make_socket(q, (uint64_t)st.st_ino, secret);
    if (rc == 0 && (q->bell_watcher = watcher_take(q, (uint32_t)q->bell[0], (uint64_t)st.st_ino, secret)) == NULL)
        rc = -EUSERS;
    if (rc < 0) {
        bell_free(q);
        return rc;
    }
    q->watching = q->store.family->watching;
    q->store.family->watching = q;
    return 0;
}

/* Closes the bell. One that was inherited by fork is still the parent's. The caller holds the family's mutex, or no
 * other thread knows q. */
static inline void bell_close(struct queue *q)
{
    if (q->bell[0] < 0)
        return;
    struct queue **link = &q->store.family->watching;
    while (*link != q)
        link = &(*link)->watching;
    *link = q->watching;
    if (load_relaxed(&q->bell_owner) == family_me(q->store.family))
        watcher_leave(q, q->bell_watcher);
    q->bell_watcher = NULL;
    store_relaxed(&q->bell_owner, 0);
    store_relaxed(&q->bell_asked, 0);
    bell_free(q);
    if (q->store.family->relay != 0 && q->store.family->relay == family_me(q->store.family))
        relays_wake(q->store.family); /* it may have nothing to do any more */
}

/* For event loops. A watcher that waits only for items is not rung for room. */
static inline void bell_wants_space(struct queue *q)
{
    q->bell_space = true;
    store_relaxed(&q->bell_watcher->space, 1);
}

/* The descriptor of this process and view, made at the first call, and anew after the program has closed it. -EUSERS: too many processes watch this queue. */
static inline int queue_bell(struct queue *q, bool space)
{
    pthread_mutex_lock(&q->store.family->mutex);
    if (load_relaxed(&q->bell_owner) != family_me(q->store.family) || (q->bell[0] >= 0 && !bell_is_whole(q)))
        bell_close(q);
    int rc = q->bell[0] >= 0 ? 0 : bell_make(q);
    int fd = rc < 0 ? rc : q->bell_fd;
    if (rc == 0)
        store_release(&q->bell_owner, family_me(q->store.family)); /* pairs with watcher_pipe */
    if (rc == 0 && space && !q->bell_space)
        bell_wants_space(q);
    pthread_mutex_unlock(&q->store.family->mutex);
    return fd;
}

static inline uint32_t bell_arm(const struct queue *q, enum bell_end end)
{
    shared32 *armed = &q->header->armed[end];
    uint32_t seen = load_relaxed(armed);
    while (!cas_seq(armed, &seen, (seen + 2) | 1)) /* pairs with bell_answer */
        ;
    return (seen + 2) | 1;
}

static inline bool bell_due(const struct queue *q, enum bell_end end)
{
    if (load_seq(&q->header->shutdown)) /* pairs with queue_shutdown */
        return true;
    return end == BELL_SPACE ? !queue_full(q) : !queue_empty(q);
}

/* Asks for the bell to be rung. True: there is an item (or room) already. */
static inline bool queue_arm(const struct queue *q, bool space)
{
    enum bell_end end = space ? BELL_SPACE : BELL_ITEMS;
    bell_arm(q, end);
    return bell_due(q, end);
}

/* Makes this process's descriptor readable. */
static inline void queue_ring(struct queue *q)
{
    q->bell_armed = 0;
    if (q->bell[1] >= 0 && pipe_is_whole(q))
        (void)!write(q->bell[1], "", 1); /* fails if it is full, and so readable already */
}

/* Empties the socket if a process may have rung by it. Not for ever: if it takes messages from any process, they may
 * never end. */
static inline void socket_silence(const struct queue *q)
{
    char bytes[BELL_WORD];
    if (!q->bell_open && !load_acquire(&q->bell_watcher->by_socket)) /* pairs with ringer_write */
        return;
    for (int i = 0; i < SOCKET_MESSAGES && recv(q->bell_socket, bytes, sizeof bytes, MSG_DONTWAIT) >= 0; i++)
        ;
}

/* Not readable any more, until the next ring. */
static inline void queue_silence(struct queue *q)
{
    char bytes[512];
    if (q->bell[0] >= 0 && descriptor_mark(q->bell[0]) == q->bell_mark)
        while (read(q->bell[0], bytes, sizeof bytes) == sizeof bytes)
            ;
    if (q->bell_socket >= 0 && q->bell_watcher != NULL && descriptor_mark(q->bell_socket) == q->bell_socket_mark)
        socket_silence(q);
}

/* Armed, and no process has rung since for an item that is gone. A ringer that is not counted any more has disarmed
 * before. A ringer that is not counted yet will find the queue empty, or another item. */
static inline bool bell_is_silent(const struct queue *q)
{
    return q->bell_armed != 0 && !q->bell_space && load_seq(&q->header->ringing) == 0 && /* pairs with bell_ring */
           load_seq(&q->header->armed[BELL_ITEMS]) == q->bell_armed;                     /* pairs with bell_ring */
}

/* The queue is empty. Makes the descriptor silent until the next item. False: a process rings, so call it again. */
static inline bool bell_rest(struct queue *q, int64_t *begin)
{
    if (bell_is_silent(q))
        return true;
    if (!bell_calm(q, begin))
        return false;
    queue_silence(q);
    q->bell_armed = bell_arm(q, BELL_ITEMS);
    if (bell_due(q, BELL_ITEMS))
        queue_ring(q);
    return true;
}

/* Makes this process's descriptor readable if there is an item, and else silent until the next one. One thread at a
 * time, because what it has found must still be so when it rings. It lets go of the mutex while it waits for others. */
static inline void queue_settle(struct queue *q)
{
    int64_t begin = 0;
    for (;;) {
        bool done = true;
        pthread_mutex_lock(&q->store.family->mutex);
        if (queue_empty(q))
            done = bell_rest(q, &begin);
        else
            queue_ring(q);
        pthread_mutex_unlock(&q->store.family->mutex);
        if (done)
            return;
        sched_yield();
    }
}

/* After a take. */
static inline void queue_settle_if_empty(struct queue *q)
{
    if (load_relaxed(&q->bell_owner) == family_me(q->store.family) &&
        queue_empty(q)) /* a parent's bell is the parent's */
        queue_settle(q);
}

#endif
