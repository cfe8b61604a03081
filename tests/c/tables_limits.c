/* SPDX-License-Identifier: MIT */
/* A Dict and a List that are as full as they can be, and what they keep of the memory that they do not need any more. */
static void write_point(void);
#define POINT() write_point()
#define READ_POINT() ((void)0)
#define STEP() write_point()
#define TABLE_LEVEL_MAX 16
#define TABLE_KEEP ((uint64_t)128 << 10)
#define KEPT \
    ((uint64_t)512 << 10) /* may exist of a table that is as good as empty: the pages at home, free blocks, rows */
#include "check.h"

#include "tabled.h"

#include <setjmp.h>

static struct family *family;
static jmp_buf killed;
static long until; /* the write before which the writer is killed, as in tables_kills.c. 0: it lives */

static void write_point(void)
{
    if (until > 0 && --until == 0)
        longjmp(killed, 1);
}

static struct table_key numbered_key(uint32_t number)
{
    static char bytes[16];
    return table_key(table, bytes, (uint64_t)snprintf(bytes, sizeof bytes, "%u", number));
}

static int set_number(uint32_t number, int64_t value)
{
    struct table_key key = numbered_key(number);
    struct table_value v = {.kind = TABLE_INT, .number = value};
    return dict_set(table, &key, &v);
}

static int64_t get_number(uint32_t number)
{
    struct table_key key = numbered_key(number);
    struct table_room room = {0};
    return dict_get(table, &key, &room) == 1 ? room.number : -1;
}

static int delete_number(uint32_t number)
{
    struct table_key key = numbered_key(number);
    return dict_delete(table, &key);
}

/* What is full can be read, changed, mended and emptied. Only what needs more room is refused. */
static void full_dict(void)
{
    uint32_t n = 0;
    int rc;
    table_new(family, false);
    while ((rc = set_number(n, n)) == 0)
        n++;
    EXPECT_EQ(rc, -ENOSPC);
    EXPECT_EQ(n, dict_capacity(TABLE_LEVEL_MAX) - 1);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(set_number(5 + i, 1000), 1);
        EXPECT_EQ(delete_number(9 + i), 1);
        EXPECT_EQ(set_number(n + i, 1), 0);
        EXPECT_EQ(set_number(9 + i, 1), -ENOSPC);
    }
    store_relaxed(&table->header->changing, 1); /* a writer was killed */
    EXPECT_EQ(set_number(8, 1001), 1);
    EXPECT_EQ(get_number(5), 1000);
    EXPECT_EQ(get_number(8), 1001);
    EXPECT_EQ(get_number(9), -1);
    EXPECT_EQ(dict_length(table), n);
    EXPECT_EQ(dict_clear(table), 0);
    EXPECT_EQ(set_number(9, 9), 0);
    expect_sound();
    table_end(family);
}

static struct table_value *numbers(uint64_t n)
{
    struct table_value *all = calloc(n, sizeof *all);
    EXPECT(all != NULL);
    for (uint64_t i = 0; i < n; i++)
        all[i] = (struct table_value){.kind = TABLE_INT, .number = (int64_t)i};
    return all;
}

static void full_list(void)
{
    const uint64_t most = list_capacity(TABLE_LEVEL_MAX);
    struct table_value *all = numbers(most + 1);
    struct table_room room = {0};
    table_new(family, true);
    EXPECT_EQ(list_extend(table, all, most + 1), -ENOSPC);
    EXPECT_EQ(list_extend(table, all, most - 1), 0);
    EXPECT_EQ(list_append(table, all), 0);
    EXPECT_EQ(list_append(table, all), -ENOSPC);
    EXPECT_EQ(list_splice(table, 3, 0, all, 1), -ENOSPC);
    EXPECT_EQ(list_length(table), most);
    EXPECT_EQ(list_reverse(table), 0);
    store_relaxed(&table->header->changing, 1); /* a writer was killed */
    EXPECT_EQ(list_set(table, 3, all + 77), 1);
    EXPECT_EQ(list_get(table, 3, &room), 1);
    EXPECT_EQ(room.number, 77);
    EXPECT_EQ(list_pop(table, 5, &room), 1);
    EXPECT_EQ(room.number, most - 6);
    EXPECT_EQ(list_splice(table, 0, UINT64_MAX, NULL, 0), 0);
    EXPECT_EQ(list_append(table, all), 0);
    expect_sound();
    free(all);
    table_end(family);
}

/* Memory ------------------------------------------------------------------------------------------------------------- */

static uint64_t existing(void)
{
    struct stat st;
    EXPECT_EQ(fstat(family->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static uint64_t before;

static void expect_little(void)
{
    uint64_t now = existing();
    EXPECT(now <= before + KEPT || (fprintf(stderr, "%llu KiB\n", (unsigned long long)(now - before) >> 10), false));
}

#define MANY 13000u
static char text[200];

static void fill_dict(void)
{
    struct table_value v = {.kind = 1, .size = sizeof text, .data = text};
    for (uint32_t i = 0; i < MANY; i++) {
        struct table_key key = numbered_key(i);
        EXPECT_EQ(dict_set(table, &key, &v), 0);
    }
    EXPECT(existing() > before + 5 * KEPT);
}

/* So many changes that the rows are made anew in the same size, with the other parity. */
static void wear_dict(void)
{
    uint64_t root = load_relaxed(&table->header->root);
    for (uint32_t i = 0; load_relaxed(&table->header->root) == root; i = (i + 1) % 100) {
        EXPECT_EQ(delete_number(i), 1);
        EXPECT_EQ(set_number(i, 5), 0);
    }
    EXPECT_EQ(root_level(load_relaxed(&table->header->root)), root_level(root));
}

static void cleared_dict(void)
{
    before = existing();
    table_new(family, false);
    fill_dict();
    wear_dict();
    EXPECT_EQ(dict_clear(table), 0);
    expect_little();
    expect_sound();
    table_end(family);
}

static void emptied_dict(void)
{
    before = existing();
    table_new(family, false);
    fill_dict();
    wear_dict();
    for (uint32_t i = 0; i < MANY; i++)
        EXPECT_EQ(delete_number(i), 1);
    expect_little();
    expect_sound();
    table_end(family);
}

static void fill_list(void)
{
    static struct table_value all[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        all[i] = (struct table_value){.kind = 1, .size = sizeof text, .data = text};
    before = existing();
    table_new(family, true);
    EXPECT_EQ(list_extend(table, all, MANY), 0);
    EXPECT_EQ(list_reverse(table), 0);
    EXPECT(existing() > before + 5 * KEPT);
}

static void cleared_list(void)
{
    fill_list();
    EXPECT_EQ(list_splice(table, 0, UINT64_MAX, NULL, 0), 0);
    expect_little();
    expect_sound();
    table_end(family);
}

static void shortened_list(void)
{
    fill_list();
    EXPECT_EQ(list_reverse(table), 0); /* so that the first blocks are the first again */
    EXPECT_EQ(list_splice(table, 100, UINT64_MAX, NULL, 0), 0);
    expect_little();
    expect_sound();
    table_end(family);
}

static void emptied_list(void)
{
    static char bytes[200];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    fill_list();
    for (uint32_t i = 0; i < MANY; i++)
        EXPECT_EQ(list_pop(table, -1, &room), 1);
    expect_little();
    expect_sound();
    table_end(family);
}

/* Large blocks go back at once too, if they lie above all that are in use. */
static void large_blocks(void)
{
    static char data[20000];
    struct table_value v = {.kind = 1, .size = sizeof data, .data = data};
    before = existing();
    table_new(family, false);
    for (uint32_t i = 0; i < 1000; i++) {
        struct table_key key = numbered_key(i);
        EXPECT_EQ(dict_set(table, &key, &v), 0);
    }
    EXPECT(existing() > before + 5 * KEPT);
    EXPECT_EQ(dict_clear(table), 0);
    EXPECT_EQ(load_relaxed(&table->header->top[blocks_class(sizeof data)]), 0);
    expect_little();
    expect_sound();
    table_end(family);
}

/* Deaths of a writer that gives memory back ------------------------------------------------------------------------- */

static void delete_some(void)
{
    if (lists)
        EXPECT_EQ(list_splice(table, 500, UINT64_MAX, NULL, 0), 0);
    else
        EXPECT_EQ(delete_number(0), 1);
}

/* A Dict or List for which one deletion more makes its rows far too large. */
static void bring_to_edge(void)
{
    static struct table_value v = {.kind = 1, .size = sizeof text, .data = text}, all[9000];
    table_new(family, lists);
    for (uint32_t i = 0; i < 9000; i++)
        all[i] = v;
    if (lists) {
        EXPECT_EQ(list_extend(table, all, 9000), 0);
        return;
    }
    for (uint32_t i = 0; i < 2600; i++) {
        struct table_key key = numbered_key(i);
        EXPECT_EQ(dict_set(table, &key, &v), 0);
    }
    for (uint32_t i = 2599; dict_length(table) > 320; i--)
        EXPECT_EQ(delete_number(i), 1);
}

/* False: it had no n-th write. */
static bool killed_at(long n)
{
    struct table_value number = {.kind = TABLE_INT};
    volatile bool reached = true;
    bring_to_edge();
    uint64_t root = load_relaxed(&table->header->root);
    int64_t length = table_length(), less = lists ? 500 : length - 1;
    if (setjmp(killed) == 0) {
        until = n;
        delete_some();
        reached = false;
    }
    until = 0;
    bool done = table_length() == less;
    EXPECT(done || table_length() == length);
    struct table_key first = numbered_key(0);
    EXPECT(lists || dict_contains(table, &first) == !done);
    if (lists)
        EXPECT_EQ(list_append(table, &number), 0);
    else
        EXPECT_EQ(set_number(1, 7), 1);
    EXPECT_EQ(table_length(), (done ? less : length) + lists);
    EXPECT(reached || root_level(load_relaxed(&table->header->root)) < root_level(root));
    expect_sound();
    table_end(family);
    return reached;
}

static void killed_when_smaller(void)
{
    for (int l = 0; l < 2; l++) {
        long cases = 0;
        lists = l;
        for (long n = 1; killed_at(n); n += 1 + n / (stress() ? 200 : 4))
            cases++;
        EXPECT(cases > 20);
    }
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread");
    return SKIP;
#endif
    begin(60);
    family = family_new();
    RUN(full_dict);
    RUN(full_list);
    RUN(cleared_dict);
    RUN(emptied_dict);
    RUN(cleared_list);
    RUN(shortened_list);
    RUN(emptied_list);
    RUN(large_blocks);
    RUN(killed_when_smaller);
    family_end(family);
    _exit(GOOD); /* what the killed had of private memory is lost, and no leak */
}
