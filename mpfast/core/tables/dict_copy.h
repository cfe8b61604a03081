/* SPDX-License-Identifier: MIT */
/* A copy of a whole Dict, in one state that it was in, in the order of insertion. */
#ifndef MPFAST_TABLES_DICT_COPY_H
#define MPFAST_TABLES_DICT_COPY_H

#include "core/tables/copy.h"
#include "core/tables/dict.h"

enum { TABLE_KEYS = 1, TABLE_VALUES = 2 };

static inline int dict_copy_entry(const struct table *t, const struct dict_entry *e, unsigned what,
                                  struct table_copy *c)
{
    uint64_t key = load_acquire(&e->key), value = load_acquire(&e->value); /* pairs with entry_write and dict_bury */
    int rc = 0;
    if (key == 0)
        return 0; /* a note */
    c->count++;
    if (value == 0)
        return -EAGAIN;
    if (what & TABLE_KEYS)
        rc = copy_ref(t, c, &e->key, key);
    return rc == 0 && what & TABLE_VALUES ? copy_ref(t, c, &e->value, value) : rc;
}

static inline int dict_walk(const struct table *t, const struct rows *r, uint64_t state, unsigned what,
                            struct table_copy *c)
{
    uint32_t used = state_used(state);
    int rc = 0;
    if (used > dict_capacity(root_level(r->root)))
        return -EBADMSG;
    for (uint32_t i = 0; i < used && rc == 0; i++) {
        const struct dict_entry *e = dict_entries(r) + i;
        if (entry_alive(e, state))
            rc = dict_copy_entry(t, e, what, c);
    }
    return rc == 0 && c->count != state_live(state) ? -EBADMSG : rc;
}

static inline int dict_try_copy(const struct table *t, unsigned what, struct table_copy *c)
{
    struct rows r;
    uint64_t tag = seen_begin(t);
    int rc = rows_now(t, &r);
    if (rc < 0)
        return rc;
    uint64_t state = load_acquire(r.state); /* pairs with dict_commit */
    copy_empty(c);
    rc = dict_walk(t, &r, state, what, c);
    if (load_acquire(r.state) != state || seen_moved(t, tag)) /* pairs with dict_commit */
        return -EAGAIN;
    return rows_result(t, &r, rc);
}

/* Copies keys, values, or both by turns. 0. -EAGAIN: there were other changes each time, so take the lock and ask again.
 * Then -EAGAIN means damage. -EBADMSG, -ENOMEM, -EBADF. The copy is the caller's to free in any case. */
static inline int dict_copy(const struct table *t, unsigned what, struct table_copy *c)
{
    int rc = -EAGAIN;
    for (int n = 0; n < TABLE_COPIES && rc == -EAGAIN; n++)
        rc = table_broken(t) ? -EBADMSG : dict_try_copy(t, what, c);
    return rc;
}

#endif
