/* SPDX-License-Identifier: MIT */
/* A descriptor that its receiver takes from the sender's own table, with pidfd_getfd(2).
 *
 * The kernel permits it to a process that may trace the sender. Such a process could read the sender's memory just as
 * well, so nothing is given away. The message says which file the descriptor stands for. A pid and a descriptor are
 * numbers that may name something else by now, so what was taken is compared with it, and put back if it is another file.
 *
 * The sender keeps a copy open until it is told that the descriptor was taken. It is told through its bell, a pipe of
 * which it has both ends. The receiver takes both as well, so that a write never meets a pipe without a reader, which
 * would be SIGPIPE. */
#ifndef MPFAST_TRAVEL_H
#define MPFAST_TRAVEL_H

#include "core/base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438 /* on all machines */
#endif

struct travel_file {
    uint64_t device;
    uint64_t inode;
    uint32_t type;
    uint32_t access;
};

enum travel_place { TRAVEL_GOODS, TRAVEL_BELL_READER, TRAVEL_BELL_WRITER, TRAVEL_PLACES };

struct travel {
    uint64_t key; /* what the sender is told */
    int32_t pid;
    int32_t fd[TRAVEL_PLACES];
    struct travel_file file[TRAVEL_PLACES];
};

/* -EOPNOTSUPP for files that all have one inode, such as eventfds: nothing could tell them from each other. */
static inline int travel_look(int fd, struct travel_file *file)
{
    struct stat s = {0};
    int rc = fstat(fd, &s) < 0 ? -errno : 0, flags = fcntl(fd, F_GETFL);
    *file = (struct travel_file){
        .device = s.st_dev,
        .inode = s.st_ino,
        .type = s.st_mode & S_IFMT,
        .access = flags & (O_ACCMODE | O_PATH),
    };
    return rc == 0 && file->type == 0 ? -EOPNOTSUPP : rc;
}

static inline bool travel_same(const struct travel_file *a, const struct travel_file *b)
{
    return a->device == b->device && a->inode == b->inode && a->type == b->type && a->access == b->access;
}

/* A copy of the process's descriptor, or -errno. */
static inline int travel_get(int pidfd, const struct travel *t, enum travel_place place)
{
    struct travel_file found;
    int got = descriptor_above((int)syscall(SYS_pidfd_getfd, pidfd, t->fd[place], 0));
    if (got < 0)
        return got;
    if (travel_look(got, &found) == 0 && travel_same(&found, &t->file[place]))
        return got;
    close(got);
    return -ESTALE;
}

/* Tells the sender that it need not keep its copy. Never waits: the bell's ends are O_NONBLOCK. */
static inline int travel_tell(int pidfd, const struct travel *t)
{
    int reader = travel_get(pidfd, t, TRAVEL_BELL_READER);
    if (reader < 0)
        return reader;
    int writer = travel_get(pidfd, t, TRAVEL_BELL_WRITER), rc = writer;
    if (writer >= 0) {
        rc = write(writer, &t->key, sizeof t->key) < 0 ? -errno : 0;
        close(writer);
    }
    close(reader);
    return rc;
}

static inline bool travel_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* The descriptor, or -errno: -ESRCH if the sender has ended, -ESTALE if it has another file there by now, -EPERM if this
 * process may not. Programs that are executed inherit it, as they do when multiprocessing has received it. */
static inline int travel_take(const struct travel *t)
{
    int pidfd = descriptor_above((int)syscall(SYS_pidfd_open, t->pid, 0));
    if (pidfd < 0)
        return pidfd;
    int fd = travel_get(pidfd, t, TRAVEL_GOODS);
    int rc = fd < 0 ? fd : travel_tell(pidfd, t);
    if (rc == 0)
        rc = fcntl(fd, F_SETFD, 0) < 0 ? -errno : fd;
    if (rc < 0 && fd >= 0)
        close(fd);
    if (rc < 0 && travel_ended(pidfd))
        rc = -ESRCH;
    close(pidfd);
    return rc;
}

#endif
