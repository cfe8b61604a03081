/* SPDX-License-Identifier: MIT */
/* A hand-off of data and descriptors over a SOCK_SEQPACKET socket, in one message and one system call.
 *
 *   first message: u32 number of descriptors | data            with up to HANDOFF_FDS descriptors
 *   further ones:  one byte                                    with the next HANDOFF_FDS
 *
 * Both ends are the same build on one machine. A message arrives whole or not at all. */
#ifndef MPFAST_HANDOFF_H
#define MPFAST_HANDOFF_H

#include "core/base/descriptor.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HANDOFF_FDS 250 /* for a message. The kernel takes 253 (SCM_MAX_FD) */
#define HANDOFF_PARTS 8

union handoff_control {
    char space[CMSG_SPACE(HANDOFF_FDS * sizeof(int))];
    struct cmsghdr align;
};

static inline int handoff_send_one(int sock, struct iovec *parts, size_t count, const int *fds, uint32_t nfds,
                                   int flags)
{
    union handoff_control control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (nfds > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        memset(&control, 0, message.msg_controllen);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(header), fds, nfds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(sock, &message, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static inline uint32_t handoff_share(uint32_t left) { return left < HANDOFF_FDS ? left : HANDOFF_FDS; }

/* Sends `count` parts (less than HANDOFF_PARTS) and the descriptors. -EPIPE or -ECONNRESET if the other end is gone. If
 * a further message fails, the receiver has part of the descriptors, and the socket is of no more use. */
static inline int handoff_send(int sock, const struct iovec *data, size_t count, const int *fds, uint32_t nfds,
                               int flags)
{
    struct iovec parts[HANDOFF_PARTS] = {{.iov_base = &nfds, .iov_len = sizeof nfds}};
    if (count >= HANDOFF_PARTS)
        return -EINVAL;
    memcpy(parts + 1, data, count * sizeof *data);
    uint32_t done = handoff_share(nfds);
    int rc = handoff_send_one(sock, parts, count + 1, fds, done, flags);
    while (rc == 0 && done < nfds) {
        struct iovec byte = {.iov_base = "+", .iov_len = 1};
        uint32_t share = handoff_share(nfds - done);
        rc = handoff_send_one(sock, &byte, 1, fds + done, share, flags);
        done += share;
    }
    return rc;
}

static inline void handoff_close(int *fds, uint32_t nfds)
{
    for (uint32_t i = 0; i < nfds; i++)
        close(fds[i]);
}

/* The descriptors of a message, at most `room` of them, to fds. Returns how many. One that gets no number above the
 * standard streams' is closed, and the message is cut off. */
static inline uint32_t handoff_fds_of(struct msghdr *message, int *fds, uint32_t room)
{
    uint32_t found = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h != NULL; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t n = (uint32_t)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (uint32_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
            if (found == room)
                close(fd);
            else if ((fds[found] = descriptor_above(fd)) >= 0)
                found++;
            else
                message->msg_flags |= MSG_CTRUNC;
        }
    }
    return found;
}

/* The name that the extensions know it by. */
static inline uint64_t handoff_mark(int fd) { return descriptor_mark(fd); }

/* Receives one message. Returns its length, 0 at the end of file, or -errno. -EMFILE if this process has no room for
 * the descriptors, and those that came are closed. -EMSGSIZE if it is longer than the parts. */
static inline ssize_t handoff_receive_one(int sock, struct iovec *parts, size_t count, int *fds, uint32_t *nfds,
                                          int flags)
{
    union handoff_control control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count, .msg_control = &control};
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC);
    *nfds = 0;
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    *nfds = handoff_fds_of(&message, fds, HANDOFF_FDS);
    if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return n;
    handoff_close(fds, *nfds);
    *nfds = 0;
    return message.msg_flags & MSG_CTRUNC ? -EMFILE : -EMSGSIZE;
}

/* Receives the descriptors that did not fit into the first message. They were sent with it, so they follow at once. */
static inline int handoff_receive_more(int sock, int *fds, uint32_t have, uint32_t want)
{
    while (have < want) {
        char byte;
        struct iovec part = {.iov_base = &byte, .iov_len = 1};
        uint32_t more;
        int some[HANDOFF_FDS];
        ssize_t n = handoff_receive_one(sock, &part, 1, some, &more, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0 || more == 0 || more > want - have) {
            handoff_close(some, more);
            handoff_close(fds, have);
            return n < 0 ? (int)n : -EBADMSG;
        }
        memcpy(fds + have, some, more * sizeof(int));
        have += more;
    }
    return 0;
}

/* Receives a hand-off. 1, with *got bytes in data, and *nfds descriptors (close on exec) in *fds, which is to be freed.
 * 0 at the end of file. -EINTR or -EAGAIN if nothing has come. Any other -errno: all that came is lost. */
static inline int handoff_receive(int sock, void *data, size_t size, size_t *got, int **fds, uint32_t *nfds, int flags)
{
    uint32_t have, want = 0;
    int first[HANDOFF_FDS];
    struct iovec parts[] = {{.iov_base = &want, .iov_len = sizeof want}, {.iov_base = data, .iov_len = size}};
    ssize_t n = handoff_receive_one(sock, parts, 2, first, &have, flags);
    *fds = NULL;
    *nfds = 0;
    if (n <= 0)
        return (int)n;
    int *all = calloc(want > have ? want : have + 1, sizeof *all);
    bool sound = n >= (ssize_t)sizeof want && (have == want || (have == HANDOFF_FDS && want > have));
    if (all == NULL || !sound) {
        handoff_close(first, have);
        free(all);
        return sound ? -ENOMEM : -EBADMSG;
    }
    memcpy(all, first, have * sizeof(int));
    int rc = handoff_receive_more(sock, all, have, want);
    if (rc < 0) {
        free(all);
        return rc;
    }
    *got = (size_t)n - sizeof want;
    *fds = all;
    *nfds = want;
    return 1;
}

#endif
