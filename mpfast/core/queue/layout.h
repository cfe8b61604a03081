/* SPDX-License-Identifier: MIT */
/* What lies where in a queue, and the words that it is made of.
 *
 * The header is a large slot of the family. Everything else lies in the slot's window of the family's file. The core is
 * for the tickets. Behind it lie the blocks of the store (store/layout.h), which hold what is put:
 *
 *   directory | segment states | segments || the store
 *
 * Items have tickets, 0, 1, 2, ... A page is the cells of 512 tickets in a row. It lives in a segment, which the
 * directory names, from the first put to its tickets until the last of them is taken. Then the segment serves another
 * page.
 *
 *   cell:   kind:2 = EMPTY or TAKEN | page + 1:62,  or  kind:2 = BLOCK or VALUE | what:34 | tag of the page:28
 *   segment state:  0 = free, or LIVE | page:48, or INIT | participant:12 (from bit 48) | page:48 */
#ifndef MPFAST_QUEUE_LAYOUT_H
#define MPFAST_QUEUE_LAYOUT_H

#include "core/family/peers.h"
#include "core/store/layout.h"

#ifndef QUEUE_PAGE_BITS
#define QUEUE_PAGE_BITS 9
#endif
#ifndef QUEUE_DIRECTORY
#define QUEUE_DIRECTORY (1u << 17) /* pages in use at a time: 67 million items */
#endif
#define QUEUE_PAGE_TICKETS (1u << QUEUE_PAGE_BITS)
#define QUEUE_SEGMENTS (QUEUE_DIRECTORY + FAMILY_PARTICIPANTS)
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

/* A process that wants a descriptor to become readable: see bell.h. */
struct watcher {
    shared32 identity; /* 0: free */
    shared32 fd;       /* of the pipe, in that process */
    shared64 inode;    /* of the pipe. 0: not ready */
    shared32 name;     /* of its socket. Random, so that a stranger cannot take it first. 0: there is none */
    shared8 space;     /* wants to be told of room as well */
    shared8 by_socket; /* a process has rung its socket, which may be readable */
    shared8 unheard;   /* a process could not ring for it: it has to look by itself */
};

struct queue_header {
    uint64_t maxsize;              /* 0: as many items as fit */
    shared32 shutdown;             /* 1: no more puts */
    shared32 items;                /* eventcounts of calls that wait for an item, */
    shared32 space;                /* for room, */
    shared32 joined;               /* for all items to be done with */
    shared32 armed[2];             /* odd: a watcher wants to be told of an item, of room */
    shared32 ringing;              /* how many processes are about to tell them */
    OWN_LINES shared64 tail;       /* all tickets below it are filled, perhaps others too */
    OWN_LINES shared64 head;       /* all tickets below it are taken, perhaps others too */
    OWN_LINES struct spin putters; /* where putters run: for calls that wait for items */
    struct spin takers;
    OWN_LINES shared64 done; /* items that task_done() was called for */
    shared64 looked_after;   /* CLOCK_MONOTONIC, nanoseconds */
    shared64 looked_tail;    /* what tail was then */
    shared32 segments_top;   /* segments at or above it were never used */
    struct watcher watchers[QUEUE_WATCHERS];
    shared32 words[QUEUE_WATCHERS]; /* what rings their sockets: random, so that it tells nothing of the others' */
    OWN_LINES struct store_header store;
};

_Static_assert(sizeof(struct queue_header) <= LARGE_SLOT_SIZE, "the header is a slot");

/* Offsets in the window. */
#define QUEUE_STATES ROUND_UP((size_t)QUEUE_DIRECTORY * 8, FAMILY_PAGE)
#define QUEUE_SEGMENT_SIZE ((size_t)QUEUE_PAGE_TICKETS * 8)
#define QUEUE_SEGMENTS_AT ROUND_UP(QUEUE_STATES + (size_t)QUEUE_SEGMENTS * 8, FAMILY_PAGE)
#define QUEUE_CORE ROUND_UP(QUEUE_SEGMENTS_AT + QUEUE_SEGMENTS * QUEUE_SEGMENT_SIZE, FAMILY_PAGE)

_Static_assert(QUEUE_CORE < STORE_CORE_MOST, "core, then headers, then blocks");

#endif
