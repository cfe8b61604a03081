/* SPDX-License-Identifier: MIT */
/* The family is one process's view of the segment that all processes of its tree share.
 *
 * A process has one file descriptor per family. Its open file description serves the mapping, the process's lock byte
 * (participant.h) and the hand-over to children, so it is never shared with another process for longer than a fork. */
#ifndef MPFAST_FAMILY_H
#define MPFAST_FAMILY_H

#include "core/base/atomic.h"
#include "core/base/check.h"
#include "core/base/descriptor.h"
#include "core/base/filesize.h"
#include "core/family/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define FAMILY_KEPT 32
#define PAGE_MOST ((size_t)64 << 10) /* of any system's pages */

struct family {
    struct family_header *header;
    struct participant *participants;
    shared64 *states;
    shared64 *freed;
    shared64 *refs;
    char *small;
    char *large;
    shared32 *identity; /* of this process, on a page that the kernel wipes at fork. 0 = none, see fork.h */
    shared32 *handles;  /* per slot, how many Python objects of this process are on it. Guarded by mutex */
    int fd;             /* this process's open file description of the segment, -1 if it is lost */
    dev_t dev;
    ino_t ino;
    pthread_mutex_t mutex; /* for claim, drop and hand-over. Never held while waiting for anything else */
    uint32_t cursor;       /* where the next look for dead participants begins. Guarded by mutex */
    uint32_t child;        /* the child's identity between fork's prepare and its end, 0 = none */
    int child_fd;
    _Atomic(struct heap *) heap; /* this process's view of the heap, once it has one */
    struct store *stores;        /* this process's views of stores. Guarded by mutex, */
    struct queue *watching;      /* and those of queues that have a bell, */
    uint32_t relay;              /* and the identity that has a thread of relay.h for them */
    uint32_t kept[FAMILY_KEPT];  /* slots without an object, on which this process kept its reference: handle_drop() */
    uint32_t kept_count;
    struct family *next;
};

static inline void family_point(struct family *f, char *base)
{
    f->header = (struct family_header *)base;
    f->participants = (struct participant *)(base + OFFSET_PARTICIPANTS);
    f->states = (shared64 *)(base + OFFSET_STATES);
    f->freed = (shared64 *)(base + OFFSET_FREED);
    f->refs = (shared64 *)(base + OFFSET_REFS);
    f->small = base + OFFSET_SMALL;
    f->large = base + OFFSET_LARGE;
}

static inline void *slot_at(const struct family *f, uint32_t slot)
{
    return slot < FAMILY_SMALL_SLOTS ? f->small + (size_t)slot * SMALL_SLOT_SIZE
                                     : f->large + (size_t)(slot - FAMILY_SMALL_SLOTS) * LARGE_SLOT_SIZE;
}

/* This process's identity in the family. 0 in a process that was forked without the hooks of fork.h. */
static inline uint32_t family_me(const struct family *f) { return load_relaxed(f->identity); }

/* A second open file description of the file behind fd. The kernel has no dup() that makes one. */
static inline int fd_reopen(int fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return descriptor_above(open(path, O_RDWR | O_CLOEXEC));
}

/* Is f->fd still ours? A program that closes "all" descriptors may have given the number to another file. */
static inline bool family_fd_valid(const struct family *f)
{
    struct stat st;
    return f->fd >= 0 && fstat(f->fd, &st) == 0 && st.st_ino == f->ino && st.st_dev == f->dev;
}

/* A fresh description of the segment, or -errno. */
static inline int family_reopen(const struct family *f)
{
    if (!family_fd_valid(f))
        return -EBADF;
    return fd_reopen(f->fd);
}

static inline uint64_t window_offset(uint32_t slot)
{
    return OFFSET_WINDOWS + (uint64_t)(slot - FAMILY_SMALL_SLOTS) * WINDOW_SIZE;
}

/* Maps a part of the file. NULL: it cannot be mapped, or the descriptor is lost. */
static inline void *family_range(const struct family *f, uint64_t start, uint64_t size)
{
    if (!family_fd_valid(f))
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->fd, (off_t)start);
    return p == MAP_FAILED ? NULL : p;
}

/* Gives memory of the file back to the system. It reads as zeros afterwards. */
static inline int range_punch(const struct family *f, uint64_t start, uint64_t size)
{
    if (!family_fd_valid(f))
        return -EBADF;
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(f->fd, mode, (off_t)start, (off_t)size) < 0 ? -errno : 0;
}

static inline int window_punch(const struct family *f, uint32_t slot, uint64_t offset, uint64_t size)
{
    return range_punch(f, window_offset(slot) + offset, size);
}

/* Writes zeros into the file, through a mapping: a limit on the size of files is not for those. */
static inline int file_zero(int fd, off_t at, size_t size)
{
    size_t before = (size_t)at % PAGE_MOST;
    char *p = mmap(NULL, before + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at - (off_t)before);
    if (p == MAP_FAILED)
        return -errno;
    memset(p + before, 0, size);
    munmap(p, before + size);
    return 0;
}

/* Writes zeros where there is something else, from `at` to `end`. */
static inline int range_zero(const struct family *f, off_t at, off_t end)
{
    static const char zeros[1 << 14];
    char found[sizeof zeros];
    while (at < end) {
        size_t size = end - at < (off_t)sizeof zeros ? (size_t)(end - at) : sizeof zeros;
        ssize_t n = pread(f->fd, found, size, at);
        if (n == 0 || (n < 0 && errno != EINTR))
            return n == 0 ? -EIO : -errno;
        int rc = n > 0 && memcmp(found, zeros, (size_t)n) != 0 ? file_zero(f->fd, at, (size_t)n) : 0;
        if (rc < 0)
            return rc;
        at += n < 0 ? 0 : n;
    }
    return 0;
}

/* Writes zeros over the words of the window that were used, for kernels that give no memory back but can say what
 * exists. What was zeroed before exists as well, but is only read. */
static inline int window_zero(const struct family *f, uint32_t slot)
{
    off_t at = (off_t)window_offset(slot), end = at + (off_t)WINDOW_WORDS;
    while ((at = lseek(f->fd, at, SEEK_DATA)) >= 0 && at < end) {
        off_t hole = lseek(f->fd, at, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        hole = hole < end ? hole : end;
        int rc = range_zero(f, at, hole);
        if (rc < 0)
            return rc;
        at = hole;
    }
    return at >= 0 || errno == ENXIO ? 0 : -errno; /* ENXIO: there is no more */
}

/* Makes all words of the window read as zeros. If that fails, returns -errno, and what is there must not be used. */
static inline int window_clear(const struct family *f, uint32_t slot)
{
    int rc = window_punch(f, slot, 0, WINDOW_SIZE);
    return rc == 0 || rc == -EBADF ? rc : window_zero(f, slot);
}

static inline void *family_private(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

#define HANDLES_SIZE ROUND_UP((size_t)FAMILY_SLOTS * sizeof(shared32), FAMILY_PAGE)

/* The address space that a process needs for a family, without its windows. */
#define FAMILY_MAPPED (FAMILY_SIZE + FAMILY_PAGE + HANDLES_SIZE)

static inline void family_unmap(struct family *f)
{
    if (f->header != NULL)
        munmap(f->header, FAMILY_SIZE);
    if (f->identity != NULL)
        munmap(f->identity, FAMILY_PAGE);
    if (f->handles != NULL)
        munmap(f->handles, HANDLES_SIZE);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

/* Maps the segment behind fd. The family takes fd over only if this succeeds. */
static inline int family_map(int fd, struct family **out)
{
    struct family *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    pthread_mutex_init(&f->mutex, NULL);
    char *base = mmap(NULL, FAMILY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    int error = errno;
    if (base != MAP_FAILED)
        family_point(f, base);
    f->identity = family_private(FAMILY_PAGE);
    f->handles = family_private(HANDLES_SIZE);
    struct stat st;
    if (base == MAP_FAILED || f->identity == NULL || f->handles == NULL || fstat(fd, &st) < 0) {
        family_unmap(f);
        return base == MAP_FAILED ? -error : -ENOMEM;
    }
    madvise(f->identity, FAMILY_PAGE, MADV_WIPEONFORK); /* if it fails, forks without the hooks go unnoticed */
    f->fd = fd;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    f->child_fd = -1;
    *out = f;
    return 0;
}

/* -EPROTO if another version made it, -EBADMSG if it is no family, or damaged. */
static inline int family_check(const struct family_header *h)
{
    if (h->magic != FAMILY_MAGIC)
        return -EBADMSG;
    if (h->abi != FAMILY_ABI || h->layout != family_layout())
        return -EPROTO;
    if (h->size != FAMILY_SIZE || load_relaxed(&h->participants_top) > FAMILY_PARTICIPANTS ||
        load_relaxed(&h->slots_top[SLOT_SMALL]) > FAMILY_SMALL_SLOTS ||
        load_relaxed(&h->slots_top[SLOT_LARGE]) > FAMILY_LARGE_SLOTS)
        return -EBADMSG;
    return 0;
}

#define FAMILY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* -EPERM if a process that has the file could shrink it. Every process that maps it would get SIGBUS. */
static inline int family_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) /* a filter that refuses the question says nothing about the file */
        return errno == EPERM || errno == EACCES || errno == ENOSYS ? 0 : -EBADMSG;
    return (seals & FAMILY_SEALS) == FAMILY_SEALS ? 0 : -EPERM;
}

/* From the kernel. Where a filter refuses the call that is made for it, from the device. */
static inline bool random_bytes(uint8_t *bytes, size_t size)
{
    if (getrandom(bytes, size, 0) == (ssize_t)size)
        return true;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool all = read(fd, bytes, size) == (ssize_t)size;
    close(fd);
    return all;
}

static inline int family_format(int fd, struct family_header *h)
{
    if (!random_bytes(h->id, sizeof h->id))
        return -ENOSYS;
    h->size = FAMILY_SIZE;
    h->layout = family_layout();
    h->abi = FAMILY_ABI;
    h->magic = FAMILY_MAGIC;
    store_relaxed(&h->participants_top, 1);
    return fcntl(fd, F_ADD_SEALS, FAMILY_SEALS) < 0 ? -errno : 0;
}

/* A new segment without a name, mapped, without a participant. */
static inline int family_create(struct family **out)
{
    int fd = descriptor_above(memfd_create("mpfast", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return fd == -EPERM || fd == -EACCES ? -ENOSYS : fd; /* refused by a filter: it is as if the kernel had none */
    int rc = filesize_set(fd, (off_t)FAMILY_FILE);
    if (rc == 0)
        rc = family_map(fd, out);
    if (rc == 0 && (rc = family_format(fd, (*out)->header)) < 0)
        family_unmap(*out);
    if (rc < 0)
        close(fd);
    return rc;
}

/* Not through fd itself. Forked children inherit the mapping, and its description would keep the lock byte with it. */
static inline int family_map_apart(int fd, struct family **out)
{
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
        return -EACCES;
    int other = fd_reopen(fd);
    int rc = family_map(other < 0 ? fd : other, out);
    if (other >= 0)
        close(other);
    if (rc == 0)
        (*out)->fd = fd;
    return rc;
}

/* Maps a segment that another process made. fd stays the caller's if this fails, with -EBADF, as family_check and
 * family_sealed, or with -EACCES if fd is not open for writing. */
static inline int family_attach(int fd, struct family **out)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct family_header))
        return -EBADMSG;
    struct family_header h;
    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h)
        return -EBADMSG;
    int rc = family_check(&h);
    if (rc < 0)
        return rc;
    if ((uint64_t)st.st_size != FAMILY_FILE)
        return -EBADMSG;
    rc = family_sealed(fd);
    return rc < 0 ? rc : family_map_apart(fd, out);
}

#endif
