/* SPDX-License-Identifier: MIT */
/* What the kernel says about a process id. */
#ifndef MPFAST_PID_H
#define MPFAST_PID_H

#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The pid namespace of this process. 0 if there is no /proc to tell. */
static inline uint64_t namespace_of_pids(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Does /proc speak of the pids that this process sees? After unshare() it may still be the outer namespace's. */
static inline bool proc_is_ours(void)
{
    char text[16] = {0};
    return readlink("/proc/self", text, sizeof text - 1) > 0 && atoi(text) == (int)syscall(SYS_getpid);
}

static inline uint64_t clock_boottime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * (uint64_t)SECOND + (uint64_t)t.tv_nsec;
}

/* What /proc/pid/stat says from the state on, which is its third field. NULL if it cannot be read. */
static inline const char *pid_stat(pid_t pid, char *text, size_t size)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    const char *name_end = strrchr(text, ')'); /* the name before it may hold anything */
    return name_end == NULL || name_end[1] == 0 ? NULL : name_end + 2;
}

/* When process pid started, in CLOCK_BOOTTIME nanoseconds, rounded down to a clock tick. 0 if unknown. */
static inline uint64_t pid_started(pid_t pid)
{
    char text[512];
    const char *field = pid_stat(pid, text, sizeof text);
    for (int number = 3; field != NULL && number < 22; number++)
        if ((field = strchr(field, ' ')) != NULL)
            field++;
    unsigned long long ticks = 0;
    if (field == NULL || sscanf(field, "%llu", &ticks) != 1)
        return 0;
    return ticks * (uint64_t)(SECOND / sysconf(_SC_CLK_TCK));
}

/* For a kernel, a seccomp filter or a full descriptor table that gives no pidfd. */
static inline bool pid_ended_without_pidfd(pid_t pid)
{
    siginfo_t child = {0};
    char text[512];
    if (kill(pid, 0) < 0 && errno == ESRCH)
        return true;
    if (waitid(P_PID, (id_t)pid, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid == pid)
        return true;
    const char *state = proc_is_ours() ? pid_stat(pid, text, sizeof text) : NULL;
    return state != NULL && (*state == 'Z' || *state == 'X');
}

/* Has process `pid` ended? A zombie has, a stopped one has not. */
static inline bool pid_ended(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH || pid_ended_without_pidfd(pid);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool ended = poll(&p, 1, 0) == 1;
    close(fd);
    return ended;
}

#endif
