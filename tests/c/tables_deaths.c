/* SPDX-License-Identifier: MIT */
/* Kills at every step of what processes do with Dicts and Lists: changes in sections of the lock, in a `with`, and what
 * mends the changes of a dead one. tables_kills.c has more of the changes, and no processes. */
#define STRIDE (stress() ? 1 : 7)
#include "kills.h"
#include "sections.h"
#include "tabled.h"

#define DOINGS 5
#define COUNTER MODEL_KEYS /* the key at which companions count */

static const struct doing dict_script[DOINGS] = {
    {SET, 3, 1004, 0}, {SET, 2, 1005, 0}, {DELETE, 3, 0, 0}, {SET, 2, 1010, 0}, {POP_LAST, 0, 0, 0}};
static const struct doing list_script[DOINGS] = {
    {EXTEND, 0, 1007, 3}, {ASSIGN, 1, 1005, 0}, {TAKE, 0, 0, 0}, {SPLICE, 1, 1010, 4}, {TAKE_LAST, 0, 0, 0}};
static struct model expected[DOINGS + 1]; /* after so many of them */

static const struct doing *script(void) { return lists ? list_script : dict_script; }

static void prepare(bool list)
{
    table_new(family, list);
    scene->slot[scene->slots++] = table->slot;
    for (uint32_t i = 0; i < 9; i++) {
        struct doing d = {lists ? APPEND : SET, 5 + i, 1002 + i, 1};
        table_do(&expected[0], &d);
        model_do(&expected[0], &d);
    }
    for (int i = 0; i < DOINGS; i++) {
        expected[i + 1] = expected[i];
        model_do(&expected[i + 1], &script()[i]);
    }
}

static void dict_prepare(void) { prepare(false); }
static void list_prepare(void) { prepare(true); }

/* Changes in sections. What is counted is done, and perhaps one more. */
static void victim(void)
{
    struct user u = self();
    for (int i = 0; i < DOINGS; i++) {
        int entered = user_section(&u, table->slot);
        EXPECT(entered >= 0); /* no death in a section is told */
        table_do(&expected[i], &script()[i]);
        scene->acted++;
        user_leave(&u, table->slot, entered);
    }
}

/* What a process that reads now must see: with the lock held by a stopped process, or by a dead one. */
static void look(void)
{
    int done = scene->acted;
    EXPECT(table_is(&expected[done]) || (done < DOINGS && table_is(&expected[done + 1])));
}

static int state_now(void)
{
    int done = scene->acted;
    return done < DOINGS && !table_is(&expected[done]) ? done + 1 : done;
}

/* A survivor changes something else, and the table is what it has to be. */
static void afterwards(void)
{
    struct user u = self();
    struct doing other = {lists ? APPEND : SET, 20, 2008, 1};
    look();
    int entered = user_section(&u, table->slot);
    EXPECT(entered == SECTION_TAKEN);
    struct model m = expected[state_now()];
    table_do(&m, &other);
    model_do(&m, &other);
    user_leave(&u, table->slot, entered);
    EXPECT(table_is(&m));
    expect_sound();
    EXPECT_EQ(load_relaxed(&table->header->lock.word), 0);
    table_close(table);
}

/* A process died in the middle of a change before: so the victim mends first, and dies over that. */
static void broken_off(void)
{
    struct family *view = view_new(family);
    ref_set(view, identity_index(family_me(view)), table->slot);
    refs_vouched(view);
    EXPECT_EQ(section_enter(&table->header->lock, family_me(view)), SECTION_TAKEN);
    store_relaxed(&table->header->changing, 1);
    store_relaxed(&table->header->free[0], 77); /* nothing of the lists is to be trusted */
    EXPECT(table_take(table, 2) >= 0);
    view_die(view);
}

static void dict_broken_off(void)
{
    dict_prepare();
    broken_off();
}

static void list_broken_off(void)
{
    list_prepare();
    broken_off();
}

/* The victim has the lock under its name. Then its death is told, and what it had committed stays. */
static void victim_by_name(void)
{
    struct user u = self();
    EXPECT(lock_try(&table->header->lock, u.me));
    scene->inside = 1;
    for (int i = 0; i < DOINGS; i++) {
        EXPECT_EQ(user_section(&u, table->slot), SECTION_MINE);
        table_do(&expected[i], &script()[i]);
        scene->acted++;
    }
    scene->inside = 0;
    EXPECT(user_unlock(&u, table->slot));
}

static void told_afterwards(void)
{
    struct user u = self();
    look();
    int entered = user_section(&u, table->slot);
    EXPECT(entered >= 0 || (scene->killed && entered == -EOWNERDEAD));
    EXPECT(!scene->inside || !scene->killed || entered < 0);
    if (entered < 0)
        EXPECT(lock_recover(family, &table->header->lock, u.me));
    look();
    struct model m = expected[state_now()];
    struct doing other = {lists ? APPEND : SET, 20, 2008, 1};
    table_do(&m, &other);
    model_do(&m, &other);
    EXPECT(table_is(&m));
    expect_sound();
    if (entered < 0)
        EXPECT(user_unlock(&u, table->slot));
    else
        user_leave(&u, table->slot, entered);
    table_close(table);
}

/* Others count meanwhile, in the same Dict. */
static void count(void)
{
    struct user u = self();
    for (int i = 0; i < 3; i++) {
        struct table_key key = key_of(COUNTER);
        int64_t sum;
        int entered = user_section(&u, table->slot);
        EXPECT(entered >= 0);
        EXPECT_EQ(dict_add(table, &key, 1, &sum), 0);
        EXPECT(sum > i);
        user_leave(&u, table->slot, entered);
        scene->flag++;
    }
}

static void counting_victim(void)
{
    struct user u = self();
    struct table_key key = key_of(2);
    for (int i = 0; i < 2; i++) {
        struct table_value v = value_of(i % 2 ? 1004 : 1007);
        int entered = user_section(&u, table->slot);
        EXPECT(entered >= 0);
        EXPECT(dict_set(table, &key, &v) >= 0);
        EXPECT_EQ(dict_delete(table, &key), 1);
        user_leave(&u, table->slot, entered);
    }
    count();
}

static void counted(void)
{
    struct table_key key = key_of(COUNTER);
    struct table_room room = {0};
    count();
    UNTIL(scene->done == playing->companions);
    EXPECT_EQ(dict_get(table, &key, &room), 1);
    EXPECT(room.number == scene->flag || (scene->killed && room.number == scene->flag + 1));
    table_close(table);
}

static const struct scenario scenarios[] = {
    {.name = "dict", .prepare = dict_prepare, .victim = victim, .meanwhile = look, .afterwards = afterwards},
    {.name = "list", .prepare = list_prepare, .victim = victim, .meanwhile = look, .afterwards = afterwards},
    {.name = "dict, mended", .prepare = dict_broken_off, .victim = victim, .meanwhile = look, .afterwards = afterwards},
    {.name = "list, mended", .prepare = list_broken_off, .victim = victim, .meanwhile = look, .afterwards = afterwards},
    {.name = "dict in a with",
     .prepare = dict_prepare,
     .victim = victim_by_name,
     .meanwhile = look,
     .afterwards = told_afterwards},
    {.name = "list in a with",
     .prepare = list_prepare,
     .victim = victim_by_name,
     .meanwhile = look,
     .afterwards = told_afterwards},
    {.name = "dict, others count",
     .prepare = dict_prepare,
     .victim = counting_victim,
     .companion = count,
     .companions = 2,
     .afterwards = counted},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
