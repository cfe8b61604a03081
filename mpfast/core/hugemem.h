/* SPDX-License-Identifier: MIT */
/* Private memory for large buffers, in huge pages where the kernel gives them.
 *
 * Filling fresh memory is mostly page faults: with 2-MiB pages there are 512 times fewer of them. */
#ifndef MPFAST_HUGEMEM_H
#define MPFAST_HUGEMEM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* NULL and errno: no memory. What surrounds the aligned part is given back; its end is not rounded up, so that a
 * buffer that is a little larger than a huge page does not cost two. */
static inline void *hugemem_map(size_t size)
{
    if (size > SIZE_MAX - HUGE_PAGE - 4096) {
        errno = ENOMEM;
        return NULL;
    }
    size_t length = (size + 4095) & ~(size_t)4095;
    char *start = mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    char *aligned = (char *)(((uintptr_t)start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    if (aligned > start)
        munmap(start, (size_t)(aligned - start));
    if (aligned < start + HUGE_PAGE)
        munmap(aligned + length, (size_t)(start + HUGE_PAGE - aligned));
    madvise(aligned, length, MADV_HUGEPAGE); /* advice: without huge pages it is slower, not wrong */
    return aligned;
}

static inline void hugemem_unmap(void *start, size_t size) { munmap(start, (size + 4095) & ~(size_t)4095); }

#endif
