/* SPDX-License-Identifier: MIT */
/* Giving memory of free blocks back to the system, while others go on.
 *
 * A process that owns all blocks of a piece may punch it. Their words read as zero then, which is "free". If it is
 * killed half-way, the words still say that it owns the blocks, and recovery frees them. */
#ifndef MPFAST_STORE_TRIM_H
#define MPFAST_STORE_TRIM_H

#include "core/base/clock.h"
#include "core/store/sweep.h"

#ifndef TRIM_PERIOD
#define TRIM_PERIOD SECOND /* between looks at how far the sweeps go */
#endif
#ifndef TRIM_REVIEW
#define TRIM_REVIEW 16u /* renewals of leases between looks at the clock, */
#define TRIM_LEASES 4u  /* and for each step of giving back */
#endif
#define TRIM_STRIDE 64u /* large blocks that a step looks at */

/* How much memory the blocks take. The kernel knows it, whatever process was killed. */
static inline uint64_t memory_measure(const struct store *s)
{
    uint64_t sum = 0;
    off_t at = (off_t)(window_offset(s->slot) + class_data_at(0)), end = (off_t)(window_offset(s->slot) + WINDOW_SIZE);
    while (family_fd_valid(s->family)) {
        off_t data = lseek(s->family->fd, at, SEEK_DATA);
        if (data < 0 || data >= end)
            break;
        at = lseek(s->family->fd, data, SEEK_HOLE);
        if (at < 0 || at > end)
            at = end;
        sum += (uint64_t)(at - data);
    }
    return sum;
}

/* Punches a large block, which is ours. False: its memory stays, as the kernel refuses. */
static inline bool large_punch(const struct store *s, uint32_t class, uint32_t index, struct large_block *b)
{
    uint64_t backed = load_relaxed(&b->backed);
    store_relaxed(&b->backed, 0);
    store_relaxed(&b->punched, load_relaxed(&b->punched) + 1);
    uint64_t at = class_data_at(class) + ((uint64_t)index << (class + 6));
    if (window_punch(s->family, s->slot, at, class_size(class)) < 0) {
        store_relaxed(&b->backed, backed);
        return false;
    }
    sub_relaxed(&s->header->memory, backed);
    return true;
}

/* Punches a large block if it is free. True: it was punched. */
static inline bool large_trim(const struct store *s, uint32_t class, uint32_t index, struct block *b)
{
    uint64_t backed = load_relaxed(&large_block(b)->backed);
    if (backed == 0 || block_try(s, class, index, &b) != 1)
        return false;
    backed = load_relaxed(&large_block(b)->backed);
    bool punched = large_punch(s, class, index, large_block(b));
    if (punched)
        sub_relaxed(&s->header->idle, backed);
    block_free(s, b);
    return punched;
}

/* Punches all large blocks that are free. Those above the last that is in use are as if they had never been. */
static inline void trim_large(const struct store *s, uint32_t class)
{
    struct block *b;
    uint32_t top = block_top(s, class), last = 0;
    for (uint32_t i = 0; i < top; i++) {
        if ((b = block_at(s, class, i)) == NULL)
            return;
        if (!large_trim(s, class, i, b) && load_relaxed(&b->word) != 0)
            last = i + 1;
    }
    if (top > class_home(class))
        cas_relaxed(&s->header->top[class], &top, last < class_home(class) ? class_home(class) : last);
}

static inline void chunk_free(const struct store *s, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if ((b = block_at(s, class, first + i)) != NULL)
            block_free(s, b);
}

/* Makes all blocks of a piece ours, or none. */
static inline bool chunk_own(const struct store *s, uint32_t class, uint32_t first, uint32_t count)
{
    struct block *b;
    for (uint32_t i = 0; i < count; i++)
        if (block_try(s, class, first + i, &b) != 1) {
            chunk_free(s, class, first, i);
            return false;
        }
    return true;
}

/* Punches a piece if none of its blocks is in use. */
static inline bool piece_trim(const struct store *s, uint32_t class, uint32_t first)
{
    uint32_t count = class_piece(class);
    if (!chunk_own(s, class, first, count))
        return false;
    uint64_t size = (uint64_t)count << (class + 6);
    if (window_punch(s->family, s->slot, class_data_at(class) + ((uint64_t)first << (class + 6)), size) < 0) {
        chunk_free(s, class, first, count);
        return false;
    }
    if (first >= class_home(class)) /* home was charged for once and for all */
        sub_relaxed(&s->header->memory, size);
    return true;
}

/* The first piece from `at` on that has memory. The kernel knows it, and looking at the others would give them some. */
static inline uint32_t piece_next(const struct store *s, uint32_t class, uint32_t at, uint32_t end)
{
    off_t start = (off_t)(window_offset(s->slot) + class_data_at(class));
    off_t data = lseek(s->family->fd, start + ((off_t)at << (class + 6)), SEEK_DATA);
    if (data < 0 || data >= start + ((off_t)end << (class + 6)))
        return end;
    uint32_t index = (uint32_t)((uint64_t)(data - start) >> (class + 6));
    index -= index % class_piece(class); /* home is so many pieces, too */
    return index + class_piece(class) <= end ? index : end;
}

/* A step of giving back what is above the field's limit. `at` begins there. False: that was all. */
static inline bool trim_step_small(const struct store *s, uint32_t class, uint32_t *at)
{
    uint32_t top = block_top(s, class);
    *at = piece_next(s, class, *at, top);
    if (*at >= top)
        return false;
    piece_trim(s, class, *at);
    *at += class_piece(class);
    return true;
}

static inline bool trim_step_large(const struct store *s, uint32_t class, uint32_t *at)
{
    for (uint32_t top = block_top(s, class), end = *at + TRIM_STRIDE; *at < end; ++*at) {
        struct block *b = *at < top ? block_at(s, class, *at) : NULL;
        if (b == NULL)
            return false;
        if (large_trim(s, class, *at, b)) {
            ++*at;
            return true;
        }
    }
    return true;
}

static inline bool trim_step(const struct store *s, uint32_t class, uint32_t *at)
{
    return (class < STORE_LARGE ? trim_step_small : trim_step_large)(s, class, at);
}

/* The field is to be no larger than sweeps needed in this period or the last. */
static inline void field_review(struct field *f, uint32_t class)
{
    uint32_t reach = load_relaxed(&f->reach), before = load_relaxed(&f->before), limit = load_relaxed(&f->limit);
    store_relaxed(&f->before, reach);
    store_relaxed(&f->reach, 0);
    uint32_t end = piece_end(class, class_home(class) + (reach > before ? reach : before));
    if (limit > end)
        cas_relaxed(&f->limit, &limit, end);
}

static inline bool store_has_fields(const struct store *s)
{
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        if (block_top(s, class) > class_home(class))
            return true;
    return false;
}

/* Done once in a period, by one of the processes that want blocks. It then gives back, step by step, what is above the
 * limits. */
static inline void store_review(struct store *s)
{
    struct fields *fields = store_has_fields(s) ? fields_of(s) : NULL;
    if (fields == NULL)
        return;
    uint64_t now = (uint64_t)clock_now(), last = load_relaxed(&fields->reviewed);
    if (now - last < (uint64_t)TRIM_PERIOD || !cas_relaxed(&fields->reviewed, &last, now))
        return;
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        if (block_top(s, class) > class_home(class))
            field_review(&fields->of[class], class);
    store_relaxed(&s->header->memory, memory_measure(s)); /* it drifts, as pieces come and go */
    if (load_relaxed(&s->trimming) == 0)
        store_relaxed(&s->trimming, 1);
}

/* What one renewal of a lease in some class does for the memory of all classes. */
static inline void store_tend(struct store *s)
{
    uint32_t renewals = load_relaxed(&s->renewals), class = load_relaxed(&s->trimming) - 1;
    store_relaxed(&s->renewals, renewals + 1);
    if (renewals % TRIM_REVIEW == 0)
        store_review(s);
    struct fields *fields;
    if (class >= STORE_CLASSES || renewals % TRIM_LEASES != 0 || (fields = fields_of(s)) == NULL)
        return;
    uint32_t at = load_relaxed(&s->trimming_at), limit = piece_end(class, field_limit(s, &fields->of[class], class));
    at = at < limit ? limit : at;
    bool on = block_top(s, class) > class_home(class) && trim_step(s, class, &at);
    store_relaxed(&s->trimming_at, on ? at : 0);
    store_relaxed(&s->trimming, on ? class + 1 : (class + 2) % (STORE_CLASSES + 1));
}

static inline bool piece_idle(const struct store *s, uint32_t class, uint32_t first)
{
    for (uint32_t i = 0; i < class_piece(class); i++)
        if (!block_idle(s, class, first + i))
            return false;
    return true;
}

/* The end of the last piece that has a block in use. */
static inline uint32_t pieces_used(const struct store *s, uint32_t class, uint32_t top)
{
    uint32_t used = 0;
    for (uint32_t at = 0; (at = piece_next(s, class, at, top)) < top; at += class_piece(class))
        if (!piece_idle(s, class, at))
            used = at + class_piece(class);
    return used;
}

/* Punches the free pieces behind the last that is in use, also at home. The field ends there. Free pieces in front of it
 * stay: the sweep takes their blocks without asking for memory, and would not look at all before a new one is made. */
static inline void trim_small(const struct store *s, uint32_t class)
{
    uint32_t home = class_home(class), top = block_top(s, class), used = pieces_used(s, class, top), last = used;
    for (uint32_t at = used; (at = piece_next(s, class, at, top)) < top; at += class_piece(class))
        if (!piece_trim(s, class, at))
            last = at + class_piece(class);
    if (top <= home)
        return;
    struct fields *fields = fields_of(s);
    uint32_t end = last < home ? home : last;
    if (fields != NULL && load_relaxed(&fields->of[class].limit) > end)
        store_relaxed(&fields->of[class].limit, end);
    cas_relaxed(&s->header->top[class], &top, end);
}

/* Gives back what it can without waiting for another process. */
static inline void store_trim(const struct store *s)
{
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        (class < STORE_LARGE ? trim_small : trim_large)(s, class);
}

#endif
