/* SPDX-License-Identifier: MIT */
/* A process's view of a store: what it has mapped of the window, piece by piece as it comes into use.
 *
 * The user's core is mapped at once, as address space costs nothing. Each class of blocks grows by extents. Each extent
 * is as long as all before it together. So a view takes at most twice the address space in use, and a lookup is two
 * loads. */
#ifndef MPFAST_STORE_MAP_H
#define MPFAST_STORE_MAP_H

#include "core/store/layout.h"

#define STORE_EXTENTS 24
#define STORE_REGIONS (2 * STORE_CLASSES) /* the blocks of each class, and the headers of each large class */
#define EXTENT_MIN ((uint64_t)1 << 20)

struct store_region {
    _Atomic(char *) extents[STORE_EXTENTS];
};

struct store_map {
    struct family *family; /* its descriptor is mapped */
    uint32_t slot;
    char *core; /* what belongs to the user of the store */
    uint64_t core_size;
    _Atomic(struct store_region *) regions[STORE_REGIONS];
};

/* Where this process looks for free blocks next in a class. Its threads share this, as it is only advice. */
struct store_cursor {
    shared64 lease;  /* blocks that it looks at and that others leave alone, mostly: next:32 | end:32 */
    shared32 spare;  /* the block that it gave back last, + 1. 0: none */
    shared32 spared; /* how often that one was used */
    shared32 window; /* blocks of its own run at home that it uses */
    shared32 home;   /* the other run at home that comes next */
    shared32 missed; /* blocks of the last lease that were in use, */
    shared32 met;    /* and of all leases since the last that was told to the sweep */
};

#define STORE_TOUCHED 32 /* large blocks of a class of which a view remembers what it has mapped */
#define TOUCHED_MASK ((UINT64_C(1) << 48) - 1)

struct store {
    struct family *family;
    struct store_header *header;
    struct store_map *map;
    const shared64 *progress; /* a word of the user's that moves while blocks are taken and given back */
    uint32_t slot;
    shared32 toucher;       /* the identity that `touched` is about: a forked child has mapped nothing yet */
    shared32 hasty;         /* so many times fresh memory is not waited for: see memory_await */
    shared64 progress_seen; /* what `progress` was when a large block was wanted last */
    struct store_cursor cursors[STORE_CLASSES];
    shared32 relieving[STORE_CLASSES]; /* where large_give_back goes on: advice */
    shared32 renewals;                 /* of leases, in all classes */
    shared32 trimming;    /* the class whose memory above its field's limit is being given back, + 1. 0: none */
    shared32 trimming_at; /* and the block that comes next there */
    _Atomic(shared64 *) touched[STORE_CLASSES]; /* per large block: punched:16 (from bit 48) | bytes mapped:48 */
    uint64_t *pins;                             /* names of blocks that views keep. Guarded by family->mutex */
    size_t pinned, pins_size;
    struct store *next; /* in family->stores */
};

static inline void *window_map(const struct family *f, uint32_t slot, uint64_t offset, uint64_t size)
{
    return family_range(f, window_offset(slot) + offset, size);
}

static inline uint64_t region_unit(uint32_t region)
{
    uint64_t unit = region < STORE_CLASSES ? class_size(region) : sizeof(struct large_block);
    return unit < EXTENT_MIN ? EXTENT_MIN : unit;
}

static inline uint64_t region_at(uint32_t region)
{
    return region < STORE_CLASSES ? class_data_at(region) : class_headers_at(region - STORE_CLASSES);
}

/* Which extent has this offset, where it begins in the region, and how long it is. */
static inline uint32_t extent_of(uint64_t unit, uint64_t offset, uint64_t *start, uint64_t *size)
{
    uint64_t n = offset / unit;
    uint32_t k = n == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(n);
    *start = k == 0 ? 0 : unit << (k - 1);
    *size = k == 0 ? unit : *start;
    return k;
}

static inline struct store_region *region_make(struct store_map *m, uint32_t region)
{
    struct store_region *fresh = calloc(1, sizeof *fresh), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(&m->regions[region], &found, fresh)) /* pairs with the load in region_address */
        return fresh;
    free(fresh);
    return load_acquire(&m->regions[region]); /* pairs with the CAS of a faster thread, in region_make */
}

static inline char *extent_make(struct store_map *m, uint32_t region, _Atomic(char *) *extent, uint64_t start,
                                uint64_t size)
{
    char *fresh = window_map(m->family, m->slot, region_at(region) + start, size), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(extent, &found, fresh)) /* pairs with the load in region_address */
        return fresh;
    munmap(fresh, size);
    return load_acquire(extent); /* pairs with the CAS of a faster thread, in extent_make */
}

/* NULL: no memory, or no descriptor. */
static inline char *region_address(struct store_map *m, uint32_t region, uint64_t offset)
{
    uint64_t start, size, unit = region_unit(region);
    uint32_t k = extent_of(unit, offset, &start, &size);
    struct store_region *r = load_acquire(&m->regions[region]); /* pairs with region_make */
    if (unlikely(r == NULL) && (r = region_make(m, region)) == NULL)
        return NULL;
    char *p = load_acquire(&r->extents[k]); /* pairs with extent_make */
    if (unlikely(p == NULL) && (p = extent_make(m, region, &r->extents[k], start, size)) == NULL)
        return NULL;
    return p + (offset - start);
}

/* The header of a block whose name is valid. NULL: it cannot be mapped. */
static inline struct block *block_at(const struct store *s, uint32_t class, uint32_t index)
{
    if (class < STORE_LARGE)
        return (struct block *)region_address(s->map, class, (uint64_t)index << (class + 6));
    return (struct block *)region_address(s->map, STORE_CLASSES + class, (uint64_t)index * sizeof(struct large_block));
}

/* NULL: they cannot be mapped. They lie where the headers of the first class would be if it had any apart. Looking at
 * them makes a page of memory. */
static inline struct fields *fields_of(const struct store *s)
{
    return (struct fields *)region_address(s->map, STORE_CLASSES, 0);
}

static inline struct large_block *large_block(struct block *b) { return (struct large_block *)b; }

static inline char *block_data(const struct store *s, struct block *b, uint32_t class, uint32_t index)
{
    return class < STORE_LARGE ? (char *)(b + 1) : region_address(s->map, class, (uint64_t)index << (class + 6));
}

static inline void map_free(struct store_map *m)
{
    for (uint32_t region = 0; region < STORE_REGIONS; region++) {
        struct store_region *r = load_relaxed(&m->regions[region]);
        for (uint32_t k = 0; r != NULL && k < STORE_EXTENTS; k++) {
            char *p = load_relaxed(&r->extents[k]);
            if (p != NULL)
                munmap(p, k == 0 ? region_unit(region) : region_unit(region) << (k - 1));
        }
        free(r);
    }
    if (m->core != NULL)
        munmap(m->core, m->core_size);
    free(m);
}

static inline struct store_map *map_new(struct family *f, uint32_t slot, uint64_t core_size)
{
    struct store_map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->family = f;
    m->slot = slot;
    m->core_size = core_size;
    m->core = window_map(f, slot, 0, core_size);
    if (m->core != NULL)
        return m;
    map_free(m);
    return NULL;
}

/* Opens a view that no other thread knows of. core_size: the bytes in front of the store, which are its user's. After
 * an error too, the view is to be closed with store_close(). */
static inline int store_open(struct family *f, uint32_t slot, struct store_header *header, uint64_t core_size,
                             struct store *s)
{
    memset(s, 0, sizeof *s);
    s->family = f;
    s->slot = slot;
    s->header = header;
    if (!family_fd_valid(f))
        return -EBADF;
    s->map = map_new(f, slot, core_size);
    return s->map == NULL ? -ENOMEM : 0;
}

static inline void store_close(struct store *s)
{
    if (s->map != NULL)
        map_free(s->map);
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        free(s->touched[class]);
    free(s->pins);
    s->map = NULL;
}

static inline uint32_t store_me(const struct store *s) { return identity_index(family_me(s->family)); }

/* The shared memory says what cannot be. From now on no process relies on the rest of it either. */
static inline int store_damaged(const struct store *s)
{
    store_relaxed(&s->header->broken, 1);
    return -EBADMSG;
}

#endif
