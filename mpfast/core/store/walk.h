/* SPDX-License-Identifier: MIT */
/* A walk over all blocks of a store whose headers exist. Looking at others would make them.
 *
 * The kernel says which memory exists. Others may take and give back blocks meanwhile. A block that was in use when the
 * walk began is met, as long as it is in use. */
#ifndef MPFAST_STORE_WALK_H
#define MPFAST_STORE_WALK_H

#include "core/store/block.h"

struct block_walk {
    uint32_t class;
    uint64_t at, until; /* the next header of the class, and where the memory ends that is known to exist */
};

/* Before the first block. */
static inline void walk_begin(struct block_walk *w) { *w = (struct block_walk){0}; }

/* From one header of the class to the next, and where the first one is in the family's file. */
static inline uint64_t walk_unit(uint32_t class)
{
    return class < STORE_LARGE ? class_size(class) : sizeof(struct large_block);
}

static inline off_t walk_start(const struct store *s, uint32_t class)
{
    return (off_t)(window_offset(s->slot) + (class < STORE_LARGE ? class_data_at(class) : class_headers_at(class)));
}

/* Without a descriptor the kernel cannot be asked, so each block that was ever used counts. */
static inline bool walk_extend_blindly(const struct store *s, struct block_walk *w)
{
    uint64_t end = block_top(s, w->class) * walk_unit(w->class);
    w->at = w->until;
    w->until = end > w->until ? end : w->until;
    return w->at < w->until;
}

/* Finds the next memory that exists. False: there is no more in this class. */
static inline bool walk_extend(const struct store *s, struct block_walk *w)
{
    if (!family_fd_valid(s->family))
        return walk_extend_blindly(s, w);
    off_t start = walk_start(s, w->class), end = start + (off_t)(class_blocks(w->class) * walk_unit(w->class));
    off_t at = start + (off_t)w->until;
    off_t data = at < end ? lseek(s->family->fd, at, SEEK_DATA) : -1;
    off_t hole = data < 0 || data >= end ? -1 : lseek(s->family->fd, data, SEEK_HOLE);
    if (hole < 0)
        return false;
    w->at = (uint64_t)(data - start);
    w->until = (uint64_t)((hole < end ? hole : end) - start);
    return true;
}

/* The next block of the class, or NULL. */
static inline struct block *walk_class(const struct store *s, struct block_walk *w, uint64_t *name)
{
    while (w->at < w->until || walk_extend(s, w)) {
        uint32_t index = (uint32_t)(w->at / walk_unit(w->class));
        struct block *b = block_at(s, w->class, index);
        w->at += walk_unit(w->class);
        *name = block_name(w->class, index);
        if (b != NULL)
            return b;
    }
    return NULL;
}

/* The next block and its name. NULL: that was all. */
static inline struct block *walk_next(const struct store *s, struct block_walk *w, uint64_t *name)
{
    for (; w->class < STORE_CLASSES; *w = (struct block_walk){.class = w->class + 1}) {
        struct block *b = load_relaxed(&s->header->top[w->class]) == 0 ? NULL : walk_class(s, w, name);
        if (b != NULL)
            return b;
    }
    return NULL;
}

#endif
