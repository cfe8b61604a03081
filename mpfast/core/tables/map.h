/* SPDX-License-Identifier: MIT */
/* A process's view of a shared Dict or List: what it has mapped of the window, piece by piece as it comes into use.
 *
 * The first piece of every region with small blocks is mapped at once, as one mapping. So a small Dict costs a process
 * one. Nothing is unmapped before the view is closed, so that a late reader meets memory, whatever became of it. */
#ifndef MPFAST_TABLES_MAP_H
#define MPFAST_TABLES_MAP_H

#include "core/store/map.h"
#include "core/tables/layout.h"

#define TABLE_EXTENTS 21

struct table_region {
    _Atomic(char *) extents[TABLE_EXTENTS];
};

struct table {
    struct family *family;
    struct table_header *header;
    uint32_t slot;
    char *home;
    _Atomic(struct table_region *) regions[TABLE_REGIONS];
};

/* The shared memory says what cannot be. From now on no process relies on the rest of it either. */
static inline int table_damaged(const struct table *t)
{
    store_relaxed(&t->header->broken, 1);
    return -EBADMSG;
}

static inline bool table_broken(const struct table *t) { return load_relaxed(&t->header->broken) != 0; }

static inline uint64_t table_unit(uint32_t region)
{
    uint64_t unit = TABLE_UNIT;
    if (region >= region_of_class(0) && region < region_of_heads(0))
        unit = blocks_size(region - region_of_class(0));
    return unit < TABLE_UNIT ? TABLE_UNIT : unit;
}

static inline struct table_region *table_region_make(struct table *t, uint32_t region)
{
    struct table_region *fresh = calloc(1, sizeof *fresh), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(&t->regions[region], &found, fresh)) /* pairs with the load in table_far */
        return fresh;
    free(fresh);
    return load_acquire(&t->regions[region]); /* pairs with the CAS of a faster thread, in table_region_make */
}

static inline char *table_extent_make(struct table *t, uint32_t region, _Atomic(char *) *extent, uint64_t start,
                                      uint64_t size)
{
    char *fresh = window_map(t->family, t->slot, table_region_at(region) + start, size), *found = NULL;
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(extent, &found, fresh)) /* pairs with the load in table_far */
        return fresh;
    munmap(fresh, size);
    return load_acquire(extent); /* pairs with the CAS of a faster thread, in table_extent_make */
}

/* What does not lie at home. NULL: it cannot be mapped. */
static inline char *table_far(const struct table *view, uint32_t region, uint64_t offset)
{
    struct table *t = (struct table *)view; /* what is mapped is no part of what the view shows */
    uint64_t start, size, unit = table_unit(region);
    uint32_t k = extent_of(unit, offset, &start, &size);
    struct table_region *r = load_acquire(&t->regions[region]); /* pairs with table_region_make */
    if (unlikely(r == NULL) && (r = table_region_make(t, region)) == NULL)
        return NULL;
    char *p = load_acquire(&r->extents[k]); /* pairs with table_extent_make */
    if (unlikely(p == NULL) && (p = table_extent_make(t, region, &r->extents[k], start, size)) == NULL)
        return NULL;
    return p + (offset - start);
}

/* NULL: it cannot be mapped. The caller has checked that the region has such an offset. */
static inline char *table_at(const struct table *t, uint32_t region, uint64_t offset)
{
    if (likely(offset < TABLE_UNIT) && table_unit(region) == TABLE_UNIT)
        return t->home + region * TABLE_UNIT + offset;
    return table_far(t, region, offset);
}

/* Why the view could not be made larger. */
static inline int table_unmapped(const struct table *t) { return family_fd_valid(t->family) ? -ENOMEM : -EBADF; }

/* Gives memory of a region back. What cannot be given back stays, and costs no more than that. */
static inline void table_punch(const struct table *t, uint32_t region, uint64_t offset, uint64_t size)
{
    bool home = table_unit(region) == TABLE_UNIT && offset < TABLE_UNIT;
    uint64_t here = home && offset + size > TABLE_UNIT ? TABLE_UNIT - offset : size;
    uint64_t at = home ? region * TABLE_UNIT + offset : table_region_at(region) + offset;
    (void)window_punch(t->family, t->slot, at, here);
    STEP();
    if (here < size)
        (void)window_punch(t->family, t->slot, table_region_at(region) + offset + here, size - here);
    STEP();
}

/* Opens a view of the slot, on which the caller has a handle as long as the view is open. -ENOMEM or -EBADF: there is
 * nothing to close. */
static inline int table_open(struct family *f, uint32_t slot, struct table *t)
{
    memset(t, 0, sizeof *t);
    t->family = f;
    t->slot = slot;
    t->header = slot_at(f, slot);
    t->home = window_map(f, slot, 0, TABLE_HOME);
    return t->home == NULL ? table_unmapped(t) : 0;
}

static inline void table_close(struct table *t)
{
    for (uint32_t region = 0; region < TABLE_REGIONS; region++) {
        struct table_region *r = load_relaxed(&t->regions[region]);
        for (uint32_t k = 0; r != NULL && k < TABLE_EXTENTS; k++) {
            char *p = load_relaxed(&r->extents[k]);
            if (p != NULL)
                munmap(p, k == 0 ? table_unit(region) : table_unit(region) << (k - 1));
        }
        free(r);
    }
    if (t->home != NULL)
        munmap(t->home, TABLE_HOME);
    memset(t, 0, sizeof *t);
}

/* Makes an empty Dict or List of a slot that was just claimed, before another process or thread has it. */
static inline int table_init(struct table *t, enum table_form form, uint32_t policy)
{
    if (!random_bytes((uint8_t *)&t->header->seed, sizeof t->header->seed))
        return -ENOSYS;
    t->header->lock.policy = policy;
    t->header->form = form;
    store_relaxed(&t->header->tag, 1);
    store_release(&t->header->root, root_make(1, 0, TABLE_LEVEL_MIN)); /* pairs with rows_now */
    return 0;
}

/* Is the slot what a handle means, or was its header overwritten? */
static inline int table_check(const struct table *t, enum table_form form)
{
    return t->header->form == (uint32_t)form ? 0 : table_damaged(t);
}

#endif
