/* SPDX-License-Identifier: MIT */
/* waiting.h, spin.h, futex.h, clock.h: how long a wait lasts, what it leaves behind, and that no advice can harm. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#include <math.h>

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */

static void deadlines(void)
{
    EXPECT_EQ(clock_deadline(0), 0);
    EXPECT_EQ(clock_deadline(-1e300), 0);
    EXPECT_EQ(clock_deadline((double)NAN), 0);
    EXPECT_EQ(clock_deadline(-(double)INFINITY), 0);
    EXPECT_EQ(clock_deadline((double)INFINITY), NEVER);
    EXPECT_EQ(clock_deadline(1e300), NEVER);
    EXPECT_EQ(clock_deadline(5e9), NEVER);
    int64_t before = clock_now(), deadline = clock_deadline(1.5);
    EXPECT(deadline >= before + 3 * SECOND / 2 && deadline <= clock_now() + 3 * SECOND / 2);
    EXPECT(clock_deadline(4e9) > 0 && clock_deadline(4e9) < NEVER);
    struct timespec t = clock_timespec(3 * SECOND + 7);
    EXPECT(t.tv_sec == 3 && t.tv_nsec == 7);
}

static void futexes(void)
{
    shared32 word = 5;
    EXPECT_EQ(futex_wait(&word, 4, NEVER), -EAGAIN);
    EXPECT_EQ(futex_wait(&word, 5, 0), -ETIMEDOUT);
    int64_t deadline = in(5 * MILLISECOND);
    EXPECT_EQ(futex_wait_bits(&word, 5, deadline, 2), -ETIMEDOUT);
    EXPECT(clock_now() >= deadline);
    EXPECT_EQ(futex_wake(&word, INT_MAX), 0);
}

static struct wait_record *records(void) { return family->participants[identity_index(self.me)].waits; }

static int records_used(void)
{
    int used = 0;
    for (int i = 0; i < WAIT_RECORDS; i++)
        used += load_relaxed(&records()[i].tid) != 0;
    return used;
}

/* A backstop doubles from the first to the longest; only then a deadline counts that is nearer. */
static void backstops(void)
{
    shared32 word = 1;
    struct waiting w;
    waiting_begin(&w, NEVER, BACKSTOP_OWNED);
    EXPECT(w.record == NULL && records_used() == 0);
    const int64_t lengths[] = {20, 40, 80, 80};
    for (int i = 0; i < 4; i++) {
        int64_t began = clock_now();
        EXPECT_EQ(w.backstop, lengths[i] * MILLISECOND);
        EXPECT_EQ(waiting_sleep(&w, family, slot, &word, 1, FUTEX_ALL), -EINTR);
        EXPECT(clock_now() - began >= lengths[i] * MILLISECOND);
    }
    EXPECT(w.slept && w.record != NULL && records_used() == 1);
    EXPECT_EQ(load_relaxed(&w.record->tid), thread_id(self.me));
    EXPECT_EQ(load_relaxed(&w.record->slot), slot);
    EXPECT((int64_t)load_relaxed(&w.record->since) <= clock_now());
    EXPECT_EQ(waiting_sleep(&w, family, slot, &word, 2, FUTEX_ALL), 0); /* is not what it was */
    w.deadline = in(5 * MILLISECOND);
    EXPECT_EQ(waiting_sleep(&w, family, slot, &word, 1, FUTEX_ALL), -ETIMEDOUT);
    EXPECT(clock_now() >= w.deadline);
    waiting_end(&w);
    waiting_end(&w);
    EXPECT_EQ(records_used(), 0);
    waiting_begin(&w, 0, BACKSTOP_OWNED);
    EXPECT_EQ(waiting_sleep(&w, family, slot, &word, 1, FUTEX_ALL), -ETIMEDOUT);
    EXPECT(!w.slept && w.record == NULL); /* who only asks leaves no trace */
}

/* A thread without a record sleeps as well; a damaged or forgotten one costs a record, nothing more. */
static void few_records(void)
{
    shared32 word = 1;
    struct waiting waits[WAIT_RECORDS + 2];
    for (int i = 0; i < WAIT_RECORDS + 2; i++) {
        waiting_begin(&waits[i], in(MILLISECOND), BACKSTOP_IDLE);
        EXPECT_EQ(waiting_sleep(&waits[i], family, slot, &word, 1, FUTEX_ALL), -ETIMEDOUT);
        EXPECT_EQ(waits[i].record != NULL, i < WAIT_RECORDS);
    }
    EXPECT_EQ(records_used(), WAIT_RECORDS);
    for (int i = 0; i < WAIT_RECORDS + 2; i++)
        waiting_end(&waits[i]);
    EXPECT_EQ(records_used(), 0);
}

static void nothing(int unused) { (void)unused; }

static shared32 gate;

static void sleep_until_signal(struct user *u)
{
    struct waiting w;
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    w.backstop = 3600 * SECOND;
    EXPECT_EQ(waiting_sleep(&w, u->f, slot, &gate, 0, FUTEX_ALL), -EINTR);
    waiting_end(&w);
    add_seq(&gate, 1u);
}

/* The caller has to serve it. */
static void signals(void)
{
    struct user sleeper;
    struct sigaction handler = {.sa_handler = nothing};
    sigaction(SIGUSR1, &handler, NULL);
    store_relaxed(&gate, 0);
    user_start(&sleeper, family, 1, true, sleep_until_signal);
    while (load_seq(&gate) == 0) { /* one that comes before the sleep is lost */
        pthread_kill(sleeper.thread, SIGUSR1);
        usleep(1000);
    }
    user_finish(&sleeper);
    signal(SIGUSR1, SIG_DFL);
}

static void attempts(void)
{
    struct waiting w;
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    for (int i = 0; i < SPIN_ATTEMPTS; i++)
        EXPECT(waiting_may_spin(&w));
    EXPECT(!waiting_may_spin(&w));
    waiting_begin(&w, NEVER, BACKSTOP_IDLE);
    w.slept = 1;
    EXPECT(!waiting_may_spin(&w));
}

static uint32_t mark(uint32_t index, uint32_t cpu) { return index << 16 | cpu; }

static void peers(void)
{
    struct spin s = {0};
    uint32_t me = identity_make(3, 1), other = identity_make(4, 1), third = identity_make(5, 1);
    EXPECT_EQ(spin_peer_cpu(&s, me), CPU_UNKNOWN);
    spin_here(&s, me);
    EXPECT_EQ(load_relaxed(&s.peers[0]) >> 16, 3);
    EXPECT_EQ(spin_peer_cpu(&s, me), CPU_UNKNOWN); /* only I was here */
    EXPECT(spin_peer_cpu(&s, other) != CPU_UNKNOWN || thread_cpu() == CPU_UNKNOWN);
    spin_here(&s, me);
    EXPECT_EQ(load_relaxed(&s.peers[1]), 0);
    store_relaxed(&s.peers[0], mark(3, 0xfffe)); /* I was elsewhere: not a second peer */
    spin_here(&s, me);
    EXPECT_EQ(load_relaxed(&s.peers[1]), 0);
    spin_here(&s, other);
    EXPECT_EQ(load_relaxed(&s.peers[1]) >> 16, 3);
    spin_here(&s, third);
    EXPECT_EQ(load_relaxed(&s.peers[0]) >> 16, 5);
    EXPECT_EQ(load_relaxed(&s.peers[1]) >> 16, 4);
    store_relaxed(&s.peers[0], mark(3, 7));
    store_relaxed(&s.peers[1], mark(4, 8));
    EXPECT_EQ(spin_peer_cpu(&s, me), 8);
    EXPECT_EQ(spin_peer_cpu(&s, other), 7);
    EXPECT(mark_elsewhere(mark(4, 8), 7) && !mark_elsewhere(mark(4, 8), 8));
    EXPECT(!mark_elsewhere(mark(4, CPU_UNKNOWN), 7) && !mark_elsewhere(mark(4, 8), CPU_UNKNOWN));
}

static int looks, ready_at;
static bool ready(const void *unused)
{
    (void)unused;
    return ++looks >= ready_at;
}

static bool spin(struct spin_history *h, shared64 *lease, int at, int64_t budget)
{
    looks = 0;
    ready_at = at;
    return spin_until(ready, NULL, h, lease, budget);
}

/* One spinner at a time, until its budget is spent; after two failures in a row a while none. */
static void spinning(void)
{
    struct spin_history h = {0};
    shared64 lease = 0;
    EXPECT(spin(&h, &lease, 1, SECOND) && looks == 1);
    EXPECT(spin(&h, &lease, 1000, SECOND) && looks == 1000);
    EXPECT_EQ(load_relaxed(&lease), 0);
    for (int failure = 0; failure < SPIN_FAILURES; failure++) {
        int64_t began = clock_now();
        EXPECT(!spin(&h, &lease, INT_MAX, 50 * MICROSECOND) && looks > 0);
        EXPECT(clock_now() - began >= 50 * MICROSECOND);
        EXPECT_EQ(load_relaxed(&lease), 0);
    }
    for (int i = 0; i < SPIN_SKIP; i++)
        EXPECT(!spin(&h, &lease, 1, SECOND) && looks == 0);
    EXPECT(spin(&h, &lease, 1, SECOND));
    EXPECT(!spin(&h, &lease, INT_MAX, MICROSECOND) && spin(&h, &lease, 1, SECOND)); /* success: counted anew */
    EXPECT(!spin(&h, &lease, INT_MAX, MICROSECOND) && spin(&h, &lease, 1, SECOND));
}

/* A spinner was killed: its lease ends by itself. A damaged one keeps others from spinning, and from nothing else. */
static void leases(void)
{
    struct spin_history h = {0};
    int64_t end = in(2 * MILLISECOND);
    shared64 lease = (uint64_t)end;
    while (!spin(&h, &lease, 1, SECOND))
        EXPECT(looks == 0 && clock_now() < end + SECOND);
    EXPECT(clock_now() >= end && load_relaxed(&lease) == 0);
    const uint64_t damaged[] = {INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        store_relaxed(&lease, damaged[i]);
        bool may = spin(&h, &lease, 1, SECOND);
        EXPECT_EQ(may, damaged[i] > INT64_MAX);
    }
}

static bool yield(struct spin_history *h, int at)
{
    looks = 0;
    ready_at = at;
    return spin_yield(ready, NULL, h);
}

/* A yield that did not help is not tried again for 32 waits, then 64, and so on to 2^16. */
static void yielding(void)
{
    struct spin_history h = {0};
    for (uint32_t failures = 0; failures <= YIELD_FAILURES + 1; failures++) {
        uint32_t skip = SPIN_SKIP << (failures < YIELD_FAILURES ? failures : YIELD_FAILURES);
        EXPECT(!yield(&h, INT_MAX) && looks == 1);
        EXPECT_EQ(load_relaxed(&h.yield_skip), skip);
        for (uint32_t i = 0; i < skip; i++)
            EXPECT(!yield(&h, 1) && looks == 0);
        EXPECT_EQ(load_relaxed(&h.yield_skip), 0);
    }
    EXPECT_EQ(load_relaxed(&h.yield_skip), 0);
    EXPECT_EQ(load_relaxed(&h.yield_failures), YIELD_FAILURES);
    EXPECT(yield(&h, 1)); /* true, however long it took */
    h = (struct spin_history){.yield_failures = UINT32_MAX, .yield_skip = 0};
    EXPECT(!yield(&h, INT_MAX)); /* no shift beyond the word */
    EXPECT_EQ(load_relaxed(&h.yield_skip), SPIN_SKIP << YIELD_FAILURES);
}

/* Whatever the slot says of where others are, a wait ends. */
static void any_advice(void)
{
    struct spin s = {0};
    shared32 word = 1;
    for (int i = 0; i < 200; i++) {
        struct spin_history h = {chance(UINT32_MAX), chance(UINT32_MAX), chance(UINT32_MAX), chance(UINT32_MAX)};
        store_relaxed(&s.peers[0], i % 2 ? mark(chance(65536), thread_cpu()) : chance(UINT32_MAX));
        store_relaxed(&s.peers[1], chance(UINT32_MAX));
        store_relaxed(&s.lease, (uint64_t)chance(UINT32_MAX) << chance(40));
        EXPECT(!spin_on(&word, 1, &s, self.me, &h, 5 * MICROSECOND));
    }
    for (uint32_t owner = 0; owner < FAMILY_PARTICIPANTS; owner++)
        EXPECT(!spin_owner_elsewhere(family, identity_make(owner, 1)) || owner == identity_index(self.me));
    spin_note_cpu(family, self.me);
    EXPECT(load_relaxed(&family->participants[identity_index(self.me)].cpu) != 0);
}

#define TURNS 3
static shared32 turn;
static shared64 lease;
static struct spin_history shared_history;
static struct spin where;

/* In turn, each by its own way to wait; they share what threads of one process and users of one slot share. */
static void take_turns(struct user *u)
{
    uint32_t shall = (uint32_t)u->number;
    for (int i = times(1500); i > 0; i--, shall += TURNS) {
        struct waiting w;
        uint32_t now;
        user_waits(u, &w, NEVER, BACKSTOP_IDLE);
        while ((now = load_acquire(&turn)) != shall) { /* pairs with the store below */
            struct spin_word seen = {&turn, now};
            EXPECT((int32_t)(shall - now) > 0);
            if (waiting_may_spin(&w) &&
                (chance(2) ? spin_on(&turn, now, &where, u->me, &shared_history, 20 * MICROSECOND)
                           : spin_until(spin_word_changed, &seen, &shared_history, &lease, 20 * MICROSECOND)))
                continue;
            EXPECT_EQ(waiting_sleep(&w, u->f, slot, &turn, now, FUTEX_ALL), 0);
        }
        waiting_end(&w);
        spin_here(&where, u->me);
        store_release(&turn, shall + 1); /* pairs with the load above */
        futex_wake(&turn, INT_MAX);
    }
}

static void turns(void)
{
    crowd(family, TURNS, true, take_turns);
    EXPECT_EQ(load_relaxed(&turn), (uint32_t)times(1500) * TURNS);
    EXPECT_EQ(records_used(), 0);
}

/* What a dead one waited for nobody shows any more. */
static void records_of_the_dead(void)
{
    struct user a = {0};
    shared32 word = 1;
    struct waiting w;
    user_join(&a, family);
    waiting_begin(&w, in(MILLISECOND), BACKSTOP_IDLE);
    EXPECT_EQ(waiting_sleep(&w, a.f, slot, &word, 1, FUTEX_ALL), -ETIMEDOUT);
    EXPECT(w.record == &family->participants[identity_index(a.me)].waits[0] && load_relaxed(&w.record->tid) != 0);
    view_die(a.f);
    user_reap(&self, a.me);
    EXPECT_EQ(load_relaxed(&w.record->tid), 0);
}

int main(void)
{
    begin(50);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    slot = make(family, SLOT_EVENT);
    RUN(deadlines);
    RUN(futexes);
    RUN(backstops);
    RUN(few_records);
    RUN(signals);
    RUN(attempts);
    RUN(peers);
    RUN(spinning);
    RUN(leases);
    RUN(yielding);
    RUN(any_advice);
    RUN(turns);
    RUN(records_of_the_dead);
    handle_remove(family, slot);
    family_end(family);
    return GOOD;
}
