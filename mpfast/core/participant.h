/* SPDX-License-Identifier: MIT */
/* Participants: which processes share a family, and the one way to learn that one of them is dead.
 *
 * Entry i of the table belongs to whoever holds an OFD lock on byte i of the segment. The kernel drops that lock when
 * the last descriptor of its open file description is closed, so at any kind of death. Dead takes two proofs: the byte
 * is free *and* the pid is gone (or a later process has it); a program that closed all its descriptors is not dead.
 *
 *   state word:  kind:4 | generation:18 (from bit 4) | byte not decisive:1 (bit 22) | pid:32 (from bit 32)
 *
 * An *identity* names an entry and its generation inside a lock word: two flag bits, index:12, generation:18. */
#ifndef MPFAST_PARTICIPANT_H
#define MPFAST_PARTICIPANT_H

#include "family.h"
#include "clock.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

enum participant_kind {
    PARTICIPANT_FREE,
    PARTICIPANT_RESERVED, /* for a child that has not said yet that it lives; pid is the reserving process's */
    PARTICIPANT_LIVE,
    PARTICIPANT_LEFT /* ended normally, or is about to: what it holds stays held, as with multiprocessing */
};

/* What happens to that which a killed process held: who wants it is told, it is freed, or it stays held. */
enum death_policy { DEATH_RAISE, DEATH_RELEASE, DEATH_WAIT };

#define GENERATION_MASK 0x3ffffu
#define PARTICIPANT_PID_ONLY (UINT64_C(1) << 22) /* the lock byte says nothing: see membership.h */

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
static inline void byte_unlock(int fd, uint32_t byte) { (void)byte_command(fd, F_OFD_SETLK, F_UNLCK, byte, NULL); }

/* Who reaps entry i holds this byte, not the entry's own: that one must go on saying that the process is dead. */
static inline uint32_t reap_byte(uint32_t index) { return FAMILY_PARTICIPANTS + index; }

/* Held by a description other than fd's? When in doubt, yes: what looks alive is safe. */
static inline bool byte_held(int fd, uint32_t byte)
{
    short found = F_UNLCK;
    return byte_command(fd, F_OFD_GETLK, F_WRLCK, byte, &found) < 0 || found != F_UNLCK;
}

static inline uint64_t namespace_of_pids(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static inline uint64_t clock_boottime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * (uint64_t)SECOND + (uint64_t)t.tv_nsec;
}

/* When process pid started, in CLOCK_BOOTTIME nanoseconds, rounded down to a clock tick; 0 if unknown. */
static inline uint64_t pid_started(pid_t pid)
{
    char path[40], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *field = strrchr(text, ')'); /* the name before it may hold anything */
    for (int number = 2; field != NULL && number < 22; number++)
        field = strchr(field + 1, ' ');
    unsigned long long ticks = 0;
    if (field == NULL || sscanf(field, " %llu", &ticks) != 1)
        return 0;
    return ticks * (uint64_t)(SECOND / sysconf(_SC_CLK_TCK));
}

/* Has the process that was `pid` at boot time `registered` ended? A zombie has; a stopped one has not. */
static inline bool pid_gone(pid_t pid, uint64_t registered)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH || (errno == ENOSYS && kill(pid, 0) < 0 && errno == ESRCH);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool ended = poll(&p, 1, 0) == 1;
    close(fd);
    return ended || pid_started(pid) > registered;
}

/* The second proof, for the entry that was seen in `state`; the first is that its byte is free. */
static inline bool participant_ended(const struct family *f, uint32_t index, uint64_t state)
{
    const struct participant *p = &f->participants[index];
    bool pid_only = state & PARTICIPANT_PID_ONLY;
    if (state_kind(state) == PARTICIPANT_RESERVED) /* the child held the byte from before its birth, if it had one */
        return !pid_only || pid_gone(state_pid(state), UINT64_MAX);
    if (load_relaxed(&p->namespace) != namespace_of_pids())
        return !pid_only; /* its pid means nothing here */
    return pid_gone(state_pid(state), load_relaxed(&p->registered));
}

/* Both proofs of death. What cannot be proven lives. */
static inline bool participant_gone(const struct family *f, uint32_t index, uint64_t state)
{
    if (index == identity_index(family_me(f)))
        return false; /* and our own description would not tell of our own lock */
    if (!(state & PARTICIPANT_PID_ONLY) && (f->fd < 0 || byte_held(f->fd, index)))
        return false;
    return participant_ended(f, index, state);
}

/* Was the process of the entry, seen in `state`, killed? It may have left while we looked for proof: look again. */
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

/* The entry's process says that it lives. Publishes the fields that participant_gone reads. */
static inline void participant_announce(struct family *f, uint32_t identity, uint64_t flags)
{
    struct participant *p = &f->participants[identity_index(identity)];
    store_relaxed(&p->registered, clock_boottime());
    store_relaxed(&p->namespace, namespace_of_pids());
    STEP();
    uint64_t live = state_make(PARTICIPANT_LIVE, identity_generation(identity), flags, getpid());
    store_release(&p->state, live); /* pairs with the load in participant_died */
    STEP();
}

/* This process ends normally. Idempotent; what it still does afterwards works, but its death is no news. */
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
