/* SPDX-License-Identifier: MIT */
/* Fork. The child gets its own entry in every family, with a reference on all that the parent's objects refer to.
 *
 * The hooks are pthread_atfork's, so that they run for any fork() in the process, Python's or a C library's. A child
 * made behind libc's back (a bare clone()) finds its identity wiped by the kernel and can only be told so. Its objects
 * have no references of their own. Include this header in one translation unit. It has the list of the families. */
#ifndef MPFAST_FORK_H
#define MPFAST_FORK_H

#include "core/life/membership.h"

struct families {
    struct family *first;
    pthread_mutex_t mutex; /* for the list. Taken before any family's mutex */
    struct reaped reaped;  /* what the hooks gave back, for a caller that can warn about it */
};

static struct families families = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static inline void families_add(struct family *f)
{
    pthread_mutex_lock(&families.mutex);
    f->next = families.first;
    families.first = f;
    pthread_mutex_unlock(&families.mutex);
}

static inline struct family *families_find(const uint8_t id[16])
{
    pthread_mutex_lock(&families.mutex);
    struct family *f = families.first;
    while (f != NULL && memcmp(f->header->id, id, 16) != 0)
        f = f->next;
    pthread_mutex_unlock(&families.mutex);
    return f;
}

static inline void fork_reserve(struct family *f)
{
    f->child = 0;
    f->child_fd = -1;
    uint32_t me = family_me(f), identity;
    if (me == 0 || member_reserve(f, &identity, &f->child_fd, &families.reaped) < 0) {
        stores_fork(f, 0);
        return; /* the child can use nothing of this family, and is told when it tries. But its views stay */
    }
    member_copy_refs(f, identity_index(me), identity_index(identity));
    stores_fork(f, identity_index(identity)); /* after that, so that the child's reaper looks for what it holds */
    f->child = identity;
}

static inline void fork_prepare(void)
{
    pthread_mutex_lock(&families.mutex);
    for (struct family *f = families.first; f != NULL; f = f->next) {
        pthread_mutex_lock(&f->mutex);
        fork_reserve(f);
    }
}

static inline void fork_parent(void)
{
    for (struct family *f = families.first; f != NULL; f = f->next) {
        member_let_go(f, f->child, f->child_fd, &families.reaped); /* frees the entry if fork() failed */
        pthread_mutex_unlock(&f->mutex);
    }
    pthread_mutex_unlock(&families.mutex);
}

static inline void fork_child(void)
{
    for (struct family *f = families.first; f != NULL; f = f->next) {
        if (family_fd_valid(f))
            close(f->fd); /* the parent's description. It must not outlive the parent */
        f->fd = -1;
        store_relaxed(f->identity, 0); /* in case the kernel could not wipe it */
        if (f->child != 0)
            (void)member_become(f, f->child, f->child_fd); /* if it fails, the child has no identity here */
        pthread_mutex_unlock(&f->mutex);
    }
    pthread_mutex_unlock(&families.mutex);
}

static inline int fork_install(void) { return -pthread_atfork(fork_prepare, fork_parent, fork_child); }

#endif
