/* SPDX-License-Identifier: MIT */
/* participant.h, membership.h and fork.h: joining, leaving, dying, being handed over, and a full table. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#include <sys/wait.h>

static struct family *family;
static shared32 holder[FAMILY_PARTICIPANTS];
static shared32 refused;
static uint32_t last_generation[FAMILY_PARTICIPANTS]; /* not atomic: an entry passes from owner to owner */

static uint32_t others(void)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        n += i != identity_index(family_me(family)) && state_kind(load_acquire(&family->participants[i].state));
    return n;
}

/* Everybody is gone: each entry must come back, as somebody else's or by reaping. */
static void expect_alone(void)
{
    struct reaped r = {0};
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(family)))
            reap_owner(family, identity_make(i, 0), &r);
    EXPECT_EQ(others(), 0);
}

static void come_and_go(struct user *u)
{
    for (int i = times(800); i > 0; i--) {
        struct family *view;
        int rc = view_join(family, &view);
        if (rc == -EAGAIN) {
            add_relaxed(&refused, 1u);
            view_die(view);
            continue;
        }
        EXPECT_EQ(rc, 0);
        uint32_t me = family_me(view), index = identity_index(me);
        EXPECT(index > 0 && index < FAMILY_PARTICIPANTS);
        EXPECT_EQ(add_relaxed(&holder[index], 1u), 0);
        uint32_t generation = identity_generation(me);
        EXPECT(generation == 0 || generation > last_generation[index]);
        last_generation[index] = generation;
        EXPECT(!participant_died(family, me));
        EXPECT_EQ(participant_pid(family, me) >= NO_SUCH_PID, true);
        jitter();
        sub_relaxed(&holder[index], 1u);
        (chance(2) ? view_die : view_leave)(view);
    }
    (void)u;
}

/* Twenty want fifteen entries. */
static void joining(void)
{
    static struct user users[20];
    for (int i = 0; i < 20; i++) {
        users[i] = (struct user){.number = i, .body = come_and_go};
        EXPECT_EQ(pthread_create(&users[i].thread, NULL, user_thread, &users[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        pthread_join(users[i].thread, NULL);
    printf("%u times full\n", load_relaxed(&refused));
    expect_alone();
}

static void full_table(void)
{
    struct family *view[FAMILY_PARTICIPANTS], *late;
    uint32_t n = FAMILY_PARTICIPANTS - 2;
    for (uint32_t i = 0; i < n; i++)
        view[i] = view_new(family);
    EXPECT_EQ(view_join(family, &late), -EAGAIN);
    EXPECT_EQ(family_me(late), 0);
    view_die(late);
    uint32_t gone = family_me(view[7]);
    view_die(view[7]);
    view[7] = view_new(family);
    EXPECT(identity_index(family_me(view[7])) == identity_index(gone) && family_me(view[7]) != gone);
    EXPECT(!participant_died(family, gone));
    EXPECT_EQ(participant_pid(family, gone), 0);
    for (uint32_t i = 0; i < n; i++)
        (i % 2 ? view_die : view_leave)(view[i]);
    expect_alone();
}

static void proofs(void)
{
    struct family *a = view_new(family), *b = view_new(family);
    uint32_t left = family_me(a), died = family_me(b);
    EXPECT(!participant_died(family, left) && !participant_died(family, died));
    EXPECT(!participant_died(family, family_me(family)) && !participant_died(family, 0));
    EXPECT(!participant_died(family, died ^ 1u << 20) && !participant_died(family, UINT32_MAX));
    EXPECT(!participant_died(b, died));
    view_leave(a);
    view_die(b);
    EXPECT(!participant_died(family, left) && participant_died(family, died));
    struct participant *p = &family->participants[identity_index(died)];
    uint64_t state = load_relaxed(&p->state), here = load_relaxed(&p->namespace);
    store_relaxed(&p->state, state_make(PARTICIPANT_LIVE, state_generation(state), 0, getpid()));
    EXPECT(!participant_died(family, died)); /* the byte is free, but the process is there */
    store_relaxed(&p->registered, 1);
    EXPECT(participant_died(family, died)); /* there, but began after the other had registered */
    store_relaxed(&p->namespace, here + 1);
    EXPECT(participant_died(family, died)); /* the pid means nothing here, the byte does */
    store_relaxed(&p->state, state_make(PARTICIPANT_LIVE, state_generation(state), PARTICIPANT_PID_ONLY, getpid()));
    EXPECT(!participant_died(family, died)); /* neither does */
    store_relaxed(&p->namespace, here);
    store_relaxed(&p->state, state);
    expect_alone();
}

/* Where a pid means nothing, the byte decides: as long as the description is open anywhere. */
static void other_namespace(void)
{
    struct family *a = view_new(family);
    uint32_t me = family_me(a);
    struct participant *p = &family->participants[identity_index(me)];
    uint64_t here = load_relaxed(&p->namespace), state = load_relaxed(&p->state);
    store_relaxed(&p->state, state_make(PARTICIPANT_LIVE, state_generation(state), 0, getpid()));
    store_relaxed(&p->namespace, here + 1);
    EXPECT(!participant_died(family, me));
    int copy = dup(a->fd);
    view_die(a);
    EXPECT(!participant_died(family, me));
    close(copy);
    EXPECT(participant_died(family, me));
    expect_alone();
}

/* Entries of those who had no description: found by the pid of whoever reserved them, then by their own. */
static void without_description(void)
{
    struct reaped r = {0};
    struct family *view = view_map(family);
    uint32_t identity;
    int fd = 5;
    pretended_pid = pid_of_nobody();
    EXPECT_EQ(member_reserve(view, &identity, &fd, &r), 0);
    pretended_pid = 0;
    EXPECT(fd < 0);
    EXPECT(member_expected(view, identity));
    EXPECT(load_relaxed(&family->participants[identity_index(identity)].state) & PARTICIPANT_PID_ONLY);
    EXPECT_EQ(member_become(view, identity, -1), 0);
    EXPECT_EQ(member_become(view, identity, -1), -ESTALE);
    EXPECT(!member_expected(view, identity));
    EXPECT(!participant_died(family, identity)); /* the pid that it now has is this process's */
    view_free(view);
    struct participant *p = &family->participants[identity_index(identity)];
    uint64_t state = load_relaxed(&p->state);
    store_relaxed(&p->state, state_make(PARTICIPANT_LIVE, state_generation(state), PARTICIPANT_PID_ONLY, NO_SUCH_PID));
    EXPECT(participant_died(family, identity));
    expect_alone();
}

static void reservations(void)
{
    struct reaped r = {0};
    uint32_t identity, second;
    int fd;
    EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
    EXPECT(fd >= 0 && member_expected(family, identity) && !member_expected(family, identity ^ 1u << 14));
    EXPECT(!member_expected(family, 0) && !member_expected(family, UINT32_MAX));
    reap_owner(family, identity, &r);
    EXPECT(member_expected(family, identity)); /* its byte is held */
    member_cancel(family, identity, fd, &r);
    EXPECT(!member_expected(family, identity));
    EXPECT_EQ(others(), 0);
    EXPECT_EQ(member_reserve(family, &second, &fd, &r), 0);
    EXPECT(second != identity);
    member_let_go(family, second, fd, &r); /* no child has come */
    EXPECT_EQ(others(), 0);
    uint32_t slot = make(family, SLOT_EVENT);
    EXPECT_EQ(member_reserve(family, &identity, &fd, &r), 0);
    ref_set(family, identity_index(identity), slot);
    refs_vouched(family);
    member_merge(family, identity, fd, &r);
    EXPECT_EQ(others(), 0);
    EXPECT(slot_valid(family, slot, SLOT_EVENT, generation_of(family, slot)));
    handle_remove(family, slot);
}

int main(void)
{
    begin(50);
    family = family_new();
    RUN(proofs);
    RUN(other_namespace);
    RUN(without_description);
    RUN(reservations);
    RUN(full_table);
    RUN(joining);
    RUN(full_table);
    family_end(family);
    return GOOD;
}
