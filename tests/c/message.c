/* SPDX-License-Identifier: MIT */
/* message.h: a message of any size arrives whole under any limit, its descriptors are no standard streams, and feeding a
 * child that has ended does not wait for other processes that have its end of the socket. */
#include "file_limit.h"

#include "core/child/child.h"
#include "core/child/message.h"

#include <sys/stat.h>

#define MOST ((size_t)3 << 20)

static char sent[MOST];

static void fill(void)
{
    for (size_t i = 0; i < MOST; i++)
        sent[i] = (char)(i * 2654435761u >> 24);
}

/* A child's whole life: it reads this many bytes, and then the end of the file. */
static int read_all(int fd, size_t size)
{
    static char got[MOST + 1];
    size_t done = 0;
    ssize_t n;
    while ((n = read(fd, got + done, sizeof got - done)) > 0)
        done += (size_t)n;
    return n == 0 && done == size && memcmp(sent, got, size) == 0 ? 0 : 1;
}

static void arrives(size_t size, bool fed)
{
    int feed, fd = message_hold(sent, size, &feed), code;
    EXPECT(fd >= DESCRIPTOR_FIRST && (feed >= DESCRIPTOR_FIRST) == fed);
    pid_t pid = fork();
    if (pid == 0) {
        if (feed >= 0)
            close(feed);
        _exit(read_all(fd, size));
    }
    int pidfd = child_open(pid);
    close(fd);
    for (size_t done = 0; feed >= 0 && done < size;) {
        ssize_t n = message_feed(feed, pidfd, sent + done, size - done);
        EXPECT(n >= 0);
        done += (size_t)n;
    }
    if (feed >= 0)
        close(feed);
    EXPECT_EQ(child_reap(pid, true, &code), 1);
    EXPECT_EQ(code, 0);
    close(pidfd);
}

static void ended(void)
{
    int feed, fd = message_hold(sent, MOST, &feed), code;
    ssize_t n = 0;
    EXPECT(fd >= 0 && feed >= 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int pidfd = child_open(pid);
    for (int turns = 0; n >= 0 && turns < 1000; turns++) /* fd stays open: a process that was forked has it */
        n = message_feed(feed, pidfd, sent, MOST);
    EXPECT_EQ(n, -EPIPE);
    EXPECT_EQ(child_reap(pid, true, &code), 1);
    close(fd);
    n = message_feed(feed, -1, sent, MOST); /* and SIGPIPE ends nothing */
    EXPECT_EQ(n, -EPIPE);
    close(feed);
    close(pidfd);
}

static void sizes(void)
{
    arrives(0, false);
    arrives(1, false);
    arrives(MESSAGE_PIPED, false);
    arrives(MESSAGE_PIPED + 1, false);
    arrives(MOST, false);
    file_limit(MESSAGE_PIPED + 1, RLIM_INFINITY);
    arrives(MESSAGE_PIPED + 1, false);
    arrives(MESSAGE_PIPED + 2, true);
    file_limit(0, RLIM_INFINITY);
    arrives(MESSAGE_PIPED, false);
    arrives(MESSAGE_PIPED + 1, true);
    arrives(MOST, true);
    ended();
    file_limit(RLIM_INFINITY, RLIM_INFINITY);
}

int main(void)
{
    if (!file_limit_begin())
        return 77;
    signal(SIGPIPE, SIG_DFL);
    fill();
    sizes();
    for (int fd = 0; fd < DESCRIPTOR_FIRST; fd++)
        close(fd);
    sizes();
    return 0;
}
