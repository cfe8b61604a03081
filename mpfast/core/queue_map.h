/* SPDX-License-Identifier: MIT */
/* A process's view of a queue: what it has mapped of the window, piece by piece as it comes into use.
 *
 * The core is mapped at once, as address space costs nothing. Each class of blocks grows by extents, every one as long
 * as all before it together, so that no more than twice the address space in use is taken and a lookup is two loads. */
#ifndef MPFAST_QUEUE_MAP_H
#define MPFAST_QUEUE_MAP_H

#include "queue_layout.h"

#define QUEUE_EXTENTS 24
#define QUEUE_REGIONS (2 * QUEUE_CLASSES) /* the blocks of each class, and the headers of each large class */
#define EXTENT_MIN ((uint64_t)1 << 20)

struct queue_region {
    _Atomic(char *) extents[QUEUE_EXTENTS];
};

struct queue_map {
    struct family *family; /* whose descriptor is mapped */
    uint32_t slot;
    char *core;
    _Atomic(struct queue_region *) regions[QUEUE_REGIONS];
};

/* Where this process looks for free blocks next, per class. Threads share it: it is advice. */
struct queue_cursor {
    shared32 next;
    shared32 count;
};

#define QUEUE_TOUCHED 32 /* large blocks of a class of which a view remembers what it has mapped */

/* What this process rings a watcher by, kept for the next time (queue_ring.h). */
struct ringer {
    shared32 busy;
    int fd; /* -1: none. Only for who has set `busy`, as is the inode */
    uint64_t inode;
};

struct queue {
    struct family *family;
    struct queue_header *header;
    struct queue_map *map;
    shared64 *directory;
    shared64 *states;   /* of segments */
    shared64 *segments; /* cells */
    uint32_t slot;
    shared32 putter;    /* the mark (spin.h) that this process has left at `putters`, */
    shared32 taker;     /* and at `takers` */
    shared32 toucher;   /* the identity that `touched` is about: a forked child has mapped nothing yet */
    shared32 hasty;     /* so many times fresh memory is not waited for: see memory_await */
    shared64 head_seen; /* where the head was when a large block was wanted last */
    struct queue_cursor cursors[QUEUE_CLASSES];
    _Atomic(shared64 *) touched[QUEUE_CLASSES]; /* per large block: punched:16 (from bit 48) | bytes mapped:48 */
    uint64_t *pins;                             /* names of blocks that views keep; guarded by family->mutex */
    size_t pinned, pins_size;
    int bell[2];         /* the ends of the pipe; -1: not made. Guarded by family->mutex */
    uint32_t bell_owner; /* the identity that made it */
    uint32_t bell_armed; /* `armed` when the bell was made silent; 0: it may be readable */
    bool bell_space;     /* it is rung for room as well */
    uint32_t bell_lost;  /* so many of those who ring were killed or stopped meanwhile */
    struct ringer ringers[QUEUE_WATCHERS];
    struct queue *next; /* in family->queues */
};

static inline void *window_map(const struct family *f, uint32_t slot, uint64_t offset, uint64_t size)
{
    if (!family_fd_valid(f))
        return NULL;
    off_t start = (off_t)(window_offset(slot) + offset);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->fd, start);
    return p == MAP_FAILED ? NULL : p;
}

static inline uint64_t region_unit(uint32_t region)
{
    uint64_t unit = region < QUEUE_CLASSES ? class_size(region) : sizeof(struct large_block);
    return unit < EXTENT_MIN ? EXTENT_MIN : unit;
}

static inline uint64_t region_at(uint32_t region)
{
    return region < QUEUE_CLASSES ? class_data_at(region) : class_headers_at(region - QUEUE_CLASSES);
}

/* Which extent has this offset, and where in the region the extent begins and how long it is. */
static inline uint32_t extent_of(uint64_t unit, uint64_t offset, uint64_t *start, uint64_t *size)
{
    uint64_t n = offset / unit;
    uint32_t k = n == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(n);
    *start = k == 0 ? 0 : unit << (k - 1);
    *size = k == 0 ? unit : *start;
    return k;
}

static inline struct queue_region *region_make(struct queue_map *m, uint32_t region)
{
    struct queue_region *fresh = calloc(1, sizeof *fresh), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(&m->regions[region], &found, fresh)) /* pairs with the load in region_address */
        return fresh;
    free(fresh);
    return load_acquire(&m->regions[region]); /* pairs with the CAS of whoever was faster, in region_make */
}

static inline char *extent_make(struct queue_map *m, uint32_t region, _Atomic(char *) *extent, uint64_t start,
                                uint64_t size)
{
    char *fresh = window_map(m->family, m->slot, region_at(region) + start, size), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(extent, &found, fresh)) /* pairs with the load in region_address */
        return fresh;
    munmap(fresh, size);
    return load_acquire(extent); /* pairs with the CAS of whoever was faster, in extent_make */
}

/* NULL: no memory, or no descriptor. */
static inline char *region_address(struct queue_map *m, uint32_t region, uint64_t offset)
{
    uint64_t start, size, unit = region_unit(region);
    uint32_t k = extent_of(unit, offset, &start, &size);
    struct queue_region *r = load_acquire(&m->regions[region]); /* pairs with region_make */
    if (unlikely(r == NULL) && (r = region_make(m, region)) == NULL)
        return NULL;
    char *p = load_acquire(&r->extents[k]); /* pairs with extent_make */
    if (unlikely(p == NULL) && (p = extent_make(m, region, &r->extents[k], start, size)) == NULL)
        return NULL;
    return p + (offset - start);
}

/* The header of a block; NULL: it cannot be mapped. The name is valid. */
static inline struct block *block_at(const struct queue *q, uint32_t class, uint32_t index)
{
    if (class < QUEUE_LARGE)
        return (struct block *)region_address(q->map, class, (uint64_t)index << (class + 6));
    return (struct block *)region_address(q->map, QUEUE_CLASSES + class, (uint64_t)index * sizeof(struct large_block));
}

static inline struct large_block *large_block(struct block *b) { return (struct large_block *)b; }

static inline char *block_data(const struct queue *q, struct block *b, uint32_t class, uint32_t index)
{
    return class < QUEUE_LARGE ? (char *)(b + 1) : region_address(q->map, class, (uint64_t)index << (class + 6));
}

static inline shared64 *segment_cells(const struct queue *q, uint32_t segment)
{
    return q->segments + (size_t)segment * QUEUE_PAGE_TICKETS;
}

static inline void map_free(struct queue_map *m)
{
    for (uint32_t region = 0; region < QUEUE_REGIONS; region++) {
        struct queue_region *r = load_relaxed(&m->regions[region]);
        for (uint32_t k = 0; r != NULL && k < QUEUE_EXTENTS; k++) {
            char *p = load_relaxed(&r->extents[k]);
            if (p != NULL)
                munmap(p, k == 0 ? region_unit(region) : region_unit(region) << (k - 1));
        }
        free(r);
    }
    if (m->core != NULL)
        munmap(m->core, QUEUE_CORE);
    free(m);
}

static inline struct queue_map *map_new(struct family *f, uint32_t slot)
{
    struct queue_map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->family = f;
    m->slot = slot;
    m->core = window_map(f, slot, 0, QUEUE_CORE);
    if (m->core != NULL)
        return m;
    map_free(m);
    return NULL;
}

/* A view that nobody else knows of. */
static inline int view_open(struct family *f, uint32_t slot, struct queue *q)
{
    memset(q, 0, sizeof *q);
    q->bell[0] = q->bell[1] = -1;
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        q->ringers[i].fd = -1;
    q->family = f;
    q->slot = slot;
    q->header = slot_at(f, slot);
    if (!family_fd_valid(f))
        return -EBADF;
    if ((q->map = map_new(f, slot)) == NULL)
        return -ENOMEM;
    q->directory = (shared64 *)q->map->core;
    q->states = (shared64 *)(q->map->core + QUEUE_STATES);
    q->segments = (shared64 *)(q->map->core + QUEUE_SEGMENTS_AT);
    return 0;
}

static inline void view_close(struct queue *q)
{
    if (q->map != NULL)
        map_free(q->map);
    for (uint32_t class = 0; class < QUEUE_CLASSES; class ++)
        free(q->touched[class]);
    free(q->pins);
    q->map = NULL;
}

static inline uint32_t queue_me(const struct queue *q) { return identity_index(family_me(q->family)); }

/* What somebody else's memory says cannot be: nobody is to rely on the rest of it either. */
static inline int queue_damaged(const struct queue *q)
{
    store_relaxed(&q->header->broken, 1);
    return -EBADMSG;
}

#endif
