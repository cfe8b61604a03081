/* SPDX-License-Identifier: MIT */
/* What lies where in a store of blocks, and the words that it is made of.
 *
 * A store is the memory of one large slot of the family, in which a queue keeps its items. It lies in the slot's window
 * of the family's file, behind a core that belongs to the user of the store:
 *
 *   the user's core | fields | headers of large blocks | blocks of 64 bytes | of 128 | ... | of 64 GiB
 *
 * Blocks never move and are never anything else, so that a stale reference to one always meets a block's word.
 *
 *   block:  0 = free, or OWNED, QUEUED or LOST | participant:12 (from bit 49) | ticket:49, which a take leaves as it is
 *
 * A block is LOST if its owner died, and the user of the store wants to look at such blocks itself: REAP_KEEP. Then the
 * generation of the dead participant is where the ticket was. */
#ifndef MPFAST_STORE_LAYOUT_H
#define MPFAST_STORE_LAYOUT_H

#include "core/family/participant.h"

#ifndef STORE_BLOCKS
#define STORE_BLOCKS (1u << 26) /* of one size, at most */
#endif
#define STORE_CLASSES 31 /* class c has blocks of 64 << c bytes */
#define STORE_LARGE 7    /* the first class whose headers lie apart, so that payloads begin with a page */
#ifndef STORE_CHUNK
#define STORE_CHUNK ((uint64_t)64 << 10) /* small blocks come and go in pieces of this size */
#endif
#ifndef STORE_RUN
#define STORE_RUN 64u /* blocks of the smallest sizes that a process looks through at a time: class_run() */
#endif
#ifndef STORE_HOME
#define STORE_HOME 4u /* runs at least at home */
#endif

#define BLOCK_LOW 16 /* large blocks at home: each allocation looks at all of them */

enum block_state { BLOCK_FREE, BLOCK_OWNED, BLOCK_QUEUED, BLOCK_LOST };

/* What becomes of a dead participant's blocks. They are free again, or wait for the user of the store (core/tasks). */
enum reap_policy { REAP_FREE, REAP_KEEP };

#define TICKET_MASK ((UINT64_C(1) << 49) - 1)
#define NO_TICKET TICKET_MASK /* of a block whose item was not put yet */

static inline enum block_state block_state(uint64_t word) { return (enum block_state)(word >> 61); }
static inline uint32_t block_participant(uint64_t word) { return (uint32_t)(word >> 49) & 0xfff; }
static inline uint64_t block_owned(uint32_t index, uint64_t ticket)
{
    return (uint64_t)BLOCK_OWNED << 61 | (uint64_t)index << 49 | (ticket & TICKET_MASK);
}
static inline uint64_t block_queued(uint32_t index, uint64_t ticket)
{
    return (uint64_t)BLOCK_QUEUED << 61 | (uint64_t)index << 49 | (ticket & TICKET_MASK);
}
static inline uint64_t block_lost(uint32_t identity)
{
    return (uint64_t)BLOCK_LOST << 61 | (uint64_t)identity_index(identity) << 49 | identity_generation(identity);
}
static inline bool block_word_sound(uint64_t word) { return word >> 61 <= BLOCK_LOST; }
static inline bool block_has_ticket(uint64_t word, uint64_t ticket)
{
    return block_state(word) == BLOCK_QUEUED && (word & TICKET_MASK) == (ticket & TICKET_MASK);
}

/* HELD: other processes inherited views of it by fork, or did once. CROWDED: they were more than can be named, so it is
 * never free again. Either is true for the ticket whose low bits are beside it. */
enum block_sharing { BLOCK_PRIVATE, BLOCK_HELD, BLOCK_CROWDED };

static inline enum block_sharing block_sharing(uint32_t shared) { return (enum block_sharing)(shared & 3); }
static inline uint32_t block_shared(enum block_sharing sharing, uint64_t word)
{
    return (uint32_t)sharing | (uint32_t)(word & 0x3fffffff) << 2;
}

/* In front of a small block's payload. */
struct block {
    shared64 word;
    shared64 about; /* kind:8 | size of the payload:56. Written by the owner, published with the ticket */
};

#define BLOCK_HOLDERS 16

/* A large block's, in a table. */
struct large_block {
    struct block block;
    shared64 backed;                 /* bytes of the payload that exist in memory. The owner's */
    shared32 punched;                /* how often its memory was given back: what others mapped is gone then */
    shared32 shared;                 /* block_shared(). A process that prepares a block clears it */
    shared16 holders[BLOCK_HOLDERS]; /* participants with views of it, once it is HELD. 0: none */
};

_Static_assert(sizeof(struct block) == 16 && sizeof(struct large_block) == 64, "headers of blocks");

/* Where processes look for free blocks of a class, and how large that part is: see sweep.h. It is advice. */
struct field {
    shared64 sweep;  /* next:22 | end:22 | used:20 */
    shared32 limit;  /* the block at which the field ends */
    shared32 reach;  /* how far the sweeps went lately, in blocks of the field, */
    shared32 before; /* and before that */
    uint32_t unused[11];
};

struct fields {
    struct field of[STORE_CLASSES];
    shared64 reviewed; /* CLOCK_MONOTONIC, nanoseconds */
};

_Static_assert(sizeof(struct field) == 64 && sizeof(struct fields) <= FAMILY_PAGE, "a line each, in one page");

/* The part of a slot's header that is about the store. What changes with every large block comes first, and what every
 * call reads comes last. So they are in different cache lines. */
struct store_header {
    shared64 memory;             /* about how many bytes of blocks exist */
    shared64 idle;               /* about how many of them are in large blocks that are free */
    shared32 top[STORE_CLASSES]; /* blocks at or above it are most likely free, or were never used */
    shared32 freed;              /* the eventcount of calls that wait for memory */
    shared32 broken;             /* something in the slot or its window was not what the algorithm says */
    uint32_t policy;             /* enum reap_policy, as it was before the slot was shared */
    uint64_t budget;             /* bytes of memory for blocks. 0: as much as there is */
};

static inline uint64_t class_size(uint32_t class) { return UINT64_C(64) << class; }
static inline uint32_t class_blocks(uint32_t class)
{
    uint64_t most = UINT64_C(1) << (34 - class);
    return most < STORE_BLOCKS ? (uint32_t)most : STORE_BLOCKS;
}
static inline uint64_t class_headers_at(uint32_t class) { return (UINT64_C(64) + class) << 32; }
static inline uint64_t class_data_at(uint32_t class) { return (UINT64_C(1) + class) << 40; }
static inline uint64_t class_capacity(uint32_t class)
{
    return class < STORE_LARGE ? class_size(class) - sizeof(struct block) : class_size(class);
}

/* Blocks of a run: a power of two. A class has up to 2^22 runs. */
static inline uint32_t class_run(uint32_t class)
{
    uint32_t fewer = class < 3 ? 0 : class == 3 ? 1 : class < 9 ? 2 : class - 6;
    return fewer < 32 && STORE_RUN >> fewer != 0 ? STORE_RUN >> fewer : 1;
}

/* Blocks that come and go together. */
static inline uint32_t class_piece(uint32_t class)
{
    uint32_t run = class_run(class), chunk = class < STORE_LARGE ? (uint32_t)(STORE_CHUNK >> (class + 6)) : 0;
    return chunk > run ? chunk : run;
}

/* The lowest blocks: a queue with few items needs no others. */
static inline uint32_t class_home(uint32_t class)
{
    uint32_t runs = STORE_HOME * class_run(class), piece = class_piece(class);
    uint32_t home = class < STORE_LARGE ? (runs > piece ? runs : piece) : BLOCK_LOW;
    return home < class_blocks(class) ? home : class_blocks(class);
}

/* Where the piece ends that this block is in, or that ends before it. */
static inline uint32_t piece_end(uint32_t class, uint32_t index)
{
    uint32_t end = ROUND_UP(index, class_piece(class));
    return end < class_blocks(class) ? end : class_blocks(class);
}

/* The class for a payload of `size` bytes. STORE_CLASSES: there is none. */
static inline uint32_t class_for(uint64_t size)
{
    if (size <= class_capacity(STORE_LARGE - 1))
        return size <= 48 ? 0 : 58 - (uint32_t)__builtin_clzll(size + 15);
    if (size > class_size(STORE_CLASSES - 1))
        return STORE_CLASSES;
    return size <= class_size(STORE_LARGE) ? STORE_LARGE : 58 - (uint32_t)__builtin_clzll(size - 1);
}

_Static_assert(WINDOW_WORDS == (UINT64_C(1) + STORE_LARGE) << 40, "no words among the payloads of large blocks");
_Static_assert(WINDOW_SIZE >= (UINT64_C(1) + STORE_CLASSES) << 40, "a window has room for all classes");
#define STORE_CORE_MOST (UINT64_C(64) << 32) /* bytes that a user's core may take */

/* The 34 bits that name a block. */
static inline uint64_t block_name(uint32_t class, uint32_t index) { return (uint64_t)class << 29 | index; }
static inline uint32_t name_class(uint64_t name) { return (uint32_t)(name >> 29); }
static inline uint32_t name_index(uint64_t name) { return (uint32_t)name & 0x1fffffff; }
static inline bool name_valid(uint64_t name)
{
    return name_class(name) < STORE_CLASSES && name_index(name) < class_blocks(name_class(name));
}

#endif
