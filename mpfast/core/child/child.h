/* SPDX-License-Identifier: MIT */
/* One child process, by pidfd. Waiting for its end, its exit status, signals, and a daemon's end with its parent.
 *
 * A pidfd names the process for good, whereas a pid may be another process's after the child was reaped. But a program
 * may close the pidfd behind our back. So a child of this process is reaped by its pid, which stays its own until then.
 * The exit status of another process's child, or of one that other code reaped before us, is kept with the pidfd from
 * Linux 6.15 on (PIDFD_INFO_EXIT). */
#ifndef MPFAST_CHILD_H
#define MPFAST_CHILD_H

#include "core/base/clock.h"
#include "core/base/descriptor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* struct pidfd_info as it was first, in Linux 6.13. A kernel with a longer one fills in what there is room for. */
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

static inline int child_open(pid_t pid) { return descriptor_above((int)syscall(SYS_pidfd_open, pid, 0)); }

static inline int child_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* Waits until the process has ended (POLLIN) or was also reaped (events = 0: POLLHUP, Linux 6.9). 1 if it has, 0 if the
 * deadline has passed, or -EINTR. */
static inline int child_wait(int pidfd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = pidfd, .events = events};
    for (;;) {
        int64_t left = deadline == NEVER ? NEVER : deadline - clock_now();
        int64_t ms = left <= 0 ? 0 : (left - 1) / MILLISECOND + 1; /* rounded up, so that no turn has 0 ms left */
        int rc = poll(&p, 1, deadline == NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms);
        if (rc != 0 || left <= 0)
            return rc < 0 ? -errno : rc;
    }
}

/* Is a system call refused by a filter, or unknown to the kernel? */
static inline bool call_refused(int error) { return error == EPERM || error == EACCES || error == ENOSYS; }

/* child_reap() where waitid() is refused. */
static inline int child_reap_plainly(pid_t pid, bool block, int *code)
{
    int status;
    pid_t found = waitpid(pid, &status, block ? 0 : WNOHANG);
    if (found < 0)
        return -errno;
    if (found == 0)
        return 0;
    *code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return 1;
}

/* Reaps a child of this process. 1 if done, and *code is its exit code, -N for signal N. 0 if it lives, -EINTR, or
 * -ECHILD if it is not our child, or was reaped before. */
static inline int child_reap(pid_t pid, bool block, int *code)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | (block ? 0 : WNOHANG)) < 0)
        return call_refused(errno) ? child_reap_plainly(pid, block, code) : -errno;
    if (info.si_pid == 0)
        return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status; /* else killed, or killed and dumped */
    return 1;
}

/* The exit code of any process that has ended and was reaped. 1 if it is in *code, 0 if not yet, -errno if this kernel
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

enum { CHILD_TRIAL_CODE = 7, CHILD_TRIAL_STACK = 16 * 1024 };

static inline int child_trial(void *unused)
{
    (void)unused;
    return CHILD_TRIAL_CODE;
}

/* Makes a child that ends at once, and reaps it. Its pidfd, or -errno. No SIGCHLD comes of it, and no wait() of the
 * program's sees it. It runs in our memory while this thread stands still, so nothing is copied. */
static inline int child_reaped_one(void)
{
    _Alignas(16) char stack[CHILD_TRIAL_STACK];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a handler must not run in the child */
    pid_t pid = clone(child_trial, stack + sizeof stack, CLONE_VM | CLONE_VFORK, NULL);
    int pidfd = pid < 0 ? -errno : child_open(pid);
    while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pidfd;
}

/* Tries whether child_info() tells the exit code of a process that was reaped. 0, or -errno: it does not. -EOPNOTSUPP:
 * it tells of living processes only, as in Linux 6.13. */
static inline int child_info_try(void)
{
    struct child_report report = {.mask = CHILD_INFO_PID};
    int code = 0, self = child_open(getpid());
    if (self < 0)
        return self;
    int rc = ioctl(self, CHILD_GET_INFO, &report) < 0 ? -errno : 0; /* most of those that do not tell say it here */
    close(self);
    if (rc < 0)
        return rc;
    int pidfd = child_reaped_one();
    if (pidfd < 0)
        return pidfd;
    rc = child_info(pidfd, &code);
    close(pidfd);
    return rc < 0 ? rc : rc == 1 && code == CHILD_TRIAL_CODE ? 0 : -EOPNOTSUPP;
}

/* 0 if the process of this pidfd is a child of ours that lives, -ESRCH if it is not, or the -errno with which the call is
 * refused. A pid that was opened after its process was reaped may be another's. */
static inline int child_is_ours(int pidfd)
{
    struct child_report report = {.mask = CHILD_INFO_PID};
    if (ioctl(pidfd, CHILD_GET_INFO, &report) < 0)
        return -errno;
    return report.mask & CHILD_INFO_PID && report.ids[2] == (uint32_t)getpid() ? 0 : -ESRCH;
}

/* child_open() of a child of ours that lives. */
static inline int child_open_ours(pid_t pid)
{
    int pidfd = child_open(pid);
    int rc = pidfd < 0 ? pidfd : child_is_ours(pidfd);
    if (rc < 0 && pidfd >= 0)
        close(pidfd);
    return rc < 0 ? rc : pidfd;
}

/* A readable descriptor, which has the number that a pidfd is to get: an eventfd, or a pipe's where that is refused. */
static inline int child_room(void)
{
    int ends[2], fd = descriptor_above(eventfd(1, EFD_CLOEXEC));
    if (fd >= 0 || !call_refused(-fd) || pipe2(ends, O_CLOEXEC) < 0)
        return fd;
    (void)!write(ends[1], "", 1);
    close(ends[1]);
    return descriptor_above(ends[0]);
}

/* 0, or the -errno with which the kernel refuses a call of the above. *what names the call. */
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

/* A daemon must not outlive its parent, however that ends. PR_SET_PDEATHSIG alone will not do, because it also fires
 * when the *thread* that forked us ends. So the signal has a handler, which checks which process is the parent now. The
 * signal is SIGURG because that is ignored by default, and exec drops the handler but keeps the request. The request is
 * the calling thread's, and the kernel drops it when the process changes its user. */
static volatile pid_t child_guarded, child_guarded_by; /* a fork inherits them and the handler, but not the request */
static volatile int child_guarded_until = -1;          /* a pidfd, end only if this process is gone as well */

static volatile pid_t child_looks; /* the process that has a timer for it */

/* From now on this process looks once a second whether the process of its other guard lives. The kernel tells of the end
 * of a parent only. It may have told of it just before the other process counts as ended. */
static inline void child_look_again(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG};
    struct itimerspec second = {{1, 0}, {1, 0}};
    int timer;
    if (child_looks == getpid() || syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
        return;
    child_looks = getpid();
    syscall(SYS_timer_settime, timer, 0, &second, NULL);
}

static inline void child_on_parent_death(int signal)
{
    int error = errno;
    (void)signal;
    int until = child_guarded_until;
    if (getpid() == child_guarded && getppid() != child_guarded_by) {
        if (until < 0 || child_wait(until, POLLIN, 0) > 0)
            kill(getpid(), SIGKILL);
        child_look_again();
    }
    errno = error;
}

/* This process ends when `parent`, its parent, is gone, at once if it is gone already. until is -1 or a pidfd. While
 * the process of that pidfd lives, this one does not end (a fork server was killed, its client was not). Nothing
 * happens if the parent is in another pid namespace, where its end cannot be told from its life. */
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

/* What `ps -o comm` and `top` call this process, by 15 bytes of the name. */
static inline void child_name(const char *name) { prctl(PR_SET_NAME, name); }

/* Blocks all signals that can wait, so that a handler runs before or after what follows, but not within. */
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
