/* SPDX-License-Identifier: MIT */
/* The status table: by it a process learns how the children of its fork server ended, where the kernel does not tell.
 *
 * Three have a part in a slot's life: the server, each child of it, and the user, whose server it is and who wants to know.
 *
 *   word:  state:3 | exit code + 64:9 (from bit 3) | generation:30 (from bit 12) | pid:22 (from bit 42)
 *
 *   FREE          -> PARKED  status_take     the server, before it forks
 *   PARKED        -> WANTED  status_want     the user, before it gives the child a process to be
 *   WANTED        -> SAID    status_say      the child, right before its _exit()
 *   WANTED, SAID  -> EXITED  status_reaped   the server, which knows better than the child
 *   PARKED        -> FREE    status_reaped   nobody wants to know
 *   EXITED        -> FREE    status_drop     the user knows
 *   WANTED, SAID  -> PARKED  status_drop     the user does not want to know any more
 *
 * A word is all of its slot, and each change is one compare-and-swap: whoever is killed leaves nothing half done. It
 * publishes nothing but itself, so every access is relaxed. A token names one life of a slot; what is done with it after
 * that life, or once more, changes nothing. */
#ifndef MPFAST_STATUS_H
#define MPFAST_STATUS_H

#include "atomic.h"
#include "clock.h"
#include "futex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Who waits looks by itself after BACKSTOP, and then ever less often, but after LONGEST: the server may have been killed
 * before it could wake anybody. A harness may say otherwise. */
#ifndef STATUS_BACKSTOP
#define STATUS_BACKSTOP MILLISECOND
#define STATUS_LONGEST (20 * MILLISECOND)
#endif
#ifndef STATUS_SLOTS
#define STATUS_SLOTS 65536u
#endif

#define STATUS_SIZE (STATUS_SLOTS * sizeof(uint64_t))
#define STATUS_LOWEST (-64) /* the exit code of who was killed by the last signal there is */
#define STATUS_HIGHEST 255
#define STATUS_CODE_MASK 0x1ffu
#define STATUS_GENERATION_MASK 0x3fffffffu
#define STATUS_MOST_PID ((1 << 22) - 1) /* PID_MAX_LIMIT of Linux */

_Static_assert((STATUS_SLOTS & (STATUS_SLOTS - 1)) == 0, "a token is generation * STATUS_SLOTS + slot");

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "status_futex takes the half with the state to be the first"
#endif

enum status_state { STATUS_FREE, STATUS_PARKED, STATUS_WANTED, STATUS_SAID, STATUS_EXITED };

/* What status_wait() knows of an exit code: nothing, what the child said of itself, or how it was. */
enum status_knowledge { STATUS_UNKNOWN, STATUS_UNCERTAIN, STATUS_CERTAIN };

struct status_table {
    shared64 *words; /* shared */
    shared32 cursor; /* where this process looks first for a free slot: the longest free ones come first */
};

static inline enum status_state status_state(uint64_t word) { return (enum status_state)(word & 7); }
static inline int status_code(uint64_t word) { return (int)(word >> 3 & STATUS_CODE_MASK) + STATUS_LOWEST; }
static inline uint32_t status_generation(uint64_t word) { return (uint32_t)(word >> 12) & STATUS_GENERATION_MASK; }
static inline pid_t status_word_pid(uint64_t word) { return (pid_t)(word >> 42); }

static inline uint64_t status_make(enum status_state state, int code, uint32_t generation, pid_t pid)
{
    uint64_t encoded = (uint32_t)(code - STATUS_LOWEST) & STATUS_CODE_MASK;
    return (uint64_t)state | encoded << 3 | (uint64_t)(generation & STATUS_GENERATION_MASK) << 12 | (uint64_t)pid << 42;
}

static inline uint64_t status_with(uint64_t word, enum status_state state, int code)
{
    return status_make(state, code, status_generation(word), status_word_pid(word));
}

/* Never 0, so that no token is. */
static inline uint32_t status_next_generation(uint64_t word)
{
    return status_generation(word) % STATUS_GENERATION_MASK + 1;
}

static inline shared64 *status_at(const struct status_table *t, uint64_t token)
{
    return &t->words[token % STATUS_SLOTS];
}

static inline shared32 *status_futex(const struct status_table *t, uint64_t token)
{
    return (shared32 *)status_at(t, token);
}

/* Is this still the life that the token names? */
static inline bool status_lives(uint64_t word, uint64_t token)
{
    return status_state(word) != STATUS_FREE && status_generation(word) == token / STATUS_SLOTS;
}

/* The table ---------------------------------------------------------------------------------------------------------- */

#define STATUS_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Maps the table behind fd, which stays the caller's. -EBADMSG: it is none; -EPERM: somebody might shrink it, and who
 * has it mapped would get SIGBUS. */
static inline int status_map(int fd, struct status_table *t)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (uint64_t)st.st_size != STATUS_SIZE)
        return -EBADMSG;
    if ((seals & STATUS_SEALS) != STATUS_SEALS)
        return -EPERM;
    void *start = mmap(NULL, STATUS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED)
        return -errno;
    t->words = start;
    store_relaxed(&t->cursor, 0);
    return 0;
}

/* Makes a table, a memory file without a name, and maps it. Returns its descriptor, or -errno. */
static inline int status_create(struct status_table *t)
{
    int fd = memfd_create("mpfast-status", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int rc = ftruncate(fd, (off_t)STATUS_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, STATUS_SEALS) < 0 ? -errno : 0;
    if (rc == 0)
        rc = status_map(fd, t);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static inline void status_unmap(struct status_table *t)
{
    munmap(t->words, STATUS_SIZE);
    t->words = NULL;
}

/* Changes ------------------------------------------------------------------------------------------------------------ */

/* A new life: its token, or -ENOSPC. A slot is looked at that was not taken for long, so mostly the first one is free. */
static inline int64_t status_take(struct status_table *t)
{
    for (uint32_t i = 0; i < STATUS_SLOTS; i++) {
        uint32_t slot = add_relaxed(&t->cursor, 1u) % STATUS_SLOTS;
        uint64_t word = load_relaxed(&t->words[slot]);
        uint32_t generation = status_next_generation(word);
        if (status_state(word) == STATUS_FREE &&
            cas_relaxed(&t->words[slot], &word, status_make(STATUS_PARKED, 0, generation, 0)))
            return (int64_t)generation * STATUS_SLOTS + slot;
    }
    return -ENOSPC;
}

typedef uint64_t status_change(uint64_t word, int value);

/* Returns the word as it was before; 0: the life that the token names is over. */
static inline uint64_t status_update(const struct status_table *t, uint64_t token, status_change *change, int value)
{
    shared64 *at = status_at(t, token);
    uint64_t word = load_relaxed(at);
    while (status_lives(word, token)) {
        uint64_t next = change(word, value);
        if (next == word || cas_relaxed(at, &word, next))
            return word;
    }
    return 0;
}

static inline uint64_t status_change_born(uint64_t word, int pid)
{
    return status_make(status_state(word), status_code(word), status_generation(word), pid);
}

static inline uint64_t status_change_want(uint64_t word, int unused)
{
    (void)unused;
    return status_state(word) == STATUS_PARKED ? status_with(word, STATUS_WANTED, 0) : word;
}

static inline uint64_t status_change_say(uint64_t word, int code)
{
    bool open = status_state(word) == STATUS_WANTED || status_state(word) == STATUS_SAID;
    return open ? status_with(word, STATUS_SAID, code) : word;
}

static inline uint64_t status_change_reaped(uint64_t word, int code)
{
    if (status_state(word) == STATUS_PARKED)
        return status_make(STATUS_FREE, 0, status_generation(word), 0);
    return status_state(word) == STATUS_EXITED ? word : status_with(word, STATUS_EXITED, code);
}

static inline uint64_t status_change_drop(uint64_t word, int unused)
{
    (void)unused;
    if (status_state(word) == STATUS_EXITED)
        return status_make(STATUS_FREE, 0, status_generation(word), 0);
    return status_with(word, STATUS_PARKED, 0);
}

/* For who looks into the table: the pid of the child. */
static inline void status_born(const struct status_table *t, uint64_t token, pid_t pid)
{
    status_update(t, token, status_change_born, pid);
}

/* False: the child has ended already. From now on its end is kept until status_drop(). */
static inline bool status_want(const struct status_table *t, uint64_t token)
{
    return status_update(t, token, status_change_want, 0) != 0;
}

/* The code that this process is about to give to _exit(), of which the kernel keeps eight bits. */
static inline void status_say(const struct status_table *t, uint64_t token, int code)
{
    status_update(t, token, status_change_say, code & 0xff);
}

/* The child has ended with this exit code, -N for signal N. Also for a child that could not be made. */
static inline void status_reaped(const struct status_table *t, uint64_t token, int code)
{
    uint64_t before = status_update(t, token, status_change_reaped, code);
    STEP();
    if (status_state(before) == STATUS_WANTED || status_state(before) == STATUS_SAID)
        futex_wake(status_futex(t, token), INT_MAX);
}

static inline void status_drop(const struct status_table *t, uint64_t token)
{
    status_update(t, token, status_change_drop, 0);
}

/* The child's pid; 0: it was not told, or the life that the token names is over. */
static inline pid_t status_pid(const struct status_table *t, uint64_t token)
{
    uint64_t word = load_relaxed(status_at(t, token));
    return status_lives(word, token) ? status_word_pid(word) : 0;
}

/* Waiting ------------------------------------------------------------------------------------------------------------ */

/* A descriptor that was closed behind our back says nothing. */
static inline bool status_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* Until the server has said how the child ended, or has ended itself (server: its pidfd, or -1): then what the child said
 * must do. STATUS_UNKNOWN: the deadline has passed, or nobody will ever say; -ESRCH: nobody wants to know, or no longer;
 * -EINTR: serve signals and call again; also now and then without a signal, as one may come right before the sleep. The
 * slot stays as it is. */
static inline int status_wait(const struct status_table *t, uint64_t token, int64_t deadline, int server, int *code)
{
    bool ended = false;
    for (int64_t backstop = STATUS_BACKSTOP;;) {
        uint64_t word = load_relaxed(status_at(t, token));
        if (!status_lives(word, token) || status_state(word) == STATUS_PARKED)
            return -ESRCH;
        *code = status_code(word);
        if (status_state(word) == STATUS_EXITED)
            return STATUS_CERTAIN;
        if (ended)
            return status_state(word) == STATUS_SAID ? STATUS_UNCERTAIN : STATUS_UNKNOWN;
        ended = status_ended(server);
        if (ended)
            continue; /* once more: for what it wrote last */
        int64_t now = clock_now();
        if (now >= deadline)
            return STATUS_UNKNOWN;
        int64_t until = deadline - now > backstop ? now + backstop : deadline;
        int rc = futex_wait(status_futex(t, token), (uint32_t)word, until);
        if (rc == -EINTR || backstop == STATUS_LONGEST)
            return -EINTR;
        backstop = backstop * 2 < STATUS_LONGEST ? backstop * 2 : STATUS_LONGEST;
    }
}

#endif
