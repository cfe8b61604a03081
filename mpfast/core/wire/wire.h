/* SPDX-License-Identifier: MIT */
/* Reading and writing a pipe or a socket, at once or not at all, spinning, or asleep. It also marks an end whose
 * descriptor other code may read.
 *
 * All of it returns -errno. A read or write "now" never blocks, whatever O_NONBLOCK says, and costs one call. */
#ifndef MPFAST_WIRE_H
#define MPFAST_WIRE_H

#include "core/base/atomic.h"
#include "core/base/clock.h"
#include "core/base/spin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum wire_kind { WIRE_UNKNOWN, WIRE_PIPE, WIRE_SOCKET, WIRE_OTHER };

#define WIRE_READABLE POLLIN
#define WIRE_WRITABLE POLLOUT
#define WIRE_ATOMIC PIPE_BUF /* a pipe that is writable has room for so much */

/* One read or write moves at most this much. The kernel's own limit is a page below 2 GiB. */
#define WIRE_CHUNK ((size_t)1 << 30)
#define WIRE_VECTORS 64

static inline enum wire_kind wire_kind_of(int fd)
{
    struct stat s;
    if (fstat(fd, &s) < 0)
        return WIRE_OTHER;
    return S_ISSOCK(s.st_mode) ? WIRE_SOCKET : S_ISFIFO(s.st_mode) ? WIRE_PIPE : WIRE_OTHER;
}

/* 1 if ready, or broken so that the next read or write says how. 0 if not in time. -EINTR. */
static inline int wire_poll(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    if (deadline == NEVER || deadline == 0) {
        int rc = poll(&p, 1, deadline == 0 ? 0 : -1);
        return rc < 0 ? -errno : rc;
    }
    int64_t left = deadline - clock_now();
    struct timespec t = clock_timespec(left > 0 ? left : 0);
    int rc = ppoll(&p, 1, &t, NULL);
    return rc < 0 ? -errno : rc;
}

/* As wire_poll(), for many. */
static inline int wire_poll_all(struct pollfd *p, size_t count, int64_t deadline)
{
    if (deadline == NEVER || deadline == 0) {
        int rc = poll(p, count, deadline == 0 ? 0 : -1);
        return rc < 0 ? -errno : rc;
    }
    int64_t left = deadline - clock_now();
    struct timespec t = clock_timespec(left > 0 ? left : 0);
    int rc = ppoll(p, count, &t, NULL);
    return rc < 0 ? -errno : rc;
}

/* The same for a terminal or an older kernel's pipe, which know no such flags. Asks, then reads. */
static inline ssize_t wire_read_asked(int fd, void *to, size_t size)
{
    int rc = wire_poll(fd, POLLIN, 0);
    if (rc <= 0)
        return rc < 0 ? rc : -EAGAIN;
    ssize_t n = read(fd, to, size);
    return n < 0 ? -errno : n;
}

/* Is a flag that does not block, or the call that takes it, not to be had? Old filters of containers say EPERM. */
static inline bool wire_flag_refused(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == EPERM; }

/* Bytes read, 0 at the end, -EAGAIN if nothing is there. */
static inline ssize_t wire_read_now(int fd, enum wire_kind kind, void *to, size_t size)
{
    if (size > WIRE_CHUNK)
        size = WIRE_CHUNK;
    ssize_t n = -1;
    if (kind == WIRE_SOCKET) {
        n = recv(fd, to, size, MSG_DONTWAIT);
        if (n < 0 && wire_flag_refused(errno))
            return wire_read_asked(fd, to, size);
    } else if (kind == WIRE_PIPE) {
        struct iovec part = {to, size};
        n = preadv2(fd, &part, 1, -1, RWF_NOWAIT);
        if (n < 0 && wire_flag_refused(errno))
            return wire_read_asked(fd, to, size);
    } else {
        return wire_read_asked(fd, to, size);
    }
    return n < 0 ? -errno : n;
}

static inline ssize_t wire_read(int fd, void *to, size_t size)
{
    ssize_t n = read(fd, to, size < WIRE_CHUNK ? size : WIRE_CHUNK);
    return n < 0 ? -errno : n;
}

static inline ssize_t wire_write(int fd, const struct iovec *parts, int count)
{
    ssize_t n = writev(fd, parts, count);
    return n < 0 ? -errno : n;
}

/* As wire_read_asked(), but writes no more than what surely fits. */
static inline ssize_t wire_write_asked(int fd, const struct iovec *parts, int count)
{
    int rc = wire_poll(fd, POLLOUT, 0);
    if (rc <= 0)
        return rc < 0 ? rc : -EAGAIN;
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    if (size <= WIRE_ATOMIC)
        return wire_write(fd, parts, count);
    while (parts->iov_len == 0)
        parts++;
    ssize_t n = write(fd, parts->iov_base, parts->iov_len < WIRE_ATOMIC ? parts->iov_len : WIRE_ATOMIC);
    return n < 0 ? -errno : n;
}

/* Bytes written, which may be fewer than there are. -EAGAIN if there is no room. */
static inline ssize_t wire_write_now(int fd, enum wire_kind kind, const struct iovec *parts, int count)
{
    ssize_t n = -1;
    if (kind == WIRE_SOCKET) {
        struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
        n = sendmsg(fd, &message, MSG_DONTWAIT);
        if (n < 0 && wire_flag_refused(errno))
            return wire_write_asked(fd, parts, count);
    } else if (kind == WIRE_PIPE) {
        n = pwritev2(fd, parts, count, -1, RWF_NOWAIT);
        if (n < 0 && wire_flag_refused(errno))
            return wire_write_asked(fd, parts, count);
    } else {
        return wire_write_asked(fd, parts, count);
    }
    return n < 0 ? -errno : n;
}

/* Takes `size` bytes off the front of the parts. Returns the first that is left. */
static inline int wire_advance(struct iovec *parts, int first, int count, size_t size)
{
    while (first < count && size >= parts[first].iov_len)
        size -= parts[first++].iov_len;
    if (first < count) {
        parts[first].iov_base = (char *)parts[first].iov_base + size;
        parts[first].iov_len -= size;
    }
    return first;
}

/* Spinning -----------------------------------------------------------------------------------------------------------
 *
 * A pipe has no place where its writer could say on which CPU it runs. So the waiter learns whether it pays to spin. If
 * the peer shares our CPU, every spin fails. Two failures in a row are followed by 32 waits without a spin, twice as
 * many after each further failure, up to 1,024. So spins in vain cost 0.02 us a wait. Waits without a spin yield the
 * CPU instead. A peer on the same CPU can act then, without a sleep and a wake-up. That, too, is given up where it does
 * not help (spin.h). */

#define WIRE_SPIN (20 * MICROSECOND)
#define WIRE_FAILURES 2u
#define WIRE_SKIP 32u
#define WIRE_SKIP_DOUBLINGS 5u

struct wire_history {
    uint32_t failures;
    uint32_t skip;
    struct spin_history yields;
};

/* One attempt to read, and what came of it. */
struct wire_attempt {
    int fd;
    enum wire_kind kind;
    uint8_t *to;
    size_t size;
    ssize_t *n;
};

static inline bool wire_attempt(const void *what)
{
    const struct wire_attempt *a = what;
    *a->n = wire_read_now(a->fd, a->kind, a->to, a->size);
    return *a->n != -EAGAIN;
}

static inline void wire_spun(struct wire_history *h, bool success)
{
    h->failures = success ? 0 : h->failures + 1;
    if (h->failures < WIRE_FAILURES)
        return;
    uint32_t doublings = h->failures - WIRE_FAILURES;
    h->skip = WIRE_SKIP << (doublings < WIRE_SKIP_DOUBLINGS ? doublings : WIRE_SKIP_DOUBLINGS);
}

static inline bool wire_spin(const struct wire_attempt *a, struct wire_history *h)
{
    int64_t end = clock_now() + WIRE_SPIN;
    bool success;
    do
        success = wire_attempt(a);
    while (!success && clock_now() < end);
    wire_spun(h, success);
    return success;
}

/* Reads. If nothing is there, tries to get by without sleeping. -EAGAIN: sleep. tried: there was nothing just now. */
static inline ssize_t wire_read_soon(int fd, enum wire_kind kind, uint8_t *to, size_t size, struct wire_history *h,
                                     bool tried)
{
    ssize_t n = -EAGAIN;
    struct wire_attempt a = {fd, kind, to, size, &n};
    if (!tried && wire_attempt(&a))
        return n;
    if (h->skip == 0) {
        wire_spin(&a, h);
        return n;
    }
    h->skip--;
    spin_yield(wire_attempt, &a, &h->yields);
    return n;
}

/* Fills `to` from *done on without sleeping. 1 if full, 0 at the end, after *done bytes. WIRE_SLEEP: serve signals,
 * which may have come meanwhile, then call wire_fill_asleep(). tried: there was nothing just now. */
#define WIRE_SLEEP 2
static inline int wire_fill(int fd, enum wire_kind kind, uint8_t *to, size_t size, size_t *done, struct wire_history *h,
                            bool tried)
{
    while (*done < size) {
        ssize_t n = wire_read_soon(fd, kind, to + *done, size - *done, h, tried);
        if (n == -EAGAIN)
            return WIRE_SLEEP;
        if (n <= 0)
            return (int)n;
        *done += (size_t)n;
        tried = false;
    }
    return 1;
}

/* The same with one read that sleeps. -EINTR: serve signals, then go on with wire_fill(). -EAGAIN: the descriptor has
 * O_NONBLOCK. */
static inline int wire_fill_asleep(int fd, uint8_t *to, size_t size, size_t *done)
{
    ssize_t n = wire_read(fd, to + *done, size - *done);
    if (n <= 0)
        return (int)n;
    *done += (size_t)n;
    return *done == size ? 1 : -EINTR;
}

/* The same without ever waiting. -EAGAIN if it is not all there. */
static inline int wire_fill_now(int fd, enum wire_kind kind, uint8_t *to, size_t size, size_t *done)
{
    while (*done < size) {
        ssize_t n = wire_read_now(fd, kind, to + *done, size - *done);
        if (n <= 0)
            return (int)n;
        *done += (size_t)n;
    }
    return 1;
}

/* Being looked at ----------------------------------------------------------------------------------------------------
 *
 * Code that takes the descriptor of a receiving end may read it without us. The writer, in whatever process, can see
 * that. A pipe's two ends are one inode, and its sticky bit says so. A process under another uid may not set that bit,
 * and gives the pipe a size that no new pipe has. A socket says so to its peer by having a name. */

#define WIRE_PIPE_MARK 131072
#define WIRE_PIPE_MARK_TOO 32768 /* where pipes of this uid may not grow */

static inline void wire_expose(int fd, enum wire_kind kind)
{
    if (kind == WIRE_PIPE && fchmod(fd, S_IRUSR | S_IWUSR | S_ISVTX) < 0 && fcntl(fd, F_SETPIPE_SZ, WIRE_PIPE_MARK) < 0)
        (void)fcntl(fd, F_SETPIPE_SZ, WIRE_PIPE_MARK_TOO); /* the last of three ways */
    struct sockaddr_un nameless = {.sun_family = AF_UNIX};
    if (kind == WIRE_SOCKET)
        (void)!bind(fd, (struct sockaddr *)&nameless, sizeof(sa_family_t)); /* the kernel chooses a name */
}

static inline bool wire_pipe_marked(int size) { return size == WIRE_PIPE_MARK || size == WIRE_PIPE_MARK_TOO; }

/* Has other code taken the descriptor of the other end? When in doubt, yes. */
static inline bool wire_exposed(int fd, enum wire_kind kind)
{
    struct stat s;
    if (kind == WIRE_PIPE)
        return fstat(fd, &s) < 0 || s.st_mode & S_ISVTX || wire_pipe_marked(fcntl(fd, F_GETPIPE_SZ));
    struct sockaddr_un name;
    socklen_t length = sizeof name;
    return getpeername(fd, (struct sockaddr *)&name, &length) < 0 || length > sizeof(sa_family_t);
}

/* The two ends of a new pipe, [0] for reading, or of a pair of sockets. */
static inline int wire_pair(bool duplex, int fds[2])
{
    int rc = duplex ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) : pipe2(fds, O_CLOEXEC);
    return rc < 0 ? -errno : 0;
}

#endif
