/* SPDX-License-Identifier: MIT */
/* What a child is to read, behind one descriptor. Where it lies depends on its size and on the limit on the size of
 * files (RLIMIT_FSIZE):
 *
 *   a page, as most are   in a pipe, which always has room for it
 *   more                  in a memory file (child.pyx makes a temporary one where that is refused)
 *   more than the limit   nowhere. Its parent feeds it to the child through a socket, and waits for it */
#ifndef MPFAST_MESSAGE_H
#define MPFAST_MESSAGE_H

#include "core/base/descriptor.h"
#include "core/base/filesize.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MESSAGE_PIPED ((size_t)4096)

/* A memory file, empty. Its descriptor, or -errno. */
static inline int message_file(void) { return descriptor_above(memfd_create("mpfast-child", MFD_CLOEXEC)); }

static inline int message_write(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static inline int message_in_pipe(const char *data, size_t size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int rc = descriptors_above(ends);
    if (rc < 0)
        return rc;
    rc = message_write(ends[1], data, size);
    close(ends[1]);
    if (rc < 0)
        close(ends[0]);
    return rc < 0 ? rc : ends[0];
}

static inline int message_in_file(const char *data, size_t size)
{
    int fd = message_file();
    if (fd < 0)
        return fd;
    int rc = message_write(fd, data, size);
    if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
        rc = -errno;
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

enum message_place { MESSAGE_IN_PIPE, MESSAGE_IN_FILE, MESSAGE_BY_SOCKET };

static inline enum message_place message_place_for(size_t size)
{
    if (size <= MESSAGE_PIPED)
        return MESSAGE_IN_PIPE;
    return filesize_allowed(size) ? MESSAGE_IN_FILE : MESSAGE_BY_SOCKET;
}

/* The descriptor from which the child reads it, or -errno. *feed is -1 then, or the socket that message_feed() wants. */
static inline int message_hold(const char *data, size_t size, int *feed)
{
    int ends[2];
    enum message_place place = message_place_for(size);
    *feed = -1;
    if (place == MESSAGE_IN_PIPE)
        return message_in_pipe(data, size);
    if (place == MESSAGE_IN_FILE)
        return message_in_file(data, size);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int rc = descriptors_above(ends);
    if (rc < 0)
        return rc;
    *feed = ends[1];
    return ends[0];
}

/* Sends what there is room for, and waits for room. Bytes sent, or -errno: -EINTR, -EPIPE when no process will read. A
 * process that was forked meanwhile may have the reader's descriptor, so the child's end is watched for (pidfd, or -1). */
static inline ssize_t message_feed(int sock, int pidfd, const char *data, size_t size)
{
    struct pollfd p[] = {{.fd = sock, .events = POLLOUT}, {.fd = pidfd, .events = POLLIN}};
    if (poll(p, 2, -1) < 0)
        return -errno;
    if (p[1].revents != 0)
        return -EPIPE;
    ssize_t n = send(sock, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
}

#endif
