/* SPDX-License-Identifier: MIT */
/* The blocks of a shared Dict or List. Its writers take them and give them back, one at a time, as they hold the lock.
 *
 * A writer that is killed may leave a list of free blocks half changed, and blocks that no ref names. The next one makes
 * the lists anew from the refs (marks.h). So nothing here has to be safe from a kill, but for readers: they read a block
 * while it comes and goes. */
#ifndef MPFAST_TABLES_BLOCK_H
#define MPFAST_TABLES_BLOCK_H

#include "core/tables/map.h"
#include "core/tables/words.h"

/* NULL: it cannot be mapped, as with all that follows. */
static inline shared64 *table_about(const struct table *t, uint32_t class, uint32_t index)
{
    if (class < TABLE_LARGE)
        return (shared64 *)table_at(t, region_of_class(class), (uint64_t)index << (class + 6));
    return (shared64 *)table_at(t, region_of_heads(class), (uint64_t)index * 8);
}

static inline shared64 *table_payload(const struct table *t, uint32_t class, uint32_t index, shared64 *about)
{
    if (class < TABLE_LARGE)
        return about + 1;
    return (shared64 *)table_at(t, region_of_class(class), (uint64_t)index << (class + 6));
}

static inline uint64_t table_next_tag(const struct table *t)
{
    uint64_t tag = load_relaxed(&t->header->tag) + 1;
    store_release(&t->header->tag, tag); /* pairs with seen_begin and seen_moved */
    return tag;
}

static inline void table_count(shared64 *bytes, int64_t n) { store_relaxed(bytes, load_relaxed(bytes) + (uint64_t)n); }

/* The first block of a list, or of those that were never used. -EAGAIN: the list is empty. */
static inline int64_t list_pop_block(const struct table *t, shared32 *head, uint32_t class, uint32_t kind)
{
    uint32_t first = load_relaxed(head);
    if (first == 0)
        return -EAGAIN;
    if (first > load_relaxed(&t->header->top[class]) || first > blocks_most(class))
        return table_damaged(t);
    shared64 *about = table_about(t, class, first - 1);
    if (about == NULL)
        return table_unmapped(t);
    uint64_t next = load_relaxed(about);
    if (about_kind(next) != kind)
        return table_damaged(t);
    store_relaxed(head, (uint32_t)next);
    return first - 1;
}

static inline int64_t top_push(const struct table *t, uint32_t class)
{
    uint32_t top = load_relaxed(&t->header->top[class]);
    if (top >= blocks_most(class))
        return -ENOSPC;
    shared64 *about = table_about(t, class, top);
    if (about == NULL || table_payload(t, class, top, about) == NULL)
        return table_unmapped(t);
    if (top >= load_relaxed(&t->header->high[class]))
        store_relaxed(&t->header->high[class], top + 1);
    store_release(&t->header->top[class], top + 1); /* pairs with ref_place: a ref is stored later */
    return top;
}

/* Takes a block of the class. Its index, -ENOSPC, -ENOMEM, -EBADF or -EBADMSG. */
static inline int64_t table_take(const struct table *t, uint32_t class)
{
    struct table_header *h = t->header;
    int64_t index = list_pop_block(t, &h->free[class], class, KIND_FREE);
    if (index >= 0 && class >= TABLE_LARGE)
        table_count(&h->idle, -(int64_t)blocks_size(class));
    if (index == -EAGAIN)
        index = list_pop_block(t, &h->bare[class], class, KIND_BARE);
    if (index == -EAGAIN)
        index = top_push(t, class);
    if (index >= 0)
        table_count(&h->used, (int64_t)blocks_size(class));
    return index;
}

static inline void list_push_block(shared32 *head, shared64 *about, uint32_t index, uint32_t kind)
{
    store_release(about, about_make(kind, load_relaxed(head))); /* pairs with ref_read: no ref names it any more */
    store_relaxed(head, index + 1);
}

/* As much may be idle as is in use, and not less than some. */
static inline uint64_t table_may_keep(const struct table_header *h)
{
    uint64_t used = load_relaxed(&h->used);
    return used > TABLE_KEEP ? used : TABLE_KEEP;
}

static inline bool table_has_too_much(const struct table_header *h)
{
    return load_relaxed(&h->idle) > table_may_keep(h);
}

/* Gives the memory of one free block of the class back. False if there is none. */
static inline bool table_strip(const struct table *t, uint32_t class)
{
    int64_t index = list_pop_block(t, &t->header->free[class], class, KIND_FREE);
    if (index < 0)
        return false;
    table_punch(t, region_of_class(class), (uint64_t)index << (class + 6), blocks_size(class));
    table_count(&t->header->idle, -(int64_t)blocks_size(class));
    list_push_block(&t->header->bare[class], table_about(t, class, (uint32_t)index), (uint32_t)index, KIND_BARE);
    return true;
}

static inline void table_trim(const struct table *t)
{
    for (uint32_t class = TABLE_CLASSES; class --> TABLE_LARGE;)
        while (table_has_too_much(t->header) && table_strip(t, class))
            ;
}

/* Can this process give the block of the ref back? A writer asks before it commits. 0, -EBADMSG, -ENOMEM or -EBADF. */
static inline int table_reach(const struct table *t, uint64_t ref)
{
    if (ref == 0 || ref & REF_IMMEDIATE)
        return 0;
    if (!ref_sound(ref) || ref_index(ref) >= load_relaxed(&t->header->top[ref_class(ref)]))
        return table_damaged(t);
    return table_about(t, ref_class(ref), ref_index(ref)) == NULL ? table_unmapped(t) : 0;
}

/* Gives the block of a ref back, which no word names any more. */
static inline void table_give(const struct table *t, uint64_t ref)
{
    if (ref == 0 || ref & REF_IMMEDIATE)
        return;
    uint32_t class = ref_class(ref), index = ref_index(ref);
    shared64 *about = NULL;
    if (ref_sound(ref) && index < load_relaxed(&t->header->top[class]))
        about = table_about(t, class, index);
    if (about == NULL) {
        (void)table_damaged(t); /* table_reach() has seen it */
        return;
    }
    list_push_block(&t->header->free[class], about, index, KIND_FREE);
    table_count(&t->header->used, -(int64_t)blocks_size(class));
    if (class < TABLE_LARGE)
        return;
    table_count(&t->header->idle, (int64_t)blocks_size(class));
    if (unlikely(table_has_too_much(t->header)))
        table_trim(t);
}

#endif
