/* SPDX-License-Identifier: MIT */
/* What lies where in a queue, and the words that it is made of.
 *
 * The header is a large slot of the family; everything else lies in the slot's window of the family's file:
 *
 *   directory | segment states | segments | headers of large blocks | blocks of 64 bytes | of 128 | ... | of 64 GiB
 *
 * Items have tickets, 0, 1, 2, ... A page is the cells of 512 tickets in a row. It lives in a segment, which the
 * directory names, from the first put to its tickets until the last of them is taken; then the segment serves another
 * page. Blocks never move and are never anything else, so that a stale reference to one always meets a block's word.
 *
 *   cell:   kind:2 = EMPTY or TAKEN | page + 1:62,  or  kind:2 = BLOCK or VALUE | what:34 | tag of the page:28
 *   block:  0 = free, or OWNED or QUEUED | participant:12 (from bit 49) | ticket:49, which stays when the item is taken
 *   segment state:  0 = free, or LIVE | page:48, or INIT | participant:12 (from bit 48) | page:48 */
#ifndef MPFAST_QUEUE_LAYOUT_H
#define MPFAST_QUEUE_LAYOUT_H

#include "family.h"
#include "spin.h"

#ifndef QUEUE_PAGE_BITS
#define QUEUE_PAGE_BITS 9
#endif
#ifndef QUEUE_DIRECTORY
#define QUEUE_DIRECTORY (1u << 17) /* pages in use at a time: 67 million items */
#endif
#ifndef QUEUE_BLOCKS
#define QUEUE_BLOCKS (1u << 26) /* of one size, at most */
#endif
#define QUEUE_PAGE_TICKETS (1u << QUEUE_PAGE_BITS)
#define QUEUE_SEGMENTS (QUEUE_DIRECTORY + FAMILY_PARTICIPANTS)
#define QUEUE_CLASSES 31 /* class c has blocks of 64 << c bytes */
#define QUEUE_LARGE 7    /* the first class whose headers lie apart, so that payloads begin with a page */
#define QUEUE_WATCHERS 8

_Static_assert(QUEUE_SEGMENTS < 1u << 20, "a directory entry has 20 bits for the segment");

enum cell_kind { CELL_EMPTY, CELL_BLOCK, CELL_VALUE, CELL_TAKEN };

static inline uint64_t ticket_page(uint64_t ticket) { return ticket >> QUEUE_PAGE_BITS; }
static inline uint64_t page_tag(uint64_t page) { return (page + 1) & 0xfffffff; }

static inline enum cell_kind cell_kind(uint64_t cell) { return (enum cell_kind)(cell & 3); }
static inline uint64_t cell_what(uint64_t cell) { return cell >> 2 & 0x3ffffffff; }
static inline uint64_t cell_empty(uint64_t page) { return (page + 1) << 2 | CELL_EMPTY; }
static inline uint64_t cell_taken(uint64_t page) { return (page + 1) << 2 | CELL_TAKEN; }
static inline uint64_t cell_make(enum cell_kind kind, uint64_t page, uint64_t what)
{
    return page_tag(page) << 36 | what << 2 | (uint64_t)kind;
}

/* Does the cell belong to this page, or to another that has the segment now? */
static inline bool cell_of_page(uint64_t cell, uint64_t page)
{
    if (cell_kind(cell) == CELL_BLOCK || cell_kind(cell) == CELL_VALUE)
        return cell >> 36 == page_tag(page);
    return cell >> 2 == page + 1;
}

enum block_state { BLOCK_FREE, BLOCK_OWNED, BLOCK_QUEUED };

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
static inline bool block_word_sound(uint64_t word) { return word >> 61 <= BLOCK_QUEUED; }
static inline bool block_has_ticket(uint64_t word, uint64_t ticket)
{
    return block_state(word) == BLOCK_QUEUED && (word & TICKET_MASK) == (ticket & TICKET_MASK);
}

#define PAGE_MASK ((UINT64_C(1) << 48) - 1)
#define SEGMENT_LIVE (UINT64_C(1) << 62)
#define SEGMENT_INIT (UINT64_C(2) << 62)

static inline uint64_t segment_live(uint64_t page) { return SEGMENT_LIVE | (page & PAGE_MASK); }
static inline uint64_t segment_init(uint32_t index, uint64_t page)
{
    return SEGMENT_INIT | (uint64_t)(index & 0xfff) << 48 | (page & PAGE_MASK);
}
static inline bool segment_is_init(uint64_t state) { return state >> 62 == 2; }
static inline uint32_t segment_participant(uint64_t state) { return (uint32_t)(state >> 48) & 0xfff; }

static inline uint64_t directory_entry(uint64_t page, uint32_t segment) { return (page + 1) << 20 | segment; }
static inline uint64_t directory_page(uint64_t entry) { return (entry >> 20) - 1; } /* of 0: none, the largest */
static inline uint32_t directory_segment(uint64_t entry) { return (uint32_t)entry & 0xfffff; }

/* HELD: other processes inherited views of it by fork, or did once. CROWDED: more than can be named, so that it is never
 * free again. This is true for the ticket whose low bits are beside it. */
enum block_sharing { BLOCK_PRIVATE, BLOCK_HELD, BLOCK_CROWDED };

static inline enum block_sharing block_sharing(uint32_t shared) { return (enum block_sharing)(shared & 3); }
static inline uint32_t block_shared(enum block_sharing sharing, uint64_t word)
{
    return (uint32_t)sharing | (uint32_t)(word & 0x3fffffff) << 2;
}

/* In front of a small block's payload. */
struct block {
    shared64 word;
    shared64 about; /* kind:8 | size of the payload:56; written by the owner, published with the ticket */
};

#define BLOCK_HOLDERS 16

/* A large block's, in a table. */
struct large_block {
    struct block block;
    shared64 backed;                 /* bytes of the payload that exist in memory; the owner's */
    shared32 punched;                /* how often its memory was given back: what others mapped is gone then */
    shared32 shared;                 /* block_shared(); the owner of a block that it prepares clears it */
    shared16 holders[BLOCK_HOLDERS]; /* participants with views of it, once it is HELD; 0: none */
};

_Static_assert(sizeof(struct block) == 16 && sizeof(struct large_block) == 64, "headers of blocks");

/* A process that wants a descriptor to become readable: see queue_bell.h. */
struct watcher {
    shared32 identity; /* 0: free */
    shared32 fd;       /* of the pipe, in that process */
    shared64 inode;    /* of the pipe; 0: not ready */
    shared32 space;    /* wants to be told of room as well */
};

#define OWN_LINES _Alignas(2 * CACHE_LINE) /* adjacent lines are fetched in pairs */

struct queue_header {
    uint64_t maxsize;              /* 0: as many items as fit */
    uint64_t budget;               /* bytes of memory for blocks; 0: as much as there is */
    shared32 shutdown;             /* 1: no more puts */
    shared32 broken;               /* something in here was not what the algorithm says */
    shared32 items;                /* eventcounts of those who wait for an item, */
    shared32 space;                /* for room, */
    shared32 freed;                /* for memory, */
    shared32 joined;               /* for all items to be done with */
    shared32 armed[2];             /* odd: a watcher wants to be told of an item, of room */
    shared32 ringing;              /* how many are about to tell them */
    OWN_LINES shared64 tail;       /* all tickets below it are filled; perhaps others */
    OWN_LINES shared64 head;       /* all tickets below it are taken; perhaps others */
    OWN_LINES struct spin putters; /* where those who put run: for those who wait for items */
    struct spin takers;
    OWN_LINES shared64 memory;   /* about how many bytes of blocks exist */
    shared64 idle;               /* about how many of them are in large blocks that are free */
    shared64 done;               /* items that task_done() was called for */
    shared64 looked_after;       /* CLOCK_MONOTONIC, nanoseconds */
    shared64 looked_tail;        /* what tail was then */
    shared32 segments_top;       /* segments at or above it were never used */
    shared32 top[QUEUE_CLASSES]; /* blocks at or above it are free or were never used, with luck */
    struct watcher watchers[QUEUE_WATCHERS];
};

_Static_assert(sizeof(struct queue_header) <= LARGE_SLOT_SIZE, "the header is a slot");

/* Offsets in the window. */
#define QUEUE_STATES ROUND_UP((size_t)QUEUE_DIRECTORY * 8, FAMILY_PAGE)
#define QUEUE_SEGMENT_SIZE ((size_t)QUEUE_PAGE_TICKETS * 8)
#define QUEUE_SEGMENTS_AT ROUND_UP(QUEUE_STATES + (size_t)QUEUE_SEGMENTS * 8, FAMILY_PAGE)
#define QUEUE_CORE ROUND_UP(QUEUE_SEGMENTS_AT + QUEUE_SEGMENTS * QUEUE_SEGMENT_SIZE, FAMILY_PAGE)

static inline uint64_t class_size(uint32_t class) { return UINT64_C(64) << class; }
static inline uint32_t class_blocks(uint32_t class)
{
    uint64_t most = UINT64_C(1) << (34 - class);
    return most < QUEUE_BLOCKS ? (uint32_t)most : QUEUE_BLOCKS;
}
static inline uint64_t class_headers_at(uint32_t class) { return (UINT64_C(64) + class) << 32; }
static inline uint64_t class_data_at(uint32_t class) { return (UINT64_C(1) + class) << 40; }
static inline uint64_t class_capacity(uint32_t class)
{
    return class < QUEUE_LARGE ? class_size(class) - sizeof(struct block) : class_size(class);
}

/* The class for a payload of `size` bytes; QUEUE_CLASSES: none. */
static inline uint32_t class_for(uint64_t size)
{
    if (size <= class_capacity(QUEUE_LARGE - 1))
        return size <= 48 ? 0 : 58 - (uint32_t)__builtin_clzll(size + 15);
    if (size > class_size(QUEUE_CLASSES - 1))
        return QUEUE_CLASSES;
    return size <= class_size(QUEUE_LARGE) ? QUEUE_LARGE : 58 - (uint32_t)__builtin_clzll(size - 1);
}

_Static_assert(QUEUE_CORE < (UINT64_C(64) + QUEUE_LARGE) << 32, "core, then headers, then blocks");
_Static_assert(WINDOW_SIZE >= (UINT64_C(1) + QUEUE_CLASSES) << 40, "a window has room for all classes");

/* The 34 bits that name a block. */
static inline uint64_t block_name(uint32_t class, uint32_t index) { return (uint64_t)class << 29 | index; }
static inline uint32_t name_class(uint64_t name) { return (uint32_t)(name >> 29); }
static inline uint32_t name_index(uint64_t name) { return (uint32_t)name & 0x1fffffff; }
static inline bool name_valid(uint64_t name)
{
    return name_class(name) < QUEUE_CLASSES && name_index(name) < class_blocks(name_class(name));
}

#endif
