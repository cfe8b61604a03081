/* SPDX-License-Identifier: MIT */
/* reap.h: forged states of the dead, reapers that are cut short, that race, or that have no right. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

static struct family *family;

/* Somebody who dies, and what he has a reference on. */
struct dead {
    struct family *f;
    uint32_t me, index;
    pid_t pid;
};

static struct dead join(void)
{
    struct dead d = {.f = view_new(family)};
    d.me = family_me(d.f);
    d.index = identity_index(d.me);
    d.pid = participant_pid(family, d.me);
    return d;
}

/* A slot that d has a reference on as well. */
static void *shared(struct dead *d, enum slot_kind kind, uint32_t *slot)
{
    *slot = make(family, kind);
    ref_set(family, d->index, *slot);
    refs_vouched(family);
    return slot_at(family, *slot);
}

static struct reaped reap(const struct dead *d)
{
    struct reaped r = {0};
    reap_owner(family, d->me, &r);
    return r;
}

/* The entry is free, nothing names it, and nothing changes if it is reaped again. */
static void expect_reaped(const struct dead *d)
{
    struct participant *p = &family->participants[d->index];
    uint64_t state = load_acquire(&p->state);
    EXPECT_EQ(state_kind(state), PARTICIPANT_FREE);
    EXPECT_EQ(state_generation(state), identity_generation(d->me) + 1);
    EXPECT(load_relaxed(&p->pages) == 0 && load_relaxed(&p->dropping) == 0);
    for (int i = 0; i < WAIT_RECORDS; i++)
        EXPECT_EQ(load_relaxed(&p->waits[i].tid), 0);
    for (uint32_t slot = 0; slot < FAMILY_SLOTS; slot++)
        EXPECT(!ref_get(family, d->index, slot));
    EXPECT_EQ(reap(d).permits, 0);
    EXPECT_EQ(load_acquire(&p->state), state);
}

static void expect_empty(void)
{
    for (uint32_t slot = 0; slot < FAMILY_SLOTS; slot++)
        EXPECT_EQ(slot_kind(load_acquire(&family->states[slot])), SLOT_FREE);
}

/* What becomes of a lock's word when d is reaped. */
static uint32_t word_after(enum slot_kind kind, uint32_t policy, uint32_t (*word)(const struct dead *), bool leaves)
{
    uint32_t slot;
    struct dead d = join();
    struct lock *l = shared(&d, kind, &slot);
    l->policy = policy;
    store_relaxed(&l->holder, 77);
    store_relaxed(&l->depth, 3);
    uint32_t before = word(&d);
    store_relaxed(&l->word, before);
    (leaves ? view_leave : view_die)(d.f);
    reap(&d);
    uint32_t after = load_relaxed(&l->word);
    if (after & LOCK_DEAD && !(before & LOCK_DEAD))
        EXPECT(load_relaxed(&l->dead_pid) == (uint32_t)d.pid && load_relaxed(&l->dead_tid) == 77);
    EXPECT_EQ(load_relaxed(&l->depth), 3);
    expect_reaped(&d);
    handle_remove(family, slot);
    return after ^ before;
}

static uint32_t held(const struct dead *d) { return d->me; }
static uint32_t waited_for(const struct dead *d) { return d->me | LOCK_W; }
static uint32_t dead_already(const struct dead *d) { return d->me | LOCK_W | LOCK_DEAD; }
static uint32_t of_predecessor(const struct dead *d) { return identity_make(d->index, identity_generation(d->me) - 1); }
static uint32_t of_another(const struct dead *d) { return (void)d, family_me(family) | LOCK_W; }
static uint32_t unheld(const struct dead *d) { return (void)d, 0; }

static void locks(void)
{
    for (enum slot_kind kind = SLOT_LOCK; kind <= SLOT_RLOCK; kind++) {
        EXPECT_EQ(word_after(kind, DEATH_RAISE, held, false), LOCK_DEAD);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, waited_for, false), LOCK_DEAD);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, dead_already, false), 0);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, of_predecessor, false), 0);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, of_another, false), 0);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, unheld, false), 0);
        EXPECT_EQ(word_after(kind, DEATH_RAISE, held, true), 0);
        EXPECT_EQ(word_after(kind, DEATH_WAIT, waited_for, false), 0);
        EXPECT_EQ(word_after(kind, DEATH_RELEASE, held, true), 0);
        EXPECT((word_after(kind, DEATH_RELEASE, waited_for, false) & ~LOCK_W) != 0); /* the owner's name is gone */
    }
    expect_empty();
}

static void permits(uint32_t policy, bool leaves)
{
    uint32_t slot;
    struct dead d = join();
    struct bounded *b = shared(&d, SLOT_BOUNDED, &slot);
    uint16_t mine = (uint16_t)identity_index(family_me(family)), cells[] = {0, 0, mine, 0, CELL_ANONYMOUS, 0};
    cells[1] = cells[3] = (uint16_t)d.index;
    b->size = 5;
    b->policy = policy;
    for (int i = 0; i < 6; i++)
        store_relaxed(&b->cells[i], cells[i]);
    store_relaxed(&b->cells[5], (uint16_t)d.index); /* beyond the semaphore's size: none of its cells */
    (leaves ? view_leave : view_die)(d.f);
    bool back = !leaves && policy != DEATH_WAIT;
    EXPECT_EQ(reap(&d).permits, back ? 2 : 0);
    EXPECT_EQ(load_relaxed(&b->returned), back ? 2 : 0);
    EXPECT_EQ(bounded_value(b), back ? 3 : 1);
    EXPECT(load_relaxed(&b->cells[2]) == mine && load_relaxed(&b->cells[4]) == CELL_ANONYMOUS);
    EXPECT(!bounded_holds(b, d.index) && load_relaxed(&b->cells[5]) == d.index);
    expect_reaped(&d);
    for (int i = 0; i < 2; i++) /* late releases for the dead */
        EXPECT_EQ(bounded_release(b, identity_make(FAMILY_PARTICIPANTS - 1, 0)), 0);
    EXPECT_EQ(bounded_value(b), 3);
    handle_remove(family, slot);
}

static void bounded_semaphores(void)
{
    permits(DEATH_RAISE, false);
    permits(DEATH_RELEASE, false);
    permits(DEATH_WAIT, false);
    permits(DEATH_RAISE, true);
    expect_empty();
}

static void tickets(void)
{
    uint32_t slot, me = family_me(family);
    struct dead d = join();
    struct condition *c = shared(&d, SLOT_CONDITION, &slot);
    for (int i = 0; i < 10; i++)
        condition_take(c, i % 5 == 4 ? me : d.me);
    EXPECT_EQ(condition_waiters(family, c), 10);
    view_die(d.f);
    EXPECT_EQ(condition_waiters(family, c), 2);
    reap(&d);
    expect_reaped(&d);
    EXPECT_EQ(condition_waiters(family, c), 2);
    struct dead newcomer = join();
    EXPECT_EQ(newcomer.index, d.index);
    EXPECT_EQ(condition_waiters(family, c), 2); /* none of them is the newcomer's */
    store_relaxed(&c->sleepers, UINT32_MAX);
    EXPECT_EQ(condition_notify(family, c, 1, me), ticket_bit(4)); /* the first four are dead */
    EXPECT_EQ(condition_notify(family, c, 1, me), ticket_bit(9));
    view_leave(newcomer.f);
    handle_remove(family, slot);
    expect_empty();
}

static struct barrier *meeting(struct dead *d, uint32_t *slot, uint32_t *round)
{
    uint32_t index;
    struct barrier *b = shared(d, SLOT_BARRIER, slot);
    b->parties = 2;
    EXPECT_EQ(barrier_arrive(b, family_me(family), false, round, &index), ARRIVED);
    EXPECT_EQ(barrier_arrive(b, d->me, false, round, &index), ARRIVED_LAST);
    EXPECT_EQ(barrier_outcome(load_relaxed(&b->word), *round), 0);
    return b;
}

/* The pid for whose death the barrier would break. */
static pid_t missed(struct barrier *b, uint32_t slot)
{
    return barrier_dead_member(family, slot, b, load_acquire(&b->word));
}

static void members(void)
{
    uint32_t slot, round, index;
    struct dead d = join();
    struct barrier *b = meeting(&d, &slot, &round);
    EXPECT_EQ(missed(b, slot), 0);
    view_die(d.f);
    EXPECT_EQ(missed(b, slot), d.pid);
    reap(&d);
    EXPECT_EQ(missed(b, slot), d.pid);
    struct dead newcomer = join();
    EXPECT_EQ(newcomer.index, d.index);
    EXPECT_EQ(missed(b, slot), d.pid);
    EXPECT_EQ(barrier_arrive(b, family_me(family), false, &round, &index), ARRIVED);
    barrier_check_members(family, slot, b, round);
    EXPECT(load_relaxed(&b->word) & BARRIER_BROKEN && load_relaxed(&b->broken_pid) == (uint32_t)d.pid);
    barrier_reset(b);
    EXPECT_EQ(missed(b, slot), 0);
    handle_remove(family, slot);
    b = meeting(&newcomer, &slot, &round);
    view_leave(newcomer.f);
    reap(&newcomer);
    EXPECT_EQ(missed(b, slot), 0); /* ended normally */
    handle_remove(family, slot);
    expect_empty();
}

/* Killed between its arrival and the note of it. A bystander's death alone breaks nothing. */
static void gaps(void)
{
    uint32_t slot, round;
    for (int reaped_first = 0; reaped_first < 2; reaped_first++) {
        struct dead d = join(), bystander = join();
        struct barrier *b = meeting(&d, &slot, &round);
        ref_set(family, bystander.index, slot);
        refs_vouched(family);
        view_die(bystander.f);
        EXPECT_EQ(missed(b, slot), 0);
        if (reaped_first)
            reap(&bystander);
        EXPECT_EQ(missed(b, slot), 0);
        barrier_blank(b, d.me, round);
        reap(&bystander);
        store_relaxed(&b->killed_pid, 0);
        EXPECT_EQ(missed(b, slot), 0); /* its writer is slow, and lives */
        view_die(d.f);
        if (reaped_first)
            reap(&d);
        EXPECT_EQ(missed(b, slot), d.pid);
        reap(&d);
        handle_remove(family, slot);
    }
    expect_empty();
}

static void actors(void)
{
    uint32_t slot, round, index;
    for (int policy = DEATH_RAISE; policy <= DEATH_WAIT; policy++)
        for (int other = 0; other < 2; other++) {
            struct dead d = join();
            struct barrier *b = shared(&d, SLOT_BARRIER, &slot);
            b->parties = 1;
            b->policy = (uint32_t)policy;
            EXPECT_EQ(barrier_arrive(b, other ? family_me(family) : d.me, true, &round, &index), ARRIVED_LAST);
            view_die(d.f);
            reap(&d);
            bool broken = load_relaxed(&b->word) & BARRIER_BROKEN;
            EXPECT_EQ(broken, !other && policy != DEATH_WAIT);
            EXPECT_EQ(load_relaxed(&b->broken_pid), broken ? d.pid : 0);
            EXPECT(!broken || !barrier_complete(b, round));
            handle_remove(family, slot);
        }
    expect_empty();
}

/* A note that names nothing, somebody's slot, or one that only it remembers; half-made slots; bits and pages alone. */
static void leftovers(void)
{
    const uint64_t notes[] = {UINT64_MAX, FAMILY_SLOTS + 1, FAMILY_SLOTS, 1};
    uint32_t kept = make(family, SLOT_EVENT), slot;
    for (int i = 0; i < 4; i++) {
        struct dead d = join();
        struct participant *p = &family->participants[d.index];
        int64_t lost = slot_claim(d.f, SLOT_SMALL, SLOT_SEMAPHORE), half = slot_claim(d.f, SLOT_LARGE, SLOT_CONDITION);
        shared(&d, SLOT_EVENT, &slot);
        EXPECT(lost >= 0 && half >= 0);
        and_seq(refs_of(family, d.index) + lost / 64, ~(UINT64_C(1) << lost % 64));
        store_relaxed(&p->dropping, i < 3 ? (uint64_t)lost + 1 : (uint64_t)kept + 1);
        if (i == 3)
            slot_free_unreferenced(family, d.index, (uint32_t)lost);
        store_release(&family->states[half], slot_state(SLOT_CLAIMED, generation_of(family, (uint32_t)half)));
        store_relaxed(&p->waits[i].tid, 12345);
        ref_set(family, d.index, FAMILY_SLOTS - 1); /* killed before its claim */
        view_die(d.f);
        reap(&d);
        expect_reaped(&d);
        handle_remove(family, slot);
        EXPECT_EQ(slot_kind(load_acquire(&family->states[kept])), SLOT_EVENT);
    }
    for (int i = 0; i < 4; i++) {
        struct dead d = join();
        store_relaxed(&family->participants[d.index].dropping, notes[i]);
        view_die(d.f);
        reap(&d);
        expect_reaped(&d);
    }
    handle_remove(family, kept);
    expect_empty();
}

/* Who has the right keeps all others off; once it is gone, the next may. The living nobody may reap. */
static void rights(void)
{
    struct reaped r = {0};
    struct dead d = join(), living = join(), first = join();
    uint32_t slot;
    struct lock *l = shared(&d, SLOT_LOCK, &slot);
    store_relaxed(&l->word, d.me);
    EXPECT(reap_begin(first.f, d.index) && !reap_begin(first.f, d.index) && !reap_begin(living.f, d.index));
    view_die(d.f);
    EXPECT(participant_died(family, d.me)); /* whoever reaps does not make it look alive */
    EXPECT(!reap_if_gone(family, d.index, &r));
    EXPECT_EQ(load_relaxed(&l->word), d.me);
    lock_check_owner(family, l, d.me); /* waiters need no right to say so */
    EXPECT_EQ(load_relaxed(&l->word), d.me | LOCK_DEAD);
    view_die(first.f);
    EXPECT(reap_if_gone(family, d.index, &r));
    expect_reaped(&d);
    EXPECT(!reap_if_gone(family, living.index, &r));
    EXPECT(!reap_if_gone(family, identity_index(family_me(family)), &r));
    EXPECT_EQ(load_relaxed(&family->participants[living.index].reaper), 0);
    EXPECT(!participant_died(family, living.me) && !participant_died(living.f, family_me(family)));
    view_leave(living.f);
    reap(&living);
    reap(&first);
    EXPECT(load_relaxed(&l->word) & LOCK_DEAD);
    handle_remove(family, slot);
    expect_empty();
}

/* A right that names nobody, a predecessor of somebody, or what cannot be, keeps nobody off. */
static void stale_rights(void)
{
    struct reaped r = {0};
    struct dead left = join();
    view_leave(left.f);
    reap(&left);
    const uint64_t rights[] = {left.me, family_me(family) ^ 1u << 14, UINT32_MAX, identity_make(9, 3)};
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        struct dead d = join();
        store_relaxed(&family->participants[d.index].reaper, rights[i]);
        view_die(d.f);
        EXPECT(reap_if_gone(family, d.index, &r));
        expect_reaped(&d);
        EXPECT_EQ(load_relaxed(&family->participants[d.index].reaper), 0);
    }
}

static struct dead prey;
static uint32_t prey_slots[5];
static shared32 permits_back, finished, next_round;

static void kill_prey(void)
{
    uint32_t round, index;
    prey = join();
    enum slot_kind kinds[] = {SLOT_LOCK, SLOT_RLOCK, SLOT_BOUNDED, SLOT_CONDITION, SLOT_BARRIER};
    for (int i = 0; i < 5; i++)
        shared(&prey, kinds[i], &prey_slots[i]);
    struct bounded *b = slot_at(family, prey_slots[2]);
    b->size = 3;
    ((struct barrier *)slot_at(family, prey_slots[4]))->parties = 2;
    for (int i = 0; i < 2; i++)
        EXPECT(lock_try(slot_at(family, prey_slots[i]), prey.me) && bounded_try(b, prey.me));
    condition_take(slot_at(family, prey_slots[3]), prey.me);
    barrier_arrive(slot_at(family, prey_slots[4]), prey.me, false, &round, &index);
    store_relaxed(&permits_back, 0);
    store_relaxed(&finished, 0);
    view_die(prey.f);
}

static void look_at_prey(void)
{
    EXPECT_EQ(load_relaxed(&permits_back), 2);
    EXPECT_EQ(bounded_value(slot_at(family, prey_slots[2])), 3);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(load_relaxed(&((struct lock *)slot_at(family, prey_slots[i]))->word), prey.me | LOCK_DEAD);
    expect_reaped(&prey);
    for (int i = 0; i < 5; i++)
        handle_remove(family, prey_slots[i]);
}

static void hunt(struct user *u)
{
    add_seq(&finished, 1u); /* pairs with lead: nobody joins any more, as newcomers look for the dead as well */
    for (uint32_t round = 1; round <= (uint32_t)times(300); round++) {
        while (load_seq(&next_round) < round) /* pairs with lead */
            sched_yield();
        while (participant_pid(u->f, prey.me) != 0) {
            struct reaped r = {0};
            reap_owner(u->f, prey.me, &r);
            add_relaxed(&permits_back, r.permits);
        }
        add_seq(&finished, 1u); /* pairs with lead */
    }
}

static void await_hunters(void)
{
    while (load_seq(&finished) < 3) /* pairs with hunt */
        sched_yield();
}

static void *lead(void *unused)
{
    await_hunters();
    for (int i = times(300); i > 0; i--) {
        kill_prey();
        add_seq(&next_round, 1u); /* pairs with hunt */
        await_hunters();
        look_at_prey();
    }
    return unused;
}

/* Three see it dead at once: one reaps it, and nothing is given back twice. */
static void races(void)
{
    pthread_t leader;
    EXPECT_EQ(pthread_create(&leader, NULL, lead, NULL), 0);
    crowd(family, 3, false, hunt);
    pthread_join(leader, NULL);
    expect_empty();
}

int main(void)
{
    begin(50);
    family = family_new();
    RUN(locks);
    RUN(bounded_semaphores);
    RUN(tickets);
    RUN(members);
    RUN(gaps);
    RUN(actors);
    RUN(leftovers);
    RUN(rights);
    RUN(stale_rights);
    RUN(races);
    family_end(family);
    return GOOD;
}
