/* SPDX-License-Identifier: MIT */
/* What the kernel takes to start a process, to hear of it, and to end it, in C, with nothing around them.

   launch PATTERN MEGABYTES MILLISECONDS CPU[,CPU...] [COMMAND...] prints nanoseconds per process:
   PATTERN    start (until the call returns), line (until the child's byte arrives), join (until its end is known),
              burst (32 at a time, until the end of all)
   MEGABYTES  that this process has, and has touched
   COMMAND    is executed by the child, after vfork. It writes its byte to descriptor 1. Without it: fork, and _exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 32, LEAST = 5, MOST = 4096 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void pin(char *list)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (char *cpu = strtok(list, ","); cpu; cpu = strtok(NULL, ","))
        CPU_SET(atoi(cpu), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus))
        fail("sched_setaffinity");
}

static void have(size_t megabytes)
{
    size_t size = megabytes << 20;
    if (size == 0)
        return;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    madvise(memory, size, MADV_NOHUGEPAGE); /* as Python's memory is, mostly */
    memset(memory, 1, size);
}

/* A child that writes a byte, if it is to, and ends. */
static pid_t start(char **command, int out)
{
    pid_t pid = command[0] ? vfork() : fork();
    if (pid < 0)
        fail("fork");
    if (pid > 0)
        return pid;
    if (command[0]) {
        if (out >= 0)
            dup2(out, 1);
        execv(command[0], command);
        _exit(127);
    }
    _exit(out >= 0 && write(out, "!", 1) != 1);
}

static void join(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            fail("waitpid");
    if (status != 0) {
        fprintf(stderr, "a child ended with status %d\n", status);
        exit(1);
    }
}

static int64_t measure(const char *pattern, char **command, int pipe[2])
{
    pid_t pids[BURST];
    char byte;
    int64_t begin = now(), took;
    if (strcmp(pattern, "burst") == 0) {
        for (int i = 0; i < BURST; i++)
            pids[i] = start(command, -1);
        for (int i = 0; i < BURST; i++)
            join(pids[i]);
        return (now() - begin) / BURST;
    }
    pids[0] = start(command, strcmp(pattern, "line") == 0 ? pipe[1] : -1);
    if (strcmp(pattern, "line") == 0 && read(pipe[0], &byte, 1) != 1)
        fail("read");
    took = now() - begin;
    join(pids[0]);
    return strcmp(pattern, "join") == 0 ? now() - begin : took;
}

static int order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static int64_t times[MOST];
    int count = 0, pipe_of_line[2];
    if (argc < 5)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(argv[4]);
    have(strtoul(argv[2], NULL, 10));
    if (pipe2(pipe_of_line, O_CLOEXEC))
        fail("pipe");
    measure(argv[1], argv + 5, pipe_of_line); /* warm */
    int64_t end = now() + strtoll(argv[3], NULL, 10) * 1000000;
    while (count < LEAST || (count < MOST && now() < end))
        times[count++] = measure(argv[1], argv + 5, pipe_of_line);
    qsort(times, count, sizeof *times, order);
    printf("%lld\n", (long long)times[count / 2]);
    return 0;
}
