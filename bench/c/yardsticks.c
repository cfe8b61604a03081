/* SPDX-License-Identifier: MIT */
/* What the machine itself takes, in nanoseconds, the best of several. No implementation can take less.
 *
 *     yardsticks         on the CPUs of the affinity mask
 *
 * Prints a line "name nanoseconds" for each. What needs a second CPU is left out where there is none. */

#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPEATS = 7, LINE = 64 };

typedef struct {
    _Alignas(LINE) _Atomic uint32_t turn;
} shared_t;

static int cpus[2], cpu_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(int cpu)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    sched_setaffinity(0, sizeof mask, &mask);
}

static void find_cpus(void)
{
    cpu_set_t mask;
    sched_getaffinity(0, sizeof mask, &mask);
    for (int cpu = 0; cpu < CPU_SETSIZE && cpu_count < 2; cpu++)
        if (CPU_ISSET(cpu, &mask))
            cpus[cpu_count++] = cpu;
}

/* The shortest time of an operation of which `loop` does so many. */
static double best(void (*loop)(long count, void *thing), long count, void *thing)
{
    double least = 1e18;
    for (int i = 0; i < REPEATS; i++) {
        double begin = now();
        loop(count, thing);
        double took = (now() - begin) / (double)count;
        if (took < least)
            least = took;
    }
    return least;
}

static void swaps(long count, void *thing)
{
    shared_t *shared = thing;
    for (long i = 0; i < count; i++) {
        uint32_t free = 0;
        atomic_compare_exchange_strong(&shared->turn, &free, 1);
        atomic_store(&shared->turn, 0);
    }
}

static void calls(long count, void *thing)
{
    (void)thing;
    for (long i = 0; i < count; i++)
        syscall(SYS_getppid);
}

static void forks(long count, void *thing)
{
    (void)thing;
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

static void wait_for(_Atomic uint32_t *word, uint32_t mine, int spin)
{
    while (atomic_load(word) != mine)
        if (!spin)
            syscall(SYS_futex, word, FUTEX_WAIT, 1 - mine, NULL, NULL, 0);
}

static void pass(_Atomic uint32_t *word, uint32_t to, int spin)
{
    atomic_store(word, to);
    if (!spin)
        syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void sleeping_turns(long count, void *thing)
{
    shared_t *shared = thing;
    for (long i = 0; i < count; i++) {
        pass(&shared->turn, 1, 0);
        wait_for(&shared->turn, 0, 0);
    }
}

static void spinning_turns(long count, void *thing)
{
    shared_t *shared = thing;
    for (long i = 0; i < count; i++) {
        pass(&shared->turn, 1, 1);
        wait_for(&shared->turn, 0, 1);
    }
}

/* There and back between two processes. */
static double turns(shared_t *shared, int peer_cpu, int spin)
{
    long count = spin ? 20000 : 2000;
    atomic_store(&shared->turn, 0);
    pid_t peer = fork();
    if (peer < 0)
        return -1;
    if (peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it would wait for its turn for ever */
        pin(peer_cpu);
        for (long i = 0; i < REPEATS * count; i++) {
            wait_for(&shared->turn, 1, spin);
            pass(&shared->turn, 0, spin);
        }
        _exit(0);
    }
    double least = best(spin ? spinning_turns : sleeping_turns, count, shared);
    waitpid(peer, NULL, 0);
    return least;
}

typedef struct {
    char *from, *to;
    size_t size;
} copy_t;

static void copies(long count, void *thing)
{
    copy_t *copy = thing;
    for (long i = 0; i < count; i++) {
        memcpy(copy->to, copy->from, copy->size);
        __asm__ volatile("" ::: "memory"); /* each copy is made, although it is never read */
    }
}

static void print_copies(void)
{
    static const struct {
        const char *name;
        size_t size;
        long count;
    } sizes[] = {
        {"copy_1k", 1 << 10, 20000}, {"copy_64k", 1 << 16, 500}, {"copy_1m", 1 << 20, 20}, {"copy_64m", 1 << 26, 1}};
    copy_t copy = {malloc(1 << 26), malloc(1 << 26), 0};
    if (!copy.from || !copy.to)
        exit(1);
    memset(copy.from, 1, 1 << 26);
    memset(copy.to, 1, 1 << 26);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        copy.size = sizes[i].size;
        printf("%s %.1f\n", sizes[i].name, best(copies, sizes[i].count, &copy));
    }
    free(copy.from);
    free(copy.to);
}

int main(void)
{
    find_cpus();
    pin(cpus[0]);
    shared_t *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    printf("swap %.1f\n", best(swaps, 100000, shared));
    printf("call %.1f\n", best(calls, 20000, NULL));
    printf("fork %.1f\n", best(forks, 30, NULL));
    printf("turn_one_cpu %.1f\n", turns(shared, cpus[0], 0));
    if (cpu_count > 1)
        printf("turn_two_cpus %.1f\n", turns(shared, cpus[1], 1));
    fflush(stdout);
    print_copies();
    return 0;
}
