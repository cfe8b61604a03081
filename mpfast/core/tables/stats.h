/* SPDX-License-Identifier: MIT */
/* What a Dict or List takes, for people. */
#ifndef MPFAST_TABLES_STATS_H
#define MPFAST_TABLES_STATS_H

#include "core/tables/dict.h"
#include "core/tables/list.h"

struct table_stats {
    uint64_t live;  /* keys or items */
    uint64_t used;  /* entries of the rows that are taken, by what is dead too */
    uint64_t index; /* entries that the rows have room for */
    uint64_t bytes; /* of blocks in use */
    uint64_t idle;  /* of free large blocks that have memory */
    uint32_t repairs;
    bool broken;
};

/* As far as can be seen without the lock. */
static inline void table_stats(const struct table *t, struct table_stats *s)
{
    struct rows r;
    memset(s, 0, sizeof *s);
    if (root_sound(load_relaxed(&t->header->root)) && rows_now(t, &r) == 0) {
        uint64_t state = load_relaxed(r.state);
        bool dict = t->header->form == TABLE_DICT;
        s->live = dict ? state_live(state) : state;
        s->used = dict ? state_used(state) : state;
        s->index = dict ? dict_capacity(root_level(r.root)) : list_capacity(root_level(r.root));
    }
    s->bytes = load_relaxed(&t->header->used);
    s->idle = load_relaxed(&t->header->idle);
    s->repairs = load_relaxed(&t->header->repairs);
    s->broken = table_broken(t);
}

#endif
