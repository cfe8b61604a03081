/* SPDX-License-Identifier: MIT */
/* Pins: blocks that views keep after their items were taken, also the views that a forked child inherits.
 *
 * The owner of a pinned block is the process that took it. Before it forks, it names itself and the child among the
 * block's holders. Each holder does so for its own children. A process that has done with a block leaves the holders,
 * and then settles the block. If the owner is not a holder, settling makes some holder the owner, or frees the block if
 * there is no holder. A process that reaps another settles all blocks that were shared. So the block is settled after
 * each holder has left, and the last to settle it meets no holder. A slow process may meet a block that is used for the
 * item of another ticket by now, and perhaps shared again. So it acts only on words with the ticket that it knows to be
 * shared. */
#ifndef MPFAST_STORE_HOLD_H
#define MPFAST_STORE_HOLD_H

#include "core/store/memory.h"

static inline bool hold_has(const struct large_block *b, uint32_t participant)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++)
        if (load_seq(&b->holders[i]) == participant) /* pairs with the CAS in hold_leave */
            return true;
    return false;
}

static inline void hold_leave(struct large_block *b, uint32_t participant)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++) {
        uint16_t seen = (uint16_t)participant;
        if (load_relaxed(&b->holders[i]) == participant)
            cas_seq(&b->holders[i], &seen, 0); /* pairs with hold_has */
    }
}

/* Some holder of the block, 0: none. */
static inline uint32_t hold_any(const struct large_block *b)
{
    for (int i = 0; i < BLOCK_HOLDERS; i++) {
        uint32_t participant = load_seq(&b->holders[i]);           /* pairs with the CAS in hold_leave */
        if (participant != 0 && participant < FAMILY_PARTICIPANTS) /* else damage: it would never be the owner */
            return participant;
    }
    return 0;
}

/* Has the owner of the block shared it since it took it? Then it was a holder before that. The word was read after the
 * block's `shared`. The other way round, the block may have been shared anew for another item in between. */
static inline bool hold_shared(uint32_t shared, uint64_t word)
{
    return block_state(word) == BLOCK_OWNED && (word & TICKET_MASK) != NO_TICKET &&
           block_sharing(shared) != BLOCK_PRIVATE && shared == block_shared(block_sharing(shared), word);
}

/* The participant is this process, which uses the block, or a child to be. 0 is a child that we cannot name. Add this
 * process first. */
static inline void hold_add(struct large_block *b, uint32_t participant)
{
    uint64_t word = load_relaxed(&b->block.word);
    bool added = participant != 0 && hold_has(b, participant);
    for (int i = 0; participant != 0 && !added && i < BLOCK_HOLDERS; i++) {
        uint16_t nobody = 0;
        added = cas_seq(&b->holders[i], &nobody, (uint16_t)participant); /* pairs with hold_has */
    }
    if (!added || !hold_shared(load_relaxed(&b->shared), word)) /* pairs with reap_block, which sees the holder then */
        store_release(&b->shared, block_shared(added ? BLOCK_HELD : BLOCK_CROWDED, word));
}

/* The holder, this process, becomes the owner, after it has named its child. Another process may have looked through
 * the holders and met neither, the child because it came too late, the holder because it has left. Its CAS finds
 * another word then. */
static inline void hold_claim(struct large_block *b, uint32_t holder)
{
    uint64_t word = load_relaxed(&b->block.word);
    while (block_participant(word) != holder &&
           !cas_seq(&b->block.word, &word, block_owned(holder, word))) /* pairs with the CAS in hold_settle */
        ;
}

/* Has the block of this ticket an owner that is a holder? Also true if the block is free, or used for another item. */
static inline bool hold_settled(const struct large_block *b, uint64_t word, uint64_t ticket)
{
    uint32_t owner = block_participant(word);
    return word != block_owned(owner, ticket) || hold_has(b, owner);
}

/* Any process may do this for a block that was shared, at any time and any number of times. */
static inline void hold_settle(const struct store *s, struct large_block *b, uint64_t ticket)
{
    uint64_t word = load_seq(&b->block.word); /* pairs with the CAS of others in hold_settle */
    while (block_sharing(load_relaxed(&b->shared)) != BLOCK_CROWDED && !hold_settled(b, word, ticket)) {
        uint64_t backed = load_relaxed(&b->backed);
        uint32_t next = hold_any(b);
        uint64_t then = next == 0 ? 0 : block_owned(next, ticket);
        if (!cas_seq(&b->block.word, &word, then)) /* pairs with block_try, and with the load above, in hold_settle */
            continue;
        word = then;
        if (then == 0) {
            add_relaxed(&s->header->idle, backed);
            eventcount_notify(&s->header->freed, 1);
        }
    }
}

/* The participant, which is alive, has done with the block. */
static inline void hold_end(const struct store *s, struct large_block *b, uint32_t participant)
{
    uint64_t word = load_seq(&b->block.word); /* pairs with block_try, while the block cannot be free */
    hold_leave(b, participant);
    hold_settle(s, b, word & TICKET_MASK);
}

/* The participant is dead. False: the block was not shared when it had this word. */
static inline bool hold_reap(const struct store *s, struct large_block *b, uint32_t participant, uint32_t shared,
                             uint64_t word)
{
    hold_leave(b, participant);
    if (!hold_shared(shared, word))
        return false;
    hold_settle(s, b, word & TICKET_MASK);
    return true;
}

static inline struct large_block *pinned_block(const struct store *s, uint64_t name)
{
    return large_block(block_at(s, name_class(name), name_index(name)));
}

/* From now on, views of an item that was taken keep its block. Called instead of item_release. -EINVAL: the block is
 * small, copy it. */
static inline int item_pin(struct store *s, const struct store_item *item)
{
    if (item->block == NO_BLOCK || name_class(item->block) < STORE_LARGE)
        return -EINVAL;
    int rc = 0;
    pthread_mutex_lock(&s->family->mutex);
    if (s->pinned == s->pins_size) {
        size_t size = s->pins_size == 0 ? 16 : 2 * s->pins_size;
        uint64_t *grown = realloc(s->pins, size * sizeof *grown);
        rc = grown == NULL ? -ENOMEM : 0;
        if (grown != NULL) {
            s->pins = grown;
            s->pins_size = size;
        }
    }
    if (rc == 0)
        s->pins[s->pinned++] = item->block;
    pthread_mutex_unlock(&s->family->mutex);
    return rc;
}

/* The last view is gone, in this process. */
static inline void item_unpin(struct store *s, const struct store_item *item)
{
    pthread_mutex_lock(&s->family->mutex);
    for (size_t i = 0; i < s->pinned; i++)
        if (s->pins[i] == item->block) {
            s->pins[i] = s->pins[--s->pinned];
            break;
        }
    struct large_block *b = pinned_block(s, item->block);
    if (family_me(s->family) != 0)
        hold_end(s, b, store_me(s));
    pthread_mutex_unlock(&s->family->mutex);
}

/* This process is about to fork. The child keeps what our views keep. The caller holds the family's mutex. */
static inline void stores_fork(const struct family *f, uint32_t child)
{
    for (struct store *s = f->stores; s != NULL; s = s->next)
        for (size_t i = 0; i < s->pinned; i++) {
            struct large_block *b = pinned_block(s, s->pins[i]);
            hold_add(b, store_me(s));
            hold_add(b, child);
            if (child != 0)
                hold_claim(b, store_me(s));
        }
}

#endif
