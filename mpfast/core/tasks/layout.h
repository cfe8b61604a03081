/* SPDX-License-Identifier: MIT */
/* What lies where in a pool, and the words that it is made of.
 *
 * A pool is two queues, the task ring and the result ring. The pool's process deals tasks into the one, its workers put
 * results into the other. Both have a store with the policy REAP_KEEP. So a block is its own entry in the ledger. Its
 * word says which participant has it, and after a death that it is lost (ledger.h).
 *
 * What the workers tell the pool besides, and the pool them, lies in the task ring's window, behind the queue's core:
 *
 *   the queue's core | struct pool_header || the store
 *
 *   worker word:  state:2 | index and generation of an identity, where participant.h has them
 *
 * A block of the task ring holds a struct task, the pickle of its function, and its elements. A block of the result ring
 * holds a struct result and its cells. How functions, elements and cells look inside is for the rooms above. */
#ifndef MPFAST_TASKS_LAYOUT_H
#define MPFAST_TASKS_LAYOUT_H

#include "core/family/participant.h"
#include "core/queue/layout.h"

#define POOL_WORKERS FAMILY_PARTICIPANTS /* places for workers. More processes than that cannot be in a family */

/* STARTING: has taken no task yet. Without an identity it owns nothing. READY: may own blocks of both rings. LEAVING: owns
 * nothing any more, and will not. */
enum worker_state { WORKER_STARTING, WORKER_READY, WORKER_LEAVING };

struct worker {
    shared32 word;  /* the worker's. The pool's process clears it before it gives the place to another process */
    shared32 leave; /* the pool's. 1: this worker is to go, when it has nothing */
};

struct pool_header {
    shared32 leave; /* 1: all workers are to go */
    OWN_LINES struct worker workers[POOL_WORKERS];
};

#define POOL_AT QUEUE_CORE
#define POOL_SIZE ROUND_UP(sizeof(struct pool_header), FAMILY_PAGE)

_Static_assert(POOL_AT % FAMILY_PAGE == 0, "it is mapped by itself");
_Static_assert(POOL_AT + POOL_SIZE <= STORE_CORE_MOST, "core, then the pool's header, then blocks");

static inline enum worker_state worker_state(uint32_t word) { return (enum worker_state)(word & 3); }
static inline uint32_t worker_identity(uint32_t word) { return word & ~UINT32_C(3); }
static inline uint32_t worker_word(enum worker_state state, uint32_t identity) { return identity | (uint32_t)state; }

/* Kinds of blocks: store_item.kind. */
enum task_kind { TASK_GROUP = 1 };
enum result_kind { RESULT_CELLS = 1, RESULT_START };

/* At the begin of a task's block. What is not shared is written by the pool before it deals, and published with the
 * ticket. */
struct task {
    shared64 group; /* which elements of the payload are claimed: group.h */
    shared64
        began; /* CLOCK_MONOTONIC, nanoseconds. Written by the worker before its first claim, which publishes it, */
    shared32 taker; /* as its pid */
    uint32_t count; /* elements in the payload. The group may be a part of them */
    uint64_t job;
    uint64_t first;    /* the index in the job of the payload's element 0 */
    uint32_t function; /* bytes of the function's pickle. This and the rest is for the caller alone */
    uint8_t function_kind;
    uint8_t form; /* of the elements, */
    uint8_t kind; /* and of their payload, if there is one for all */
    uint8_t flags;
};

/* At the begin of a result's block. */
struct result {
    shared32 count;  /* cells that are complete. 0 in every free block: see result_free */
    uint32_t worker; /* the number of its place */
    uint64_t job;
    uint64_t first;   /* the index in the job of the element of cell 0 */
    uint64_t elapsed; /* nanoseconds for all of them. Not written in the block of a worker that died */
};

_Static_assert(sizeof(struct task) == 48 && sizeof(struct result) == 32,
               "a small task is 128 bytes, a small result 64");

#endif
