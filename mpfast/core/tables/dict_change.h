/* SPDX-License-Identifier: MIT */
/* How a Dict is changed. The caller holds the lock, as a section (core/locks/section.h) or by name.
 *
 * Every call returns -ENOSPC, -ENOMEM, -EBADF or -EBADMSG if it could not do its work, and has changed nothing then. */
#ifndef MPFAST_TABLES_DICT_CHANGE_H
#define MPFAST_TABLES_DICT_CHANGE_H

#include "core/tables/dict.h"

/* What a writer has in its hands: today's rows, and a place for an entry in them. */
struct dict_now {
    struct rows rows;
    uint64_t state;
};

static inline int dict_now(const struct table *t, struct dict_now *now)
{
    int rc = rows_now(t, &now->rows);
    if (rc < 0)
        return rc;
    now->state = load_relaxed(now->rows.state);
    bool sound = state_used(now->state) <= dict_capacity(root_level(now->rows.root)) &&
                 state_live(now->state) <= state_used(now->state);
    return sound ? 0 : table_damaged(t);
}

static inline bool entry_lives(const struct dict_entry *e, uint64_t state)
{
    return load_relaxed(&e->key) != 0 && entry_alive(e, state);
}

static inline void index_add(const struct rows *r, uint64_t hash, uint32_t entry)
{
    shared64 *index = dict_index(r);
    uint64_t mask = (UINT64_C(1) << root_level(r->root)) - 1, i = hash & mask;
    for (uint64_t n = 0; n < mask && load_relaxed(index + i) != 0; n++)
        i = (i + 1) & mask;
    store_release(index + i, (hash >> 32) << 32 | (entry + UINT64_C(1))); /* pairs with dict_find */
}

static inline void entry_write(struct dict_entry *e, uint64_t hash, uint64_t key, uint64_t value)
{
    store_release(&e->hash, hash);   /* pairs with dict_find, */
    store_release(&e->key, key);     /* entry_has_key, */
    store_release(&e->value, value); /* dict_try_get */
    store_release(&e->dead, 0);      /* and entry_alive */
}

static inline void dict_commit(const struct rows *r, uint64_t state)
{
    store_release(r->state, state); /* pairs with dict_try_get, dict_length and dict_walk: the entry is there */
}

/* The smallest level in which there is room for so many and half as many again. In the highest there may be less. */
static inline int dict_level(uint64_t live)
{
    int level = TABLE_LEVEL_MIN;
    while (level < TABLE_LEVEL_MAX && dict_capacity((uint32_t)level) < live + live / 2 + 2)
        level++;
    return dict_capacity((uint32_t)level) > live ? level : -ENOSPC;
}

/* Copies what lives into rows that no reader knows of yet. */
static inline int dict_copy_rows(const struct table *t, const struct dict_now *from, struct rows *to)
{
    uint32_t live = 0, shall = state_live(from->state);
    uint64_t tag = root_tag(to->root);
    for (uint64_t i = 0; i < UINT64_C(1) << root_level(to->root); i++)
        store_release(dict_index(to) + i, 0); /* pairs with dict_find */
    for (uint32_t i = 0; i < state_used(from->state); i++) {
        const struct dict_entry *e = dict_entries(&from->rows) + i;
        uint64_t key = load_relaxed(&e->key), value = load_relaxed(&e->value), hash = load_relaxed(&e->hash);
        if (!entry_lives(e, from->state))
            continue;
        if (live == shall || value == 0)
            return table_damaged(t);
        entry_write(dict_entries(to) + live, hash, ref_with_tag(key, tag + 1), ref_with_tag(value, tag + 2));
        index_add(to, hash, live++);
        tag += 2;
    }
    return live == shall ? 0 : table_damaged(t);
}

/* The rows anew: with more room, without what is dead, with new tags. Or with nothing. */
static inline int dict_renew(const struct table *t, struct dict_now *now, bool empty)
{
    uint32_t live = empty ? 0 : state_live(now->state);
    int level = dict_level(live), rc;
    if (level < 0)
        return level;
    struct dict_now old = *now;
    struct rows fresh;
    if ((rc = rows_of(t, rows_fresh(t, old.rows.root, (uint32_t)level, UINT64_C(2) * live), &fresh)) < 0)
        return rc;
    if (empty)
        old.state = 0;
    if ((rc = dict_copy_rows(t, &old, &fresh)) < 0)
        return rc;
    dict_commit(&fresh, dict_state(live, live));
    store_relaxed(&t->header->tail, live);
    rows_commit(t, fresh.root);
    rows_left(t, old.rows.root, fresh.root);
    now->rows = fresh;
    now->state = dict_state(live, live);
    return 0;
}

static inline int dict_sweep(const struct table *t, const struct dict_now *now)
{
    struct marks s;
    int rc = marks_begin(t, &s);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < state_used(now->state) && rc == 0; i++) {
        const struct dict_entry *e = dict_entries(&now->rows) + i;
        if (!entry_lives(e, now->state))
            continue;
        rc = marks_add(t, &s, load_relaxed(&e->key));
        if (rc == 0)
            rc = marks_add(t, &s, load_relaxed(&e->value));
    }
    if (rc == 0)
        return marks_end(t, &s);
    marks_free(&s);
    return rc;
}

/* The last writer was killed. What it was changing is as it was, or changed. Here goes what else it left: words of the
 * index, notes, blocks. A process that is killed here leaves no more than that. */
static inline int dict_mend(struct table *t)
{
    struct dict_now now;
    int rc = dict_now(t, &now);
    if (rc == 0)
        rc = dict_renew(t, &now, false);
    if (rc < 0)
        return rc;
    rows_only(t, now.rows.root);
    return dict_sweep(t, &now);
}

/* Begins a change. Afterwards there is room for an entry. */
static inline int dict_begin(struct table *t, struct dict_now *now)
{
    int rc = change_begin(t, dict_mend);
    if (rc < 0)
        return rc;
    rc = dict_now(t, now);
    if (rc == 0 &&
        (state_used(now->state) >= dict_capacity(root_level(now->rows.root)) || rows_worn(t, now->rows.root)))
        rc = dict_renew(t, now, false);
    return rc == 0 ? 0 : change_end(t, rc);
}

/* The entry of the key, or NULL and *rc. */
static inline struct dict_entry *dict_locate(struct table *t, const struct dict_now *now, const struct table_key *key,
                                             int *rc)
{
    struct dict_entry *e = dict_find(t, &now->rows, now->state, key, rc);
    if (e != NULL && load_relaxed(&e->value) == 0) {
        *rc = table_damaged(t);
        return NULL;
    }
    return e;
}

static inline int dict_replace(struct table *t, struct dict_entry *e, const struct table_value *v)
{
    uint64_t old = load_relaxed(&e->value), ref;
    int rc = table_reach(t, old);
    if (rc < 0 || (rc = value_new(t, v, &ref)) < 0)
        return rc;
    store_release(&e->value, ref); /* pairs with dict_try_get, and ref_read: the old block has no other use before */
    table_give(t, old);
    return 0;
}

static inline int dict_insert(struct table *t, struct dict_now *now, const struct table_key *key,
                              const struct table_value *v)
{
    uint64_t name, value;
    if (state_live(now->state) + 1 >= dict_capacity(TABLE_LEVEL_MAX))
        return -ENOSPC; /* a full Dict has room for the note of a deletion */
    int rc = value_write(t, 0, key->data, key->size, &name);
    if (rc < 0)
        return rc;
    if ((rc = value_new(t, v, &value)) < 0) {
        table_give(t, name);
        return rc;
    }
    uint32_t at = state_used(now->state);
    entry_write(dict_entries(&now->rows) + at, key->hash, name, value);
    store_relaxed(&t->header->tail, at + 1);
    index_add(&now->rows, key->hash, at);
    dict_commit(&now->rows, dict_state(at + 1, state_live(now->state) + 1));
    return 0;
}

/* Deletes an entry that lives. 1, or an error as in table_reach. */
static inline int dict_bury(struct table *t, struct dict_now *now, struct dict_entry *e)
{
    uint32_t at = state_used(now->state);
    uint64_t state = dict_state(at + 1, state_live(now->state) - 1);
    uint64_t key = load_relaxed(&e->key), value = load_relaxed(&e->value);
    int rc = table_reach(t, key);
    if (rc < 0 || (rc = table_reach(t, value)) < 0)
        return rc;
    entry_write(dict_entries(&now->rows) + at, 0, 0, 0);
    store_release(&e->dead, at + UINT64_C(1)); /* pairs with entry_alive */
    dict_commit(&now->rows, state);
    now->state = state;
    store_release(&e->value, 0); /* pairs with dict_try_get and ref_read: the blocks have no other use before */
    table_give(t, value);
    table_give(t, key);
    return 1;
}

/* Ends a change that was to delete an entry: rc is dict_bury's. If few are left in the rows of many, memory goes back. */
static inline int dict_buried(struct table *t, struct dict_now *now, int rc)
{
    uint32_t level = root_level(now->rows.root), live = state_live(now->state);
    bool wide = rows_wide(now->rows.root, dict_capacity(level), live);
    if (likely(rc < 0 || (!wide && (live > 0 || !marks_may_help(t)))))
        return change_end(t, rc);
    if (wide && dict_renew(t, now, false) == -EBADMSG)
        return -EBADMSG;
    return marks_may_help(t) ? change_swept(t, dict_sweep(t, now), rc) : change_end(t, rc);
}

/* 1: replaced. 0: a new key. */
static inline int dict_set(struct table *t, const struct table_key *key, const struct table_value *v)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_locate(t, &now, key, &rc);
    if (e != NULL)
        rc = (rc = dict_replace(t, e, v)) < 0 ? rc : 1;
    else if (rc == 0)
        rc = dict_insert(t, &now, key, v);
    return change_end(t, rc);
}

/* What the writer itself reads cannot change meanwhile. */
static inline int dict_take_out(struct table *t, const shared64 *word, struct table_room *room)
{
    int rc = ref_read(t, word, load_relaxed(word), room);
    return rc == -EAGAIN || rc == -EBADMSG ? table_damaged(t) : rc;
}

/* 0: stored. 1: there was a value, which is in the room now. -EMSGSIZE: there is one, and nothing was done. */
static inline int dict_set_default(struct table *t, const struct table_key *key, const struct table_value *v,
                                   struct table_room *room)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_locate(t, &now, key, &rc);
    if (e != NULL)
        rc = (rc = dict_take_out(t, &e->value, room)) < 0 ? rc : 1;
    else if (rc == 0)
        rc = dict_insert(t, &now, key, v);
    return change_end(t, rc);
}

/* 1: deleted, and the value is in the room, if there is one. 0: no such key. -EMSGSIZE: nothing was done. */
static inline int dict_pop(struct table *t, const struct table_key *key, struct table_room *room)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_locate(t, &now, key, &rc);
    if (e != NULL && (room == NULL || (rc = dict_take_out(t, &e->value, room)) == 0))
        return dict_buried(t, &now, dict_bury(t, &now, e));
    return change_end(t, rc);
}

static inline int dict_delete(struct table *t, const struct table_key *key) { return dict_pop(t, key, NULL); }

/* The entry that was inserted last, or NULL. What is above it is dead. */
static inline struct dict_entry *dict_last(struct table *t, const struct dict_now *now)
{
    uint32_t at = load_relaxed(&t->header->tail);
    for (at = at < state_used(now->state) ? at : state_used(now->state); at-- > 0;)
        if (entry_lives(dict_entries(&now->rows) + at, now->state)) {
            store_relaxed(&t->header->tail, at + 1);
            return dict_entries(&now->rows) + at;
        }
    return NULL;
}

/* Deletes what was inserted last. 1: key and value are in the rooms. 0: there is nothing. -EMSGSIZE: nothing was done,
 * and both rooms say what they take. */
static inline int dict_pop_last(struct table *t, struct table_room *key, struct table_room *value)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_last(t, &now);
    if (e == NULL)
        return change_end(t, state_live(now.state) == 0 ? 0 : table_damaged(t));
    rc = dict_take_out(t, &e->value, value);
    int other = dict_take_out(t, &e->key, key);
    if (rc == 0 && (rc = other) == 0)
        return dict_buried(t, &now, dict_bury(t, &now, e));
    return change_end(t, other < 0 && other != -EMSGSIZE ? other : rc);
}

/* Stores `then` if the value is `old`. NULL stands for no key: as `old` there must be none, as `then` it is deleted.
 * 1: done. 0: the value is another. */
static inline int dict_compare_exchange(struct table *t, const struct table_key *key, const struct table_value *old,
                                        const struct table_value *then)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_locate(t, &now, key, &rc);
    if (rc < 0)
        return change_end(t, rc);
    int same = e == NULL ? old == NULL : old == NULL ? 0 : value_same(t, load_relaxed(&e->value), old);
    if (same <= 0)
        return change_end(t, same);
    if (then == NULL && e != NULL)
        return dict_buried(t, &now, dict_bury(t, &now, e));
    if (then != NULL)
        rc = e != NULL ? dict_replace(t, e, then) : dict_insert(t, &now, key, then);
    return change_end(t, rc < 0 ? rc : 1);
}

/* Adds to an int that lies in the ref, or to 0 if there is no such key. 0: *sum is what it is now. -ERANGE: the value is
 * something else, or the sum does not fit. */
static inline int dict_add(struct table *t, const struct table_key *key, int64_t n, int64_t *sum)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    struct dict_entry *e = dict_locate(t, &now, key, &rc);
    if (rc < 0)
        return change_end(t, rc);
    uint64_t ref = e == NULL ? ref_int(0) : load_relaxed(&e->value);
    if (!ref_is_int(ref) || __builtin_add_overflow(ref_number(ref), n, sum) || !table_int_fits(*sum))
        return change_end(t, -ERANGE);
    struct table_value v = {.kind = TABLE_INT, .number = *sum};
    return change_end(t, e != NULL ? dict_replace(t, e, &v) : dict_insert(t, &now, key, &v));
}

/* Deletes all. */
static inline int dict_clear(struct table *t)
{
    struct dict_now now;
    int rc = dict_begin(t, &now);
    if (rc < 0)
        return rc;
    if ((rc = dict_renew(t, &now, true)) < 0)
        return change_end(t, rc);
    return change_swept(t, dict_sweep(t, &now), 0);
}

#endif
