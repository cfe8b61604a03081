/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when somebody puts an item, or makes room: for event loops, which cannot wait on a
 * futex.
 *
 * It is a pipe of the process that watches, made when it begins to; whoever changes the queue finds it (ring.h). So
 * a queue that nobody watches costs no descriptor anywhere.
 *
 * `armed` is odd while somebody wants to be told. A watcher arms, then looks once more at the queue; whoever changes the
 * queue looks at `armed` afterwards. The ringer disarms only what it has seen, so that who arms meanwhile is told, too.
 *
 * Whoever finds the descriptor readable may count on an item, as with a pipe that items go through. So nobody rings for
 * an item that is gone: the ringer is counted, then looks whether there is one, and the watcher that has found the
 * queue empty waits until nobody rings before it makes the descriptor silent. Either the ringer sees the queue empty,
 * or the watcher sees the ringer. (One that was stopped there for longer than BELL_PATIENCE may ring for nothing.) */
#ifndef MPFAST_QUEUE_BELL_H
#define MPFAST_QUEUE_BELL_H

#include "core/queue/ring.h"
#include "core/queue/take.h"

enum bell_end { BELL_ITEMS, BELL_SPACE };
enum { BELL_PATIENCE = 100 * 1000 * 1000 }; /* ns; ringing takes some 20,000 */

/* Rooms may be rung for although they are taken: who waits for one only tries. */
static inline bool bell_wanted(const struct queue *q, enum bell_end end)
{
    return end == BELL_SPACE || load_seq(&q->header->shutdown) || !queue_empty(q); /* pairs with queue_shutdown */
}

/* False: not everybody could be told. */
static inline bool watchers_ring(struct queue *q, enum bell_end end)
{
    bool told = true;
    for (int i = 0; i < QUEUE_WATCHERS; i++)
        if (end == BELL_ITEMS || load_relaxed(&q->header->watchers[i].space))
            told &= watcher_ring(q, i);
    return told;
}

/* Whoever is killed before it has disarmed leaves it to the next one to ring, as does whoever has no descriptor left. */
static inline void bell_ring(struct queue *q, enum bell_end end)
{
    shared32 *armed = &q->header->armed[end];
    uint32_t seen = load_seq(armed); /* pairs with queue_arm */
    if (!(seen & 1))
        return;
    add_seq(&q->header->ringing, 1u); /* pairs with bell_calm */
    if (bell_wanted(q, end) && watchers_ring(q, end))
        cas_relaxed(armed, &seen, seen + 1);
    sub_release(&q->header->ringing, 1u); /* pairs with bell_calm */
}

/* After an item was put, or room was made. */
static inline void bell_answer(struct queue *q, enum bell_end end)
{
    if (unlikely(load_seq(&q->header->armed[end]) & 1)) /* pairs with queue_arm */
        bell_ring(q, end);
}

/* Waits for those who ring, who may have seen an item that is taken now. Those who never end are not waited for twice. */
static inline void bell_calm(struct queue *q)
{
    int64_t begin = 0;
    uint32_t n;
    while ((n = load_seq(&q->header->ringing)) > q->bell_lost) { /* pairs with bell_ring */
        int64_t now = clock_now();
        begin = begin == 0 ? now : begin;
        if (now - begin > BELL_PATIENCE)
            break;
        sched_yield();
    }
    q->bell_lost = n;
}

static inline int watcher_take(const struct queue *q, uint32_t fd, uint64_t inode)
{
    uint32_t me = family_me(q->store.family);
    for (int i = 0; i < QUEUE_WATCHERS; i++) {
        struct watcher *w = &q->header->watchers[i];
        uint32_t nobody = 0;
        if (!cas_acqrel(&w->identity, &nobody, me)) /* pairs with reap_watchers and watcher_leave */
            continue;
        store_relaxed(&w->fd, fd);
        store_relaxed(&w->space, 0);
        store_release(&w->inode, inode); /* pairs with watcher_ring */
        return 0;
    }
    return -EUSERS;
}

static inline struct watcher *watcher_find(const struct queue *q, uint32_t fd)
{
    for (int i = 0; i < QUEUE_WATCHERS; i++) {
        struct watcher *w = &q->header->watchers[i];
        if (load_relaxed(&w->identity) == family_me(q->store.family) && load_relaxed(&w->fd) == fd)
            return w;
    }
    return NULL;
}

static inline void watcher_leave(const struct queue *q, uint32_t fd)
{
    struct watcher *w = watcher_find(q, fd);
    if (w == NULL)
        return;
    store_relaxed(&w->inode, 0);
    store_release(&w->identity, 0); /* pairs with watcher_take */
}

static inline int bell_make(struct queue *q)
{
    struct stat st;
    if (pipe2(q->bell, O_NONBLOCK | O_CLOEXEC) < 0) {
        q->bell[0] = q->bell[1] = -1;
        return -errno;
    }
    q->bell_armed = 0;
    q->bell_space = false;
    int rc = fstat(q->bell[0], &st) < 0 ? -errno : watcher_take(q, (uint32_t)q->bell[0], (uint64_t)st.st_ino);
    if (rc == 0)
        return 0;
    close(q->bell[0]);
    close(q->bell[1]);
    q->bell[0] = q->bell[1] = -1;
    return rc;
}

/* Closes the bell; one that was inherited by fork is still the parent's. The caller holds the family's mutex, or is the
 * only one who knows q. */
static inline void bell_close(struct queue *q)
{
    if (q->bell[0] < 0)
        return;
    if (q->bell_owner == family_me(q->store.family))
        watcher_leave(q, (uint32_t)q->bell[0]);
    close(q->bell[0]);
    close(q->bell[1]);
    q->bell[0] = q->bell[1] = -1;
}

/* For event loops. What waits for items only is not rung for room. */
static inline void bell_wants_space(struct queue *q)
{
    struct watcher *w = watcher_find(q, (uint32_t)q->bell[0]);
    q->bell_space = true;
    if (w != NULL)
        store_relaxed(&w->space, 1);
}

/* The descriptor of this process and view, made at the first call. -EUSERS: too many processes watch this queue. */
static inline int queue_bell(struct queue *q, bool space)
{
    pthread_mutex_lock(&q->store.family->mutex);
    if (q->bell_owner != family_me(q->store.family))
        bell_close(q);
    q->bell_owner = family_me(q->store.family);
    int rc = q->bell[0] >= 0 ? 0 : bell_make(q);
    int fd = rc < 0 ? rc : q->bell[0];
    if (rc == 0 && space && !q->bell_space)
        bell_wants_space(q);
    pthread_mutex_unlock(&q->store.family->mutex);
    return fd;
}

static inline uint32_t bell_arm(const struct queue *q, enum bell_end end)
{
    shared32 *armed = &q->header->armed[end];
    uint32_t seen = load_relaxed(armed);
    while (!cas_seq(armed, &seen, (seen + 2) | 1)) /* pairs with bell_answer */
        ;
    return (seen + 2) | 1;
}

static inline bool bell_due(const struct queue *q, enum bell_end end)
{
    if (load_seq(&q->header->shutdown)) /* pairs with queue_shutdown */
        return true;
    return end == BELL_SPACE ? !queue_full(q) : !queue_empty(q);
}

/* Wants the bell to be rung. True: there is an item (or room) already. */
static inline bool queue_arm(const struct queue *q, bool space)
{
    enum bell_end end = space ? BELL_SPACE : BELL_ITEMS;
    bell_arm(q, end);
    return bell_due(q, end);
}

/* Makes the own descriptor readable. */
static inline void queue_ring(struct queue *q)
{
    q->bell_armed = 0;
    if (q->bell[1] >= 0)
        (void)!write(q->bell[1], "", 1); /* fails if it is full, and so readable already */
}

/* Not readable any more, until the next ring. */
static inline void queue_silence(struct queue *q)
{
    char bytes[512];
    while (q->bell[0] >= 0 && read(q->bell[0], bytes, sizeof bytes) == sizeof bytes)
        ;
}

/* Armed, and nobody has rung since for an item that is gone: who is not counted any more has disarmed before, and who is
 * not counted yet will find the queue empty, or another item. */
static inline bool bell_is_silent(const struct queue *q)
{
    return q->bell_armed != 0 && !q->bell_space && load_seq(&q->header->ringing) == 0 && /* pairs with bell_ring */
           load_seq(&q->header->armed[BELL_ITEMS]) == q->bell_armed;                     /* pairs with bell_ring */
}

/* The queue is empty: silent, until the next item. */
static inline void bell_rest(struct queue *q)
{
    if (bell_is_silent(q))
        return;
    bell_calm(q);
    queue_silence(q);
    q->bell_armed = bell_arm(q, BELL_ITEMS);
    if (bell_due(q, BELL_ITEMS))
        queue_ring(q);
}

/* Makes the own descriptor readable if there is an item, and else silent until the next one. One thread at a time: what
 * one has found must still be so when it rings. */
static inline void queue_settle(struct queue *q)
{
    pthread_mutex_lock(&q->store.family->mutex);
    if (queue_empty(q))
        bell_rest(q);
    else
        queue_ring(q);
    pthread_mutex_unlock(&q->store.family->mutex);
}

/* After a take. */
static inline void queue_settle_if_empty(struct queue *q)
{
    if (queue_empty(q))
        queue_settle(q);
}

#endif
