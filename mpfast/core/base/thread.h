/* SPDX-License-Identifier: MIT */
/* The calling thread's kernel id and its CPU, without a system call in the common case. */
#ifndef MPFAST_THREAD_H
#define MPFAST_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The identity (participant.h) under which the id was looked up. 0 = not yet. */
struct thread_cache {
    uint32_t me;
    uint32_t tid;
};

static _Thread_local struct thread_cache thread_cache __attribute__((tls_model("initial-exec")));

static void thread_forget(void) { thread_cache.me = 0; }

/* A child may get in one family the identity that its parent had in another. Each library has a cache of its own. */
__attribute__((constructor)) static void thread_install(void) { pthread_atfork(NULL, NULL, thread_forget); }

static inline uint32_t thread_id(uint32_t me)
{
    if (__builtin_expect(thread_cache.me != me, 0)) {
        thread_cache.tid = (uint32_t)syscall(SYS_gettid);
        thread_cache.me = me;
    }
    return thread_cache.tid;
}

#define CPU_UNKNOWN 0xffffu

/* The CPU that runs this thread now, from restartable sequences (a plain load) where libc has them. */
static inline uint32_t thread_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? CPU_UNKNOWN : (uint32_t)cpu & 0xffffu;
}

#endif
