/* SPDX-License-Identifier: MIT */
/* What a dead participant had in a store: blocks that it owned, items that it was about to hand over. The process that
 * reaps its entry does this before the entry gets a new owner. No process waits for it. Until then the store goes on,
 * and only has less memory. Every step may be repeated.
 *
 * Where the store says REAP_KEEP, the blocks are marked as LOST instead, also those of items that were not handed over.
 * Nothing else happens to them, so any process may do it, at any time and any number of times. */
#ifndef MPFAST_STORE_REAP_H
#define MPFAST_STORE_REAP_H

#include "core/store/hold.h"
#include "core/store/walk.h"

/* Which participant is dead, of which generation, and how to ask the user about an item. Is the block of this name and
 * word what its ticket names? If it was, and was taken since, its word has changed. */
struct store_reaper {
    const struct store *store;
    uint32_t index, identity;
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

/* The block waits for the user of the store. Others may be marking it as well, so only the dead one's is touched. */
static inline void reap_keep(const struct store_reaper *r, struct block *b)
{
    uint64_t word = load_acquire(&b->word); /* pairs with reap_unpublished */
    if (block_state(word) == BLOCK_OWNED && block_participant(word) == r->index)
        cas_acqrel(&b->word, &word, block_lost(r->identity)); /* pairs with ledger_next */
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
    if (r->store->header->policy == REAP_KEEP)
        reap_keep(r, b);
    else if (large)
        reap_large(r->store, name, large_block(b));
    else
        store_release(&b->word, 0); /* pairs with block_try */
}

static inline void reap_blocks(const struct store_reaper *r)
{
    struct block_walk walk;
    struct block *b;
    uint64_t name;
    walk_begin(&walk);
    while ((b = walk_next(r->store, &walk, &name)) != NULL)
        reap_block(r, name, b);
}

static inline void store_reap(const struct store_reaper *r)
{
    struct store_header *h = r->store->header;
    reap_blocks(r);
    store_relaxed(&h->memory, memory_measure(r->store));
    eventcount_wake(&h->freed, INT_MAX); /* it may have freed, and died before it woke others */
}

#endif
