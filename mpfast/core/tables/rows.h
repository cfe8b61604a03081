/* SPDX-License-Identifier: MIT */
/* The rows of today, which the root names, and the frame of every change. */
#ifndef MPFAST_TABLES_ROWS_H
#define MPFAST_TABLES_ROWS_H

#include "core/tables/marks.h"

/* The rows that a root means. The state is their first word, and commits a change that does not need new rows. */
struct rows {
    uint64_t root;
    shared64 *state;
};

static inline int rows_of(const struct table *t, uint64_t root, struct rows *r)
{
    r->root = root;
    r->state = (shared64 *)table_at(t, root_parity(root), level_at(root_level(root)));
    return r->state == NULL ? table_unmapped(t) : 0;
}

/* The rows of today. */
static inline int rows_now(const struct table *t, struct rows *r)
{
    uint64_t root = load_acquire(&t->header->root); /* pairs with rows_commit */
    return root_sound(root) ? rows_of(t, root, r) : table_damaged(t);
}

/* Were these the rows of today all the time? */
static inline bool rows_still(const struct table *t, const struct rows *r)
{
    return load_acquire(&t->header->root) == r->root; /* pairs with rows_commit */
}

/* What a reader found in these rows, if they are still today's. */
static inline int rows_result(const struct table *t, const struct rows *r, int rc)
{
    if (!rows_still(t, r))
        return -EAGAIN;
    return rc == -EBADMSG ? table_damaged(t) : rc;
}

/* A tag before a reader looks at more than one ref. Each change begins with a new one, and ends with its commit. So
 * while the tag stays there is one commit at most. */
static inline uint64_t seen_begin(const struct table *t)
{
    return load_acquire(&t->header->tag); /* pairs with table_next_tag */
}

static inline bool seen_moved(const struct table *t, uint64_t tag)
{
    return load_acquire(&t->header->tag) != tag; /* pairs with table_next_tag */
}

/* Below, the caller holds the lock ---------------------------------------------------------------------------------- */

/* The root of rows that are to be made, with tags for so many refs below its own. */
static inline uint64_t rows_fresh(const struct table *t, uint64_t root, uint32_t level, uint64_t refs)
{
    uint64_t tag = (load_relaxed(&t->header->tag) + 1) & TAG_MASK;
    store_release(&t->header->tag, load_relaxed(&t->header->tag) + 1 + refs); /* pairs with seen_begin and seen_moved */
    return root_make(tag, !root_parity(root), level);
}

/* Will the tags of refs come round before long, if the root stays? */
static inline bool rows_worn(const struct table *t, uint64_t root)
{
    return ((load_relaxed(&t->header->tag) - root_tag(root)) & TAG_MASK) >= TABLE_TAGS;
}

static inline void rows_commit(const struct table *t, uint64_t root)
{
    store_release(&t->header->root, root); /* pairs with rows_now and rows_still */
}

/* Gives back what rows of another size have left, in both parities, as there may have been some of that size before.
 * Those of the same size are needed again soon. */
static inline void rows_left(const struct table *t, uint64_t old, uint64_t root)
{
    uint32_t level = root_level(old);
    for (uint32_t parity = 0; parity < 2 && level != root_level(root) && level_size(level) >= TABLE_UNIT; parity++)
        table_punch(t, parity, level_at(level), level_size(level));
}

/* Have rows for `room` entries or items become far too large for so few? Then they are worth to be made anew. */
static inline bool rows_wide(uint64_t root, uint64_t room, uint64_t few)
{
    return level_size(root_level(root)) > TABLE_UNIT && few < room / 16;
}

/* The same after a death, when it is not known what is there. */
static inline void rows_only(const struct table *t, uint64_t root)
{
    uint64_t end = level_at(root_level(root) + 1);
    for (uint32_t parity = 0; parity < 2; parity++)
        table_punch(t, parity, end, TABLE_REGION - end);
}

/* Every change begins with this and ends with change_end(). `mend` gives a table in order whose last writer was killed. */
static inline int change_begin(struct table *t, int (*mend)(struct table *t))
{
    if (unlikely(table_broken(t)))
        return -EBADMSG;
    if (unlikely(load_relaxed(&t->header->changing) != 0)) {
        int rc = mend(t);
        if (rc < 0)
            return rc;
        add_relaxed(&t->header->repairs, 1u);
    }
    store_relaxed(&t->header->changing, 1);
    table_next_tag(t);
    return 0;
}

static inline int change_end(struct table *t, int rc)
{
    store_release(&t->header->changing, 0); /* pairs with change_begin after a death: all of it was done */
    return rc;
}

/* The same after a sweep, which a change has made besides. What it could not finish is done by the next change, as after
 * a death. */
static inline int change_swept(struct table *t, int swept, int rc)
{
    if (swept == 0)
        return change_end(t, rc);
    return swept == -EBADMSG ? swept : rc;
}

#endif
