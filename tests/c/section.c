/* SPDX-License-Identifier: MIT */
/* section.h: sections exclude each other and holders with a name, and come in where a dead owner left nothing half done. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "sections.h"

static uint32_t slot;
static struct family *family;
static struct user self; /* the founder */
static uint64_t plain;   /* guarded by the lock */

static struct lock *fresh(uint32_t policy)
{
    slot = make(family, SLOT_RLOCK);
    struct lock *l = slot_at(family, slot);
    l->policy = policy;
    return l;
}

static void done(void) { handle_remove(family, slot); }

static void enter_and_leave(void)
{
    struct lock *l = fresh(DEATH_RAISE);
    EXPECT_EQ(section_enter(l, self.me), SECTION_TAKEN);
    EXPECT_EQ(load_relaxed(&l->word), self.me);
    EXPECT_EQ(load_relaxed(&l->holder), 0);
    EXPECT(!lock_mine(l, self.me));
    EXPECT_EQ(section_enter(l, self.me), SECTION_BUSY); /* a section does not know itself again */
    section_leave(family, l);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT(lock_try(l, self.me));
    EXPECT_EQ(section_enter(l, self.me), SECTION_MINE);
    EXPECT(lock_mine(l, self.me));
    lock_release(family, l);
    done();
}

static void added(struct user *u)
{
    for (int i = 0; i < times(500); i++) {
        if (u->number % 4 == 3) {
            EXPECT_EQ(user_lock(u, slot, NEVER), 0);
            EXPECT(user_add(u, slot, 1));
            plain++;
            EXPECT(user_unlock(u, slot));
            continue;
        }
        int entered = user_section(u, slot);
        EXPECT_EQ(entered, SECTION_TAKEN);
        uint64_t old = number_read(number_of(u, slot), 8);
        EXPECT_EQ(old, plain);
        jitter();
        plain = old + 1;
        number_write(number_of(u, slot), 8, old + 1);
        user_leave(u, slot, entered);
    }
}

static void sums(bool patient)
{
    fresh(DEATH_RAISE);
    plain = 0;
    crowd(family, 4, patient, added);
    EXPECT_EQ(number_read(number_of(&self, slot), 8), 4 * times(500));
    EXPECT_EQ(plain, 4 * times(500));
    done();
}

static void sums_hasty(void) { sums(false); }
static void sums_patient(void) { sums(true); } /* no wake-up is lost */

/* A member that is killed after it has done `body`. */
static struct user killed_after(void (*body)(struct user *, struct lock *), struct lock *l)
{
    struct user u = {.number = 1};
    user_join(&u, family);
    user_keep(&u, slot);
    body(&u, l);
    view_die(u.f);
    return u;
}

static void in_a_section(struct user *u, struct lock *l) { EXPECT_EQ(section_enter(l, u->me), SECTION_TAKEN); }
static void with_a_name(struct user *u, struct lock *l) { EXPECT(lock_try(l, u->me)); }
static void with_a_name_in_a_section(struct user *u, struct lock *l)
{
    with_a_name(u, l);
    EXPECT_EQ(section_enter(l, u->me), SECTION_MINE);
}

static void dead_in_a_section(void)
{
    struct lock *l = fresh(DEATH_RAISE);
    killed_after(in_a_section, l);
    EXPECT(user_add(&self, slot, 5));
    EXPECT_EQ(load_relaxed(&l->deaths), 1);
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(load_relaxed(&l->holder), 0);
    EXPECT_EQ(number_read(number_of(&self, slot), 8), 5);
    done();
}

static void dead_with_a_name(void)
{
    void (*const deaths[])(struct user *, struct lock *) = {with_a_name, with_a_name_in_a_section};
    for (int i = 0; i < 2; i++) {
        struct lock *l = fresh(DEATH_RAISE);
        killed_after(deaths[i], l);
        EXPECT(!user_add(&self, slot, 5));
        EXPECT(!user_add(&self, slot, 5));
        EXPECT_EQ(lock_whole(l), 0);
        EXPECT(lock_recover(family, l, self.me));
        EXPECT(user_add(&self, slot, 5));
        EXPECT(user_unlock(&self, slot));
        EXPECT(user_add(&self, slot, 5));
        EXPECT_EQ(number_read(number_of(&self, slot), 8), 10);
        done();
    }
}

/* A lock that is freed with its dead owner keeps that one's name, which must not become the section's. */
static void dead_and_released(void)
{
    struct lock *l = fresh(DEATH_RELEASE);
    killed_after(with_a_name, l);
    EXPECT(user_add(&self, slot, 1));
    EXPECT_EQ(load_relaxed(&l->word), 0);
    killed_after(with_a_name, l);
    lock_check_owner(family, l, load_relaxed(&l->word));
    EXPECT_EQ(load_relaxed(&l->word), 0);
    EXPECT_EQ(load_relaxed(&l->holder), thread_id(self.me));
    EXPECT_EQ(section_enter(l, self.me), SECTION_TAKEN);
    EXPECT(!lock_mine(l, self.me));
    section_leave(family, l);
    done();
}

/* One of several waiters has the lock, and the others wait for that one. */
static void inherit_once(struct user *u) { EXPECT(user_add(u, slot, 1)); }

static void waiters_of_the_dead(void)
{
    struct lock *l = fresh(DEATH_RAISE);
    killed_after(in_a_section, l);
    crowd(family, 4, false, inherit_once);
    EXPECT_EQ(number_read(number_of(&self, slot), 8), 4);
    EXPECT_EQ(load_relaxed(&l->deaths), 1);
    done();
}

/* Wake-ups that a killed notifier left with the lock are made by who has it next. */
static void left_wakes(void)
{
    uint32_t condition = make(family, SLOT_CONDITION);
    for (int section = 0; section < 2; section++) {
        struct lock *l = fresh(DEATH_RELEASE);
        lock_leave_wakes(family, l, condition, 1);
        if (section) {
            EXPECT_EQ(section_enter(l, self.me), SECTION_TAKEN);
            section_leave(family, l);
        } else {
            l->policy = DEATH_RAISE;
            killed_after(in_a_section, l);
            EXPECT(user_add(&self, slot, 1));
        }
        EXPECT_EQ(load_relaxed(&l->wake_bits), 0);
        EXPECT_EQ(load_relaxed(&l->word), 0);
        done();
    }
    handle_remove(family, condition);
}

int main(void)
{
    begin(60);
    family = family_new();
    self = (struct user){.f = family, .me = family_me(family)};
    RUN(enter_and_leave);
    RUN(sums_hasty);
    RUN(sums_patient);
    RUN(dead_in_a_section);
    RUN(dead_with_a_name);
    RUN(dead_and_released);
    RUN(waiters_of_the_dead);
    RUN(left_wakes);
    family_end(family);
    return GOOD;
}
