/* SPDX-License-Identifier: MIT */
/* Participants are the processes that share a family. Only here can one learn that one of them is dead.
 *
 * Entry i of the table belongs to the process that holds an OFD lock on byte i of the segment. The kernel drops that
 * lock when the last descriptor of its open file description is closed, and so at any kind of death. But a program may
 * close all its descriptors and live, and a fork may copy a description, which then outlives its process. So where the
 * pid means something, it decides. The byte decides if a later process has the pid, for children to be, and across
 * namespaces.
 *
 *   state word:  kind:4 | generation:18 (from bit 4) | byte not decisive:1 (bit 22) | pid:32 (from bit 32)
 *
 * An *identity* names an entry and its generation inside a lock word: two flag bits, index:12, generation:18. */
#ifndef MPFAST_PARTICIPANT_H
#define MPFAST_PARTICIPANT_H

#include "core/family/family.h"
#include "core/family/pid.h"

enum participant_kind {
    PARTICIPANT_FREE,
    PARTICIPANT_RESERVED, /* for a child that has not said yet that it lives. pid is the reserving process's */
    PARTICIPANT_LIVE,
    PARTICIPANT_LEFT,     /* ended normally, or is about to. What it holds stays held, as with multiprocessing */
    PARTICIPANT_CANCELLED /* was reserved for a child that did not come, and must not. It is being reaped */
};

/* What happens to a lock or permit of a killed process. The next taker is told, it is freed, or it stays held. */
enum death_policy { DEATH_RAISE, DEATH_RELEASE, DEATH_WAIT };

#define GENERATION_MASK 0x3ffffu
#define PARTICIPANT_PID_ONLY (UINT64_C(1) << 22) /* no description holds the lock byte, see membership.h */

static inline enum participant_kind state_kind(uint64_t state) { return (enum participant_kind)(state & 15); }
static inline uint32_t state_generation(uint64_t state) { return (uint32_t)(state >> 4) & GENERATION_MASK; }
static inline pid_t state_pid(uint64_t state) { return (pid_t)(state >> 32); }

static inline uint64_t state_make(enum participant_kind kind, uint32_t generation, uint64_t flags, pid_t pid)
{
    return (uint64_t)kind | (uint64_t)(generation & GENERATION_MASK) << 4 | flags | (uint64_t)(uint32_t)pid << 32;
}

static inline uint32_t identity_make(uint32_t index, uint32_t generation) { return index << 2 | generation << 14; }
static inline uint32_t identity_index(uint32_t word) { return word >> 2 & 0xfff; }
static inline uint32_t identity_generation(uint32_t word) { return word >> 14; }

_Static_assert(FAMILY_PARTICIPANTS <= 4096, "an identity has 12 bits for the index");

static inline int byte_command(int fd, int command, short type, uint32_t byte, short *found)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, command, &lock) < 0)
        return -errno;
    if (found != NULL)
        *found = lock.l_type;
    return 0;
}

static inline int byte_lock(int fd, uint32_t byte) { return byte_command(fd, F_OFD_SETLK, F_WRLCK, byte, NULL); }
/* An unlock cannot be refused where the lock was granted. If the descriptor is not ours now, the lock went with it. */
static inline void byte_unlock(int fd, uint32_t byte) { (void)byte_command(fd, F_OFD_SETLK, F_UNLCK, byte, NULL); }

/* Held by a description other than fd's? When in doubt, yes, because it is safe to take a dead process for alive. */
static inline bool byte_held(int fd, uint32_t byte)
{
    short found = F_UNLCK;
    return byte_command(fd, F_OFD_GETLK, F_WRLCK, byte, &found) < 0 || found != F_UNLCK;
}

/* Surely held? False without a descriptor, too. */
static inline bool byte_known_held(int fd, uint32_t byte)
{
    short found = F_UNLCK;
    return fd >= 0 && byte_command(fd, F_OFD_GETLK, F_WRLCK, byte, &found) == 0 && found != F_UNLCK;
}

/* Surely free? Without a descriptor of its own a process cannot tell. */
static inline bool byte_free(const struct family *f, uint32_t byte)
{
    return family_fd_valid(f) && !byte_held(f->fd, byte);
}

/* Has the process of a LIVE or LEFT entry ended? In its pid namespace the pid tells, and a free byte tells only that a
 * later process has the pid now. A copy of a description may outlive its process, and a program may close all its
 * descriptors. Elsewhere the pid means nothing, and the byte decides. */
static inline bool participant_ended(const struct family *f, uint32_t index, uint64_t state)
{
    const struct participant *p = &f->participants[index];
    uint64_t here = namespace_of_pids();
    if (here == 0 || load_relaxed(&p->namespace) != here)
        return !(state & PARTICIPANT_PID_ONLY) && byte_free(f, index);
    if (pid_ended(state_pid(state)))
        return true;
    return byte_free(f, index) && proc_is_ours() && pid_started(state_pid(state)) > load_relaxed(&p->registered);
}

/* Will the child of a RESERVED entry never come? If there is a description, it held the byte from before its birth. If
 * not, its parent's pid decides. */
static inline bool participant_unborn(const struct family *f, uint32_t index, uint64_t state)
{
    uint64_t here = namespace_of_pids();
    if (!(state & PARTICIPANT_PID_ONLY))
        return byte_free(f, index);
    return here != 0 && load_relaxed(&f->participants[index].namespace) == here && pid_ended(state_pid(state));
}

/* Is the process of the entry, seen in `state`, gone? What cannot be proven lives. */
static inline bool participant_gone(const struct family *f, uint32_t index, uint64_t state)
{
    if (index == identity_index(family_me(f)))
        return false; /* and our own description does not show our own lock */
    switch (state_kind(state)) {
    case PARTICIPANT_RESERVED:
        return participant_unborn(f, index, state);
    case PARTICIPANT_CANCELLED:
        return true;
    default:
        return participant_ended(f, index, state);
    }
}

/* The same at a glance, for callers that ask often. It is one system call while the process lives. A copy of its
 * description may hide its death here. */
static inline bool participant_absent(const struct family *f, uint32_t index, uint64_t state)
{
    return ((state & PARTICIPANT_PID_ONLY) || !byte_known_held(f->fd, index)) && participant_gone(f, index, state);
}

/* Was the process of the entry, seen in `state`, killed? It may have left while we looked for proof, so check again. */
static inline bool participant_killed(const struct family *f, uint32_t index, uint64_t state)
{
    return state_kind(state) == PARTICIPANT_LIVE && participant_gone(f, index, state) &&
           load_acquire(&f->participants[index].state) == state; /* pairs with participant_leave and reap_entry */
}

/* Was the owner that a lock word names killed? False if it lives, if it left, or if its entry has a new owner. */
static inline bool participant_died(const struct family *f, uint32_t word)
{
    uint32_t index = identity_index(word);
    if (index == identity_index(family_me(f)) || index >= FAMILY_PARTICIPANTS)
        return false;
    uint64_t state = load_acquire(&f->participants[index].state); /* pairs with participant_announce */
    return state_generation(state) == identity_generation(word) && participant_killed(f, index, state);
}

static inline pid_t participant_pid(const struct family *f, uint32_t word)
{
    uint64_t state = load_relaxed(&f->participants[identity_index(word)].state);
    return state_generation(state) == identity_generation(word) ? state_pid(state) : 0;
}

/* The entry's process says that it lives. Publishes the fields that participant_gone reads. False if the entry was
 * given up. That happens if no description holds the byte and the parent of the child has ended. */
static inline bool participant_announce(struct family *f, uint32_t identity)
{
    struct participant *p = &f->participants[identity_index(identity)];
    uint64_t state = load_acquire(&p->state); /* pairs with entry_claim and reap_entry */
    uint64_t flags = state & PARTICIPANT_PID_ONLY;
    if (state_kind(state) != PARTICIPANT_RESERVED || state_generation(state) != identity_generation(identity))
        return false;
    store_relaxed(&p->registered, clock_boottime());
    store_relaxed(&p->namespace, namespace_of_pids());
    STEP();
    uint64_t live = state_make(PARTICIPANT_LIVE, identity_generation(identity), flags, getpid());
    bool still = cas_acqrel(&p->state, &state, live); /* pairs with the load in participant_died, and with reap_entry */
    STEP();
    return still;
}

/* This process ends normally. Idempotent. What it still does afterwards works, but its death is not told. */
static inline void participant_leave(struct family *f)
{
    uint32_t me = family_me(f);
    if (me == 0)
        return;
    shared64 *state = &f->participants[identity_index(me)].state;
    uint64_t live = load_relaxed(state);
    uint64_t left = state_make(PARTICIPANT_LEFT, state_generation(live), live & PARTICIPANT_PID_ONLY, state_pid(live));
    if (state_kind(live) == PARTICIPANT_LIVE)
        cas_acqrel(state, &live, left); /* pairs with reap_entry: what this process did to its slots is over */
}

#endif
