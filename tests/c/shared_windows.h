/* SPDX-License-Identifier: MIT */
/* Lets all views of a queue in this process share their mappings: ThreadSanitizer takes two mappings of one file for
 * different memory. Include it before any header of the core. */
#ifndef MPFAST_TEST_SHARED_WINDOWS_H
#define MPFAST_TEST_SHARED_WINDOWS_H

#include "check.h"

#include <sys/mman.h>

static struct {
    off_t offset;
    size_t size;
    void *at;
} windows[4096];
static size_t windows_used;
static pthread_mutex_t windows_mutex = PTHREAD_MUTEX_INITIALIZER;

static inline void *windows_find(size_t size, int fd, off_t offset)
{
    size_t i = 0;
    while (i < windows_used && (windows[i].offset != offset || windows[i].size != size))
        i++;
    if (i < windows_used)
        return windows[i].at;
    EXPECT(i < sizeof windows / sizeof *windows);
    windows[i].at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, offset);
    EXPECT(windows[i].at != MAP_FAILED);
    windows[i].offset = offset;
    windows[i].size = size;
    windows_used++;
    return windows[i].at;
}

/* Only windows lie behind the begin of a file here. They stay mapped, as the next queue has the same ones. */
static inline void *windows_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd < 0 || offset == 0)
        return mmap(at, size, protection, flags, fd, offset);
    pthread_mutex_lock(&windows_mutex);
    void *found = windows_find(size, fd, offset);
    pthread_mutex_unlock(&windows_mutex);
    return found;
}

static inline int windows_munmap(void *at, size_t size)
{
    bool kept = false;
    pthread_mutex_lock(&windows_mutex);
    for (size_t i = 0; i < windows_used; i++)
        kept |= windows[i].at == at;
    pthread_mutex_unlock(&windows_mutex);
    return kept ? 0 : munmap(at, size);
}

#define mmap(at, size, protection, flags, fd, offset) windows_mmap(at, size, protection, flags, fd, offset)
#define munmap(at, size) windows_munmap(at, size)

#endif
