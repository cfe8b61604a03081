/* SPDX-License-Identifier: MIT */
/* The lists of free blocks, made anew from the refs that are there: after a writer was killed, and when all is cleared. */
#ifndef MPFAST_TABLES_MARKS_H
#define MPFAST_TABLES_MARKS_H

#include "core/tables/value.h"

struct marks {
    uint64_t *named[TABLE_CLASSES]; /* a bit for each block that was ever used */
};

static inline void marks_free(struct marks *s)
{
    for (uint32_t class = 0; class < TABLE_CLASSES; class ++)
        free(s->named[class]);
}

/* 0, -ENOMEM, or -EBADMSG. After an error there is nothing to free. */
static inline int marks_begin(const struct table *t, struct marks *s)
{
    memset(s, 0, sizeof *s);
    for (uint32_t class = 0; class < TABLE_CLASSES; class ++) {
        uint32_t top = load_relaxed(&t->header->top[class]);
        if (top > load_relaxed(&t->header->tag) || /* each block that comes into use has a tag */
            top > blocks_most(class) || top > load_relaxed(&t->header->high[class])) {
            marks_free(s);
            return table_damaged(t);
        }
        s->named[class] = top == 0 ? NULL : calloc(((uint64_t)top + 63) / 64, 8);
        if (top != 0 && s->named[class] == NULL) {
            marks_free(s);
            return -ENOMEM;
        }
    }
    return 0;
}

/* The block of this ref is in use. -EBADMSG: there is no such block, or it is in use twice. */
static inline int marks_add(const struct table *t, struct marks *s, uint64_t ref)
{
    if (ref & REF_IMMEDIATE)
        return 0;
    uint32_t class = ref_class(ref), index = ref_index(ref);
    if (!ref_sound(ref) || index >= load_relaxed(&t->header->top[class]))
        return table_damaged(t);
    uint64_t *word = &s->named[class][index / 64], bit = UINT64_C(1) << index % 64;
    if (*word & bit)
        return table_damaged(t);
    *word |= bit;
    return 0;
}

static inline bool marks_has(const struct marks *s, uint32_t class, uint32_t index)
{
    return s->named[class][index / 64] >> index % 64 & 1;
}

/* Blocks above the last one in use were as good as never used. Their memory goes back if it is too much, all at once.
 * Large ones are given back one by one otherwise, and counted as long as they are not. */
static inline void marks_lower(const struct table *t, const struct marks *s, uint32_t class)
{
    uint32_t before = load_relaxed(&t->header->top[class]), top = before;
    while (top > 0 && !marks_has(s, class, top - 1))
        top = s->named[class][(top - 1) / 64] == 0 ? (top - 1) / 64 * 64 : top - 1;
    uint64_t from = ROUND_UP((uint64_t)top << (class + 6), PAGE_MOST), to = (uint64_t)before << (class + 6);
    bool much = to > from && to - from > table_may_keep(t->header);
    if (top == before || (class >= TABLE_LARGE && !much))
        return;
    store_release(&t->header->top[class], top); /* pairs with ref_place */
    if (much)
        table_punch(t, region_of_class(class), from, to - from);
}

/* Is there so much memory in small blocks that are free that it is worth to look for it? */
static inline bool marks_may_help(const struct table *t)
{
    uint64_t bytes = 0;
    for (uint32_t class = 0; class < TABLE_LARGE; class ++)
        bytes += (uint64_t)load_relaxed(&t->header->top[class]) << (class + 6);
    return bytes > load_relaxed(&t->header->used) + table_may_keep(t->header);
}

static inline int marks_lists(const struct table *t, const struct marks *s, uint32_t class)
{
    struct table_header *h = t->header;
    store_relaxed(&h->free[class], 0);
    store_relaxed(&h->bare[class], 0);
    for (uint32_t index = load_relaxed(&h->top[class]); index-- > 0;) {
        if (marks_has(s, class, index))
            continue;
        shared64 *about = table_about(t, class, index);
        if (about == NULL)
            return table_unmapped(t);
        uint64_t says = load_relaxed(about); /* 0: the memory of a large block that was never used */
        bool bare = class >= TABLE_LARGE && (says == 0 || about_kind(says) == KIND_BARE);
        list_push_block(bare ? &h->bare[class] : &h->free[class], about, index, bare ? KIND_BARE : KIND_FREE);
        if (!bare && class >= TABLE_LARGE)
            table_count(&h->idle, (int64_t)blocks_size(class));
    }
    return 0;
}

/* All that was not marked is free. */
static inline int marks_end(const struct table *t, struct marks *s)
{
    int rc = 0;
    uint64_t used = 0;
    for (uint32_t class = 0; class < TABLE_CLASSES; class ++)
        for (uint32_t w = 0; w < ((uint64_t)load_relaxed(&t->header->top[class]) + 63) / 64; w++)
            used += (uint64_t)__builtin_popcountll(s->named[class][w]) * blocks_size(class);
    store_relaxed(&t->header->used, used);
    store_relaxed(&t->header->idle, 0);
    for (uint32_t class = 0; class < TABLE_CLASSES && rc == 0; class ++) {
        marks_lower(t, s, class);
        rc = marks_lists(t, s, class);
    }
    marks_free(s);
    if (rc == 0)
        table_trim(t);
    return rc;
}

#endif
