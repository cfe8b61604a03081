/* SPDX-License-Identifier: MIT */
/* Membership. A process gets an entry in the participant table, keeps it across fork and exec, and hands the references
 * of its children over without a gap.
 *
 * An entry is taken by locking its byte through a fresh open file description. For a child, the parent does that
 * before the child exists, and the child inherits the description, so that the byte is never free. If no description
 * can be made (a program closed our descriptor), the entry is PID_ONLY and only the pid proves death. */
#ifndef MPFAST_MEMBERSHIP_H
#define MPFAST_MEMBERSHIP_H

#include "core/life/reap.h"

static inline bool entry_claim(struct family *f, uint32_t index, uint64_t flags, uint32_t *identity)
{
    shared64 *word = &f->participants[index].state;
    uint64_t state = load_acquire(word); /* pairs with reap_entry */
    uint64_t reserved = state_make(PARTICIPANT_RESERVED, state_generation(state), flags, getpid());
    if (state_kind(state) != PARTICIPANT_FREE || !cas_acqrel(word, &state, reserved)) /* pairs with reap_entry */
        return false;
    store_relaxed(&f->participants[index].namespace, namespace_of_pids());
    STEP();
    *identity = identity_make(index, state_generation(state));
    return true;
}

/* Takes entry `index` for a process to be. fd is the description that is to hold its byte, or -1. */
static inline bool entry_take(struct family *f, uint32_t index, int fd, uint32_t *identity, struct reaped *r)
{
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    if (state_kind(state) != PARTICIPANT_FREE && (!participant_absent(f, index, state) || !reap_if_gone(f, index, r)))
        return false;
    if (fd < 0)
        return entry_claim(f, index, PARTICIPANT_PID_ONLY, identity);
    if (byte_lock(fd, index) < 0)
        return false; /* another process was faster, or a copy of a dead one's description is still open */
    if (entry_claim(f, index, 0, identity))
        return true;
    byte_unlock(fd, index);
    return false;
}

/* One more entry than were ever used. 0 if the table is full. */
static inline uint32_t entry_extend(struct family *f)
{
    uint32_t top = load_relaxed(&f->header->participants_top);
    while (top < FAMILY_PARTICIPANTS)
        if (cas_seq(&f->header->participants_top, &top, top + 1)) /* pairs with slot_referenced */
            return top;
    return 0;
}

/* Takes the first entry that is free, or whose process ended. One that says it lives is tried only if `thorough`. */
static inline bool entry_find(struct family *f, int fd, bool thorough, uint32_t *identity, struct reaped *r)
{
    uint32_t top = load_relaxed(&f->header->participants_top);
    for (uint32_t i = 1; i < top; i++) {
        enum participant_kind kind = state_kind(load_relaxed(&f->participants[i].state));
        if ((kind != PARTICIPANT_LIVE || thorough) && entry_take(f, i, fd, identity, r))
            return true;
    }
    return false;
}

/* Each newcomer checks for one entry whether its process lives, so that what killed processes had comes back. */
static inline void entry_look_after(struct family *f, struct reaped *r)
{
    uint32_t top = load_relaxed(&f->header->participants_top);
    f->cursor = f->cursor + 1 < top ? f->cursor + 1 : 1;
    uint64_t state = load_acquire(&f->participants[f->cursor].state); /* pairs with participant_announce */
    if (state_kind(state) == PARTICIPANT_LIVE && participant_absent(f, f->cursor, state))
        reap_if_gone(f, f->cursor, r);
}

/* Why no byte can be locked here at all, as -errno; 0: others hold those that were tried. */
static inline int bytes_refused(int fd)
{
    if (fd < 0)
        return 0;
    int rc = byte_lock(fd, FAMILY_PARTICIPANTS); /* no entry's */
    byte_unlock(fd, FAMILY_PARTICIPANTS);
    return rc == -EAGAIN || rc == -EACCES ? 0 : rc;
}

/* Reserves an entry. *fd becomes the description that holds its byte, or the -errno that says why there is none.
 * -EAGAIN if the table is full, another status if locks of open file descriptions are refused. The caller holds f->mutex,
 * or is the only thread that knows f. */
static inline int member_reserve(struct family *f, uint32_t *identity, int *fd, struct reaped *r)
{
    uint32_t index;
    *fd = family_reopen(f);
    entry_look_after(f, r);
    if (entry_find(f, *fd, false, identity, r))
        return 0;
    int rc = 0;
    while (rc == 0 && (index = entry_extend(f)) != 0)
        if (entry_take(f, index, *fd, identity, r))
            return 0;
        else
            rc = bytes_refused(*fd);
    if (rc == 0 && entry_find(f, *fd, true, identity, r))
        return 0;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return rc < 0 ? rc : -EAGAIN;
}

/* Is the entry still the one that was reserved for this process? */
static inline bool member_expected(const struct family *f, uint32_t identity)
{
    uint32_t index = identity_index(identity);
    if (index == 0 || index >= FAMILY_PARTICIPANTS)
        return false;
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with entry_take */
    return state_kind(state) == PARTICIPANT_RESERVED && state_generation(state) == identity_generation(identity);
}

/* This process becomes the one that `identity` names. fd holds the entry's byte (negative: none), and is the family's
 * from now on. -ESTALE if it is too late, because the entry was reaped. */
static inline int member_become(struct family *f, uint32_t identity, int fd)
{
    f->fd = fd;
    if (!participant_announce(f, identity))
        return -ESTALE;
    store_relaxed(f->identity, identity);
    return 0;
}

/* Byte 0 is no entry's. */
static inline bool bytes_can_be_locked(const struct family *f)
{
    int rc = byte_lock(f->fd, 0);
    byte_unlock(f->fd, 0);
    return rc == 0 || rc == -EAGAIN;
}

/* For a process that got no entry from its parent. */
static inline int member_join(struct family *f, struct reaped *r)
{
    uint32_t identity;
    int fd, rc = member_reserve(f, &identity, &fd, r);
    if (rc < 0)
        return bytes_can_be_locked(f) ? rc : -ENOSYS;
    if (fd < 0)
        return -ENOTSUP; /* without /proc nothing here can be relied on */
    int old = f->fd;
    rc = member_become(f, identity, fd);
    close(old);
    return rc;
}

/* Gives `to` a reference on everything that `from` has. `from` is this process, or an entry reserved for it. */
static inline void member_copy_refs(struct family *f, uint32_t from, uint32_t to)
{
    for (uint64_t pages = load_relaxed(&f->participants[from].pages); pages != 0; pages &= pages - 1) {
        uint64_t page = pages & -pages;
        size_t first = (size_t)__builtin_ctzll(page) * (FAMILY_PAGE / 8);
        or_seq(&f->participants[to].pages, page); /* pairs with ref_get */
        for (size_t w = first; w < first + FAMILY_PAGE / 8; w++) {
            uint64_t bits = load_relaxed(refs_of(f, from) + w);
            if (bits != 0)
                or_seq(refs_of(f, to) + w, bits); /* pairs with ref_get */
        }
        STEP();
    }
    refs_vouched(f);
}

/* Undoes member_reserve, because the child will not come. */
static inline void member_cancel(struct family *f, uint32_t identity, int fd, struct reaped *r)
{
    reap_entry(f, identity_index(identity), r);
    if (fd >= 0)
        close(fd);
}

/* Lets go of the entry, because the child has it, or never will. If no child holds its byte, it goes back at once. */
static inline void member_let_go(struct family *f, uint32_t identity, int fd, struct reaped *r)
{
    if (fd < 0)
        return;
    close(fd);
    if (byte_free(f, identity_index(identity)))
        reap_owner(f, identity, r);
}

/* A process that has joined already was handed an entry as well. Takes over its references and gives it back. */
static inline void member_merge(struct family *f, uint32_t identity, int fd, struct reaped *r)
{
    member_copy_refs(f, identity_index(identity), identity_index(family_me(f)));
    member_cancel(f, identity, fd, r);
}

#endif
