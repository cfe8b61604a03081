/* SPDX-License-Identifier: MIT */
/* heap.h: blocks are zeroed, belong to one slot, come back with it, and what is too much of them goes to the system. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 1024
#define FAMILY_LARGE_SLOTS 64
#define HEAP_BLOCKS 256u
#define HEAP_STALE ((uint64_t)1 << 20)
#define HEAP_LOOK_AFTER ((uint64_t)1 << 20)
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static void point(void);
#define POINT() point()
#define READ_POINT() point()
#endif
#include "shared_windows.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>

static bool no_holes, racing;
#define fallocate(fd, mode, at, size) (no_holes ? (errno = EOPNOTSUPP, -1) : (fallocate)(fd, mode, at, size))

#include "users.h"

#include "core/values/heap.h"

#ifdef POINT
static void point(void)
{
    if (racing)
        jitter();
}
#endif

struct array {
    uint32_t slot, class, index;
    uint64_t size, owner;
    char *data;
};

static struct family *family;
static const char nothing[65536];

static struct array array_new(struct family *f, uint64_t size)
{
    int64_t slot = handle_claim(f, SLOT_SMALL, SLOT_VALUE);
    EXPECT(slot >= 0);
    struct array a = {.slot = (uint32_t)slot, .class = heap_class(size), .size = size};
    struct heap *h = heap_of(f);
    EXPECT(h != NULL && a.class < HEAP_CLASSES);
    a.owner = heap_owner(a.slot, generation_of(f, a.slot));
    int64_t index = heap_find(h, a.class, a.owner, size);
    EXPECT(index >= 0);
    a.index = (uint32_t)index;
    a.data = heap_data(h, a.class, a.index);
    EXPECT(heap_owned(h, a.class, a.index, a.owner));
    EXPECT_EQ(memcmp(a.data, nothing, size), 0);
    return a;
}

static void array_end(struct family *f, struct array *a)
{
    handle_remove(f, a->slot);
    EXPECT(!heap_in_use(heap_of(f), a->owner));
}

static void classes(void)
{
    const struct {
        uint64_t size;
        uint32_t class;
    } expected[] = {{1, 0}, {128, 0}, {129, 1}, {256, 1}, {257, 2}, {4096, 5}, {4097, 6}, {65536, 9}};
    for (int i = 0; i < 8; i++) {
        EXPECT_EQ(heap_class(expected[i].size), expected[i].class);
        EXPECT(heap_size(expected[i].class) >= expected[i].size);
    }
    EXPECT(heap_class(65537) >= HEAP_CLASSES);
    EXPECT(heap_class(UINT64_C(1) << 40) >= HEAP_CLASSES);
}

static void zeros(void)
{
    for (int round = 0; round < 300; round++) {
        uint64_t size = 65 + chance(65472);
        struct array a = array_new(family, size);
        memset(a.data, 0x55, size);
        array_end(family, &a);
    }
}

static void disjoint(void)
{
    static struct array all[500];
    for (int i = 0; i < 500; i++) {
        all[i] = array_new(family, 65 + chance(i % 10 == 0 ? 60000 : 900));
        memset(all[i].data, i, all[i].size);
    }
    for (int i = 0; i < 500; i++)
        for (uint64_t k = 0; k < all[i].size; k += k % 64 == 0 ? 1 : 63) /* both ends of each line */
            EXPECT_EQ(all[i].data[k], (char)i);
    for (int i = 0; i < 500; i++)
        array_end(family, &all[i]);
}

/* The last blocks are found behind all others, and after them none. */
static void full(void)
{
    static struct array all[HEAP_BLOCKS];
    for (uint32_t i = 0; i < HEAP_BLOCKS; i++)
        all[i] = array_new(family, 200);
    int64_t slot = handle_claim(family, SLOT_SMALL, SLOT_VALUE);
    EXPECT_EQ(heap_find(heap_of(family), 1, heap_owner((uint32_t)slot, generation_of(family, (uint32_t)slot)), 200),
              -ENOSPC);
    handle_remove(family, (uint32_t)slot);
    for (int round = 0; round < 5; round++) {
        uint32_t i = chance(HEAP_BLOCKS), index = all[i].index;
        array_end(family, &all[i]);
        all[i] = array_new(family, 200);
        EXPECT_EQ(all[i].index, index);
    }
    for (uint32_t i = 0; i < HEAP_BLOCKS; i++)
        array_end(family, &all[i]);
}

static uint64_t existing(void)
{
    struct stat st;
    EXPECT_EQ(fstat(family->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void fill_and_drop(uint64_t size, int n)
{
    static struct array all[HEAP_BLOCKS];
    for (int i = 0; i < n; i++) {
        all[i] = array_new(family, size);
        memset(all[i].data, 1, size);
    }
    for (int i = 0; i < n; i++)
        array_end(family, &all[i]);
}

/* Of memory that nobody uses no more stays than is allowed, and what was given back is found as zeros. */
static void given_back(void)
{
    struct heap *h = heap_of(family);
    fill_and_drop(65536, 200);
    fill_and_drop(8192, 200);
    uint64_t before = existing();
    EXPECT(before >= 200 * 65536);
    struct array a = array_new(family, 300);
    memset(a.data, 9, 300);
    uint32_t looks = 0;
    for (int i = 0; i < 64; i++)
        looks += heap_moved(h, 9) + heap_moved(h, 4); /* 4 MiB: small blocks do not count */
    EXPECT_EQ(looks, 3);
    heap_trim(h, a.owner);
    EXPECT(existing() + 200 * 65536 < before + 2 * HEAP_STALE);
    uint64_t stale = 0;
    for (uint32_t class = HEAP_TRIM_FROM; class < HEAP_CLASSES; class++)
        stale += heap_stale(h, class);
    EXPECT(stale <= HEAP_STALE);
    for (int i = 0; i < 300; i++)
        EXPECT_EQ(a.data[i], 9);
    array_end(family, &a);
    for (int i = 0; i < 200; i++) {
        struct array again = array_new(family, 65536);
        array_end(family, &again);
    }
}

/* Blocks that are in use are left alone. */
static void trim_beside_others(void)
{
    static struct array all[60];
    for (int i = 0; i < 60; i++) {
        all[i] = array_new(family, 65536);
        memset(all[i].data, 7, 65536);
    }
    for (int i = 0; i < 60; i += 2)
        array_end(family, &all[i]);
    heap_trim(heap_of(family), all[1].owner);
    for (int i = 1; i < 60; i += 2) {
        EXPECT(heap_owned(heap_of(family), all[i].class, all[i].index, all[i].owner));
        for (int k = 0; k < 65536; k += 61)
            EXPECT_EQ(all[i].data[k], 7);
        array_end(family, &all[i]);
    }
}

/* A system that takes nothing back: what was in a block must not be taken for zeros. */
static void not_given_back(void)
{
    fill_and_drop(65536, 60);
    struct array a = array_new(family, 100);
    no_holes = true;
    heap_trim(heap_of(family), a.owner);
    no_holes = false;
    array_end(family, &a);
    for (uint32_t i = 0; i < 2 * HEAP_BLOCKS; i++) { /* the cursor comes by each block */
        a = array_new(family, 65536);
        array_end(family, &a);
    }
}

static void damage(void)
{
    struct heap *h = heap_of(family);
    struct array a = array_new(family, 100);
    EXPECT(!heap_owned(h, a.class, a.index + 1, a.owner));
    EXPECT(!heap_owned(h, HEAP_CLASSES, a.index, a.owner));
    EXPECT(!heap_owned(h, a.class, HEAP_BLOCKS, a.owner));
    EXPECT(!heap_owned(h, UINT32_MAX, 0, a.owner));
    EXPECT(!heap_owned(h, 0, UINT32_MAX, a.owner));
    EXPECT(!heap_owned(h, a.class, a.index, heap_owner(a.slot, generation_of(family, a.slot) + 1)));
    store_relaxed(heap_word(h, 3, 0), UINT64_MAX); /* no slot has that number */
    EXPECT(!heap_in_use(h, UINT64_MAX));
    store_relaxed(&h->tops[3], UINT32_MAX);
    store_relaxed(&h->tops[7], UINT32_MAX);
    struct array b = array_new(family, 1000), c = array_new(family, 16000);
    EXPECT(b.index < HEAP_BLOCKS && c.index < HEAP_BLOCKS);
    heap_trim(h, a.owner);
    array_end(family, &a);
    array_end(family, &b);
    array_end(family, &c);
    store_relaxed(&h->tops[3], HEAP_BLOCKS);
    store_relaxed(&h->tops[7], HEAP_BLOCKS);
}

/* Members make, fill, look and drop, and one trims. */
static void work(struct user *u)
{
    struct array mine[8] = {0};
    for (int i = 0; i < times(400); i++) {
        struct array *a = &mine[chance(8)];
        if (a->size != 0) {
            for (uint64_t k = 0; k < a->size; k += 61)
                EXPECT_EQ(a->data[k], (char)(u->number + 1));
            array_end(u->f, a);
            a->size = 0;
        } else {
            *a = array_new(u->f, chance(4) ? 65 + chance(400) : 4096);
            memset(a->data, u->number + 1, a->size);
        }
        if (u->number == 0 && i % 50 == 0 && a->size != 0)
            heap_trim(heap_of(u->f), a->owner);
    }
    for (int i = 0; i < 8; i++)
        if (mine[i].size != 0)
            array_end(u->f, &mine[i]);
}

static void crowded(void)
{
    racing = true;
    crowd(family, 4, false, work);
    racing = false;
}

int main(void)
{
    begin(60);
    family = family_new();
    EXPECT(heap_of(family) != NULL && heap_of(family) == heap_of(family));
    RUN(classes);
    RUN(zeros);
    RUN(disjoint);
    RUN(full);
    RUN(given_back);
    RUN(trim_beside_others);
    RUN(not_given_back);
    RUN(damage);
    RUN(crowded);
    heap_close(heap_of(family));
    family_end(family);
    return GOOD;
}
