/* SPDX-License-Identifier: MIT */
/* The ledger of a pool's rings: what dead workers had.
 *
 * The word of a block says which participant has it. A process that reaps a participant marks its blocks in the rings as
 * LOST, and does nothing else to them (store/reap.h). Then the entry is given back, and its index may be used again. The
 * pool's process marks by itself as well, since another process that is reaping the worker may be stopped in the middle.
 *
 * To settle the death of a worker, the pool holds its mutex and does this in turn. It marks what the worker had in both
 * rings. It drains the result ring. It delivers the counted cells of the worker's lost result blocks. Only then it looks
 * at the worker's lost task blocks. Claimed elements without an outcome died, which is one at most. The unclaimed rest is
 * put again in the same block. At last the pool reaps the participant, wakes workers, and starts another.
 *
 * Lost blocks of other workers are left alone meanwhile. A process that reaps one of them may have come to its task, and
 * not to its results. */
#ifndef MPFAST_TASKS_LEDGER_H
#define MPFAST_TASKS_LEDGER_H

#include "core/queue/reap.h"
#include "core/tasks/results.h"

/* Marks what a dead worker had in a ring, also blocks that it was about to put. If its entry was given back, all is marked
 * already, and the index may be another's. If it was not, the index stays the dead one's as long as the caller holds the
 * mutex. So a worker must have its entry before the pool gives the mutex back that it held to start the worker. */
static inline void ledger_mark(const struct queue *ring, uint32_t identity)
{
    uint32_t index = identity_index(identity);
    if (index == 0 || index >= FAMILY_PARTICIPANTS || index == queue_me(ring))
        return;
    uint64_t state = load_acquire(&ring->store.family->participants[index].state); /* pairs with reap_entry */
    struct store_reaper reaper = {&ring->store, index, identity, block_published, ring};
    if (state_generation(state) == identity_generation(identity))
        reap_blocks(&reaper);
}

/* The worker's next lost block after walk_begin, or after the one before. It stays lost until it is put again or given
 * back, so whatever interrupts the caller, the next walk finds it. 0: there is none. -EBADMSG or -ENOMEM: as a take. */
static inline int ledger_next(const struct queue *ring, uint32_t identity, struct block_walk *walk,
                              struct store_item *item)
{
    struct block *b;
    uint64_t name;
    while ((b = walk_next(&ring->store, walk, &name)) != NULL) {
        if (load_acquire(&b->word) != block_lost(identity)) /* pairs with reap_keep */
            continue;
        int rc = item_describe(&ring->store, b, name, item);
        if (rc == 0 && name_class(name) >= STORE_LARGE && load_relaxed(&large_block(b)->backed) == 0)
            item->size = 0; /* its owner died before it had memory, which reading would make */
        return rc < 0 ? rc : 1;
    }
    return 0;
}

/* Puts a lost task block again, with the elements [next, end), as task_deal. After an error it is lost as before. */
static inline int ledger_again(struct queue *tasks, const struct store_item *item, uint32_t next, uint32_t end)
{
    struct block *b = block_at(&tasks->store, name_class(item->block), name_index(item->block));
    uint64_t lost = load_relaxed(&b->word);
    int rc = task_deal(tasks, item, next, end);
    if (rc < 0)                        /* its word may say that it is about to be put */
        store_release(&b->word, lost); /* pairs with ledger_next */
    return rc;
}

#endif
