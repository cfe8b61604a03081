/* SPDX-License-Identifier: MIT */
/* For watchers that others cannot ring for (ring.h): a thread of their process that rings for them.
 *
 * It sleeps on a word of the family, which needs no right but the memory, and is woken by a process that could not
 * ring. It is started when a watcher asks for its descriptor and others have failed before, or there is no second way
 * to it. It is also started if this process is root's and has threads already, because its children may drop all their
 * rights. So a program in which every process reaches every other has no such thread, and no program gets its second
 * thread by it. It ends with the last bell. */
#ifndef MPFAST_QUEUE_RELAY_H
#define MPFAST_QUEUE_RELAY_H

#include "core/queue/bell.h"

enum { RELAY_STACK = 256 * 1024 };
#define RELAY_POLL (100 * MILLISECOND) /* where the kernel does not let it sleep on a word */

/* Does this view watch for this process? What a fork has left it does not count. */
static inline bool bell_is_own(const struct queue *q)
{
    return q->bell_watcher != NULL && load_relaxed(&q->bell_owner) == family_me(q->store.family);
}

/* Rings for this process only. The caller holds the family's mutex, as in queue_settle. So a call that takes the item
 * meanwhile makes the descriptor silent afterwards. */
static inline void relay_ring(struct queue *q)
{
    if (!load_relaxed(&q->bell_watcher->unheard))
        return;
    if (q->bell_space || bell_wanted(q, BELL_ITEMS))
        queue_ring(q);
}

/* Rings for all watchers of this process. False: there are none any more, and the thread may end. */
static inline bool relay_look(struct family *f)
{
    bool any = false;
    pthread_mutex_lock(&f->mutex);
    for (struct queue *q = f->watching; q != NULL; q = q->watching) {
        if (!bell_is_own(q))
            continue;
        relay_ring(q);
        any = true;
    }
    if (!any)
        f->relay = 0;
    pthread_mutex_unlock(&f->mutex);
    return any;
}

static inline void *relay_run(void *arg)
{
    struct family *f = arg;
    uint32_t seen = load_seq(&f->header->relayed); /* pairs with relays_wake */
    while (relay_look(f)) {
        int rc = futex_wait(&f->header->relayed, seen, NEVER);
        if (rc != 0 && rc != -EAGAIN && rc != -EINTR)
            usleep(RELAY_POLL / 1000);
        seen = load_seq(&f->header->relayed); /* pairs with relays_wake */
    }
    return NULL;
}

/* No signal is ever served in it. */
static inline int relay_start(struct family *f)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, RELAY_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = -pthread_create(&thread, &attributes, relay_run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return rc;
}

/* Has this watcher to look by itself now and then, as others may not be able to ring? Called after queue_bell, in the
 * same process. */
static inline bool queue_unheard(const struct queue *q)
{
    return q->bell_watcher == NULL || q->bell_hidden || load_relaxed(&q->bell_watcher->unheard);
}

static inline bool has_threads(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) == 0 && st.st_nlink > 3; /* two links are the directory's own */
}

static inline bool relay_wanted(struct queue *q)
{
    if (queue_unheard(q) || load_relaxed(&q->store.family->header->unheard))
        return true;
    if (likely(load_relaxed(&q->bell_asked)))
        return false;
    store_relaxed(&q->bell_asked, 1);
    return geteuid() == 0 && has_threads();
}

/* Makes sure that a selector that sleeps on the descriptor wakes, whatever process puts. */
static inline void queue_relay(struct queue *q)
{
    struct family *f = q->store.family;
    if (!relay_wanted(q))
        return;
    pthread_mutex_lock(&f->mutex);
    if (f->relay != family_me(f) && relay_start(f) == 0)
        f->relay = family_me(f);
    pthread_mutex_unlock(&f->mutex);
}

#endif
