/* SPDX-License-Identifier: MIT */
/* Groups: which elements of a task block are claimed, and which results of them are safe.
 *
 *   group word:  next:24 | end:24 (from bit 24) | CONDEMNED (bit 62) | FINISHED (bit 63)
 *
 * The worker that has taken the block claims one element after the other, and only it advances `next`. The pool may take
 * the unclaimed rest away (recall), or condemn the worker in the element that it runs. A condemned worker never claims
 * again, here or elsewhere, so it can be killed without hurting another task. One CAS decides each time. FINISHED is set
 * by the claim that finds no element left. From then on the last element was not condemned, and never will be.
 *
 * Only the pool's process takes blocks for tasks. It deals them, and looks at them, under one mutex. So a group word that
 * it looks at there is of the group that it means, or that group was finished and the block may be free.
 *
 * A worker appends results to a block of its own, and counts a cell when it is complete. Counted cells are valid whatever
 * happens to the worker. Of what a dead worker has claimed, all is counted but one element, the one that it ran. */
#ifndef MPFAST_TASKS_GROUP_H
#define MPFAST_TASKS_GROUP_H

#include "core/base/atomic.h"

#define GROUP_MOST ((UINT32_C(1) << 24) - 1) /* elements */
#define GROUP_CONDEMNED (UINT64_C(1) << 62)
#define GROUP_FINISHED (UINT64_C(1) << 63)

enum { GROUP_OVER = -1, GROUP_GIVEN_UP = -2 };

/* LATE: the element was run to its end, or is not of this group any more. WAITING: no worker has claimed it, and none
 * will. RUNNING: the taker runs it, or waits for its end, and may be killed. */
enum condemned { CONDEMNED_LATE, CONDEMNED_WAITING, CONDEMNED_RUNNING };

static inline uint64_t group_make(uint32_t next, uint32_t end) { return next | (uint64_t)end << 24; }
static inline uint32_t group_next(uint64_t word) { return (uint32_t)word & GROUP_MOST; }
static inline uint32_t group_end(uint64_t word) { return (uint32_t)(word >> 24) & GROUP_MOST; }

/* Worker: the index of the next element, which is its own now. GROUP_OVER: none is left, and the worker was not condemned
 * in the last one. Then it puts its results, and gives the block back. GROUP_GIVEN_UP: it was condemned in the last one.
 * Then it gives nothing back, and waits to be killed. */
static inline int64_t group_claim(shared64 *group)
{
    uint64_t word = load_relaxed(group);
    for (;;) {
        if (word & GROUP_CONDEMNED)
            return GROUP_GIVEN_UP;
        bool over = group_next(word) >= group_end(word);
        /* pairs with group_recall and group_condemn, which read the block's taker after it */
        if (cas_acqrel(group, &word, over ? word | GROUP_FINISHED : word + 1))
            return over ? GROUP_OVER : (int64_t)group_next(word);
    }
}

/* Pool: takes the unclaimed rest [*from, *to) away from the worker. False: there is none, and they mean nothing. */
static inline bool group_recall(shared64 *group, uint32_t *from, uint32_t *to)
{
    uint64_t word = load_relaxed(group);
    do {
        *from = group_next(word);
        *to = group_end(word);
        if (word & (GROUP_CONDEMNED | GROUP_FINISHED) || *from >= *to)
            return false;
    } while (!cas_acqrel(group, &word, group_make(*from, *from))); /* pairs with group_claim */
    return true;
}

/* Pool: cancels an element. If it was not LATE, the unclaimed rest [*from, *to) is taken away from the worker as well,
 * for the pool to deal again, without the element if it was WAITING. It may be empty. After RUNNING the pool signals the
 * taker while it holds the mutex, and before it settles any death. A result that was counted meanwhile is dropped. */
static inline enum condemned group_condemn(shared64 *group, uint32_t element, uint32_t *from, uint32_t *to)
{
    uint64_t word = load_relaxed(group), then;
    do {
        *from = group_next(word);
        *to = group_end(word);
        bool running = element + 1 == *from;
        if (word & (GROUP_CONDEMNED | GROUP_FINISHED) || element + 1 < *from || (element >= *to && !running))
            return CONDEMNED_LATE;
        then = group_make(*from, *from) | (running ? GROUP_CONDEMNED : 0);
    } while (!cas_acqrel(group, &word, then)); /* pairs with group_claim */
    return then & GROUP_CONDEMNED ? CONDEMNED_RUNNING : CONDEMNED_WAITING;
}

/* Pool, for a lost block: [*from, *to) was never claimed. False: there is none. The worker is dead, so the word does not
 * change any more. */
static inline bool group_left(const shared64 *group, uint32_t *from, uint32_t *to)
{
    uint64_t word = load_acquire(group); /* pairs with group_claim */
    *from = group_next(word);
    *to = group_end(word);
    return *from < *to;
}

/* Worker: cell n - 1 is complete. */
static inline void result_count(shared32 *count, uint32_t n)
{
    store_release(count, n); /* pairs with result_counted */
}

/* Pool: so many cells may be read. Also the worker, about its own. */
static inline uint32_t result_counted(const shared32 *count)
{
    return load_acquire(count); /* pairs with result_count */
}

#endif
