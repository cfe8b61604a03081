/* SPDX-License-Identifier: MIT */
/* The exit table tells a client how the children of its fork server ended, where the kernel does not tell.
 *
 * The server, each child of it, and the client change a slot.
 *
 *   word:  state:3 | exit code + 64:9 (from bit 3) | generation:30 (from bit 12) | pid:22 (from bit 42)
 *
 *   FREE          -> SPARE   exits_take     the server, before it forks
 *   SPARE         -> WANTED  exits_want     the client, before it hands a process to the spare
 *   WANTED        -> SAID    exits_say      the child, right before its _exit()
 *   WANTED, SAID  -> EXITED  exits_reaped   the server, which knows better than the child
 *   SPARE         -> FREE    exits_reaped   the server, and the end is not wanted
 *   EXITED        -> FREE    exits_drop     the client knows
 *   WANTED, SAID  -> SPARE   exits_drop     the client does not want to know any more
 *
 * A word is all of its slot, and each change is one compare-and-swap. So a killed process leaves nothing half done. The
 * word publishes nothing but itself, so every access is relaxed. A token names one life of a slot. What is done with it
 * after that life, or a second time, changes nothing. */
#ifndef MPFAST_EXIT_TABLE_H
#define MPFAST_EXIT_TABLE_H

#include "core/base/atomic.h"
#include "core/base/clock.h"
#include "core/base/descriptor.h"
#include "core/base/filesize.h"
#include "core/base/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* A waiter checks by itself after BACKSTOP, then ever less often, and at least every LONGEST. The server may have been
 * killed before its wake-up. A harness may define other values. */
#ifndef EXITS_BACKSTOP
#define EXITS_BACKSTOP MILLISECOND
#define EXITS_LONGEST (20 * MILLISECOND)
#endif
#ifndef EXITS_SLOTS
#define EXITS_SLOTS 65536u
#endif

#define EXITS_SIZE (EXITS_SLOTS * sizeof(uint64_t))
#define EXITS_LOWEST (-64) /* the exit code of a process killed by the last signal there is */
#define EXITS_HIGHEST 255
#define EXITS_CODE_MASK 0x1ffu
#define EXITS_GENERATION_MASK 0x3fffffffu
#define EXITS_MOST_PID ((1 << 22) - 1) /* PID_MAX_LIMIT of Linux */

_Static_assert((EXITS_SLOTS & (EXITS_SLOTS - 1)) == 0, "a token is generation * EXITS_SLOTS + slot");

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "exits_futex takes the half with the state to be the first"
#endif

enum exits_state { EXITS_FREE, EXITS_SPARE, EXITS_WANTED, EXITS_SAID, EXITS_EXITED };

/* What exits_wait() knows of an exit code. Nothing, what the child said of itself, or how it was. */
enum exits_knowledge { EXITS_UNKNOWN, EXITS_UNCERTAIN, EXITS_CERTAIN };

struct exits_table {
    shared64 *words; /* shared */
    shared32 cursor; /* where this process looks first for a free slot, so that the longest free ones come first */
};

static inline enum exits_state exits_state(uint64_t word) { return (enum exits_state)(word & 7); }
static inline int exits_code(uint64_t word) { return (int)(word >> 3 & EXITS_CODE_MASK) + EXITS_LOWEST; }
static inline uint32_t exits_generation(uint64_t word) { return (uint32_t)(word >> 12) & EXITS_GENERATION_MASK; }
static inline pid_t exits_word_pid(uint64_t word) { return (pid_t)(word >> 42); }

static inline uint64_t exits_make(enum exits_state state, int code, uint32_t generation, pid_t pid)
{
    uint64_t encoded = (uint32_t)(code - EXITS_LOWEST) & EXITS_CODE_MASK;
    return (uint64_t)state | encoded << 3 | (uint64_t)(generation & EXITS_GENERATION_MASK) << 12 | (uint64_t)pid << 42;
}

static inline uint64_t exits_with(uint64_t word, enum exits_state state, int code)
{
    return exits_make(state, code, exits_generation(word), exits_word_pid(word));
}

/* Never 0, so that no token is 0. */
static inline uint32_t exits_next_generation(uint64_t word)
{
    return exits_generation(word) % EXITS_GENERATION_MASK + 1;
}

static inline shared64 *exits_at(const struct exits_table *t, uint64_t token) { return &t->words[token % EXITS_SLOTS]; }

static inline shared32 *exits_futex(const struct exits_table *t, uint64_t token)
{
    return (shared32 *)exits_at(t, token);
}

/* Is this still the life that the token names? */
static inline bool exits_lives(uint64_t word, uint64_t token)
{
    return exits_state(word) != EXITS_FREE && exits_generation(word) == token / EXITS_SLOTS;
}

/* The table ---------------------------------------------------------------------------------------------------------- */

#define EXITS_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Maps the table behind fd, which stays the caller's. -EBADMSG if it is none. -EPERM if a process could shrink it, as
 * processes that have it mapped would get SIGBUS. */
static inline int exits_map(int fd, struct exits_table *t)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    int seals = fcntl(fd, F_GET_SEALS);
    bool untold = seals < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS); /* by a filter */
    if ((seals < 0 && !untold) || (uint64_t)st.st_size != EXITS_SIZE)
        return -EBADMSG;
    if (!untold && (seals & EXITS_SEALS) != EXITS_SEALS)
        return -EPERM;
    void *start = mmap(NULL, EXITS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED)
        return -errno;
    t->words = start;
    store_relaxed(&t->cursor, 0);
    return 0;
}

/* Makes a table, a memory file without a name, and maps it. Returns its descriptor, or -errno. */
static inline int exits_create(struct exits_table *t)
{
    int fd = descriptor_above(memfd_create("mpfast-exits", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return fd;
    int rc = filesize_set(fd, (off_t)EXITS_SIZE);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, EXITS_SEALS) < 0)
        rc = -errno;
    if (rc == 0)
        rc = exits_map(fd, t);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static inline void exits_unmap(struct exits_table *t)
{
    munmap(t->words, EXITS_SIZE);
    t->words = NULL;
}

/* Changes ------------------------------------------------------------------------------------------------------------ */

/* Begins a new life. Returns its token, or -ENOSPC. Slots not used for long come first, so mostly the first is free. */
static inline int64_t exits_take(struct exits_table *t)
{
    for (uint32_t i = 0; i < EXITS_SLOTS; i++) {
        uint32_t slot = add_relaxed(&t->cursor, 1u) % EXITS_SLOTS;
        uint64_t word = load_relaxed(&t->words[slot]);
        uint32_t generation = exits_next_generation(word);
        if (exits_state(word) == EXITS_FREE &&
            cas_relaxed(&t->words[slot], &word, exits_make(EXITS_SPARE, 0, generation, 0)))
            return (int64_t)generation * EXITS_SLOTS + slot;
    }
    return -ENOSPC;
}

typedef uint64_t exits_change(uint64_t word, int value);

/* Returns the word as it was before, or 0 if the life that the token names is over. */
static inline uint64_t exits_update(const struct exits_table *t, uint64_t token, exits_change *change, int value)
{
    shared64 *at = exits_at(t, token);
    uint64_t word = load_relaxed(at);
    while (exits_lives(word, token)) {
        uint64_t next = change(word, value);
        if (next == word || cas_relaxed(at, &word, next))
            return word;
    }
    return 0;
}

static inline uint64_t exits_change_born(uint64_t word, int pid)
{
    return exits_make(exits_state(word), exits_code(word), exits_generation(word), pid);
}

static inline uint64_t exits_change_want(uint64_t word, int unused)
{
    (void)unused;
    return exits_state(word) == EXITS_SPARE ? exits_with(word, EXITS_WANTED, 0) : word;
}

static inline uint64_t exits_change_say(uint64_t word, int code)
{
    bool open = exits_state(word) == EXITS_WANTED || exits_state(word) == EXITS_SAID;
    return open ? exits_with(word, EXITS_SAID, code) : word;
}

static inline uint64_t exits_change_reaped(uint64_t word, int code)
{
    if (exits_state(word) == EXITS_SPARE)
        return exits_make(EXITS_FREE, 0, exits_generation(word), 0);
    return exits_state(word) == EXITS_EXITED ? word : exits_with(word, EXITS_EXITED, code);
}

static inline uint64_t exits_change_drop(uint64_t word, int unused)
{
    (void)unused;
    if (exits_state(word) == EXITS_EXITED)
        return exits_make(EXITS_FREE, 0, exits_generation(word), 0);
    return exits_with(word, EXITS_SPARE, 0);
}

/* Notes the pid of the child. Only tests and tools read it. */
static inline void exits_born(const struct exits_table *t, uint64_t token, pid_t pid)
{
    exits_update(t, token, exits_change_born, pid);
}

/* False if the child has ended already. From now on its end is kept until exits_drop(). */
static inline bool exits_want(const struct exits_table *t, uint64_t token)
{
    return exits_update(t, token, exits_change_want, 0) != 0;
}

/* Notes the code that this process is about to give to _exit(). The kernel keeps eight bits of it. */
static inline void exits_say(const struct exits_table *t, uint64_t token, int code)
{
    exits_update(t, token, exits_change_say, code & 0xff);
}

/* Notes that the child has ended with this exit code, -N for signal N. Also for a child that could not be made. */
static inline void exits_reaped(const struct exits_table *t, uint64_t token, int code)
{
    uint64_t before = exits_update(t, token, exits_change_reaped, code);
    STEP();
    if (exits_state(before) == EXITS_WANTED || exits_state(before) == EXITS_SAID)
        futex_wake(exits_futex(t, token), INT_MAX);
}

static inline void exits_drop(const struct exits_table *t, uint64_t token)
{
    exits_update(t, token, exits_change_drop, 0);
}

/* The child's pid. 0 if it was not told, or the life that the token names is over. */
static inline pid_t exits_pid(const struct exits_table *t, uint64_t token)
{
    uint64_t word = load_relaxed(exits_at(t, token));
    return exits_lives(word, token) ? exits_word_pid(word) : 0;
}

/* Waiting ------------------------------------------------------------------------------------------------------------ */

/* A descriptor that was closed behind our back says nothing. */
static inline bool exits_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* Waits until the server has said how the child ended. If the server (its pidfd, or -1) ended without, what the child
 * said of itself is taken. EXITS_UNKNOWN: the deadline has passed, or it will never be known. -ESRCH: the end is not
 * wanted, or no longer. -EINTR: serve signals and call again. It also comes now and then without a signal, as one may
 * come right before the sleep. The slot stays as it is. */
static inline int exits_wait(const struct exits_table *t, uint64_t token, int64_t deadline, int server, int *code)
{
    bool ended = false;
    for (int64_t backstop = EXITS_BACKSTOP;;) {
        uint64_t word = load_relaxed(exits_at(t, token));
        if (!exits_lives(word, token) || exits_state(word) == EXITS_SPARE)
            return -ESRCH;
        *code = exits_code(word);
        if (exits_state(word) == EXITS_EXITED)
            return EXITS_CERTAIN;
        if (ended)
            return exits_state(word) == EXITS_SAID ? EXITS_UNCERTAIN : EXITS_UNKNOWN;
        ended = exits_ended(server);
        if (ended)
            continue; /* once more, for what it wrote last */
        int64_t now = clock_now();
        if (now >= deadline)
            return EXITS_UNKNOWN;
        int64_t until = deadline - now > backstop ? now + backstop : deadline;
        int rc = futex_wait(exits_futex(t, token), (uint32_t)word, until);
        if (rc == -EINTR || backstop == EXITS_LONGEST)
            return -EINTR;
        backstop = backstop * 2 < EXITS_LONGEST ? backstop * 2 : EXITS_LONGEST;
    }
}

#endif
