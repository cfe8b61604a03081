/* SPDX-License-Identifier: MIT */
/* What is known of a pid: running, stopped, a zombie, gone, a stranger's; with pidfds and without. */
#include "check.h"
#include "core/family/pid.h"

static pid_t start(void)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void expect_ended(pid_t pid, bool ended)
{
    EXPECT_EQ(pid_ended(pid), ended);
    EXPECT_EQ(pid_ended_without_pidfd(pid), ended);
}

static void a_life(void)
{
    uint64_t before = clock_boottime();
    pid_t pid = start();
    int status;
    expect_ended(pid, false);
    EXPECT(pid_started(pid) <= clock_boottime() && pid_started(pid) + SECOND > before);
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    expect_ended(pid, false);
    kill(pid, SIGKILL);
    siginfo_t info;
    EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    expect_ended(pid, true); /* a zombie */
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    expect_ended(pid, true);
    EXPECT_EQ(pid_started(pid), 0);
}

/* A zombie of somebody else's: only /proc tells, where there is no pidfd. */
static void a_strangers_zombie(void)
{
    int pipes[2];
    pid_t zombie = 0;
    EXPECT_EQ(pipe(pipes), 0);
    pid_t parent = fork();
    if (parent == 0) {
        siginfo_t info;
        zombie = start();
        kill(zombie, SIGKILL);
        waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
        EXPECT_EQ(write(pipes[1], &zombie, sizeof zombie), sizeof zombie);
        pause();
        _exit(0);
    }
    EXPECT_EQ(read(pipes[0], &zombie, sizeof zombie), sizeof zombie);
    expect_ended(zombie, true);
    kill(parent, SIGKILL);
    EXPECT_EQ(waitpid(parent, NULL, 0), parent);
    close(pipes[0]);
    close(pipes[1]);
}

static void strangers(void)
{
    expect_ended(1, false);
    expect_ended(getpid(), false);
    EXPECT(proc_is_ours());
    EXPECT(namespace_of_pids() != 0);
}

int main(void)
{
    begin(30);
    RUN(a_life);
    RUN(a_strangers_zombie);
    RUN(strangers);
    return GOOD;
}
