/* SPDX-License-Identifier: MIT */
/* Processes that are killed, or stopped for ever, right before a chosen access to shared memory.
 *
 * Include this before any other header. A body runs in a child once for each of its writes, and gets no further than
 * that write; then the survivors are asked how they are. Who is killed before it reads has done no less than who is
 * killed before its next write; but for who goes on later each read is a place of its own: fault.reads. */
#ifndef MPFAST_TEST_FAULTS_H
#define MPFAST_TEST_FAULTS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    long at; /* the access before which the signal comes; 0: none does */
    long seen;
    int signal;
    bool reads; /* reads count as well */
    long end;   /* who was stopped and goes on is killed before this access; 0: before none */
} fault;

static pid_t fault_pid(void);

static inline void fault_point(void)
{
    if (fault.at != 0 && ++fault.seen == fault.at)
        kill(fault_pid(), fault.signal);
    if (fault.end != 0 && fault.seen == fault.end)
        kill(fault_pid(), SIGKILL);
}

#define POINT() fault_point()
#define READ_POINT() (fault.reads ? fault_point() : (void)0)
#define STEP() fault_point()

#include "queuers.h"

static pid_t fault_pid(void) { return real_pid(); }

static inline void fault_arm(long at, int signal)
{
    fault.at = at;
    fault.seen = 0;
    fault.signal = signal;
}

/* Children of victims that were killed become ours. Waits until they have ended; a stopped one is killed. */
static inline void orphans_end(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WUNTRACED)) > 0;)
        if (WIFSTOPPED(status))
            EXPECT_EQ(kill(pid, SIGKILL), 0);
        else
            EXPECT(WIFSIGNALED(status) || WEXITSTATUS(status) == GOOD);
}

/* Waits until the child has stopped or ended. */
static inline int child_wait(pid_t pid)
{
    int status;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    return status;
}

static inline void child_kill(pid_t pid)
{
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    int status = child_wait(pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A child that runs body(with) and gets the signal before its n-th write. It must not return into the harness. */
static inline pid_t child_start(void (*body)(void *), void *with, long n, int signal)
{
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        fault_arm(n, signal);
        body(with);
        fault_arm(0, 0);
        _exit(GOOD);
    }
    return pid;
}

/* True if the signal came: then the child is stopped (*stopped is its pid) or dead (0). False: it ended before. */
static inline bool child_hit(void (*body)(void *), void *with, long n, int signal, pid_t *stopped)
{
    pid_t pid = child_start(body, with, n, signal);
    int status = child_wait(pid);
    *stopped = WIFSTOPPED(status) ? pid : 0;
    if (WIFEXITED(status)) {
        EXPECT_EQ(WEXITSTATUS(status), GOOD);
        return false;
    }
    EXPECT_EQ(WIFSTOPPED(status) ? WSTOPSIG(status) : WTERMSIG(status), signal);
    return true;
}

#endif
