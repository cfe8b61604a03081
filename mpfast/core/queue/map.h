/* SPDX-License-Identifier: MIT */
/* A process's view of a queue: the tickets' core and the store behind it. */
#ifndef MPFAST_QUEUE_MAP_H
#define MPFAST_QUEUE_MAP_H

#include "core/store/map.h"
#include "core/queue/layout.h"

/* What this process rings a watcher by, kept for the next time (ring.h). */
struct ringer {
    shared32 busy;
    int fd;         /* -1: none. Only for the thread that has set `busy`, as is the rest */
    bool by_socket; /* it is connected to the watcher's socket, else it is of the pipe */
    bool inherited; /* a copy of this view's own end: it only writes, so that the pipe's reader must be open */
    uint64_t kept;  /* the inode of fd */
    uint64_t inode; /* the watcher's pipe's, */
    uint32_t name;  /* and its socket's name */
    int64_t again;  /* when to look for a way again, as there was none. 0: at once */
};

struct queue {
    struct store store;
    struct queue_header *header;
    shared64 *directory;
    shared64 *states;          /* of segments */
    shared64 *segments;        /* cells */
    shared32 putter;           /* the mark (peers.h) that this process has left at `putters`, */
    shared32 taker;            /* and at `takers` */
    int bell[2];               /* the ends of the pipe. -1: not made. Guarded by family->mutex, as is the rest of it */
    int bell_socket;           /* the second way to it. -1: there is none */
    int bell_fd;               /* what is readable if one of them is: bell[0] if there is no second way */
    uint64_t bell_mark;        /* of the pipe, as the program may close what is ours, */
    uint64_t bell_socket_mark; /* and of the socket */
    struct watcher *bell_watcher; /* its entry in the header. NULL: not made */
    shared32 bell_owner;          /* the identity that made it */
    shared32 bell_asked;          /* for a relay (relay.h), once */
    uint32_t bell_armed;          /* `armed` when the bell was made silent. 0: it may be readable */
    uint32_t bell_lost;           /* so many ringers were killed or stopped meanwhile */
    bool bell_space;              /* it is rung for room as well */
    bool bell_open;               /* the socket takes messages from any process */
    bool bell_hidden;             /* others may not be able to open the pipe, and there is no socket */
    struct queue *watching;       /* the next view with a bell, in family->watching */
    struct ringer ringers[QUEUE_WATCHERS];
};

static inline shared64 *segment_cells(const struct queue *q, uint32_t segment)
{
    return q->segments + (size_t)segment * QUEUE_PAGE_TICKETS;
}

/* Opens a view that no other thread knows of. */
static inline int view_open(struct family *f, uint32_t slot, struct queue *q)
{
    struct queue_header *header = slot_at(f, slot);
    memset(q, 0, sizeof *q);
    q->bell[0] = q->bell[1] = q->bell_socket = q->bell_fd = -1;
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        q->ringers[i].fd = -1;
    q->header = header;
    int rc = store_open(f, slot, &header->store, QUEUE_CORE, &q->store);
    if (rc < 0)
        return rc;
    q->store.progress = &header->head;
    q->directory = (shared64 *)q->store.map->core;
    q->states = (shared64 *)(q->store.map->core + QUEUE_STATES);
    q->segments = (shared64 *)(q->store.map->core + QUEUE_SEGMENTS_AT);
    return 0;
}

static inline void view_close(struct queue *q) { store_close(&q->store); }

static inline uint32_t queue_me(const struct queue *q) { return store_me(&q->store); }

static inline int queue_damaged(const struct queue *q) { return store_damaged(&q->store); }

#endif
