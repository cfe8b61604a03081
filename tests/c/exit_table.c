/* SPDX-License-Identifier: MIT */
/* exit_table.h: what each change does to each state, who is woken, and that server, children and user never hear of
 * another life than theirs, whatever comes late. */
#define EXITS_SLOTS 16u                /* so that a slot has many lives */
#define EXITS_BACKSTOP (1000 * SECOND) /* who is not woken does not come back */
#define EXITS_LONGEST (1000000 * SECOND)
#include "check.h"
#include "core/child/exit_table.h"

#include <sys/eventfd.h>

static struct exits_table table;
static int fd;

static void fresh(void)
{
    fd = exits_create(&table);
    EXPECT(fd >= 0);
}

static void done(void)
{
    exits_unmap(&table);
    close(fd);
}

static uint64_t word_of(uint64_t token) { return load_relaxed(exits_at(&table, token)); }
static enum exits_state state_of(uint64_t token) { return exits_state(word_of(token)); }

static uint64_t take(void)
{
    int64_t token = exits_take(&table);
    EXPECT(token > 0);
    EXPECT_EQ(state_of((uint64_t)token), EXITS_SPARE);
    return (uint64_t)token;
}

static int64_t in(int64_t ns) { return clock_now() + ns; }

static int wait_now(uint64_t token, int *code) { return exits_wait(&table, token, 0, -1, code); }

/* Meaning ------------------------------------------------------------------------------------------------------------ */

#define CODE 7

static void act(int what, uint64_t token)
{
    switch (what) {
    case 0:
        EXPECT(exits_want(&table, token));
        break;
    case 1:
        exits_say(&table, token, CODE);
        break;
    case 2:
        exits_reaped(&table, token, -9);
        break;
    case 3:
        exits_drop(&table, token);
        break;
    default:
        exits_born(&table, token, 4711);
    }
}

/* A slot in the state that is asked for, which it reached by the shortest way. */
static uint64_t bring_to(enum exits_state state)
{
    uint64_t token = take();
    if (state >= EXITS_WANTED)
        act(0, token);
    if (state == EXITS_SAID)
        act(1, token);
    if (state == EXITS_EXITED)
        act(2, token);
    EXPECT_EQ(state_of(token), state);
    return token;
}

static void changes(void)
{
    static const enum exits_state becomes[][5] = {
        /*                 want           say            reaped         drop           born */
        [EXITS_SPARE] = {EXITS_WANTED, EXITS_SPARE, EXITS_FREE, EXITS_SPARE, EXITS_SPARE},
        [EXITS_WANTED] = {EXITS_WANTED, EXITS_SAID, EXITS_EXITED, EXITS_SPARE, EXITS_WANTED},
        [EXITS_SAID] = {EXITS_SAID, EXITS_SAID, EXITS_EXITED, EXITS_SPARE, EXITS_SAID},
        [EXITS_EXITED] = {EXITS_EXITED, EXITS_EXITED, EXITS_EXITED, EXITS_FREE, EXITS_EXITED},
    };
    fresh();
    for (int state = EXITS_SPARE; state <= EXITS_EXITED; state++)
        for (int what = 0; what < 5; what++) {
            uint64_t token = bring_to((enum exits_state)state);
            uint32_t generation = exits_generation(word_of(token));
            EXPECT_EQ(exits_pid(&table, token), 0);
            act(what, token);
            EXPECT_EQ(state_of(token), becomes[state][what]);
            EXPECT_EQ(exits_generation(word_of(token)), generation);
            EXPECT_EQ(exits_pid(&table, token), what == 4 ? 4711 : 0);
            exits_drop(&table, token);
            exits_reaped(&table, token, 0);
            EXPECT_EQ(state_of(token), EXITS_FREE);
        }
    done();
}

static void codes(void)
{
    int code;
    fresh();
    for (int shall = EXITS_LOWEST; shall <= EXITS_HIGHEST; shall++) {
        uint64_t token = take();
        exits_born(&table, token, EXITS_MOST_PID);
        EXPECT(exits_want(&table, token));
        EXPECT_EQ(wait_now(token, &code), EXITS_UNKNOWN);
        exits_say(&table, token, shall); /* the kernel keeps eight bits */
        EXPECT_EQ(exits_code(word_of(token)), shall & 0xff);
        EXPECT_EQ(wait_now(token, &code), EXITS_UNKNOWN);
        exits_reaped(&table, token, shall);
        for (int again = 0; again < 2; again++) {
            EXPECT_EQ(wait_now(token, &code), EXITS_CERTAIN);
            EXPECT_EQ(code, shall);
        }
        exits_reaped(&table, token, 1); /* the first word holds */
        EXPECT_EQ(wait_now(token, &code), EXITS_CERTAIN);
        EXPECT_EQ(code, shall);
        EXPECT_EQ(exits_pid(&table, token), EXITS_MOST_PID);
        exits_drop(&table, token);
        EXPECT_EQ(wait_now(token, &code), -ESRCH);
    }
    done();
}

/* Nothing of a life that is over changes the slot, whether it is free or has another life, in whatever state. */
static void late(void)
{
    fresh();
    for (int state = EXITS_FREE; state <= EXITS_EXITED; state++) {
        uint64_t old = take(), token;
        exits_reaped(&table, old, 0);
        while (state != EXITS_FREE && (token = bring_to((enum exits_state)state)) % EXITS_SLOTS != old % EXITS_SLOTS)
            ;
        uint64_t before = word_of(old);
        int code;
        EXPECT_EQ(exits_state(before), state);
        EXPECT(!exits_want(&table, old));
        for (int what = 1; what < 5; what++)
            act(what, old);
        EXPECT(word_of(old) == before);
        EXPECT_EQ(exits_pid(&table, old), 0);
        EXPECT_EQ(exits_wait(&table, old, NEVER, -1, &code), -ESRCH);
        done();
        fresh();
    }
    done();
}

/* After the last generation comes the first, and no token is 0. */
static void generations(void)
{
    fresh();
    store_relaxed(&table.words[0], exits_make(EXITS_FREE, 0, EXITS_GENERATION_MASK - 1, 0));
    uint64_t last = take();
    EXPECT_EQ(last, (uint64_t)EXITS_GENERATION_MASK * EXITS_SLOTS);
    exits_reaped(&table, last, 0);
    for (uint32_t i = 1; i < EXITS_SLOTS; i++)
        EXPECT_EQ(take(), EXITS_SLOTS + i);
    EXPECT_EQ(take(), EXITS_SLOTS);
    EXPECT(!exits_want(&table, last) && !exits_want(&table, 0) && !exits_want(&table, UINT64_MAX));
    done();
}

static void full(void)
{
    uint64_t tokens[EXITS_SLOTS];
    fresh();
    for (uint32_t i = 0; i < EXITS_SLOTS; i++)
        EXPECT_EQ(tokens[i] = take(), EXITS_SLOTS + i);
    EXPECT_EQ(exits_take(&table), -ENOSPC);
    for (uint32_t i = 0; i < 3 * EXITS_SLOTS; i++) {
        uint32_t slot = chance(EXITS_SLOTS);
        exits_reaped(&table, tokens[slot], 0);
        uint64_t token = take();
        EXPECT_EQ(token, tokens[slot] + EXITS_SLOTS);
        tokens[slot] = token;
        EXPECT_EQ(exits_take(&table), -ENOSPC);
    }
    done();
}

/* What is no table, or not one for good, is not mapped. A second mapping is the same table. */
static void files(void)
{
    struct exits_table other;
    fresh();
    uint64_t token = take();
    EXPECT_EQ(exits_map(fd, &other), 0);
    EXPECT(exits_want(&other, token));
    EXPECT_EQ(state_of(token), EXITS_WANTED);
    EXPECT_EQ(exits_take(&other), (int64_t)token + 1); /* a cursor of its own */
    exits_unmap(&other);
    EXPECT(ftruncate(fd, 0) < 0 && ftruncate(fd, 1 << 20) < 0);
    done();
    EXPECT_EQ(exits_map(fd, &other), -EBADF);
    EXPECT_EQ(exits_map(0, &other), -EBADMSG);
    fd = memfd_create("short", MFD_ALLOW_SEALING);
    EXPECT_EQ(ftruncate(fd, EXITS_SIZE), 0);
    EXPECT_EQ(exits_map(fd, &other), -EPERM);
    EXPECT_EQ(ftruncate(fd, EXITS_SIZE - 1), 0);
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, EXITS_SEALS), 0);
    EXPECT_EQ(exits_map(fd, &other), -EBADMSG);
    close(fd);
}

/* Waiting ------------------------------------------------------------------------------------------------------------ */

static void times_out(void)
{
    int code;
    fresh();
    uint64_t token = bring_to(EXITS_SAID);
    for (int i = 0; i < 2; i++) {
        int64_t deadline = in(20 * MILLISECOND);
        EXPECT_EQ(exits_wait(&table, token, deadline, -1, &code), EXITS_UNKNOWN);
        EXPECT(clock_now() >= deadline);
        EXPECT_EQ(exits_wait(&table, token, clock_now() - SECOND, -1, &code), EXITS_UNKNOWN);
    }
    EXPECT_EQ(exits_wait(&table, take(), NEVER, -1, &code), -ESRCH); /* nobody wants it */
    done();
}

/* The server has ended: its pidfd is readable. Nobody waits for it then, not even until the deadline. */
static void without_server(void)
{
    int code, server = eventfd(0, EFD_CLOEXEC);
    fresh();
    uint64_t token = bring_to(EXITS_SAID), silent = bring_to(EXITS_WANTED), told = bring_to(EXITS_EXITED);
    EXPECT_EQ(exits_wait(&table, token, in(MILLISECOND), server, &code), EXITS_UNKNOWN); /* it lives */
    EXPECT_EQ(eventfd_write(server, 1), 0);
    for (int64_t deadline = 0; deadline >= 0; deadline = deadline == 0 ? NEVER : -1) {
        EXPECT_EQ(exits_wait(&table, token, deadline, server, &code), EXITS_UNCERTAIN);
        EXPECT_EQ(code, CODE);
        EXPECT_EQ(exits_wait(&table, silent, deadline, server, &code), EXITS_UNKNOWN);
        EXPECT_EQ(exits_wait(&table, told, deadline, server, &code), EXITS_CERTAIN);
        EXPECT_EQ(code, -9);
    }
    close(server); /* says nothing, and neither does what cannot be polled */
    EXPECT_EQ(exits_wait(&table, token, in(MILLISECOND), server, &code), EXITS_UNKNOWN);
    done();
}

static uint64_t awaited;
static shared32 waiting, woken, interrupted;

static void *wait_for_it(void *server)
{
    int code, rc;
    add_relaxed(&waiting, 1u);
    while ((rc = exits_wait(&table, awaited, NEVER, *(int *)server, &code)) == -EINTR)
        add_relaxed(&interrupted, 1u);
    EXPECT(rc == EXITS_CERTAIN && code == 3);
    add_relaxed(&woken, 1u);
    return NULL;
}

static void nothing(int unused) { (void)unused; }

/* The server wakes all who wait, whatever the child has said while they slept; a signal is told at once. */
static void waking(void)
{
    static const struct sigaction action = {.sa_handler = nothing};
    int server = eventfd(0, EFD_CLOEXEC);
    EXPECT_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    fresh();
    for (int i = times(200); i > 0; i--) {
        pthread_t threads[2];
        awaited = bring_to(EXITS_WANTED);
        store_relaxed(&waiting, 0);
        store_relaxed(&interrupted, 0);
        for (int t = 0; t < 2; t++)
            EXPECT_EQ(pthread_create(&threads[t], NULL, wait_for_it, &server), 0);
        while (load_relaxed(&waiting) < 2)
            sched_yield();
        if (chance(2))
            usleep(chance(300));
        while (i % 10 == 0 && load_relaxed(&interrupted) == 0) {
            EXPECT_EQ(pthread_kill(threads[0], SIGUSR1), 0);
            usleep(50);
        }
        if (chance(2))
            exits_say(&table, awaited, CODE);
        exits_reaped(&table, awaited, 3);
        for (int t = 0; t < 2; t++)
            EXPECT_EQ(pthread_join(threads[t], NULL), 0);
        exits_drop(&table, awaited);
    }
    EXPECT_EQ(load_relaxed(&woken), 2 * (uint32_t)times(200));
    close(server);
    done();
}

/* All at once -------------------------------------------------------------------------------------------------------- */

/* One server, and a number of children, and users' threads, as threads. A life goes from hand to hand as the real ones
 * do: by a message, by which these things are ordered, and not by the table. */
#define CHILDREN 3
#define LIVES 16384

enum { NEWBORN, UNWANTED, RUNNING, ENDED }; /* what passes over the socket, and the kernel */

struct life {
    shared64 token;
    shared32 stage;
    int code; /* written before ENDED */
};

static struct life lives[LIVES];
static uint32_t lives_count;
static shared32 begun, settled, freed; /* lives that have a token; that the user is done with; that are over */

static uint32_t await_stage(struct life *life, uint32_t least)
{
    uint32_t stage;
    while ((stage = load_acquire(&life->stage)) < least)
        sched_yield();
    return stage;
}

/* The process that is made of a life. It may end before it is anybody, or be killed at any time. */
static void *be_children(void *first)
{
    for (uint32_t i = *(uint32_t *)first; i < lives_count; i += CHILDREN) {
        struct life *life = &lives[i];
        chance_seed(i);
        while (load_acquire(&begun) <= i)
            sched_yield();
        uint64_t token = load_relaxed(&life->token);
        if (chance(4) != 0 && await_stage(life, UNWANTED) == RUNNING) {
            life->code = (int)chance(256);
            if (chance(4) != 0)
                exits_say(&table, token, life->code);
            if (chance(4) == 0)
                life->code = -(int)chance(65);
        } else {
            life->code = -9;
        }
        store_release(&life->stage, ENDED);
    }
    return NULL;
}

static void *be_server(void *unused)
{
    uint32_t oldest = 0, taken = 0;
    chance_seed(1000001);
    while (oldest < lives_count) {
        if (taken < lives_count && taken - oldest < CHILDREN) {
            int64_t token = exits_take(&table);
            if (token > 0) {
                store_relaxed(&lives[taken].token, (uint64_t)token);
                store_release(&begun, ++taken);
                exits_born(&table, (uint64_t)token, (pid_t)taken);
            }
        }
        if (oldest < taken && load_acquire(&lives[oldest].stage) == ENDED) {
            exits_reaped(&table, load_relaxed(&lives[oldest].token), lives[oldest].code);
            oldest++;
        }
        sched_yield();
    }
    return unused;
}

/* What a user's thread is told of a life is that life's, until it is dropped. */
static void ask(struct life *life, uint64_t token)
{
    int code, rc;
    do {
        int64_t deadline = chance(2) ? NEVER : in(chance(200) * MICROSECOND);
        rc = exits_wait(&table, token, deadline, -1, &code);
        EXPECT(rc == EXITS_CERTAIN || rc == -EINTR || (rc == EXITS_UNKNOWN && deadline != NEVER));
    } while (rc != EXITS_CERTAIN);
    EXPECT_EQ(load_acquire(&life->stage), ENDED);
    EXPECT_EQ(code, life->code);
}

static void *be_user(void *unused)
{
    chance_seed(1000002);
    for (uint32_t i = 0; i < lives_count; i++) {
        struct life *life = &lives[i];
        while (load_acquire(&begun) <= i)
            sched_yield();
        uint64_t token = load_relaxed(&life->token);
        uint32_t stage = NEWBORN;
        bool wanted = chance(4) != 0 && exits_want(&table, token);
        cas_release(&life->stage, &stage, wanted ? RUNNING : UNWANTED);
        if (wanted && chance(3) != 0)
            ask(life, token);
        jitter();
        exits_drop(&table, token);
        add_relaxed(&settled, 1u);
    }
    return unused;
}

/* Does everything with the tokens of lives that the user and the server are done with. */
static void *be_late(void *unused)
{
    chance_seed(1000003);
    while (load_acquire(&settled) < lives_count) {
        uint32_t over = load_acquire(&settled);
        if (over <= 4 * EXITS_SLOTS) {
            sched_yield();
            continue;
        }
        struct life *life = &lives[over - 4 * EXITS_SLOTS + chance(3 * EXITS_SLOTS)];
        uint64_t token = load_relaxed(&life->token);
        int code;
        if (load_acquire(&life->stage) != ENDED || exits_lives(word_of(token), token))
            continue;
        add_relaxed(&freed, 1u);
        EXPECT(!exits_want(&table, token));
        for (int what = 1; what < 5; what++)
            act(what, token);
        EXPECT_EQ(exits_wait(&table, token, NEVER, -1, &code), -ESRCH);
    }
    return unused;
}

static void all_at_once(void)
{
    pthread_t threads[CHILDREN + 3];
    uint32_t numbers[CHILDREN];
    fresh();
    memset(lives, 0, sizeof lives);
    store_relaxed(&begun, 0);
    store_relaxed(&settled, 0);
    store_relaxed(&freed, 0);
    lives_count = times(12000) < LIVES ? (uint32_t)times(12000) : LIVES;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        numbers[i] = i;
        EXPECT_EQ(pthread_create(&threads[i], NULL, be_children, &numbers[i]), 0);
    }
    EXPECT_EQ(pthread_create(&threads[CHILDREN], NULL, be_server, NULL), 0);
    EXPECT_EQ(pthread_create(&threads[CHILDREN + 1], NULL, be_user, NULL), 0);
    EXPECT_EQ(pthread_create(&threads[CHILDREN + 2], NULL, be_late, NULL), 0);
    for (int i = 0; i < CHILDREN + 3; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT(load_relaxed(&freed) > 100);
    for (uint64_t slot = 0; slot < EXITS_SLOTS; slot++)
        EXPECT_EQ(state_of(slot), EXITS_FREE);
    done();
}

int main(void)
{
    begin(50);
    RUN(changes);
    RUN(codes);
    RUN(late);
    RUN(generations);
    RUN(full);
    RUN(files);
    RUN(times_out);
    RUN(without_server);
    RUN(waking);
    for (int round = times(1); round > 0; round--)
        RUN(all_at_once);
    return GOOD;
}
