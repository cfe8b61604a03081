/* SPDX-License-Identifier: MIT */
/* A private copy of many values, so that the caller can look at them with no lock and no hurry. */
#ifndef MPFAST_TABLES_COPY_H
#define MPFAST_TABLES_COPY_H

#include "core/tables/rows.h"

/* All zeros: empty. Cells follow one another: what a cell is, and its bytes, rounded up. */
struct table_copy {
    char *data;
    uint64_t size, room;
    uint64_t at;    /* where copy_next() goes on */
    uint64_t count; /* of keys, or of items of a List */
};

struct copy_cell {
    uint64_t kind, size;
    int64_t number;
};

static inline void copy_empty(struct table_copy *c) { c->size = c->at = c->count = 0; }

static inline void copy_free(struct table_copy *c)
{
    free(c->data);
    memset(c, 0, sizeof *c);
}

static inline int copy_reserve(struct table_copy *c, uint64_t more)
{
    if (c->size + more <= c->room)
        return 0;
    uint64_t room = c->room < 1024 ? 2048 : c->room * 2;
    room = room < c->size + more ? c->size + more : room;
    char *data = room > PTRDIFF_MAX ? NULL : realloc(c->data, room);
    if (data == NULL)
        return -ENOMEM;
    c->data = data;
    c->room = room;
    return 0;
}

/* Copies what a word refers to, as ref_read does. */
static inline int copy_ref(const struct table *t, struct table_copy *c, const shared64 *word, uint64_t ref)
{
    struct table_room room = {.size = 64};
    int rc;
    do {
        if ((rc = copy_reserve(c, sizeof(struct copy_cell) + ROUND_UP(room.size, 8))) < 0)
            return rc;
        char *cell = c->data + c->size;
        room.data = cell + sizeof(struct copy_cell);
        room.room = c->room - c->size - sizeof(struct copy_cell);
        rc = ref_read(t, word, ref, &room);
    } while (rc == -EMSGSIZE);
    if (rc < 0)
        return rc;
    *(struct copy_cell *)(c->data + c->size) = (struct copy_cell){room.kind, room.size, room.number};
    c->size += sizeof(struct copy_cell) + ROUND_UP(room.size, 8);
    return 0;
}

/* The next value. Its data lie in the copy. False: there is none. */
static inline bool copy_next(struct table_copy *c, struct table_value *v)
{
    if (c->at >= c->size)
        return false;
    const struct copy_cell *cell = (const struct copy_cell *)(c->data + c->at);
    *v = (struct table_value){(uint32_t)cell->kind, cell->size, cell + 1, cell->number};
    c->at += sizeof *cell + ROUND_UP(cell->size, 8);
    return true;
}

#endif
