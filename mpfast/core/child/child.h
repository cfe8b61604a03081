/* SPDX-License-Identifier: MIT */
/* One child process, by pidfd: waiting for its end, its exit status, signals, and a daemon's end with its parent.
 *
 * A pidfd names the process for good, where a pid may be another process's after the child was reaped; but a program may
 * close it behind our back. So a child of this process is reaped by its pid, which stays its own until then. The exit
 * status of somebody else's child, or of one that somebody reaped before us, is kept with the pidfd from Linux 6.15 on
 * (PIDFD_INFO_EXIT). */
#ifndef MPFAST_CHILD_H
#define MPFAST_CHILD_H

#include "core/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* struct pidfd_info as it was first, in Linux 6.13; a kernel that knows a longer one fills in what there is room for. */
struct child_report {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11]; /* pid, tgid, ppid and the users */
    int32_t status;
};
_Static_assert(sizeof(struct child_report) == 64, "the kernel knows the structure by its size");

#define CHILD_GET_INFO _IOWR(0xFF, 11, struct child_report)
#define CHILD_INFO_PID (UINT64_C(1) << 0)
#define CHILD_INFO_EXIT (UINT64_C(1) << 3)

static inline int child_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

static inline int child_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* Until the process has ended (POLLIN) or was also reaped (events = 0: POLLHUP, Linux 6.9). 1: it has; 0: the deadline
 * has passed; -EINTR. */
static inline int child_wait(int pidfd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = pidfd, .events = events};
    for (;;) {
        int64_t left = deadline == NEVER ? NEVER : deadline - clock_now();
        int64_t ms = left <= 0 ? 0 : (left - 1) / MILLISECOND + 1; /* rounded up: never a turn with nothing left */
        int rc = poll(&p, 1, deadline == NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms);
        if (rc != 0 || left <= 0)
            return rc < 0 ? -errno : rc;
    }
}

/* Reaps a child of this process. 1: done, and *code is its exit code, -N for signal N; 0: it lives; -EINTR;
 * -ECHILD: not our child, or it was reaped before. */
static inline int child_reap(pid_t pid, bool block, int *code)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | (block ? 0 : WNOHANG)) < 0)
        return -errno;
    if (info.si_pid == 0)
        return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status; /* else: killed, or killed and dumped */
    return 1;
}

/* The exit code of any process that has ended and was reaped: 1, and it is in *code; 0: not yet; -errno: this kernel
 * does not tell. */
static inline int child_info(int pidfd, int *code)
{
    struct child_report report = {.mask = CHILD_INFO_EXIT};
    if (ioctl(pidfd, CHILD_GET_INFO, &report) < 0)
        return errno == ESRCH ? 0 : -errno;
    if (!(report.mask & CHILD_INFO_EXIT))
        return 0;
    *code = WIFSIGNALED(report.status) ? -WTERMSIG(report.status) : WEXITSTATUS(report.status);
    return 1;
}

/* Is the process of this pidfd a child of ours that lives? Told from Linux 6.13 on. A pid that was opened after its process was
 * reaped may be another's. */
static inline bool child_is_ours(int pidfd)
{
    struct child_report report = {.mask = CHILD_INFO_PID};
    return ioctl(pidfd, CHILD_GET_INFO, &report) == 0 && report.mask & CHILD_INFO_PID &&
           report.ids[2] == (uint32_t)getpid();
}

/* 0, or what the kernel refuses of the above; *what names it. */
static inline int child_supported(const char **what)
{
    *what = "pidfd_open";
    int fd = child_open(getpid());
    if (fd < 0)
        return fd;
    *what = "pidfd_send_signal";
    int rc = child_signal(fd, 0);
    close(fd);
    return rc;
}

/* A daemon is not to outlive its parent, however that ends. PR_SET_PDEATHSIG alone will not do: it fires as well when
 * the *thread* that forked us ends. So the signal has a handler, and the handler looks who the parent is now. It is
 * SIGURG because that is ignored by default: exec drops the handler but keeps the request. The request is the calling
 * thread's, and is dropped by the kernel when the process changes its user. */
static volatile pid_t child_guarded, child_guarded_by; /* a fork inherits them and the handler, but not the request */
static volatile int child_guarded_until = -1;          /* a pidfd: and only if this process is gone as well */

static inline void child_on_parent_death(int signal)
{
    int error = errno;
    (void)signal;
    int until = child_guarded_until;
    if (getpid() == child_guarded && getppid() != child_guarded_by && (until < 0 || child_wait(until, POLLIN, 0) > 0))
        kill(getpid(), SIGKILL);
    errno = error;
}

/* This process ends when `parent`, its parent, is gone; at once if it is gone already. until: -1, or a pidfd: unless that
 * process still lives then (a fork server is killed, and the process whose server it was is not). Nothing happens if the parent is
 * in another pid namespace, where its end cannot be told from its life. */
static inline int child_guard(pid_t parent, int until)
{
    struct sigaction action = {.sa_handler = child_on_parent_death, .sa_flags = SA_RESTART};
    if (getppid() == 0)
        return 0;
    child_guarded = getpid();
    child_guarded_by = parent;
    child_guarded_until = until;
    if (sigaction(SIGURG, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGURG) < 0)
        return -errno;
    child_on_parent_death(SIGURG);
    return 0;
}

/* All signals that can wait do, so that a handler runs before or after what follows, but not within. */
static inline void child_hold_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static inline void child_release_signals(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

#endif
