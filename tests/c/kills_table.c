/* SPDX-License-Identifier: MIT */
/* Kills at every step of claiming and dropping slots, of joining, forking and leaving, and of reaping itself. */
#include "kills.h"

static uint32_t reserved;
static int reserved_fd;
static pid_t dead_pid;
static uint32_t dead;

/* Slots ------------------------------------------------------------------------------------------------------------- */

static uint32_t *content(uint32_t slot) { return &((struct lock *)slot_at(family, slot))->policy; }

static uint32_t claim(enum slot_class class, enum slot_kind kind)
{
    int64_t slot = handle_claim(family, class, kind);
    EXPECT(slot >= 0 && class_of((uint32_t)slot) == class);
    EXPECT(slot_valid(family, (uint32_t)slot, kind, generation_of(family, (uint32_t)slot)));
    EXPECT(scene->owned[slot]++ == 0 || scene->killed);
    EXPECT_EQ(*content((uint32_t)slot), 0);
    *content((uint32_t)slot) = (uint32_t)getpid();
    return (uint32_t)slot;
}

static void give_up(uint32_t slot)
{
    EXPECT_EQ(*content(slot), (uint32_t)getpid());
    *content(slot) = 0;
    scene->owned[slot] = 0;
    handle_remove(family, slot);
}

static void claim_and_give_up(void)
{
    uint32_t small = claim(SLOT_SMALL, SLOT_LOCK), second = claim(SLOT_SMALL, SLOT_EVENT);
    give_up(small);
    small = claim(SLOT_SMALL, SLOT_SEMAPHORE);
    give_up(second);
    give_up(small);
}

static void claim_large(void) { give_up(claim(SLOT_LARGE, SLOT_EVENT)); }

static void keep_some(void)
{
    keep(SLOT_LOCK);
    keep(SLOT_BARRIER);
    ((struct barrier *)slot_at(family, scene->slot[1]))->parties = 2;
    keep(SLOT_CONDITION);
}

/* Victim, companion and judge drop the same slots: one of them must free each. */
static void drop_all(void)
{
    for (int i = 0; i < 3; i++)
        handle_remove(family, scene->slot[i]);
}

static void drop_all_here(void)
{
    drop_all();
    scene->slots = 0;
}

/* Members ----------------------------------------------------------------------------------------------------------- */

/* The victim is in no family, and has a view of this one. It stays in none until it joins. */
static void take_view(int fd)
{
    struct family *own = NULL;
    EXPECT(fd >= 0);
    EXPECT_EQ(family_attach(fd, &own), 0);
    close(family->fd);
    family = own;
}

static void join_and_leave(void)
{
    struct reaped r = {0};
    take_view(family_reopen(family));
    EXPECT_EQ(member_join(family, &r), 0);
    claim_and_give_up();
    participant_leave(family);
}

static void another_joins(void)
{
    struct family *view = view_new(family);
    EXPECT(!participant_died(family, family_me(view)));
    view_leave(view);
}

static void reserve_prepare(void)
{
    struct reaped r = {0};
    keep(SLOT_LOCK);
    EXPECT_EQ(member_reserve(family, &reserved, &reserved_fd, &r), 0);
    ref_set(family, identity_index(reserved), scene->slot[0]);
    refs_vouched(family);
}

/* As a spawned child does, which got the description and the identity from its parent. */
static void adopt(void)
{
    take_view(reserved_fd);
    EXPECT(member_expected(family, reserved));
    member_become(family, reserved, reserved_fd);
    EXPECT(!member_expected(family, reserved));
    EXPECT_EQ(handle_attach(family, scene->slot[0], SLOT_LOCK, generation_of(family, scene->slot[0])), 0);
    handle_remove(family, scene->slot[0]);
    participant_leave(family);
}

/* At no instant, from before its birth to its end, does the child look dead. */
static void watch_child(void)
{
    struct reaped r = {0};
    member_let_go(family, reserved, reserved_fd, &r);
    bool seen_halted;
    do {
        seen_halted = halted();
        shared64 *word = &family->participants[identity_index(reserved)].state;
        uint64_t state = load_acquire(word);
        bool gone = state_kind(state) != PARTICIPANT_LEFT && participant_gone(family, identity_index(reserved), state);
        EXPECT(!gone || scene->killed || load_acquire(word) != state);
        reap_owner(family, reserved, &r);
    } while (!seen_halted);
}

/* Makes children's entries, and no children. */
static void reserve_in_vain(void)
{
    struct reaped r = {0};
    uint32_t identity;
    int fd;
    EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
    member_copy_refs(family, identity_index(family_me(family)), identity_index(identity));
    member_cancel(family, identity, fd, &r);
    EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
    member_let_go(family, identity, fd, &r);
}

static void merge(void)
{
    struct reaped r = {0};
    uint32_t identity;
    int fd;
    EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
    ref_set(family, identity_index(identity), scene->slot[0]);
    refs_vouched(family);
    member_merge(family, identity, fd, &r);
    EXPECT(slot_valid(family, scene->slot[0], SLOT_LOCK, generation_of(family, scene->slot[0])));
}

/* Its child has all that it had, whatever becomes of it meanwhile. */
static void beget(void)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        EXPECT(family_me(family) != 0 && family_me(family) != scene->victim);
        drop_all();
        claim_and_give_up();
        end_member();
    }
    int status;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

static void be_born(void)
{
    EXPECT(family_me(family) != 0);
    drop_all();
    claim_and_give_up();
}

/* Reaping ----------------------------------------------------------------------------------------------------------- */

static struct lock *held_lock(int i) { return slot_at(family, scene->slot[i]); }
static struct bounded *held_permits(void) { return slot_at(family, scene->slot[2]); }
static struct condition *ticketed(void) { return slot_at(family, scene->slot[3]); }
static struct barrier *attended(void) { return slot_at(family, scene->slot[4]); }

/* Dies with all that one can die with. */
static void hold_all(void)
{
    struct user u = self();
    struct participant *p = &family->participants[identity_index(u.me)];
    uint32_t round, index, lost = claim(SLOT_SMALL, SLOT_EVENT);
    EXPECT(lock_try(held_lock(0), u.me) && lock_try(held_lock(1), u.me));
    rlock_set_depth(held_lock(1), 3);
    EXPECT(bounded_try(held_permits(), u.me) && bounded_try(held_permits(), u.me));
    condition_take(ticketed(), u.me);
    EXPECT_EQ(barrier_arrive(attended(), u.me, false, &round, &index), ARRIVED_LAST);
    store_relaxed(&p->waits[2].tid, 4711);
    store_relaxed(&p->dropping, (uint64_t)lost + 1); /* killed between the two steps of slot_drop */
    and_seq(refs_of(family, identity_index(u.me)) + lost / 64, ~(UINT64_C(1) << lost % 64));
    UNTIL(scene->inside); /* fork() is over there: it would reap a child that is dead by then */
    kill(getpid(), SIGKILL);
}

static void dead_prepare(void)
{
    uint32_t round, index;
    int status;
    enum slot_kind kinds[] = {SLOT_LOCK, SLOT_RLOCK, SLOT_BOUNDED, SLOT_CONDITION, SLOT_BARRIER};
    for (int i = 0; i < 5; i++)
        keep(kinds[i]);
    held_permits()->size = 3;
    attended()->parties = 2;
    EXPECT_EQ(barrier_arrive(attended(), family_me(family), false, &round, &index), ARRIVED);
    dead_pid = spawn(hold_all);
    scene->inside = 1;
    EXPECT(waitpid(dead_pid, &status, 0) == dead_pid && WIFSIGNALED(status));
    dead = LOCK_OWNER(load_relaxed(&held_lock(0)->word));
    EXPECT(dead != 0 && dead != family_me(family));
    EXPECT(reap_begin(family, identity_index(dead)));
}

/* Until then nobody may: each fork looks for somebody dead. */
static void hand_over_right(void)
{
    reap_end(family, identity_index(dead));
    scene->flag = 1;
}

static void reap_dead(void)
{
    struct reaped r = {0};
    UNTIL(scene->flag);
    reap_owner(family, dead, &r);
    scene->acted += (int)r.permits;
}

/* The right to reap is the victim's; then it is dead, and one of them gets it. */
static void reap_after_another(void)
{
    UNTIL(scene->begun || scene->go);
    while (participant_pid(family, dead) != 0) {
        reap_dead();
        usleep(100);
    }
}

static void expect_mended(void)
{
    uint32_t index = identity_index(dead), me = family_me(family);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(LOCK_OWNER(load_relaxed(&held_lock(i)->word)), dead);
        EXPECT_EQ(load_relaxed(&held_lock(i)->word) & LOCK_DEAD, LOCK_DEAD);
        EXPECT_EQ(load_relaxed(&held_lock(i)->dead_pid), dead_pid);
        EXPECT(lock_recover(family, held_lock(i), me) && !lock_recover(family, held_lock(i), me));
        EXPECT_EQ(load_relaxed(&held_lock(i)->depth), 1);
        lock_release(family, held_lock(i));
    }
    EXPECT_EQ(bounded_value(held_permits()), 3);
    EXPECT(scene->acted <= 2 && (scene->killed || scene->acted == 2));
    for (uint32_t i = 0; i < CONDITION_RING; i++)
        EXPECT(load_relaxed(&ticketed()->ring[i]) != index);
    EXPECT_EQ(condition_notify(family, ticketed(), 1, me), 0);
    EXPECT_EQ(barrier_dead_member(family, scene->slot[4], attended(), load_acquire(&attended()->word)), dead_pid);
    expect_nobody(index);
}

/* Reaped by whoever comes; the last looks whether it was done once and whole. */
static void reap_afterwards(void)
{
    UNTIL(scene->done == playing->companions);
    reap_dead();
    EXPECT_EQ(participant_pid(family, dead), 0);
    expect_mended();
}

static const struct scenario scenarios[] = {
    {.name = "slots",
     .victim = claim_and_give_up,
     .companion = claim_and_give_up,
     .companions = 1,
     .meanwhile = claim_and_give_up,
     .afterwards = claim_and_give_up},
    {.name = "a large slot", .victim = claim_large, .meanwhile = claim_large, .afterwards = claim_large},
    {.name = "last references",
     .prepare = keep_some,
     .victim = drop_all,
     .companion = drop_all,
     .companions = 1,
     .alongside = drop_all_here},
    {.name = "joining, leaving",
     .victim = join_and_leave,
     .meanwhile = another_joins,
     .afterwards = another_joins,
     .stranger = true},
    {.name = "a handed-over entry",
     .prepare = reserve_prepare,
     .victim = adopt,
     .alongside = watch_child,
     .meanwhile = another_joins,
     .afterwards = another_joins,
     .stranger = true},
    {.name = "reserving",
     .prepare = keep_some,
     .victim = reserve_in_vain,
     .meanwhile = another_joins,
     .afterwards = another_joins},
    {.name = "merging", .prepare = keep_some, .victim = merge, .meanwhile = another_joins, .afterwards = another_joins},
    {.name = "forking, the parent",
     .prepare = keep_some,
     .victim = beget,
     .alongside = drop_all_here,
     .meanwhile = another_joins,
     .afterwards = another_joins},
    {.name = "forking, the child",
     .prepare = keep_some,
     .victim = be_born,
     .alongside = drop_all_here,
     .meanwhile = another_joins,
     .newborn = true},
    {.name = "reaping",
     .prepare = dead_prepare,
     .victim = reap_dead,
     .alongside = hand_over_right,
     .meanwhile = another_joins,
     .afterwards = reap_afterwards},
    {.name = "reaping, others as well",
     .prepare = dead_prepare,
     .victim = reap_dead,
     .alongside = hand_over_right,
     .companion = reap_after_another,
     .companions = 2,
     .meanwhile = another_joins,
     .afterwards = reap_afterwards},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
