/* SPDX-License-Identifier: MIT */
/* Ringing: a byte into the pipe of another process that watches this queue (bell.h).
 *
 * Nobody else has that pipe open: whoever rings finds it in /proc by the watcher's pid, and makes sure by the inode's
 * number that it is that pipe. That takes longer than all the rest of a put, so the descriptor is kept for the next
 * time, one for each watcher that this view has ever rung; and looked at each time, as the program may have closed it
 * and got the same number again for a file of its own. While it is kept, no other pipe gets its inode's number.
 *
 * A view's ringers are tried, never waited for: who finds one busy (another thread's, or left so by fork) goes without. */
#ifndef MPFAST_QUEUE_RING_H
#define MPFAST_QUEUE_RING_H

#include "core/family/participant.h"
#include "core/queue/layout.h"
#include "core/queue/map.h"

static inline bool pipe_is(int fd, uint64_t inode)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && (uint64_t)st.st_ino == inode;
}

/* A descriptor of another process's pipe, or -errno; -ESTALE: that process has it no more. */
static inline int watcher_open(pid_t pid, uint32_t fd, uint64_t inode)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, fd);
    int found = open(path, O_PATH | O_CLOEXEC);
    if (found < 0)
        return -errno;
    int pipe = -ESTALE;
    if (pipe_is(found, inode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", found);
        pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* as a reader, too, it gets no SIGPIPE */
        pipe = pipe < 0 ? -errno : pipe;
    }
    close(found);
    return pipe;
}

static inline void ringer_drop(struct ringer *r)
{
    if (pipe_is(r->fd, r->inode)) /* else it is not ours any more */
        close(r->fd);
    r->fd = -1;
}

/* The kept descriptor, or a new one; -errno. */
static inline int ringer_find(struct ringer *r, pid_t pid, uint32_t fd, uint64_t inode)
{
    if (r->inode == inode && pipe_is(r->fd, inode))
        return r->fd;
    ringer_drop(r);
    int pipe = watcher_open(pid, fd, inode);
    if (pipe < 0)
        return pipe;
    r->inode = inode;
    return r->fd = pipe;
}

static inline int pipe_ring(int pipe)
{
    if (pipe >= 0)
        (void)!write(pipe, "", 1); /* a full pipe is readable already */
    return pipe < 0 ? pipe : 0;
}

static inline int ringer_ring(struct ringer *r, pid_t pid, uint32_t fd, uint64_t inode)
{
    uint32_t nobody = 0;
    if (cas_acquire(&r->busy, &nobody, 1u)) { /* pairs with ringer_ring */
        int rc = pipe_ring(ringer_find(r, pid, fd, inode));
        store_release(&r->busy, 0u); /* pairs with ringer_ring */
        return rc;
    }
    int pipe = watcher_open(pid, fd, inode);
    int rc = pipe_ring(pipe);
    if (pipe >= 0)
        close(pipe);
    return rc;
}

/* Rings for one watcher. False: it wants to be told, but there is no descriptor left to tell it by. */
static inline bool watcher_ring(struct queue *q, int i)
{
    const struct watcher *w = &q->header->watchers[i];
    uint32_t identity = load_acquire(&w->identity); /* pairs with watcher_take */
    uint64_t inode = load_acquire(&w->inode);       /* pairs with watcher_take */
    if (identity == 0 || inode == 0 || identity_index(identity) >= FAMILY_PARTICIPANTS)
        return true;
    pid_t pid = participant_pid(q->store.family, identity);
    int rc = pid <= 0 ? 0 : ringer_ring(&q->ringers[i], pid, load_relaxed(&w->fd), inode);
    return rc != -EMFILE && rc != -ENFILE && rc != -ENOMEM;
}

/* The caller is the only one who knows q. */
static inline void ringers_close(struct queue *q)
{
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        ringer_drop(&q->ringers[i]);
}

#endif
