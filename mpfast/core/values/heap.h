/* SPDX-License-Identifier: MIT */
/* The heap: blocks of 128 bytes to 64 KiB, for arrays that are too large for a slot and too small for a window.
 *
 *   block word:  0 = never used, and all zeros | generation:32 | slot:21 (from bit 1) | 1
 *
 * A block belongs to a slot in one generation. It is in use as long as the slot has that generation. The slot's
 * generation advances when the slot is freed, by the last object or by a reaper. That one store frees the block as well.
 * So no process gives a block back, there is no list that could be half changed, and nothing is lost with a process that
 * is killed. The blocks of each class lie in a row behind the windows of the family's file:
 *
 *   words of all classes | tops | blocks of 128 bytes | of 256 | ... | of 64 KiB */
#ifndef MPFAST_HEAP_H
#define MPFAST_HEAP_H

#include "core/family/slots.h"
#include "core/store/map.h"

#define HEAP_CLASSES 10
#ifndef HEAP_BLOCKS
#define HEAP_BLOCKS (1u << 16) /* of each class */
#endif
#define HEAP_PROBES 8
#define HEAP_EXTENTS 14
#define HEAP_TRIM_FROM 5 /* the first class whose blocks are whole pages, which can be given back */
#ifndef HEAP_STALE
#define HEAP_STALE ((uint64_t)64 << 20) /* bytes of unused blocks that may stay */
#endif
#ifndef HEAP_LOOK_AFTER
#define HEAP_LOOK_AFTER ((uint64_t)16 << 20) /* bytes that a process takes and drops between two looks at that */
#endif

#define HEAP_WORDS_SIZE ROUND_UP((size_t)HEAP_CLASSES * HEAP_BLOCKS * 8 + CACHE_LINE, PAGE_MOST)
#define HEAP_NONE UINT32_MAX

/* A process's view of the heap. */
struct heap {
    struct family *family;
    shared64 *words;
    shared32 *tops;              /* of each class, blocks at or above it were never used */
    shared64 moved;              /* bytes of large blocks that were taken or dropped since the last look */
    shared32 next[HEAP_CLASSES]; /* where to look next. Threads share it, as it is advice */
    _Atomic(char *) extents[HEAP_CLASSES][HEAP_EXTENTS];
};

static inline uint64_t heap_size(uint32_t class) { return UINT64_C(128) << class; }
static inline uint64_t heap_at(uint32_t class) { return OFFSET_HEAP + (UINT64_C(1) + class) * HEAP_REGION; }

/* The class for a block of `size` bytes. HEAP_CLASSES or more: there is none. */
static inline uint32_t heap_class(uint64_t size) { return size <= 128 ? 0 : 57 - (uint32_t)__builtin_clzll(size - 1); }

static inline uint64_t heap_owner(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)slot << 1 | 1;
}

static inline shared64 *heap_word(const struct heap *h, uint32_t class, uint32_t index)
{
    return h->words + (size_t)class * HEAP_BLOCKS + index;
}

_Static_assert((uint64_t)HEAP_BLOCKS *(UINT64_C(128) << (HEAP_CLASSES - 1)) <= HEAP_REGION, "a region holds a class");
_Static_assert(HEAP_WORDS_SIZE <= HEAP_REGION, "a region holds the words");
_Static_assert((EXTENT_MIN << (HEAP_EXTENTS - 1)) >= HEAP_REGION, "the extents hold a region");
_Static_assert((HEAP_CLASSES + 1) * HEAP_REGION <= HEAP_SIZE, "the heap holds all regions");
_Static_assert(FAMILY_SLOTS <= 1u << 21, "a word names a slot");

static inline void heap_close(struct heap *h)
{
    for (uint32_t class = 0; class < HEAP_CLASSES; class ++)
        for (uint32_t k = 0; k < HEAP_EXTENTS; k++) {
            char *p = load_relaxed(&h->extents[class][k]);
            if (p != NULL)
                munmap(p, k == 0 ? EXTENT_MIN : EXTENT_MIN << (k - 1));
        }
    if (h->words != NULL)
        munmap(h->words, HEAP_WORDS_SIZE);
    free(h);
}

/* Opens this process's view of the family's heap. NULL: it cannot be mapped. */
static inline struct heap *heap_open(struct family *f)
{
    struct heap *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->family = f;
    h->words = family_range(f, OFFSET_HEAP, HEAP_WORDS_SIZE);
    h->tops = (shared32 *)(h->words + (size_t)HEAP_CLASSES * HEAP_BLOCKS);
    if (h->words != NULL)
        return h;
    free(h);
    return NULL;
}

/* The view that this process keeps for as long as it lives. NULL: it cannot be mapped. */
static inline struct heap *heap_of(struct family *f)
{
    struct heap *h = load_acquire(&f->heap), *found = NULL; /* pairs with the CAS below, in heap_of */
    if (likely(h != NULL) || (h = heap_open(f)) == NULL)
        return h;
    if (cas_acqrel(&f->heap, &found, h)) /* pairs with the loads, in heap_of */
        return h;
    heap_close(h);
    return load_acquire(&f->heap); /* pairs with the CAS of a faster thread, in heap_of */
}

static inline char *heap_extent(struct heap *h, uint32_t class, uint32_t k, uint64_t start, uint64_t size)
{
    char *fresh = family_range(h->family, heap_at(class) + start, size), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(&h->extents[class][k], &found, fresh)) /* pairs with the load in heap_data */
        return fresh;
    munmap(fresh, size);
    return load_acquire(&h->extents[class][k]); /* pairs with the CAS of a faster thread, in heap_extent */
}

/* NULL: it cannot be mapped. */
static inline char *heap_data(struct heap *h, uint32_t class, uint32_t index)
{
    uint64_t start, size, offset = index * heap_size(class);
    uint32_t k = extent_of(EXTENT_MIN, offset, &start, &size);
    char *p = load_acquire(&h->extents[class][k]); /* pairs with heap_extent */
    if (unlikely(p == NULL) && (p = heap_extent(h, class, k, start, size)) == NULL)
        return NULL;
    return p + (offset - start);
}

static inline bool heap_in_use(const struct heap *h, uint64_t word)
{
    uint32_t slot = (uint32_t)word >> 1;
    if (word == 0 || slot >= FAMILY_SLOTS)
        return false;
    uint64_t state = load_acquire(&h->family->states[slot]); /* pairs with slot_free_unreferenced */
    return slot_generation(state) == word >> 32;
}

/* Does the block belong to the slot that the owner means? Not if a pickle or the memory is damaged. */
static inline bool heap_owned(const struct heap *h, uint32_t class, uint32_t index, uint64_t owner)
{
    return class < HEAP_CLASSES && index < HEAP_BLOCKS &&
           load_acquire(heap_word(h, class, index)) == owner; /* pairs with heap_take */
}

/* Makes an unused block the owner's. */
static inline bool heap_take(const struct heap *h, uint32_t class, uint32_t index, uint64_t owner, uint64_t *before)
{
    shared64 *word = heap_word(h, class, index);
    *before = load_relaxed(word);
    if (heap_in_use(h, *before) || !cas_acqrel(word, before, owner)) /* pairs with heap_take of another, heap_give */
        return false;
    STEP();
    return true;
}

/* As heap_take, and the block's first `size` bytes are zeros. -EAGAIN: it is another's. -ENOMEM: it cannot be mapped. */
static inline int heap_try(struct heap *h, uint32_t class, uint32_t index, uint64_t owner, uint64_t size)
{
    uint64_t before;
    if (!heap_take(h, class, index, owner, &before))
        return -EAGAIN;
    char *data = heap_data(h, class, index);
    if (data == NULL)
        return -ENOMEM; /* the block is free again with the slot */
    if (before != 0)
        memset(data, 0, size);
    return 0;
}

/* A block that was never used. Its index, -ENOSPC or -ENOMEM. */
static inline int64_t heap_fresh(struct heap *h, uint32_t class, uint64_t owner, uint64_t size)
{
    uint32_t top = load_relaxed(&h->tops[class]);
    while (top < HEAP_BLOCKS) {
        if (!cas_relaxed(&h->tops[class], &top, top + 1))
            continue;
        STEP();
        int rc = heap_try(h, class, top, owner, size);
        if (rc != -EAGAIN)
            return rc < 0 ? rc : (int64_t)top;
        top++;
    }
    return -ENOSPC;
}

/* A block for the slot that this process has just claimed. Its first `size` bytes are zeros. Its index, -ENOSPC or
 * -ENOMEM. */
static inline int64_t heap_find(struct heap *h, uint32_t class, uint64_t owner, uint64_t size)
{
    uint32_t top = load_relaxed(&h->tops[class]);
    for (uint32_t n = 0; n < HEAP_PROBES && n < top; n++) {
        uint32_t index = add_relaxed(&h->next[class], 1u) % (top < HEAP_BLOCKS ? top : HEAP_BLOCKS);
        int rc = heap_try(h, class, index, owner, size);
        if (rc != -EAGAIN)
            return rc < 0 ? rc : (int64_t)index;
    }
    int64_t found = heap_fresh(h, class, owner, size);
    for (uint32_t index = 0; found == -ENOSPC && index < HEAP_BLOCKS; index++) {
        int rc = heap_try(h, class, index, owner, size);
        if (rc != -EAGAIN)
            return rc < 0 ? rc : (int64_t)index;
    }
    return found;
}

/* Memory back to the system ------------------------------------------------------------------------------------------ */

/* Is it time for heap_trim()? */
static inline bool heap_moved(struct heap *h, uint32_t class)
{
    if (class < HEAP_TRIM_FROM || add_relaxed(&h->moved, heap_size(class)) < HEAP_LOOK_AFTER)
        return false;
    store_relaxed(&h->moved, 0);
    return true;
}

static inline uint64_t heap_stale(const struct heap *h, uint32_t class)
{
    uint64_t blocks = 0;
    for (uint32_t index = 0, top = load_relaxed(&h->tops[class]); index < top && index < HEAP_BLOCKS; index++) {
        uint64_t word = load_relaxed(heap_word(h, class, index));
        blocks += word != 0 && !heap_in_use(h, word);
    }
    return blocks * heap_size(class);
}

/* The memory of one unused block. A process that is killed here leaves a word that names its slot, as a claim does. */
static inline int heap_give(struct heap *h, uint32_t class, uint32_t index, uint64_t owner)
{
    shared64 *word = heap_word(h, class, index);
    uint64_t before, size = heap_size(class);
    if (load_relaxed(word) == 0 || !heap_take(h, class, index, owner, &before))
        return -EAGAIN;
    int rc = before == 0 ? 0 : range_punch(h->family, heap_at(class) + index * size, size);
    STEP();
    store_release(word, rc == 0 ? 0 : before); /* pairs with heap_take */
    return rc;
}

/* Gives memory of unused blocks back, if there is too much of it. `owner` is a slot that this process has. */
static inline void heap_trim(struct heap *h, uint64_t owner)
{
    uint64_t stale = 0;
    for (uint32_t class = HEAP_TRIM_FROM; class < HEAP_CLASSES; class ++)
        stale += heap_stale(h, class);
    for (uint32_t class = HEAP_CLASSES; class --> HEAP_TRIM_FROM && stale > HEAP_STALE;)
        for (uint32_t index = load_relaxed(&h->tops[class]); index-- > 0 && stale > HEAP_STALE;) {
            if (index >= HEAP_BLOCKS)
                continue;
            int rc = heap_give(h, class, index, owner);
            if (rc < 0 && rc != -EAGAIN)
                return; /* the system takes no memory back, or the descriptor is lost */
            stale -= rc == 0 ? heap_size(class) : 0;
        }
}

#endif
