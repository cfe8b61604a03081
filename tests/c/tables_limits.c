/* SPDX-License-Identifier: MIT */
/* A Dict and a List that are as full as they can be. */
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#define STEP() ((void)0)
#define TABLE_LEVEL_MAX 16
#include "check.h"

#include "tabled.h"

static struct family *family;

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
    family_end(family);
    return GOOD;
}
