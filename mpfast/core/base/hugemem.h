/* SPDX-License-Identifier: MIT */
/* Private memory for large buffers, in huge pages if the kernel gives them. Filling new memory is mostly page faults,
 * and with 2-MiB pages there are 512 times fewer. */
#ifndef MPFAST_HUGEMEM_H
#define MPFAST_HUGEMEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Call it between the allocation and the first write. It is advice. Without huge pages it is slower, not wrong. */
static inline void hugemem_advise(void *start, size_t size)
{
    if (size < HUGE_PAGE)
        return;
    uintptr_t first = ((uintptr_t)start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)start + size) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (end > first)
        madvise((void *)first, end - first, MADV_HUGEPAGE); /* advice: its result does not matter */
}

/* Of this system: 4 KiB, or 16 or 64 on some. munmap() refuses what does not begin and end with pages. */
static inline size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static inline size_t hugemem_length(size_t size)
{
    size_t page = page_size();
    return (size + page - 1) & ~(page - 1);
}

/* NULL if there is no memory. Aligned so that huge pages fit. The end is not rounded up to them, so that a buffer a
 * little larger than one page does not cost two. */
static inline void *hugemem_map(size_t size)
{
    size_t length = hugemem_length(size), around = size < HUGE_PAGE ? 0 : HUGE_PAGE;
    if (size > SIZE_MAX / 2)
        return NULL;
    char *start = mmap(NULL, length + around, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    if (around == 0)
        return start;
    char *aligned = (char *)(((uintptr_t)start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    if (aligned >
        start) /* whole pages of ours: only where no more mappings may be made is it refused, and costs space */
        munmap(start, (size_t)(aligned - start));
    if (aligned < start + HUGE_PAGE)
        munmap(aligned + length, (size_t)(start + HUGE_PAGE - aligned));
    hugemem_advise(aligned, size);
    return aligned;
}

static inline void hugemem_unmap(void *start, size_t size) { munmap(start, hugemem_length(size)); }

#endif
