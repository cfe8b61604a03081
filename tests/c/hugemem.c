/* SPDX-License-Identifier: MIT */
/* hugemem.h: memory of all sizes stays what it was, and large memory is in huge pages where the kernel has any. */
#include "check.h"

#include <unistd.h>

static long pages_of = 4096;
#define sysconf(name) ((name) == _SC_PAGESIZE ? pages_of : (sysconf)(name))
#include "core/base/hugemem.h"

static bool advised(const void *address)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long from, to;
    bool here = false, found = false;
    EXPECT(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (unsigned long)address && (unsigned long)address < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " hg") != NULL;
    }
    fclose(maps);
    return found;
}

static void sizes(void)
{
    static const size_t all[] = {0, 1, 4096, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE + 4097};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *start = malloc(all[i] + 1);
        EXPECT(start != NULL);
        start[0] = 'x';
        hugemem_advise(start, all[i]);
        EXPECT_EQ(start[0], 'x');
        memset(start, 1, all[i]);
        free(start);
    }
}

static void large(void)
{
    size_t size = 40 * HUGE_PAGE; /* malloc maps this much by itself */
    char *start = malloc(size);
    EXPECT(start != NULL);
    hugemem_advise(start, size);
    bool huge = access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0;
    EXPECT_EQ(advised(start + size / 2), huge);
    free(start);
}

static void mapped(void)
{
    static const size_t all[] = {1, 4095, 4096, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE + 4097};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *start = hugemem_map(all[i]);
        EXPECT(start != NULL);
        EXPECT(all[i] < HUGE_PAGE || (uintptr_t)start % HUGE_PAGE == 0);
        memset(start, 1, all[i]);
        hugemem_unmap(start, all[i]);
        EXPECT_EQ(msync((void *)((uintptr_t)start & ~(uintptr_t)4095), 1, MS_ASYNC),
                  -1); /* nothing is mapped there any more */
    }
    EXPECT(hugemem_map(SIZE_MAX) == NULL);
    EXPECT(hugemem_map((size_t)1 << 60) == NULL);
}

/* What is mapped and unmapped ends with a page where pages are larger, too. */
static void larger_pages(void)
{
    for (pages_of = 4096; pages_of <= 65536; pages_of *= 4)
        for (size_t size = 1; size < 8 * HUGE_PAGE; size = size * 3 + 1) {
            EXPECT(hugemem_length(size) >= size && hugemem_length(size) < size + (size_t)pages_of);
            EXPECT_EQ(hugemem_length(size) % (size_t)pages_of, 0);
        }
    pages_of = (sysconf)(_SC_PAGESIZE);
}

int main(void)
{
    begin(60);
    RUN(sizes);
    RUN(large);
    RUN(mapped);
    RUN(larger_pages);
    return GOOD;
}
