/* SPDX-License-Identifier: MIT */
/* Ringing: making the descriptor of a watcher readable (bell.h), which is a pipe and a socket of its process.
 *
 * There are three ways, tried in this order until one works. A process rings itself, and what it inherited, by the
 * pipe's other end. It finds another process's pipe in /proc by the watcher's pid, and makes sure by the inode's number
 * that it is that pipe. This is the fastest way, but it is not allowed after the watcher has called setuid(), for
 * example, and impossible where /proc is another namespace's. For such cases there is the socket, which has a name and
 * takes a message from any process in its network namespace. Its filter lets nothing pass but what only the family
 * knows.
 *
 * Finding takes longer than all the rest of a put. So the descriptor is kept for the next time, one for each watcher
 * that this view has ever rung. It is looked at each time, as the program may have closed it and got the same number
 * again for a file of its own. While it is kept, no other file gets its inode's number.
 *
 * If no way works, a word in shared memory tells the watcher so. The watcher looks again by itself (relay.h).
 *
 * No call waits for one of a view's ringers. A call that finds one busy (another thread's, or left so by fork) does
 * without. */
#ifndef MPFAST_QUEUE_RING_H
#define MPFAST_QUEUE_RING_H

#include "core/base/descriptor.h"
#include "core/base/futex.h"
#include "core/family/participant.h"
#include "core/queue/layout.h"
#include "core/queue/map.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RINGER_AGAIN (100 * MILLISECOND) /* what no way leads to is not tried more often */

/* What the header said of a watcher. */
struct watched {
    uint32_t identity, fd;
    uint64_t inode, word;
    uint32_t name;
};

static inline bool descriptor_is(int fd, mode_t kind, uint64_t inode)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind && (uint64_t)st.st_ino == inode;
}

static inline bool pipe_is(int fd, uint64_t inode) { return descriptor_is(fd, S_IFIFO, inode); }

/* The address of a watcher's socket, and its length. Once the socket is closed any process may take the name, which it
 * can have read before. It learns a word then that rings nothing any more. */
static inline socklen_t bell_address(uint64_t inode, uint32_t name, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(a->sun_path + 1, sizeof a->sun_path - 1, "mpfast-%llx-%08x", (unsigned long long)inode, name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* What rings the socket. Only the family knows half of it, and only a process that has the queue the rest. */
enum { BELL_WORD = 8 };
static inline uint64_t bell_word(const struct family *f, uint32_t word)
{
    uint32_t half;
    memcpy(&half, f->header->id, sizeof half);
    return (uint64_t)half << 32 | word;
}

/* A descriptor of a process's pipe, or -errno. -ESTALE: that process has it no more. */
static inline int pipe_open(const char *process, uint32_t fd, uint64_t inode)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%s/fd/%u", process, fd);
    int found = descriptor_above(open(path, O_PATH | O_CLOEXEC));
    if (found < 0)
        return found;
    int pipe = -ESTALE;
    if (pipe_is(found, inode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", found);
        pipe = descriptor_above(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)); /* as a reader it gets no SIGPIPE */
    }
    close(found);
    return pipe;
}

static inline bool own_pipe_is(const struct queue *q, uint64_t inode)
{
    return pipe_is(q->bell[1], inode) && pipe_is(q->bell[0], inode);
}

static inline int watcher_pipe(const struct queue *q, const struct watched *w, bool *inherits)
{
    char process[16] = "self";
    *inherits = false;
    if (load_acquire(&q->bell_owner) == w->identity && (uint32_t)q->bell[0] == w->fd && /* pairs with queue_bell */
        own_pipe_is(q, w->inode)) { /* else the program has closed it, and closing its copy could cost a lock */
        int inherited = descriptor_above(fcntl(q->bell[1], F_DUPFD_CLOEXEC, DESCRIPTOR_FIRST));
        *inherits = pipe_is(inherited, w->inode);
        if (*inherits)
            return inherited;
        if (inherited >= 0)
            close(inherited);
    }
    if (w->identity != family_me(q->store.family)) {
        pid_t pid = participant_pid(q->store.family, w->identity);
        if (pid <= 0)
            return -ESRCH;
        snprintf(process, sizeof process, "%d", (int)pid);
    }
    return pipe_open(process, w->fd, w->inode);
}

/* A socket that is connected to the watcher's. */
static inline int watcher_socket(const struct watched *w)
{
    struct sockaddr_un address;
    socklen_t length = bell_address(w->inode, w->name, &address);
    if (w->name == 0)
        return -ECONNREFUSED;
    int fd = descriptor_above(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static inline bool ringer_kept(const struct ringer *r)
{
    return descriptor_is(r->fd, r->by_socket ? S_IFSOCK : S_IFIFO, r->kept);
}

static inline void ringer_drop(struct ringer *r)
{
    if (ringer_kept(r)) /* else it is not ours any more */
        close(r->fd);
    r->fd = -1;
}

/* A byte for the pipe, or a message for the socket. What is full is readable already. */
static inline int ringer_write(const struct ringer *r, struct watcher *to, const struct watched *w)
{
    if (r->by_socket)
        store_release(&to->by_socket, 1); /* pairs with socket_silence */
    ssize_t n = r->by_socket ? send(r->fd, &w->word, BELL_WORD, MSG_DONTWAIT | MSG_NOSIGNAL) : write(r->fd, "", 1);
    return n >= 0 || errno == EAGAIN ? 0 : -errno;
}

static inline bool lacks_descriptor(int rc) { return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM; }

/* The descriptor to ring by, kept in r, or -errno. */
static inline int ringer_find(const struct queue *q, struct ringer *r, const struct watched *w)
{
    struct stat st;
    int fd = watcher_pipe(q, w, &r->inherited);
    r->by_socket = fd < 0 && !lacks_descriptor(fd);
    if (r->by_socket)
        fd = watcher_socket(w);
    r->fd = fd < 0 ? -1 : fd;
    r->kept = fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
    return fd;
}

/* -EAGAIN: no way has worked just before. */
static inline int ringer_try(const struct queue *q, struct ringer *r, struct watcher *to, const struct watched *w)
{
    bool same = r->inode == w->inode && r->name == w->name;
    if (same && ringer_kept(r) && (!r->inherited || own_pipe_is(q, w->inode)) && ringer_write(r, to, w) == 0)
        return 0;
    ringer_drop(r);
    if (same && r->again != 0 && clock_now() < r->again)
        return -EAGAIN;
    r->inode = w->inode;
    r->name = w->name;
    int rc = ringer_find(q, r, w);
    if (rc >= 0)
        rc = ringer_write(r, to, w);
    r->again = rc == 0 || lacks_descriptor(rc) ? 0 : clock_now() + RINGER_AGAIN;
    return rc;
}

static inline int ringer_ring(struct queue *q, int i, struct watcher *to, const struct watched *w)
{
    struct ringer *r = &q->ringers[i], other = {.fd = -1};
    uint32_t nobody = 0;
    if (cas_acquire(&r->busy, &nobody, 1u)) { /* pairs with ringer_ring */
        int rc = ringer_try(q, r, to, w);
        store_release(&r->busy, 0u); /* pairs with ringer_ring */
        return rc;
    }
    int rc = ringer_try(q, &other, to, w);
    ringer_drop(&other);
    return rc;
}

/* Makes the threads of relay.h look whether to ring. */
static inline void relays_wake(struct family *f)
{
    add_seq(&f->header->relayed, 1u); /* pairs with relay_run */
    futex_wake(&f->header->relayed, INT_MAX);
}

/* No way leads to the watcher. Tells it to look by itself. True: there is no such process. */
static inline bool watcher_unheard(struct queue *q, struct watcher *to, const struct watched *w)
{
    struct family *f = q->store.family;
    uint32_t index = identity_index(w->identity);
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    if (state_generation(state) != identity_generation(w->identity) || participant_gone(f, index, state))
        return true;
    store_relaxed(&to->unheard, 1);
    store_relaxed(&f->header->unheard, 1);
    relays_wake(f);
    return false;
}

/* For a process without a free descriptor that watches itself: the pipe's own end, which no thread closes under the
 * mutex. Its holder may have come here to ring, so this does not wait for it. */
static inline bool watcher_ring_own(const struct queue *q, const struct watched *w)
{
    struct family *f = q->store.family;
    bool rung = false;
    if (w->identity != family_me(f) || pthread_mutex_trylock(&f->mutex) != 0)
        return false;
    for (const struct queue *view = f->watching; view != NULL && !rung; view = view->watching)
        if ((uint32_t)view->bell[0] == w->fd && own_pipe_is(view, w->inode))
            rung = write(view->bell[1], "", 1) > 0 || errno == EAGAIN;
    pthread_mutex_unlock(&f->mutex);
    return rung;
}

/* Rings for one watcher. False: it wants to be told, and was not, so `armed` stays odd. */
static inline bool watcher_ring(struct queue *q, int i)
{
    struct watcher *to = &q->header->watchers[i];
    struct watched w = {.identity = load_acquire(&to->identity)}; /* pairs with watcher_take */
    w.inode = load_acquire(&to->inode);                           /* pairs with watcher_take */
    w.fd = load_relaxed(&to->fd);
    w.name = load_acquire(&to->name); /* pairs with watcher_take */
    w.word = bell_word(q->store.family, load_relaxed(&q->header->words[i]));
    if (w.identity == 0 || w.inode == 0 || identity_index(w.identity) >= FAMILY_PARTICIPANTS)
        return true;
    int rc = ringer_ring(q, i, to, &w);
    if (rc == 0)
        return true;
    return lacks_descriptor(rc) ? watcher_ring_own(q, &w) : watcher_unheard(q, to, &w);
}

/* No other thread knows q. */
static inline void ringers_close(struct queue *q)
{
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        ringer_drop(&q->ringers[i]);
}

#endif
