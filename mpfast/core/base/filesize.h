/* SPDX-License-Identifier: MIT */
/* Memory files and the limit on the size of files (RLIMIT_FSIZE, `ulimit -f`).
 *
 * The kernel compares the limit with the size that a file gets, not with its memory, and signals SIGXFSZ. It never
 * looks at what is written through a mapping. The limit is the process's, so raising it here, even for a moment, would
 * be seen by other threads. A helper that has this process's memory, but limits of its own, does it instead. */
#ifndef MPFAST_FILESIZE_H
#define MPFAST_FILESIZE_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILESIZE_STACK ((size_t)64 << 10)

struct filesize {
    int fd;
    off_t size;
    int rc;
};

/* May a file get as long as this? Then nothing that makes it so long ends in a signal. */
static inline bool filesize_allowed(uint64_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

/* The helper's whole life. It raises its limit as far as it may. */
static inline int filesize_help(void *argument)
{
    struct filesize *f = argument;
    struct rlimit limit, none = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &none) < 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (filesize_allowed((uint64_t)f->size))
        f->rc = ftruncate(f->fd, f->size) < 0 ? -errno : 0;
    return 0;
}

/* As posix_spawn() makes its child: it shares the memory, this thread waits for it, and it gets no signals. */
static inline int filesize_by_helper(int fd, off_t size)
{
    struct filesize f = {fd, size, -EFBIG};
    char *stack = mmap(NULL, FILESIZE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(filesize_help, stack + FILESIZE_STACK, CLONE_VM | CLONE_VFORK, &f);
    int rc = pid < 0 ? -errno : 0;
    while (pid > 0 && waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, FILESIZE_STACK);
    return rc < 0 ? rc : f.rc;
}

/* Gives a file this size. -EFBIG if the hard limit is lower. */
static inline int filesize_set(int fd, off_t size)
{
    if (!filesize_allowed((uint64_t)size))
        return filesize_by_helper(fd, size);
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

#endif
