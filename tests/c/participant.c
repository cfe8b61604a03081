/* SPDX-License-Identifier: MIT */
/* family.h, participant.h and membership.h: joining, leaving, dying, a full table, and what is refused. */
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
    for (int i = times(1500); i > 0; i--) {
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

/* A description of a dead process's that is open somewhere else says that it lives, unless only its pid counts. */
static void one_byte(void)
{
    struct family *a = view_new(family);
    uint32_t me = family_me(a);
    struct participant *p = &family->participants[identity_index(me)];
    EXPECT(!participant_died(family, me));
    store_relaxed(&p->state, load_relaxed(&p->state) | PARTICIPANT_PID_ONLY);
    EXPECT(participant_died(family, me));
    view_die(a);
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
    EXPECT_EQ(fd, -1);
    EXPECT(member_expected(view, identity));
    EXPECT(load_relaxed(&family->participants[identity_index(identity)].state) & PARTICIPANT_PID_ONLY);
    member_become(view, identity, -1);
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

/* What family_attach says of a copy of the segment whose header was changed so. */
static int attached(size_t offset, size_t size, uint64_t value, off_t length)
{
    int fd = memfd_create("damaged", MFD_CLOEXEC);
    EXPECT(fd >= 0 && ftruncate(fd, length) == 0);
    struct family_header header;
    memcpy(&header, family->header, sizeof header);
    memcpy((char *)&header + offset, &value, size);
    EXPECT(length < (off_t)sizeof header || pwrite(fd, &header, sizeof header, 0) == sizeof header);
    struct family *f = NULL;
    int rc = family_attach(fd, &f);
    if (rc == 0)
        family_unmap(f);
    close(fd);
    return rc;
}

#define DAMAGED(field, value) \
    attached(offsetof(struct family_header, field), sizeof(((struct family_header *)0)->field), (value), FAMILY_FILE)

static void damaged_headers(void)
{
    off_t size = FAMILY_FILE;
    EXPECT_EQ(attached(0, 0, 0, size), 0);
    EXPECT_EQ(DAMAGED(magic, 0), -EBADMSG);
    EXPECT_EQ(DAMAGED(magic, FAMILY_MAGIC ^ 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(abi, FAMILY_ABI + 1), -EPROTO);
    EXPECT_EQ(DAMAGED(layout, family_layout() ^ 1), -EPROTO);
    EXPECT_EQ(DAMAGED(size, FAMILY_SIZE - FAMILY_PAGE), -EBADMSG);
    EXPECT_EQ(DAMAGED(participants_top, FAMILY_PARTICIPANTS + 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(participants_top, UINT32_MAX), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_SMALL], FAMILY_SMALL_SLOTS + 1), -EBADMSG);
    EXPECT_EQ(DAMAGED(slots_top[SLOT_LARGE], UINT32_MAX), -EBADMSG);
    EXPECT_EQ(attached(0, 0, 0, size - 1), -EBADMSG);
    EXPECT_EQ(attached(0, 0, 0, size + FAMILY_PAGE), -EBADMSG);
    EXPECT_EQ(attached(0, 0, 0, 8), -EBADMSG);
    EXPECT_EQ(attached(0, 0, 0, 0), -EBADMSG);
    struct family *f = NULL;
    EXPECT_EQ(family_attach(-1, &f), -EBADF);
    int pipes[2];
    EXPECT_EQ(pipe(pipes), 0);
    EXPECT_EQ(family_attach(pipes[0], &f), -EBADMSG);
    close(pipes[0]);
    close(pipes[1]);
    EXPECT(f == NULL);
}

/* Nobody can shrink the segment under its users, nor find it in the file system. */
static void seals(void)
{
    EXPECT(ftruncate(family->fd, FAMILY_PAGE) < 0 && ftruncate(family->fd, FAMILY_FILE + 1) < 0);
    EXPECT_EQ(fcntl(family->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT(fcntl(family->fd, F_GETFD) & FD_CLOEXEC);
    struct family *second = NULL;
    int fd = family_reopen(family);
    EXPECT(fd >= 0 && fd != family->fd && family_fd_valid(family));
    EXPECT_EQ(family_attach(fd, &second), 0);
    EXPECT(memcmp(second->header->id, family->header->id, 16) == 0);
    family_end(second);
    struct family lost = *family;
    lost.fd = 0; /* a program closed "all" descriptors, and then opened others */
    EXPECT(!family_fd_valid(&lost));
    EXPECT_EQ(family_reopen(&lost), -EBADF);
}

int main(void)
{
    begin(50);
    family = family_new();
    RUN(proofs);
    RUN(one_byte);
    RUN(without_description);
    RUN(reservations);
    RUN(damaged_headers);
    RUN(seals);
    RUN(full_table);
    RUN(joining);
    RUN(full_table);
    family_end(family);
    return GOOD;
}
