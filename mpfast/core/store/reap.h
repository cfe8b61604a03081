/* SPDX-License-Identifier: MIT */
/* What a dead participant had in a store: blocks that it owned, items that it was about to hand over. The process that
 * reaps its entry does this before the entry gets a new owner. No process waits for it. Until then the store goes on,
 * and only has less memory. Every step may be repeated. */
#ifndef MPFAST_STORE_REAP_H
#define MPFAST_STORE_REAP_H

#include "core/store/hold.h"

/* Which participant is dead, and how to ask the user about an item. Is the block of this name and word what its ticket
 * names? If it was, and was taken since, its word has changed. */
struct store_reaper {
    const struct store *store;
    uint32_t index;
    bool (*published)(const void *user, uint64_t name, uint64_t word);
    const void *user;
};

/* A large block that only the dead participant had. How much of its memory exists is not known. */
static inline void reap_large(const struct store *s, uint64_t name, struct large_block *b)
{
    if (!large_punch(s, name_class(name), name_index(name), b))
        add_relaxed(&s->header->idle, load_relaxed(&b->backed));
    store_release(&b->block.word, 0); /* pairs with block_try */
}

/* An item that was not handed over becomes a block of the dead participant. Only then may it be touched. */
static inline bool reap_unpublished(const struct store_reaper *r, uint64_t name, struct block *b)
{
    uint64_t word = load_acquire(&b->word); /* pairs with cell_fill */
    return block_state(word) == BLOCK_QUEUED && block_participant(word) == r->index &&
           !r->published(r->user, name, word) &&
           cas_acqrel(&b->word, &word, block_owned(r->index, NO_TICKET)); /* pairs with item_take_block */
}

static inline void reap_block(const struct store_reaper *r, uint64_t name, struct block *b)
{
    bool large = name_class(name) >= STORE_LARGE;
    uint32_t shared = large ? load_acquire(&large_block(b)->shared) : BLOCK_PRIVATE; /* pairs with hold_add */
    uint64_t word = load_acquire(&b->word);                                          /* pairs with block_try */
    if (large && hold_reap(r->store, large_block(b), r->index, shared, word))
        return;
    bool owned = block_state(word) == BLOCK_OWNED && block_participant(word) == r->index;
    if (!owned && !reap_unpublished(r, name, b))
        return;
    if (large)
        reap_large(r->store, name, large_block(b));
    else
        store_release(&b->word, 0); /* pairs with block_try */
}

/* All blocks of a class whose headers exist. Looking at others would make them. */
static inline void reap_class(const struct store_reaper *r, uint32_t class)
{
    const struct store *s = r->store;
    bool large = class >= STORE_LARGE;
    uint64_t step = large ? sizeof(struct large_block) : class_size(class);
    off_t start = (off_t)(window_offset(s->slot) + (large ? class_headers_at(class) : class_data_at(class)));
    off_t at = start, end = start + (off_t)(class_blocks(class) * step);
    while (at < end) {
        off_t data = lseek(s->family->fd, at, SEEK_DATA);
        off_t hole = data < 0 || data >= end ? -1 : lseek(s->family->fd, data, SEEK_HOLE);
        if (hole < 0)
            return;
        at = hole < end ? hole : end;
        for (off_t o = data; o < at; o += (off_t)step) {
            uint32_t i = (uint32_t)((uint64_t)(o - start) / step);
            struct block *b = block_at(s, class, i);
            if (b != NULL)
                reap_block(r, block_name(class, i), b);
        }
    }
}

static inline void store_reap(const struct store_reaper *r)
{
    struct store_header *h = r->store->header;
    for (uint32_t class = 0; class < STORE_CLASSES; class ++)
        if (load_relaxed(&h->top[class]) != 0)
            reap_class(r, class);
    store_relaxed(&h->memory, memory_measure(r->store));
    eventcount_wake(&h->freed, INT_MAX); /* it may have freed, and died before it woke others */
}

#endif
