/* SPDX-License-Identifier: MIT */
/* A Dict as its readers see it. They take no lock and write nothing.
 *
 *   rows:   state | 7 words unused | index | entries in the order of insertion
 *   state:  used:32 | live:32          what lies at or above `used` is not there yet
 *   index:  0 | tag of the hash:32 | entry + 1:32        words are only ever added, so that a search has an end
 *   entry:  hash | key ref | value ref | dead            `dead`: the number of the entry that says so, + 1
 *
 * What an operation commits by, if it is not the root:
 *
 *   a new key              an entry above `used`, then a word of the index, then the state
 *   a value of an old key  the entry's value ref
 *   a deletion             a note above `used`, to which the entry's `dead` points, then the state
 *
 * So the length, the order and the content change at once. Algorithms: the compact dict of Raymond Hettinger, with the
 * commits of this file. */
#ifndef MPFAST_TABLES_DICT_H
#define MPFAST_TABLES_DICT_H

#include "core/tables/rows.h"

struct dict_entry {
    shared64 hash;
    shared64 key; /* 0: a note of a deletion */
    shared64 value;
    shared64 dead;
};

struct table_key {
    uint64_t hash, size;
    const char *data;
};

static inline struct table_key table_key(const struct table *t, const void *data, uint64_t size)
{
    return (struct table_key){words_hash(t->header->seed, data, size), size, data};
}

static inline uint64_t dict_state(uint32_t used, uint32_t live) { return (uint64_t)used << 32 | live; }
static inline uint32_t state_used(uint64_t state) { return (uint32_t)(state >> 32); }
static inline uint32_t state_live(uint64_t state) { return (uint32_t)state; }

static inline uint32_t dict_capacity(uint32_t level) { return (1u << level) / 8 * 5; }
static inline shared64 *dict_index(const struct rows *r) { return r->state + 8; }
static inline struct dict_entry *dict_entries(const struct rows *r)
{
    return (struct dict_entry *)(dict_index(r) + (UINT64_C(1) << root_level(r->root)));
}
_Static_assert(64 + (8u << TABLE_LEVEL_MIN) + 32 * ((1u << TABLE_LEVEL_MIN) / 8 * 5) <= 32u << TABLE_LEVEL_MIN,
               "the rows of a level fit into its place");

/* Was the entry alive in this state? Its `dead` may be from a deletion that is not committed. */
static inline bool entry_alive(const struct dict_entry *e, uint64_t state)
{
    uint64_t dead = load_acquire(&e->dead); /* pairs with dict_bury */
    return dead == 0 || dead > state_used(state);
}

/* 1: it is the key. 0: it is not, or the block has another use by now. */
static inline int entry_has_key(const struct table *t, const struct dict_entry *e, const struct table_key *key)
{
    uint64_t ref = load_acquire(&e->key); /* pairs with dict_insert */
    shared64 *about, *payload;
    int rc = ref & REF_IMMEDIATE || ref == 0 ? -EBADMSG : ref_place(t, ref, &about, &payload);
    if (rc < 0)
        return rc == -EBADMSG ? 0 : rc;
    return load_acquire(about) == about_make(0, key->size) && /* pairs with value_write */
           key->size <= blocks_capacity(ref_class(ref)) && words_same(payload, key->data, key->size);
}

/* The entry of the key in a state of these rows. NULL: there is none, or *rc says why it could not be looked for. */
static inline struct dict_entry *dict_find(const struct table *t, const struct rows *r, uint64_t state,
                                           const struct table_key *key, int *rc)
{
    shared64 *index = dict_index(r);
    struct dict_entry *entries = dict_entries(r);
    uint64_t mask = (UINT64_C(1) << root_level(r->root)) - 1, used = state_used(state);
    used = used < dict_capacity(root_level(r->root)) ? used : dict_capacity(root_level(r->root));
    for (uint64_t i = key->hash & mask, n = 0; n <= mask; i = (i + 1) & mask, n++) {
        uint64_t word = load_acquire(index + i), at = (word & 0xffffffff) - 1; /* pairs with index_add */
        if (word == 0)
            break;
        if (word >> 32 != key->hash >> 32 || at >= used)
            continue;
        struct dict_entry *e = entries + at;
        if (load_acquire(&e->hash) != key->hash || !entry_alive(e, state)) /* pairs with dict_insert */
            continue;
        int same = entry_has_key(t, e, key);
        if (same == 0)
            continue;
        *rc = same < 0 ? same : 0;
        return same < 0 ? NULL : e;
    }
    *rc = 0;
    return NULL;
}

/* room NULL: only whether the key is there. */
static inline int dict_try_get(const struct table *t, const struct table_key *key, struct table_room *room)
{
    struct rows r;
    int rc = rows_now(t, &r);
    if (rc < 0)
        return rc;
    uint64_t state = load_acquire(r.state); /* pairs with dict_commit */
    struct dict_entry *e = dict_find(t, &r, state, key, &rc);
    if (e != NULL) {
        uint64_t ref = load_acquire(&e->value); /* pairs with dict_replace, and dict_bury: the key was the key's then */
        rc = ref == 0 ? -EAGAIN : room == NULL ? 0 : ref_read(t, &e->value, ref, room);
        rc = rc == 0 ? 1 : rc;
    }
    return rows_result(t, &r, rc);
}

/* 1: the value is in the room. 0: there is no such key. -EAGAIN: writers were too fast, so take the lock and ask again.
 * Then -EAGAIN means damage. -EMSGSIZE, -EBADMSG, -ENOMEM, -EBADF. */
static inline int dict_get(const struct table *t, const struct table_key *key, struct table_room *room)
{
    int rc = -EAGAIN;
    for (int n = 0; n < TABLE_TRIES && rc == -EAGAIN; n++)
        rc = unlikely(table_broken(t)) ? -EBADMSG : dict_try_get(t, key, room);
    return rc;
}

/* As dict_get, without the value. */
static inline int dict_contains(const struct table *t, const struct table_key *key) { return dict_get(t, key, NULL); }

/* The number of keys, or -EBADMSG, -ENOMEM, -EBADF, -EAGAIN. */
static inline int64_t dict_length(const struct table *t)
{
    for (int n = 0; n < TABLE_TRIES; n++) {
        struct rows r;
        int rc = table_broken(t) ? -EBADMSG : rows_now(t, &r);
        if (rc < 0)
            return rc;
        uint64_t state = load_acquire(r.state); /* pairs with dict_commit */
        if (rows_still(t, &r))
            return state_live(state) <= state_used(state) ? (int64_t)state_live(state) : table_damaged(t);
    }
    return -EAGAIN;
}

#endif
