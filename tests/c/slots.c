/* SPDX-License-Identifier: MIT */
/* slots.h and handle.h: claiming, vouching, dropping, full tables. What a slot holds is not atomic here. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#define HELD 5

static struct family *family;
static shared32 owner[FAMILY_SLOTS]; /* how many users believe that the slot is theirs */

struct claim {
    uint32_t slot, generation, number;
};

static uint32_t *content(const struct family *f, uint32_t slot) { return &((struct lock *)slot_at(f, slot))->policy; }

static bool claim_one(struct user *u, struct claim *c)
{
    enum slot_class class = chance(3) ? SLOT_SMALL : SLOT_LARGE;
    int64_t slot = handle_claim(u->f, class, class == SLOT_SMALL ? SLOT_LOCK : SLOT_CONDITION);
    if (slot == -ENOSPC)
        return false;
    EXPECT(slot >= 0 && class_of((uint32_t)slot) == class);
    EXPECT_EQ(add_relaxed(&owner[slot], 1u), 0);
    *c = (struct claim){(uint32_t)slot, generation_of(u->f, (uint32_t)slot), chance(1000)};
    EXPECT_EQ(load_relaxed(&((struct lock *)slot_at(u->f, c->slot))->word), 0);
    EXPECT_EQ(*content(u->f, c->slot), 0);
    *content(u->f, c->slot) = c->number;
    return true;
}

static enum slot_kind kind_of(const struct claim *c)
{
    return class_of(c->slot) == SLOT_SMALL ? SLOT_LOCK : SLOT_CONDITION;
}

static void drop_one(struct user *u, const struct claim *c)
{
    EXPECT(slot_valid(u->f, c->slot, kind_of(c), c->generation));
    EXPECT(!slot_valid(u->f, c->slot, kind_of(c), c->generation + 1));
    EXPECT(!slot_valid(u->f, c->slot, SLOT_EVENT, c->generation));
    EXPECT_EQ(*content(u->f, c->slot), c->number);
    sub_relaxed(&owner[c->slot], 1u);
    handle_remove(u->f, c->slot);
}

static void expect_empty(void)
{
    for (uint32_t slot = 0; slot < FAMILY_SLOTS; slot++) {
        EXPECT_EQ(slot_kind(load_acquire(&family->states[slot])), SLOT_FREE);
        for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
            EXPECT(!ref_get(family, i, slot));
    }
}

/* All, then none, then all again: nothing was lost, and no generation comes twice. */
static void full_table(void)
{
    uint32_t slots[FAMILY_SLOTS], generations[FAMILY_SLOTS];
    for (int turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < FAMILY_SLOTS; i++) {
            int64_t slot = handle_claim(family, i < FAMILY_SMALL_SLOTS ? SLOT_SMALL : SLOT_LARGE, SLOT_EVENT);
            EXPECT(slot >= 0);
            slots[i] = (uint32_t)slot;
            uint32_t generation = generation_of(family, slots[i]);
            EXPECT(turn == 0 || generation != generations[slot]);
            generations[slot] = generation;
        }
        EXPECT_EQ(handle_claim(family, SLOT_SMALL, SLOT_EVENT), -ENOSPC);
        EXPECT_EQ(handle_claim(family, SLOT_LARGE, SLOT_EVENT), -ENOSPC);
        handle_remove(family, 17);
        EXPECT_EQ(handle_attach(family, 17, SLOT_EVENT, generations[17]), -ESTALE);
        EXPECT_EQ(handle_claim(family, SLOT_SMALL, SLOT_LOCK), 17);
        for (uint32_t i = 0; i < FAMILY_SLOTS; i++)
            handle_remove(family, slots[i]);
    }
    EXPECT_EQ(handle_attach(family, FAMILY_SLOTS, SLOT_EVENT, 0), -ESTALE);
    EXPECT_EQ(handle_attach(family, UINT32_MAX, SLOT_EVENT, 0), -ESTALE);
    expect_empty();
}

static void churn(struct user *u)
{
    struct claim held[HELD];
    int n = 0;
    for (int i = times(60000); i > 0; i--) {
        if (n < HELD && chance(2) && claim_one(u, &held[n]))
            n++;
        else if (n > 0)
            drop_one(u, &held[--n]);
    }
    while (n > 0)
        drop_one(u, &held[--n]);
}

static void claims_and_drops(void)
{
    crowd(family, 4, true, churn);
    expect_empty();
}

/* So few that every claim is a race: for one slot all others are taken. */
static void crowded(void)
{
    uint32_t slots[FAMILY_SMALL_SLOTS + FAMILY_LARGE_SLOTS], n = 0;
    for (; n < FAMILY_SMALL_SLOTS - 2; n++)
        slots[n] = make(family, SLOT_EVENT);
    for (; n < FAMILY_SLOTS - 3; n++)
        slots[n] = make(family, SLOT_CONDITION);
    crowd(family, 4, true, churn);
    while (n > 0)
        handle_remove(family, slots[--n]);
    expect_empty();
}

struct child {
    struct user user;
    uint32_t identity;
    int fd, n;
    struct claim inherits[HELD];
};

/* A child that was given its references before its birth. They hold, whatever its parent does meanwhile. */
static void *child_thread(void *argument)
{
    struct child *child = argument;
    struct user *u = &child->user;
    chance_seed(child->identity);
    pretended_pid = pid_of_nobody();
    EXPECT(member_expected(u->f, child->identity));
    member_become(u->f, child->identity, child->fd);
    u->me = family_me(u->f);
    for (int i = 0; i < child->n; i++) {
        const struct claim *c = &child->inherits[i];
        EXPECT_EQ(handle_attach(u->f, c->slot, kind_of(c), c->generation), 0);
        add_relaxed(&owner[c->slot], 1u);
    }
    jitter();
    for (int i = 0; i < child->n; i++)
        drop_one(u, &child->inherits[i]);
    view_leave(u->f);
    return NULL;
}

static void beget(struct user *u, struct child *child)
{
    struct reaped r = {0};
    pthread_mutex_lock(&u->f->mutex);
    EXPECT_EQ(member_reserve(u->f, &child->identity, &child->fd, &r), 0);
    pthread_mutex_unlock(&u->f->mutex);
    if (chance(2)) {
        member_copy_refs(u->f, identity_index(u->me), identity_index(child->identity));
    } else {
        for (int i = 0; i < child->n; i++)
            ref_set(u->f, identity_index(child->identity), child->inherits[i].slot);
        refs_vouched(u->f);
    }
    child->user.f = view_map(u->f);
    EXPECT_EQ(pthread_create(&child->user.thread, NULL, child_thread, child), 0);
}

static void bequeath(struct user *u)
{
    for (int i = times(1500); i > 0; i--) {
        struct child child = {.n = 0};
        while (child.n < 3 && claim_one(u, &child.inherits[child.n]))
            child.n++;
        for (int k = 0; k < child.n; k++)
            sub_relaxed(&owner[child.inherits[k].slot], 1u);
        beget(u, &child);
        for (int k = 0; k < child.n; k++)
            handle_remove(u->f, child.inherits[k].slot);
        pthread_join(child.user.thread, NULL);
    }
}

static void vouching(void)
{
    crowd(family, 4, true, bequeath);
    expect_empty();
}

/* Who drops the last object on what it holds must still be found when it dies. */
static void pinned(void)
{
    struct user a = {0};
    struct reaped r = {0};
    uint32_t slot = make(family, SLOT_LOCK);
    struct lock *l = slot_at(family, slot);
    user_join(&a, family);
    ref_set(family, identity_index(a.me), slot);
    refs_vouched(family);
    EXPECT_EQ(handle_attach(a.f, slot, SLOT_LOCK, generation_of(family, slot)), 0);
    EXPECT(lock_try(l, a.me));
    handle_remove(a.f, slot);
    EXPECT(ref_get(family, identity_index(a.me), slot));
    view_die(a.f);
    reap_owner(family, load_relaxed(&l->word), &r);
    EXPECT(load_relaxed(&l->word) & LOCK_DEAD);
    handle_remove(family, slot);
    expect_empty();
}

/* In a process that is nobody nothing can be claimed or attached, and nothing is dropped that is another's. */
static void nobody(void)
{
    uint32_t slot = make(family, SLOT_LOCK), generation = generation_of(family, slot);
    struct family *view = view_map(family);
    EXPECT_EQ(handle_claim(view, SLOT_SMALL, SLOT_LOCK), -EOWNERDEAD);
    EXPECT_EQ(handle_attach(view, slot, SLOT_LOCK, generation), -ESTALE);
    add_relaxed(&view->handles[slot], 1u);
    handle_remove(view, slot);
    EXPECT(slot_valid(family, slot, SLOT_LOCK, generation));
    view_free(view);
    handle_remove(family, slot);
    expect_empty();
}

int main(void)
{
    begin(50);
    family = family_new();
    RUN(full_table);
    RUN(nobody);
    RUN(pinned);
    RUN(claims_and_drops);
    RUN(crowded);
    RUN(vouching);
    RUN(full_table);
    family_end(family);
    return GOOD;
}
