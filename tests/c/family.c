/* SPDX-License-Identifier: MIT */
/* layout.h, family.h, clock.h, futex.h, thread.h: what is refused with which error, and what time is made of. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#include <math.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static struct family *family;

/* What family_attach says of fd, which is closed. A refused family leaves nothing mapped, and fd as it was. */
static int attach_and_close(int fd)
{
    struct family *f = NULL;
    EXPECT(fd >= 0);
    int rc = family_attach(fd, &f);
    EXPECT_EQ(rc == 0, f != NULL);
    if (rc == 0)
        family_unmap(f);
    EXPECT_EQ(close(fd), 0);
    return rc;
}

/* A copy of the segment's header, changed so, in a file of that length. */
static int copy(size_t offset, size_t size, uint64_t value, off_t length, int seals)
{
    int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(fd >= 0 && ftruncate(fd, length) == 0);
    struct family_header header;
    memcpy(&header, family->header, sizeof header);
    memcpy((char *)&header + offset, &value, size);
    size_t room = length < (off_t)sizeof header ? (size_t)length : sizeof header;
    EXPECT_EQ(pwrite(fd, &header, room, 0), room);
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static int attached(size_t offset, size_t size, uint64_t value, off_t length)
{
    return attach_and_close(copy(offset, size, value, length, SEALS));
}

#define DAMAGED(field, value) \
    attached(offsetof(struct family_header, field), sizeof(((struct family_header *)0)->field), (value), FAMILY_FILE)

static void damaged_headers(void)
{
    EXPECT_EQ(attached(0, 0, 0, FAMILY_FILE), 0);
    EXPECT_EQ(DAMAGED(magic, 0), -EBADMSG);
    EXPECT_EQ(DAMAGED(magic, FAMILY_MAGIC ^ 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(abi, 0), -EPROTO);
    EXPECT_EQ(DAMAGED(abi, FAMILY_ABI + 1), -EPROTO);
    EXPECT_EQ(DAMAGED(layout, family_layout() ^ 1), -EPROTO);
    EXPECT_EQ(DAMAGED(size, FAMILY_SIZE - FAMILY_PAGE), -EBADMSG);
    EXPECT_EQ(DAMAGED(size, UINT64_MAX), -EBADMSG);
    EXPECT_EQ(DAMAGED(participants_top, FAMILY_PARTICIPANTS), 0);
    EXPECT_EQ(DAMAGED(participants_top, FAMILY_PARTICIPANTS + 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(participants_top, UINT32_MAX), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_SMALL], FAMILY_SMALL_SLOTS + 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_SMALL], UINT32_MAX), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_LARGE], FAMILY_LARGE_SLOTS + 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_LARGE], UINT32_MAX), -EBADMSG);
}

/* Never is a page touched that the file does not have. */
static void lengths(void)
{
    const off_t good = FAMILY_FILE, wrong[] = {0,
                                               1,
                                               8,
                                               sizeof(struct family_header) - 1,
                                               sizeof(struct family_header),
                                               FAMILY_PAGE,
                                               good / 2,
                                               good - 1,
                                               good + 1,
                                               good + FAMILY_PAGE};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_EQ(attached(0, 0, 0, wrong[i]), -EBADMSG);
}

/* Whoever could shrink the file could kill all that map it. */
static void seals(void)
{
    for (int missing = 0; missing < 3; missing++) {
        const int seal[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL};
        EXPECT_EQ(attach_and_close(copy(0, 0, 0, FAMILY_FILE, SEALS & ~seal[missing])), -EPERM);
    }
    EXPECT_EQ(attach_and_close(copy(0, 0, 0, FAMILY_FILE, 0)), -EPERM);
    EXPECT(ftruncate(family->fd, FAMILY_PAGE) < 0 && ftruncate(family->fd, FAMILY_FILE + 1) < 0);
    EXPECT_EQ(fcntl(family->fd, F_GET_SEALS), SEALS);
    EXPECT(fcntl(family->fd, F_GETFD) & FD_CLOEXEC);
}

static void wrong_descriptors(void)
{
    struct family *f = NULL;
    int ends[2], sockets[2], good = copy(0, 0, 0, FAMILY_FILE, SEALS);
    EXPECT_EQ(family_attach(-1, &f), -EBADF);
    EXPECT_EQ(family_attach(1 << 20, &f), -EBADF);
    EXPECT(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    for (int i = 0; i < 2; i++)
        EXPECT(attach_and_close(ends[i]) == -EBADMSG && attach_and_close(sockets[i]) == -EBADMSG);
    EXPECT_EQ(attach_and_close(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), -EBADMSG);
    EXPECT_EQ(attach_and_close(open("/", O_PATH | O_CLOEXEC)), -EBADMSG);
    EXPECT_EQ(attach_and_close(open("/dev/zero", O_RDWR | O_CLOEXEC)), -EBADMSG);
    EXPECT_EQ(attach_and_close(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), -EBADMSG);
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", good);
    EXPECT_EQ(attach_and_close(open(path, O_RDONLY | O_CLOEXEC)), -EACCES);
    EXPECT_EQ(attach_and_close(open(path, O_WRONLY | O_CLOEXEC)), -EBADMSG);
    EXPECT_EQ(attach_and_close(good), 0);
    EXPECT(f == NULL);
}

/* A program closed "all" descriptors, and then opened others. */
static void lost_descriptors(void)
{
    struct family lost = *family, *second = NULL;
    const int not_ours[] = {-1, 0, 1 << 20};
    for (int i = 0; i < 3; i++) {
        lost.fd = not_ours[i];
        EXPECT(!family_fd_valid(&lost));
        EXPECT_EQ(family_reopen(&lost), -EBADF);
        EXPECT(lost.fd == 0 || byte_held(lost.fd, 1)); /* what cannot be asked looks alive */
    }
    int fd = family_reopen(family);
    EXPECT(fd >= 0 && fd != family->fd && family_fd_valid(family) && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(family_attach(fd, &second), 0);
    EXPECT(memcmp(second->header->id, family->header->id, 16) == 0 && family_me(second) == 0);
    family_end(second);
}

/* Tables do not overlap, and each object lies in its own. */
static void tables(void)
{
    const size_t begins[] = {sizeof(struct family_header),
                             OFFSET_PARTICIPANTS,
                             OFFSET_STATES,
                             OFFSET_FREED,
                             OFFSET_REFS,
                             OFFSET_SMALL,
                             OFFSET_LARGE,
                             FAMILY_FILE};
    for (size_t i = 1; i < sizeof begins / sizeof *begins; i++)
        EXPECT(begins[i - 1] < begins[i] && begins[i] % FAMILY_PAGE == 0);
    char *base = (char *)family->header;
    EXPECT(base + OFFSET_LARGE == slot_at(family, FAMILY_SMALL_SLOTS));
    EXPECT(base + FAMILY_SIZE == (char *)slot_at(family, FAMILY_SLOTS - 1) + LARGE_SLOT_SIZE);
    EXPECT((char *)(refs_of(family, FAMILY_PARTICIPANTS - 1) + REFS_WORDS) == family->small);
    EXPECT(class_of(FAMILY_SMALL_SLOTS - 1) == SLOT_SMALL && class_of(FAMILY_SMALL_SLOTS) == SLOT_LARGE);
}

static void deadlines(void)
{
    const double past[] = {0, -0.0, -1e-9, -1, -4e9, -1e300, -INFINITY, NAN};
    const double ever[] = {4.1e9, 1e10, 1e18, 1e300, INFINITY};
    for (size_t i = 0; i < sizeof past / sizeof *past; i++)
        EXPECT_EQ(clock_deadline(past[i]), 0);
    for (size_t i = 0; i < sizeof ever / sizeof *ever; i++)
        EXPECT_EQ(clock_deadline(ever[i]), NEVER);
    const double soon[] = {1e-300, 1e-9, 0.25, 1, 86400, 4e9};
    for (size_t i = 0; i < sizeof soon / sizeof *soon; i++) {
        int64_t before = clock_now(), deadline = clock_deadline(soon[i]), ns = (int64_t)(soon[i] * 1e9);
        EXPECT(deadline >= before + ns && deadline <= clock_now() + ns);
    }
    struct timespec t = clock_timespec(3 * SECOND + 5);
    EXPECT(t.tv_sec == 3 && t.tv_nsec == 5);
    t = clock_timespec(NEVER - 1);
    EXPECT(t.tv_sec > 0 && t.tv_nsec >= 0 && t.tv_nsec < SECOND);
}

static shared32 word;

/* What a futex says of deadlines of all kinds: none is an error that a waiter would turn round and round on. */
static void futexes(void)
{
    const int64_t past[] = {0, 1, clock_now() - SECOND, clock_now()};
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(futex_wait(&word, 0, past[i]), -ETIMEDOUT);
    EXPECT_EQ(futex_wait(&word, 1, 0), -EAGAIN);
    EXPECT_EQ(futex_wait(&word, 1, NEVER), -EAGAIN);
    EXPECT_EQ(futex_wait(&word, 1, NEVER - 1), -EAGAIN); /* 292 years on */
    EXPECT_EQ(futex_wake(&word, INT_MAX), 0);
    int64_t began = clock_now();
    EXPECT_EQ(futex_wait(&word, 0, began + 2 * MILLISECOND), -ETIMEDOUT);
    EXPECT(clock_now() >= began + 2 * MILLISECOND);
}

/* The same of what waits on it: a deadline counts before a backstop, and the past is no reason to sleep. */
static void waits(void)
{
    const int64_t past[] = {INT64_MIN, -1, 0, 1};
    struct waiting w;
    for (int i = 0; i < 4; i++) {
        waiting_begin(&w, past[i], BACKSTOP_OWNED);
        EXPECT_EQ(waiting_sleep(&w, family, 0, &word, 0, FUTEX_ALL), -ETIMEDOUT);
        EXPECT(!w.slept && w.record == NULL);
    }
    const int64_t far[] = {NEVER, NEVER - 1, in(3600 * SECOND)};
    for (int i = 0; i < 3; i++) {
        waiting_begin(&w, far[i], BACKSTOP_OWNED);
        int64_t began = clock_now();
        EXPECT_EQ(waiting_sleep(&w, family, 0, &word, 0, FUTEX_ALL), -EINTR);
        EXPECT(w.slept && w.record != NULL && w.backstop == 2 * BACKSTOP_FIRST);
        EXPECT(clock_now() - began >= BACKSTOP_FIRST);
        EXPECT_EQ(waiting_sleep(&w, family, 0, &word, 1, FUTEX_ALL), 0);
        waiting_end(&w);
    }
}

static shared32 sleeping, woken[3];

/* Three sleepers with a bit of their own each: only whom a wake-up means wakes. */
static void doze(struct user *u)
{
    add_seq(&sleeping, 1u); /* pairs with wakes */
    while (futex_wait_bits(&word, 0, NEVER, 1u << u->number) != 0)
        ;
    store_release(&woken[u->number], 1); /* pairs with wakes */
}

static void *wake_them(void *unused)
{
    while (load_seq(&sleeping) < 3) /* pairs with doze */
        sched_yield();
    EXPECT_EQ(futex_wake_bits(&word, INT_MAX, 8), 0);
    for (uint32_t i = 3; i-- > 0;) {
        while (futex_wake_bits(&word, INT_MAX, 1u << i) == 0)
            sched_yield();
        while (!load_acquire(&woken[i])) /* pairs with doze */
            sched_yield();
        EXPECT(i == 0 || !load_acquire(&woken[i - 1])); /* pairs with doze */
    }
    return unused;
}

static void wakes(void)
{
    pthread_t waker;
    EXPECT_EQ(pthread_create(&waker, NULL, wake_them, NULL), 0);
    crowd(family, 3, true, doze);
    pthread_join(waker, NULL);
}

static void *tell_thread(void *identity)
{
    uint32_t me = *(uint32_t *)identity;
    return (void *)(uintptr_t)(thread_id(me) == (uint32_t)syscall(SYS_gettid) ? thread_id(me) : 0);
}

/* Every thread has its own id, and a child does not inherit its parent's. */
static void threads(void)
{
    pthread_t other;
    void *id;
    uint32_t me = family_me(family), mine = thread_id(me);
    EXPECT_EQ(mine, syscall(SYS_gettid));
    EXPECT_EQ(pthread_create(&other, NULL, tell_thread, &me), 0);
    EXPECT_EQ(pthread_join(other, &id), 0);
    EXPECT(id != NULL && (uintptr_t)id != mine);
    pid_t pid = fork();
    if (pid == 0)
        _exit(thread_id(me) == (uint32_t)syscall(SYS_gettid) && thread_id(me) != mine ? GOOD : BAD);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    begin(30);
    family = family_new();
    RUN(damaged_headers);
    RUN(lengths);
    RUN(seals);
    RUN(wrong_descriptors);
    RUN(lost_descriptors);
    RUN(tables);
    RUN(deadlines);
    RUN(futexes);
    RUN(waits);
    RUN(wakes);
    RUN(threads);
    family_end(family);
    return GOOD;
}
