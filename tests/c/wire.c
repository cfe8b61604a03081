/* SPDX-License-Identifier: MIT */
/* wire.h and turn.h: pipes and sockets read and written now, soon and asleep; who looks at them; whose turn it is. */
#include "check.h"

#include "core/wire/turn.h"
#include "core/wire/wire.h"

#include <sys/wait.h>

struct wire {
    int in, out;
    enum wire_kind kind;
};

static struct wire wire_open(bool duplex)
{
    int fds[2];
    EXPECT_EQ(wire_pair(duplex, fds), 0);
    struct wire w = {fds[0], fds[1], duplex ? WIRE_SOCKET : WIRE_PIPE};
    EXPECT_EQ(wire_kind_of(w.in), w.kind);
    EXPECT_EQ(wire_kind_of(w.out), w.kind);
    EXPECT(fcntl(w.in, F_GETFD) & FD_CLOEXEC);
    return w;
}

static void wire_shut(struct wire w)
{
    close(w.in);
    close(w.out);
}

static struct iovec part(void *base, size_t size) { return (struct iovec){base, size}; }

static void now(void)
{
    static char big[1 << 20];
    char byte = 'x', got[8];
    for (int duplex = 0; duplex < 2; duplex++) {
        struct wire w = wire_open(duplex);
        struct iovec one = part(&byte, 1), all = part(big, sizeof big);
        EXPECT_EQ(wire_read_now(w.in, w.kind, got, 8), -EAGAIN);
        EXPECT_EQ(wire_poll(w.in, WIRE_READABLE, 0), 0);
        EXPECT_EQ(wire_write_now(w.out, w.kind, &one, 1), 1);
        EXPECT_EQ(wire_poll(w.in, WIRE_READABLE, 0), 1);
        EXPECT_EQ(wire_read_now(w.in, w.kind, got, 8), 1);
        EXPECT_EQ(got[0], 'x');
        ssize_t n, filled = 0; /* a large message goes in part, and then not at all */
        while ((n = wire_write_now(w.out, w.kind, &all, 1)) > 0)
            filled += n;
        EXPECT_EQ(n, -EAGAIN);
        EXPECT(filled > 0);
        EXPECT(wire_poll(w.out, WIRE_WRITABLE, 0) == 0);
        close(w.out);
        while ((n = wire_read_now(w.in, w.kind, big, sizeof big)) > 0)
            filled -= n;
        EXPECT_EQ(n, 0);
        EXPECT_EQ(filled, 0);
        close(w.in);
    }
}

static void broken(void)
{
    char byte = 'x';
    struct iovec one = part(&byte, 1);
    signal(SIGPIPE, SIG_IGN);
    for (int duplex = 0; duplex < 2; duplex++) {
        struct wire w = wire_open(duplex);
        close(w.in);
        EXPECT_EQ(wire_write_now(w.out, w.kind, &one, 1), -EPIPE);
        EXPECT_EQ(wire_write(w.out, &one, 1), -EPIPE);
        close(w.out);
        EXPECT_EQ(wire_read_now(w.in, w.kind, &byte, 1), -EBADF);
    }
}

/* What knows no "now": poll first. */
static void asked(void)
{
    char bytes[2 * WIRE_ATOMIC] = "x", got[2 * WIRE_ATOMIC];
    struct wire w = wire_open(false);
    struct iovec parts[3] = {part(bytes, 0), part(bytes, 10), part(bytes, sizeof bytes)};
    EXPECT_EQ(wire_read_now(w.in, WIRE_OTHER, got, 8), -EAGAIN);
    EXPECT_EQ(wire_write_now(w.out, WIRE_OTHER, parts, 2), 10);
    EXPECT_EQ(wire_read_now(w.in, WIRE_OTHER, got, 8), 8);
    EXPECT_EQ(wire_write_now(w.out, WIRE_OTHER, parts, 3), 10); /* together they are more than surely fits */
    EXPECT_EQ(wire_write_now(w.out, WIRE_OTHER, parts + 2, 1), WIRE_ATOMIC);
    wire_shut(w);
}

static void advance(void)
{
    char bytes[30];
    struct iovec parts[] = {part(bytes, 0), part(bytes, 10), part(bytes + 10, 0), part(bytes + 10, 20)};
    EXPECT_EQ(wire_advance(parts, 0, 4, 0), 1);
    EXPECT_EQ(wire_advance(parts, 1, 4, 4), 1);
    EXPECT(parts[1].iov_base == bytes + 4);
    EXPECT_EQ(parts[1].iov_len, 6);
    EXPECT_EQ(wire_advance(parts, 1, 4, 6), 3);
    EXPECT_EQ(wire_advance(parts, 3, 4, 19), 3);
    EXPECT_EQ(parts[3].iov_len, 1);
    EXPECT_EQ(wire_advance(parts, 3, 4, 1), 4);
}

static void polls(void)
{
    struct wire w = wire_open(false);
    int64_t begin = clock_now();
    EXPECT_EQ(wire_poll(w.in, WIRE_READABLE, begin + 20 * MILLISECOND), 0);
    EXPECT(clock_now() - begin >= 20 * MILLISECOND);
    EXPECT_EQ(wire_poll(w.in, WIRE_READABLE, 1), 0); /* long past */
    struct pollfd both[2] = {{.fd = w.in, .events = POLLIN}, {.fd = w.out, .events = POLLOUT}};
    EXPECT_EQ(wire_poll_all(both, 2, 0), 1);
    EXPECT(both[1].revents != 0);
    EXPECT_EQ(wire_poll_all(both, 1, clock_now() + MILLISECOND), 0);
    close(w.out);
    EXPECT_EQ(wire_poll(w.in, WIRE_READABLE, NEVER), 1);
    close(w.in);
}

enum { MESSAGE = 300000 };

static uint8_t pattern(size_t i) { return (uint8_t)(i * 2654435761u >> 13); }

static void *sends(void *argument)
{
    struct wire *w = argument;
    uint8_t *bytes = malloc(MESSAGE);
    for (size_t i = 0; i < MESSAGE; i++)
        bytes[i] = pattern(i);
    for (int round = 0; round < times(20); round++)
        for (size_t sent = 0; sent < MESSAGE;) {
            size_t size = 1 + chance(MESSAGE - (uint32_t)sent < 9000 ? MESSAGE - (uint32_t)sent : 9000);
            struct iovec some = part(bytes + sent, size < MESSAGE - sent ? size : MESSAGE - sent);
            ssize_t n = wire_write(w->out, &some, 1);
            if (n > 0)
                sent += (size_t)n;
            else
                EXPECT_EQ(n, -EINTR);
            jitter();
        }
    free(bytes);
    return NULL;
}

static void noted(int unused) { (void)unused; }

/* As receivers do it: soon, and if that is in vain, asleep; signals come at any time. */
static void fill(void)
{
    struct sigaction quiet = {.sa_handler = noted}; /* no SA_RESTART */
    sigaction(SIGUSR1, &quiet, NULL);
    for (int duplex = 0; duplex < 2; duplex++) {
        struct wire w = wire_open(duplex);
        struct wire_history h = {0};
        uint8_t *got = malloc(MESSAGE);
        pthread_t sender;
        pthread_create(&sender, NULL, sends, &w);
        for (int round = 0; round < times(20); round++) {
            size_t done = 0;
            memset(got, 0, MESSAGE);
            for (int rc = -EINTR; rc != 1;) {
                if (chance(4) == 0)
                    pthread_kill(sender, SIGUSR1);
                rc = rc == WIRE_SLEEP ? wire_fill_asleep(w.in, got, MESSAGE, &done)
                                      : wire_fill(w.in, w.kind, got, MESSAGE, &done, &h, false);
                EXPECT(rc == 1 || rc == WIRE_SLEEP || rc == -EINTR);
            }
            EXPECT_EQ(done, MESSAGE);
            for (size_t i = 0; i < MESSAGE; i++)
                EXPECT_EQ(got[i], pattern(i));
        }
        pthread_join(sender, NULL);
        size_t done = 0;
        EXPECT_EQ(wire_fill_now(w.in, w.kind, got, 1, &done), -EAGAIN);
        close(w.out);
        EXPECT_EQ(wire_fill(w.in, w.kind, got, 1, &done, &h, false), 0);
        EXPECT_EQ(wire_fill_asleep(w.in, got, 1, &done), 0);
        close(w.in);
        free(got);
    }
}

static void spins(void)
{
    struct wire_history h = {0};
    for (uint32_t i = 0, expected = 0; i < 12; i++) {
        wire_spun(&h, false);
        if (i >= 1)
            expected = WIRE_SKIP << (i - 1 < WIRE_SKIP_DOUBLINGS ? i - 1 : WIRE_SKIP_DOUBLINGS);
        EXPECT_EQ(h.skip, expected);
    }
    h.skip = 0;
    wire_spun(&h, true);
    EXPECT_EQ(h.failures, 0);
    EXPECT_EQ(h.skip, 0);
}

/* A read that finds nothing spins its time, twice; then the waits go without until they are used up. */
static void spins_or_not(void)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        struct wire w = wire_open(duplex);
        struct wire_history h = {0};
        uint8_t got[8];
        struct iovec three = part("abc", 3);
        for (uint32_t i = 0; i < 2; i++) {
            int64_t began = clock_now();
            EXPECT_EQ(wire_read_soon(w.in, w.kind, got, 8, &h, i), -EAGAIN);
            EXPECT(clock_now() - began >= WIRE_SPIN);
            EXPECT_EQ(h.failures, i + 1);
        }
        for (uint32_t skip = WIRE_SKIP; skip > 0; skip--) {
            EXPECT_EQ(h.skip, skip);
            EXPECT_EQ(wire_read_soon(w.in, w.kind, got, 8, &h, false), -EAGAIN);
        }
        EXPECT(h.skip == 0 && h.failures == 2);
        EXPECT_EQ(wire_write(w.out, &three, 1), 3);
        EXPECT_EQ(wire_read_soon(w.in, w.kind, got, 8, &h, false), 3);
        EXPECT_EQ(h.failures, 2); /* what is there costs no wait, and nothing is learnt of it */
        EXPECT_EQ(wire_write(w.out, &three, 1), 3);
        EXPECT_EQ(wire_read_soon(w.in, w.kind, got, 8, &h, true), 3);
        EXPECT_EQ(h.failures, 0);
        wire_shut(w);
    }
}

static void exposure(void)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        struct wire w = wire_open(duplex);
        EXPECT(!wire_exposed(w.out, w.kind));
        int copy = dup(w.in);
        wire_expose(copy, w.kind);
        EXPECT(wire_exposed(w.out, w.kind));
        wire_expose(copy, w.kind); /* twice is once */
        EXPECT(wire_exposed(w.out, w.kind));
        close(copy);
        close(w.in);
        EXPECT(wire_exposed(w.out, w.kind) || duplex); /* or its peer is gone, and nobody reads */
        close(w.out);
    }
}

/* A reader under another uid may not set the mode, and leaves its mark all the same. */
static void exposure_by_others(void)
{
    struct wire w = wire_open(false);
    if (getuid() == 0) {
        pid_t child = fork();
        if (child == 0) {
            (void)!setresuid(65534, 65534, 65534);
            wire_expose(w.in, w.kind);
            _exit(0);
        }
        waitpid(child, NULL, 0);
        EXPECT(wire_exposed(w.out, w.kind));
    }
    wire_shut(w);
}

/* Turns: the mutex is the interpreter's lock. */
static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static struct turn shared_turn;
static int inside;
static long long done;

static void take_a_turn(void)
{
    pthread_mutex_lock(&gil);
    while (turn_taken(&shared_turn)) {
        EXPECT(!turn_mine(&shared_turn));
        uint32_t seen = load_relaxed(&shared_turn.given);
        shared_turn.waiters++;
        pthread_mutex_unlock(&gil);
        int rc = turn_wait(&shared_turn, seen);
        EXPECT(rc == 0 || rc == -EINTR);
        pthread_mutex_lock(&gil);
        shared_turn.waiters--;
    }
    turn_take(&shared_turn);
    EXPECT(turn_mine(&shared_turn));
    EXPECT_EQ(inside++, 0);
    pthread_mutex_unlock(&gil); /* as for a wait */
    jitter();
    pthread_mutex_lock(&gil);
    EXPECT_EQ(--inside, 0);
    done++;
    turn_give(&shared_turn);
    EXPECT(!turn_mine(&shared_turn));
    pthread_mutex_unlock(&gil);
}

static void *takes_turns(void *seed)
{
    chance_seed((uint64_t)(uintptr_t)seed);
    for (int i = 0; i < times(3000); i++)
        take_a_turn();
    return NULL;
}

static void turns(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, takes_turns, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(done, 4 * times(3000));
    EXPECT(!turn_taken(&shared_turn));
}

/* It ends between a waiter's look and its sleep. */
static void a_turn_ends_meanwhile(void)
{
    struct turn t = {0};
    turn_take(&t);
    uint32_t seen = load_relaxed(&t.given);
    t.waiters++;
    turn_give(&t);
    int64_t begin = clock_now();
    EXPECT_EQ(turn_wait(&t, seen), 0);
    EXPECT(clock_now() - begin < SECOND / 2);
}

/* Runs in a forked child, and has to be true there. */
static void in_a_child(bool (*what)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(what() ? GOOD : BAD);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

static struct turn turn_of_main, turn_of_another;
static struct users used;

static bool childs_view(void)
{
    return turn_taken(&turn_of_main) && turn_mine(&turn_of_main) && !turn_orphaned(&turn_of_main) &&
           !turn_taken(&turn_of_another) && turn_orphaned(&turn_of_another) && users_count(&used) == 0;
}

static bool grandchilds_view(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(turn_orphaned(&turn_of_another) && !turn_taken(&turn_of_main) ? GOOD : BAD);
    return waitpid(child, &status, 0) == child && status == 0;
}

static void *holds_a_turn(void *pipe)
{
    char byte;
    turn_take(&turn_of_another);
    (void)!write(((int *)pipe)[1], "x", 1);
    (void)!read(((int *)pipe)[2], &byte, 1); /* while it is the other threads' turn */
    turn_give(&turn_of_another);
    return NULL;
}

static void forks(void)
{
    pthread_t thread;
    int there[2], back[2];
    char byte;
    EXPECT_EQ(pipe(there) + pipe(back), 0);
    int ends[3] = {0, there[1], back[0]};
    pthread_create(&thread, NULL, holds_a_turn, ends);
    EXPECT_EQ(read(there[0], &byte, 1), 1);
    turn_take(&turn_of_main);
    users_enter(&used);
    EXPECT_EQ(users_count(&used), 1);
    in_a_child(childs_view);
    in_a_child(grandchilds_view);
    EXPECT(turn_taken(&turn_of_another) && !turn_mine(&turn_of_another));
    turn_give(&turn_of_main);
    users_leave(&used);
    users_leave(&used); /* of a call that began before a fork: not below zero */
    EXPECT_EQ(users_count(&used), 0);
    EXPECT_EQ(write(back[1], "x", 1), 1);
    pthread_join(thread, NULL);
    close(there[0]), close(there[1]), close(back[0]), close(back[1]);
}

int main(void)
{
    begin(60);
    RUN(now);
    RUN(broken);
    RUN(asked);
    RUN(advance);
    RUN(polls);
    RUN(fill);
    RUN(spins);
    RUN(spins_or_not);
    RUN(exposure);
    RUN(exposure_by_others);
    RUN(turns);
    RUN(a_turn_ends_meanwhile);
    RUN(forks);
    return GOOD;
}
