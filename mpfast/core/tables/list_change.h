/* SPDX-License-Identifier: MIT */
/* How a List is changed. The caller holds the lock, as for a Dict (dict_change.h), and errors are the same. */
#ifndef MPFAST_TABLES_LIST_CHANGE_H
#define MPFAST_TABLES_LIST_CHANGE_H

#include "core/tables/list.h"

struct list_now {
    struct rows rows;
    uint64_t length;
};

/* What becomes of the items: [at:at+gone] are replaced by n new ones, or all are turned round. */
struct list_plan {
    uint64_t at, gone;
    const uint64_t *refs;
    uint64_t n;
    bool reverse;
};

static inline int list_now(const struct table *t, struct list_now *now)
{
    int rc = rows_now(t, &now->rows);
    if (rc < 0)
        return rc;
    now->length = load_relaxed(now->rows.state);
    return now->length <= list_capacity(root_level(now->rows.root)) ? 0 : table_damaged(t);
}

static inline void list_write(shared64 *word, uint64_t ref)
{
    store_release(word, ref); /* pairs with list_read, ref_read and list_try_copy */
}

static inline void list_commit(const struct rows *r, uint64_t length)
{
    store_release(r->state, length); /* pairs with list_read, list_try_get, list_length and list_try_copy */
}

static inline int list_level(uint64_t length)
{
    int level = TABLE_LEVEL_MIN;
    while (level < TABLE_LEVEL_MAX && list_capacity((uint32_t)level) < length + length / 4 + 1)
        level++;
    return list_capacity((uint32_t)level) >= length ? level : -ENOSPC;
}

static inline void list_fill(const struct list_now *from, const struct rows *to, const struct list_plan *plan)
{
    shared64 *old = list_items(&from->rows), *new = list_items(to);
    uint64_t tag = root_tag(to->root), k = 0, length = from->length;
    for (uint64_t i = 0; i < plan->at; i++)
        list_write(new + k++, ref_with_tag(load_relaxed(old + (plan->reverse ? length - 1 - i : i)), ++tag));
    for (uint64_t i = 0; i < plan->n; i++)
        list_write(new + k++, plan->refs[i]);
    for (uint64_t i = plan->at + plan->gone; i < length; i++)
        list_write(new + k++, ref_with_tag(load_relaxed(old + i), ++tag));
}

/* The rows anew, with room for `more` items besides. What is gone is the caller's to give back, from the old rows. */
static inline int list_renew(const struct table *t, struct list_now *now, const struct list_plan *plan, uint64_t more)
{
    uint64_t length = now->length - plan->gone + plan->n, old = now->rows.root;
    int level = list_level(length + more), rc;
    struct rows fresh;
    if (level < 0)
        return level;
    if ((rc = rows_of(t, rows_fresh(t, old, (uint32_t)level, now->length), &fresh)) < 0)
        return rc;
    list_fill(now, &fresh, plan);
    list_commit(&fresh, length);
    rows_commit(t, fresh.root);
    now->rows = fresh;
    now->length = length;
    return 0;
}

/* The same items in new rows. */
static inline int list_refresh(const struct table *t, struct list_now *now, uint64_t more)
{
    const struct list_plan same = {.at = now->length};
    uint64_t old = now->rows.root;
    int rc = list_renew(t, now, &same, more);
    if (rc == 0)
        rows_left(t, old, now->rows.root);
    return rc;
}

static inline int list_sweep(const struct table *t, const struct list_now *now)
{
    struct marks s;
    int rc = marks_begin(t, &s);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < now->length && rc == 0; i++)
        rc = marks_add(t, &s, load_relaxed(list_items(&now->rows) + i));
    if (rc == 0)
        return marks_end(t, &s);
    marks_free(&s);
    return rc;
}

/* The last writer was killed: dict_mend() says what that means. */
static inline int list_mend(struct table *t)
{
    struct list_now now;
    int rc = list_now(t, &now);
    if (rc < 0 || (rc = list_refresh(t, &now, 0)) < 0)
        return rc;
    rows_only(t, now.rows.root);
    return list_sweep(t, &now);
}

static inline int list_begin(struct table *t, struct list_now *now)
{
    int rc = change_begin(t, list_mend);
    if (rc < 0)
        return rc;
    rc = list_now(t, now);
    if (rc == 0 && rows_worn(t, now->rows.root))
        rc = list_refresh(t, now, 0);
    return rc == 0 ? 0 : change_end(t, rc);
}

static inline void list_give(const struct table *t, const struct rows *r, uint64_t at, uint64_t n)
{
    for (uint64_t i = at; i < at + n; i++) {
        uint64_t ref = load_relaxed(list_items(r) + i);
        list_write(list_items(r) + i, 0);
        table_give(t, ref);
    }
}

/* Refs for new values. The caller frees them. None is made if that fails. */
static inline int list_refs(const struct table *t, const struct table_value *values, uint64_t n, uint64_t **refs)
{
    *refs = n > PTRDIFF_MAX / 8 ? NULL : malloc(n * 8 + 8);
    int rc = *refs == NULL ? -ENOMEM : 0;
    uint64_t made = 0;
    while (rc == 0 && made < n && (rc = value_new(t, values + made, *refs + made)) == 0)
        made++;
    if (rc == 0)
        return 0;
    while (made > 0)
        table_give(t, (*refs)[--made]);
    free(*refs);
    return rc;
}

static inline int list_append_refs(const struct table *t, struct list_now *now, const uint64_t *refs, uint64_t n)
{
    if (n > list_capacity(TABLE_LEVEL_MAX))
        return -ENOSPC;
    int rc = now->length + n <= list_capacity(root_level(now->rows.root)) ? 0 : list_refresh(t, now, n);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < n; i++)
        list_write(list_items(&now->rows) + now->length + i, refs[i]);
    list_commit(&now->rows, now->length += n);
    return 0;
}

/* Removes [at:at+gone] and puts the refs there. */
static inline int list_put_refs(const struct table *t, struct list_now *now, uint64_t at, uint64_t gone,
                                const uint64_t *refs, uint64_t n)
{
    struct rows old = now->rows;
    const struct list_plan plan = {.at = at, .gone = gone, .refs = refs, .n = n};
    bool end = n == 0 && at + gone == now->length;
    int rc = 0;
    if (gone == 0 && at == now->length)
        return list_append_refs(t, now, refs, n);
    for (uint64_t i = at; i < at + gone && rc == 0; i++)
        rc = table_reach(t, load_relaxed(list_items(&old) + i));
    if (rc < 0)
        return rc;
    if (!end || rows_wide(old.root, list_capacity(root_level(old.root)), at))
        rc = list_renew(t, now, &plan, 0);
    if (end && now->rows.root == old.root) { /* they are not too large, or there is no room for others */
        list_commit(&old, now->length = at);
        rc = 0;
    }
    if (rc < 0)
        return rc;
    list_give(t, &old, at, gone);
    rows_left(t, old.root, now->rows.root);
    return 0;
}

/* Ends a change. If the List is far smaller than it was before, in the rows of that root, memory may go back. */
static inline int list_end(struct table *t, const struct list_now *now, uint64_t before, int rc)
{
    bool fewer = now->length == 0 || root_level(now->rows.root) + 3 <= root_level(before);
    if (likely(rc < 0 || !fewer || !marks_may_help(t)))
        return change_end(t, rc);
    return change_swept(t, list_sweep(t, now), rc);
}

/* l[at:at+gone] = values, as far as there are items. 0. */
static inline int list_splice(struct table *t, uint64_t at, uint64_t gone, const struct table_value *values, uint64_t n)
{
    struct list_now now;
    uint64_t *refs;
    int rc = list_begin(t, &now);
    if (rc < 0)
        return rc;
    uint64_t root = now.rows.root;
    at = at < now.length ? at : now.length;
    gone = gone < now.length - at ? gone : now.length - at;
    if ((rc = list_refs(t, values, n, &refs)) < 0)
        return change_end(t, rc);
    rc = list_put_refs(t, &now, at, gone, refs, n);
    for (uint64_t i = n; rc < 0 && i > 0; i--)
        table_give(t, refs[i - 1]);
    free(refs);
    return list_end(t, &now, root, rc);
}

/* Puts the values at the end, all at once. */
static inline int list_extend(struct table *t, const struct table_value *values, uint64_t n)
{
    return list_splice(t, UINT64_MAX, 0, values, n);
}

static inline int list_append(struct table *t, const struct table_value *v)
{
    struct list_now now;
    uint64_t ref;
    int rc = list_begin(t, &now);
    if (rc < 0)
        return rc;
    if ((rc = value_new(t, v, &ref)) == 0 && (rc = list_append_refs(t, &now, &ref, 1)) < 0)
        table_give(t, ref);
    return change_end(t, rc);
}

/* 1. 0: there is no such item. */
static inline int list_set(struct table *t, int64_t i, const struct table_value *v)
{
    struct list_now now;
    uint64_t ref;
    int rc = list_begin(t, &now);
    if (rc < 0)
        return rc;
    uint64_t at = list_place(i, now.length);
    if (at >= now.length)
        return change_end(t, 0);
    shared64 *word = list_items(&now.rows) + at;
    uint64_t old = load_relaxed(word);
    if ((rc = table_reach(t, old)) < 0 || (rc = value_new(t, v, &ref)) < 0)
        return change_end(t, rc);
    list_write(word, ref);
    table_give(t, old);
    return change_end(t, 1);
}

/* 1: deleted, and in the room. 0: there is no such item. -EMSGSIZE: nothing was done. */
static inline int list_pop(struct table *t, int64_t i, struct table_room *room)
{
    struct list_now now;
    int rc = list_begin(t, &now);
    if (rc < 0)
        return rc;
    uint64_t at = list_place(i, now.length), root = now.rows.root;
    if (at >= now.length)
        return change_end(t, 0);
    const shared64 *word = list_items(&now.rows) + at;
    rc = ref_read(t, word, load_relaxed(word), room);
    if (rc == -EBADMSG || rc == -EAGAIN)
        rc = table_damaged(t);
    if (rc == 0)
        rc = list_put_refs(t, &now, at, 1, NULL, 0);
    return list_end(t, &now, root, rc == 0 ? 1 : rc);
}

static inline int list_reverse(struct table *t)
{
    struct list_now now;
    int rc = list_begin(t, &now);
    if (rc < 0)
        return rc;
    const struct list_plan plan = {.at = now.length, .reverse = true};
    uint64_t old = now.rows.root;
    rc = list_renew(t, &now, &plan, 0);
    if (rc == 0)
        rows_left(t, old, now.rows.root);
    return change_end(t, rc);
}

#endif
