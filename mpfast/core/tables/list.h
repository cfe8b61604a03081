/* SPDX-License-Identifier: MIT */
/* A List as its readers see it. They take no lock and write nothing.
 *
 *   rows:  length | 7 words unused | refs
 *
 * append() and extend() write refs behind the end, and commit by the length. pop() commits by the length, and an
 * assignment to an item by its ref. All else makes the rows anew and commits by the root. */
#ifndef MPFAST_TABLES_LIST_H
#define MPFAST_TABLES_LIST_H

#include "core/tables/copy.h"

static inline uint64_t list_capacity(uint32_t level) { return level_size(level) / 8 - 8; }
static inline shared64 *list_items(const struct rows *r) { return r->state + 8; }

/* Which item an index means that may count from the end. The length or more: none. */
static inline uint64_t list_place(int64_t i, uint64_t length)
{
    if (i >= 0)
        return (uint64_t)i < length ? (uint64_t)i : length;
    return (uint64_t)-(i + 1) < length ? length - 1 - (uint64_t)-(i + 1) : length;
}

/* The item at `at`, which there was. A ref behind the end is not committed. So the length comes before the last look. */
static inline int list_read(const struct table *t, const struct rows *r, uint64_t at, struct table_room *room)
{
    shared64 *word = list_items(r) + at;
    uint64_t ref = load_acquire(word); /* pairs with list_write */
    if (ref == 0)
        return -EAGAIN;
    int rc = ref_read(t, word, ref, room);
    if (load_acquire(r->state) <= at || load_acquire(word) != ref) /* pairs with list_commit and list_write */
        return -EAGAIN;
    return rc < 0 ? rc : 1;
}

static inline int list_try_get(const struct table *t, int64_t i, struct table_room *room)
{
    struct rows r;
    uint64_t tag = i < 0 ? seen_begin(t) : 0;
    int rc = rows_now(t, &r);
    if (rc < 0)
        return rc;
    uint64_t length = load_acquire(r.state), at = list_place(i, length); /* pairs with list_commit */
    if (length > list_capacity(root_level(r.root)))
        rc = -EBADMSG;
    else if (at < length)
        rc = list_read(t, &r, at, room);
    if (i < 0 && seen_moved(t, tag))
        return -EAGAIN; /* where the end was may be the middle by now */
    return rows_result(t, &r, rc);
}

/* 1: the item is in the room. 0: there is no such item. An index below 0 counts from the end. Else as dict_get. */
static inline int list_get(const struct table *t, int64_t i, struct table_room *room)
{
    int rc = -EAGAIN;
    for (int n = 0; n < TABLE_TRIES && rc == -EAGAIN; n++)
        rc = unlikely(table_broken(t)) ? -EBADMSG : list_try_get(t, i, room);
    return rc;
}

/* Or -EBADMSG, -ENOMEM, -EBADF, -EAGAIN. */
static inline int64_t list_length(const struct table *t)
{
    for (int n = 0; n < TABLE_TRIES; n++) {
        struct rows r;
        int rc = table_broken(t) ? -EBADMSG : rows_now(t, &r);
        if (rc < 0)
            return rc;
        uint64_t length = load_acquire(r.state); /* pairs with list_commit */
        if (rows_still(t, &r))
            return length <= list_capacity(root_level(r.root)) ? (int64_t)length : table_damaged(t);
    }
    return -EAGAIN;
}

/* Where a slice begins or ends. */
static inline uint64_t list_bound(int64_t i, uint64_t length)
{
    return i >= 0 || (uint64_t)-(i + 1) < length ? list_place(i, length) : 0;
}

static inline int list_try_copy(const struct table *t, int64_t start, int64_t stop, struct table_copy *c)
{
    struct rows r;
    uint64_t tag = seen_begin(t);
    int rc = rows_now(t, &r);
    if (rc < 0)
        return rc;
    uint64_t length = load_acquire(r.state), end = list_bound(stop, length); /* pairs with list_commit */
    if (length > list_capacity(root_level(r.root)))
        rc = -EBADMSG;
    copy_empty(c);
    for (uint64_t i = list_bound(start, length); i < end && rc == 0; i++, c->count++) {
        shared64 *word = list_items(&r) + i;
        uint64_t ref = load_acquire(word); /* pairs with list_write */
        rc = ref == 0 ? -EAGAIN : copy_ref(t, c, word, ref);
    }
    if (load_acquire(r.state) != length || seen_moved(t, tag)) /* pairs with list_commit */
        return -EAGAIN;
    return rows_result(t, &r, rc);
}

/* Copies the items of the slice [start:stop], in one state that the List was in. As dict_copy. */
static inline int list_copy(const struct table *t, int64_t start, int64_t stop, struct table_copy *c)
{
    int rc = -EAGAIN;
    for (int n = 0; n < TABLE_COPIES && rc == -EAGAIN; n++)
        rc = table_broken(t) ? -EBADMSG : list_try_copy(t, start, stop, c);
    return rc;
}

#endif
