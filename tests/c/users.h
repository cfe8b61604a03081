/* SPDX-License-Identifier: MIT */
/* Users of one segment inside one process, each with an identity of its own, and what a user does with each primitive.
 *
 * ThreadSanitizer takes two mappings of one file for different memory, so the users share a mapping; but each has its
 *own struct family with its own identity, handles and open file description. It claims the pid of no process: as long
 *as its descriptor is open it lives, and once that is closed both proofs say that it is dead. */
#ifndef MPFAST_TEST_USERS_H
#define MPFAST_TEST_USERS_H

#include "check.h"

static _Thread_local pid_t pretended_pid;
static inline pid_t real_pid(void) { return getpid(); }
#define getpid() (pretended_pid != 0 ? pretended_pid : real_pid())

/* What a process did before its end has happened for whoever finds its byte free. ThreadSanitizer does not know that of
 * the kernel, and threads that play processes have to say it. */
#include <fcntl.h>
static shared32 closed_so_far;
#define close(fd) (add_seq(&closed_so_far, 1u), close(fd))
#define fcntl(fd, command, ...) \
    ({ \
        int fcntl_rc_ = fcntl(fd, command, ##__VA_ARGS__); \
        (void)load_seq(&closed_so_far); \
        fcntl_rc_; \
    })

#define NO_SUCH_PID 0x3ff00000 /*above any that a kernel gives */

/* Of a pretended pid the kernel knows nothing: a later process seems to have it, so that the byte alone decides. */
#define pid_ended kernel_says_ended
#define pid_started kernel_says_started
#include "core/family/pid.h"
#undef pid_ended
#undef pid_started
static inline bool pid_ended(pid_t pid) { return pid < NO_SUCH_PID && kernel_says_ended(pid); }
static inline uint64_t pid_started(pid_t pid) { return pid < NO_SUCH_PID ? kernel_says_started(pid) : UINT64_MAX; }

#include "core/locks/barrier.h"
#include "core/locks/bounded.h"
#include "core/locks/condition.h"
#include "core/locks/event.h"
#include "core/life/handle.h"
#include "core/locks/lock.h"
#include "core/life/membership.h"
#include "core/life/reap.h"
#include "core/locks/rlock.h"
#include "core/locks/semaphore.h"

struct user {
    struct family *f;
    uint32_t me;
    int number;
    bool patient; /*sleeps without backstops: a lost wake-up hangs the harness instead of costing milliseconds */
    struct spin_history history;
    struct suspicion suspicion;
    void (*body)(struct user *);
    pthread_t thread;
};

static struct reaped reaped_by_users;

static inline struct family *family_new(void)
{
    struct family *f = NULL;
    EXPECT_EQ(family_create(&f), 0);
    EXPECT_EQ(member_join(f, &reaped_by_users), 0);
    return f;
}

static inline void family_end(struct family *f)
{
    close(f->fd);
    family_unmap(f);
}

/* The view that another process of f's family would have, before it is a member. */
static inline struct family *view_map(const struct family *f)
{
    struct family *view = malloc(sizeof *view);
    EXPECT(view != NULL);
    memcpy(view, f, sizeof *view);
    view->identity = family_private(FAMILY_PAGE);
    view->handles = family_private(HANDLES_SIZE);
    EXPECT(view->identity != NULL && view->handles != NULL);
    pthread_mutex_init(&view->mutex, NULL);
    view->fd = -1;
    return view;
}

static inline pid_t pid_of_nobody(void)
{
    static shared32 next_pid;
    return NO_SUCH_PID + (pid_t)add_relaxed(&next_pid, 1u);
}

/* Another member of f's family, as its child. 0 or what member_reserve says. */
static inline int view_join(struct family *f, struct family **out)
{
    struct reaped r = {0};
    uint32_t identity;
    int fd;
    *out = view_map(f);
    pretended_pid = pid_of_nobody();
    pthread_mutex_lock(&f->mutex);
    int rc = member_reserve(f, &identity, &fd, &r);
    pthread_mutex_unlock(&f->mutex);
    if (rc == 0)
        rc = member_become(*out, identity, fd);
    pretended_pid = 0;
    return rc;
}

static inline struct family *view_new(struct family *f)
{
    struct family *view;
    EXPECT_EQ(view_join(f, &view), 0);
    return view;
}

static inline void view_free(struct family *view)
{
    munmap(view->identity, FAMILY_PAGE);
    munmap(view->handles, HANDLES_SIZE);
    pthread_mutex_destroy(&view->mutex);
    free(view);
}

/* As SIGKILL: whatever the member held it holds still, and the kernel has closed its descriptor. */
static inline void view_die(struct family *view)
{
    close(view->fd);
    view_free(view);
}

static inline void view_leave(struct family *view)
{
    participant_leave(view);
    view_die(view);
}

static inline void user_join(struct user *u, struct family *f)
{
    u->f = view_new(f);
    u->me = family_me(u->f);
}

static inline void *user_thread(void *argument)
{
    struct user *u = argument;
    chance_seed((uint64_t)u->number);
    u->body(u);
    return NULL;
}

/* Runs body in n threads, each another member of the family, and waits for them. */
static inline void crowd(struct family *f, int n, bool patient, void (*body)(struct user *))
{
    struct user *users = calloc((size_t)n, sizeof *users);
    EXPECT(users != NULL);
    for (int i = 0; i < n; i++) {
        users[i] = (struct user){.number = i, .patient = patient, .body = body};
        user_join(&users[i], f);
    }
    for (int i = 0; i < n; i++)
        EXPECT_EQ(pthread_create(&users[i].thread, NULL, user_thread, &users[i]), 0);
    for (int i = 0; i < n; i++)
        pthread_join(users[i].thread, NULL);
    for (int i = 0; i < n; i++)
        view_leave(users[i].f);
    free(users);
}

/* One more member, in a thread of its own until user_finish(). */
static inline void user_start(struct user *u, struct family *f, int number, bool patient, void (*body)(struct user *))
{
    *u = (struct user){.number = number, .patient = patient, .body = body};
    user_join(u, f);
    EXPECT_EQ(pthread_create(&u->thread, NULL, user_thread, u), 0);
}

static inline void user_finish(struct user *u)
{
    pthread_join(u->thread, NULL);
    view_leave(u->f);
}

/* A reference: what a dead member had is given back only on slots that it refers to. */
static inline void user_keep(struct user *u, uint32_t slot)
{
    ref_set(u->f, identity_index(u->me), slot);
    refs_vouched(u->f);
}

static inline int64_t in(int64_t duration) { return clock_now() + duration; }

static inline void user_waits(const struct user *u, struct waiting *w, int64_t deadline, int64_t longest)
{
    waiting_begin(w, deadline, longest);
    if (u->patient)
        w->backstop = w->longest = 3600 * SECOND;
}

static inline int user_lock(struct user *u, uint32_t slot, int64_t deadline)
{
    struct waiting w;
    int rc;
    if (lock_try(slot_at(u->f, slot), u->me))
        return 0;
    user_waits(u, &w, deadline, BACKSTOP_OWNED);
    while ((rc = lock_wait(u->f, slot, u->me, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

/* What a caller who was told -EOWNERDEAD does first. A user whose pid is nobody's would take itself for dead. */
static inline void user_reap(struct user *u, uint32_t word)
{
    struct reaped r = {0};
    if (identity_index(word) != identity_index(u->me))
        reap_owner(u->f, word, &r);
}

static inline bool user_unlock(struct user *u, uint32_t slot) { return lock_release(u->f, slot_at(u->f, slot)) != 0; }

static inline int user_down(struct user *u, uint32_t slot, int64_t deadline)
{
    struct waiting w;
    int rc;
    if (semaphore_try(slot_at(u->f, slot), 0))
        return 0;
    user_waits(u, &w, deadline, BACKSTOP_IDLE);
    while ((rc = semaphore_wait(u->f, slot, u->me, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

static inline int user_up(struct user *u, uint32_t slot) { return semaphore_release(slot_at(u->f, slot), u->me); }

static inline int user_enter(struct user *u, uint32_t slot, int64_t deadline, struct reaped *r)
{
    struct waiting w;
    int rc;
    if (bounded_try(slot_at(u->f, slot), u->me))
        return 0;
    user_waits(u, &w, deadline, BACKSTOP_OWNED);
    while ((rc = bounded_wait(u->f, slot, u->me, &w, &u->history)) == -EINTR)
        reap_holders(u->f, slot_at(u->f, slot), r);
    waiting_end(&w);
    return rc;
}

static inline int user_exit(struct user *u, uint32_t slot) { return bounded_release(slot_at(u->f, slot), u->me); }

static inline int user_await(struct user *u, uint32_t slot, int64_t deadline)
{
    struct event *e = slot_at(u->f, slot);
    struct waiting w;
    int rc;
    if (event_is_set(e))
        return 0;
    uint32_t since = EVENT_COUNT(load_relaxed(&e->word));
    user_waits(u, &w, deadline, BACKSTOP_IDLE);
    while ((rc = event_wait(u->f, slot, u->me, since, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

/* Sleeps until the ticket is notified; the lock is not held. */
static inline int user_doze(struct user *u, uint32_t slot, uint32_t ticket, int64_t deadline)
{
    struct waiting w;
    int rc;
    user_waits(u, &w, deadline, BACKSTOP_IDLE);
    while ((rc = condition_sleep(u->f, slot, u->me, ticket, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

/* Lock held before and, unless -EOWNERDEAD, after. 1: notified, 0: not in time. */
static inline int user_wait(struct user *u, uint32_t lock, uint32_t slot, int64_t deadline)
{
    struct condition *c = slot_at(u->f, slot);
    uint32_t ticket = condition_take(c, u->me);
    user_unlock(u, lock);
    user_doze(u, slot, ticket, deadline);
    int rc = user_lock(u, lock, NEVER);
    return rc < 0 ? rc : condition_cancel(c, ticket);
}

/* Lock held. */
static inline void user_notify(struct user *u, uint32_t lock, uint32_t slot, uint64_t n)
{
    uint32_t bits = condition_notify(u->f, slot_at(u->f, slot), n, u->me);
    if (bits != 0)
        lock_leave_wakes(u->f, slot_at(u->f, lock), slot, bits);
}

static inline int user_decided(struct user *u, uint32_t slot, uint32_t round, int64_t deadline)
{
    struct waiting w;
    int rc;
    user_waits(u, &w, deadline, BACKSTOP_OWNED);
    while ((rc = barrier_wait(u->f, slot, u->me, round, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

/* The order of arrival, or -EPIPE. The last to come runs the action, if there is one. */
static inline int user_meet(struct user *u, uint32_t slot, int64_t deadline, void (*action)(struct user *),
                            uint32_t *round)
{
    struct barrier *b = slot_at(u->f, slot);
    uint32_t index;
    int rc;
    while ((rc = barrier_arrive(b, u->me, action != NULL, round, &index)) == ARRIVED_TOO_EARLY)
        user_decided(u, slot, *round, NEVER);
    if (rc == ARRIVED_LAST && action != NULL) {
        action(u);
        return barrier_complete(b, *round) ? (int)index : -EPIPE;
    }
    if (rc != ARRIVED)
        return rc < 0 ? rc : (int)index;
    rc = user_decided(u, slot, *round, deadline);
    if (rc == -ETIMEDOUT) {
        barrier_break(b, *round, 0);
        rc = user_decided(u, slot, *round, NEVER);
    }
    return rc < 0 ? rc : (int)index;
}

static inline uint32_t make(struct family *f, enum slot_kind kind)
{
    bool large = kind == SLOT_CONDITION;
    int64_t slot = handle_claim(f, large ? SLOT_LARGE : SLOT_SMALL, kind);
    EXPECT(slot >= 0);
    return (uint32_t)slot;
}

static inline uint32_t generation_of(const struct family *f, uint32_t slot)
{
    return slot_generation(load_acquire(&f->states[slot]));
}

#endif
