/* SPDX-License-Identifier: MIT */
/* What the queue's core costs without Python, as multiples of what the machine can do: the round trip of a cache line
 * between two CPUs, and memcpy. Two processes, pinned to two CPUs.
 *
 *     cc -std=gnu11 -D_GNU_SOURCE -O2 -Impfast bench/c/queue.c -o build/bench/queue -pthread && build/bench/queue */
#include "core/life/fork.h"
#include "core/life/handle.h"
#include "core/queue/queue.h"
#include "core/life/tend.h"

#include <sys/wait.h>

#define ROUNDS 5
#define LONG (2 * SECOND)

static struct family *family;

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static cpu_set_t all;

static void pin(int n)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && n-- == 0)
            CPU_SET(cpu, &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0, "two CPUs");
}

static struct queue *queue_new(uint64_t maxsize)
{
    struct queue *q = NULL;
    int64_t slot = handle_claim(family, SLOT_LARGE, SLOT_QUEUE);
    must(slot >= 0, "a slot");
    queue_init(slot_at(family, (uint32_t)slot), maxsize, 0);
    must(queue_open(family, (uint32_t)slot, &q) == 0, "a queue");
    return q;
}

static void queue_drop(struct queue *q)
{
    uint32_t slot = q->store.slot;
    queue_close(q);
    handle_remove(family, slot);
}

static void put(struct queue *q, uint64_t size, const char *data)
{
    struct store_item item = {.block = NO_BLOCK};
    struct spin_history history = {0};
    struct waiting w;
    if (size > 0) {
        must(item_prepare(&q->store, size, 0, &item) == 0, "memory");
        memcpy(item.data, data, size);
    }
    if (queue_put(q, &item) == 0)
        return;
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    do
        queue_wait(q, QUEUE_SPACE, &w, &history);
    while (queue_put(q, &item) < 0);
    waiting_end(&w);
}

static void take(struct queue *q, char *data, struct spin_history *history)
{
    struct store_item item;
    struct waiting w;
    if (queue_take(q, &item) < 0) {
        waiting_begin(&w, NEVER, BACKSTOP_IDLE);
        do
            queue_wait(q, QUEUE_ITEMS, &w, history);
        while (queue_take(q, &item) < 0);
        waiting_end(&w);
    }
    if (item.block == NO_BLOCK)
        return;
    item_touch(&q->store, &item);
    memcpy(data, item.data, item.size);
    item_release(&q->store, &item);
}

static double since(int64_t began, uint64_t n) { return (double)(clock_now() - began) / (double)n; }

/* The best of some rounds: what disturbs only adds. */
static double best(double (*run)(uint64_t size, uint64_t n), uint64_t size, uint64_t n)
{
    int64_t end = clock_now() + LONG;
    double least = run(size, n);
    for (int i = 1; i < ROUNDS || clock_now() < end; i++) {
        double ns = run(size, n);
        least = ns < least ? ns : least;
    }
    return least;
}

static pid_t child(void)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    pin(pid == 0);
    return pid;
}

static void end(pid_t pid)
{
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

static double line(uint64_t unused, uint64_t n)
{
    (void)unused;
    shared64 *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(word != MAP_FAILED, "mmap");
    pid_t pid = child();
    int64_t began = clock_now();
    for (uint64_t i = 0; i < n; i++) {
        for (int spins = 0; load_relaxed(word) != 2 * i + (pid == 0); spins++)
            if (spins < 10000)
                cpu_relax();
            else
                sched_yield(); /* others want the CPUs: this round is not the best */
        store_relaxed(word, 2 * i + 1 + (pid == 0));
    }
    double ns = since(began, n);
    end(pid);
    munmap((void *)word, 4096);
    return ns;
}

static char *buffer(uint64_t size) { return memset(malloc(size + 1), 1, size + 1); }

static double copy(uint64_t size, uint64_t n)
{
    char *from = buffer(size), *to = buffer(size);
    pin(0);
    int64_t began = clock_now();
    for (uint64_t i = 0; i < n; i++) {
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    double ns = since(began, n);
    free(from);
    free(to);
    return ns;
}

static double alone(uint64_t size, uint64_t n)
{
    struct queue *q = queue_new(0);
    char *from = buffer(size), *to = buffer(size);
    struct spin_history history = {0};
    pin(0);
    put(q, size, from);
    take(q, to, &history);
    int64_t began = clock_now();
    for (uint64_t i = 0; i < n; i++) {
        put(q, size, from);
        take(q, to, &history);
    }
    double ns = since(began, n);
    queue_drop(q);
    free(from);
    free(to);
    return ns;
}

static double stream(uint64_t size, uint64_t n)
{
    struct queue *q = queue_new(size >= 1 << 16 ? 4 : 0);
    char *data = buffer(size);
    struct spin_history history = {0};
    pid_t pid = child();
    int64_t began = 0;
    for (uint64_t i = 0; i < n + 100; i++) {
        if (i == 100)
            began = clock_now();
        if (pid == 0)
            put(q, size, data);
        else
            take(q, data, &history);
    }
    double ns = since(began, n);
    end(pid);
    queue_drop(q);
    free(data);
    return ns;
}

static double trip(uint64_t size, uint64_t n)
{
    struct queue *there = queue_new(0), *back = queue_new(0);
    char *data = buffer(size);
    struct spin_history history = {0};
    pid_t pid = child();
    int64_t began = 0;
    for (uint64_t i = 0; i < n + 100; i++) {
        if (i == 100)
            began = clock_now();
        if (pid != 0) {
            put(there, size, data);
            take(back, data, &history);
        } else {
            take(there, data, &history);
            put(back, size, data);
        }
    }
    double ns = since(began, n);
    end(pid);
    queue_drop(there);
    queue_drop(back);
    free(data);
    return ns;
}

int main(void)
{
    must(family_create(&family) == 0 && member_join(family, &families.reaped) == 0, "a family");
    families_add(family);
    must(fork_install() == 0, "pthread_atfork");
    must(sched_getaffinity(0, sizeof all, &all) == 0, "sched_getaffinity");
    setvbuf(stdout, NULL, _IOLBF, 0);
    double raw = best(line, 0, 2000);
    printf("a cache line, there and back:        %8.0f ns\n", raw);
    const uint64_t sizes[] = {0, 40, 1000, 1 << 16, 1 << 20, 64 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t size = sizes[i], n = size < 1 << 16 ? 20000 : (UINT64_C(256) << 20) / size;
        n = n > 1000 && size > 1000 ? 1000 : n;
        double memory = best(copy, size, n), both = best(alone, size, n);
        double through = best(stream, size, n), round = best(trip, size, n < 2000 ? n : 2000);
        printf("%9llu bytes: memcpy %9.0f, put+take %9.0f, stream %9.0f, round trip %9.0f ns = %.1f lines", //
               (unsigned long long)size, memory, both, through, round, round / raw);
        if (size >= 1 << 16)
            printf(", %.2f and %.2f copies of each", both / memory / 2, through / memory / 2);
        printf("\n");
    }
    return 0;
}
