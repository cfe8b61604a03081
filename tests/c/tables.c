/* SPDX-License-Identifier: MIT */
/* What a Dict and a List promise to one process: results, sizes, memory that goes back, and what is refused. */
#define TABLE_KEEP ((uint64_t)4 << 20)
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#include "check.h"
#include "tabled.h"

#include <sys/resource.h>

static struct family *family;

static struct table_value bytes_of(char *data, uint64_t size, int filled)
{
    memset(data, filled, size);
    return (struct table_value){.kind = 3, .size = size, .data = data};
}

static int get(uint32_t key, struct table_room *room)
{
    struct table_key k = key_of(key);
    return dict_get(table, &k, room);
}

static int set(uint32_t key, const struct table_value *v)
{
    struct table_key k = key_of(key);
    return dict_set(table, &k, v);
}

/* The memory of the file in the slot's window. */
static uint64_t resident(void)
{
    off_t at = (off_t)window_offset(table->slot), end = at + (off_t)WINDOW_SIZE;
    uint64_t bytes = 0;
    while ((at = lseek(family->fd, at, SEEK_DATA)) >= 0 && at < end) {
        off_t hole = lseek(family->fd, at, SEEK_HOLE);
        bytes += (uint64_t)(hole - at);
        at = hole;
    }
    return bytes;
}

static void numbers(void)
{
    static const int64_t some[] = {0, 1, -1, (INT64_C(1) << 61) - 1, -(INT64_C(1) << 61)};
    table_new(family, false);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct table_value v = {.kind = TABLE_INT, .number = some[i]};
        struct table_room room = {0};
        EXPECT(table_int_fits(some[i]));
        EXPECT_EQ(set(1, &v), i > 0);
        EXPECT_EQ(get(1, &room), 1);
        EXPECT_EQ(room.kind, TABLE_INT);
        EXPECT_EQ(room.number, some[i]);
    }
    EXPECT(!table_int_fits(INT64_C(1) << 61) && !table_int_fits(-(INT64_C(1) << 61) - 1));
    struct table_value none = {.kind = TABLE_CONSTANT, .number = 2};
    struct table_room room = {0};
    int64_t sum;
    struct table_key key = key_of(1);
    EXPECT_EQ(dict_add(table, &key, -1, &sum), -ERANGE); /* -2^61 - 1 */
    EXPECT_EQ(dict_add(table, &key, INT64_MIN, &sum), -ERANGE);
    EXPECT_EQ(dict_add(table, &key, INT64_C(1) << 61, &sum), 0);
    EXPECT_EQ(sum, 0);
    EXPECT_EQ(set(1, &none), 1);
    EXPECT_EQ(get(1, &room), 1);
    EXPECT(room.kind == TABLE_CONSTANT && room.number == 2);
    EXPECT_EQ(dict_add(table, &key, 1, &sum), -ERANGE);
    table_end(family);
}

static void sizes(void)
{
    static char in[2 << 20], out[2 << 20];
    table_new(family, false);
    for (uint64_t size = 0; size <= sizeof in; size = size < 16 ? size + 1 : size * 9 / 4) {
        struct table_value v = bytes_of(in, size, (int)size + 1);
        struct table_room room = {.data = out, .room = size > 0 ? size - 1 : 0};
        struct table_key key = key_of(2);
        EXPECT(set(2, &v) >= 0);
        if (size > 0) {
            EXPECT_EQ(get(2, &room), -EMSGSIZE);
            EXPECT_EQ(room.size, size);
            EXPECT_EQ(dict_pop(table, &key, &room), -EMSGSIZE);
            EXPECT_EQ(dict_set_default(table, &key, &v, &room), -EMSGSIZE);
            EXPECT_EQ(dict_length(table), 1);
        }
        room.room = size;
        memset(out, 0, size + 8 < sizeof out ? size + 8 : size);
        EXPECT_EQ(get(2, &room), 1);
        EXPECT(room.size == size && room.kind == 3 && memcmp(in, out, size) == 0);
        EXPECT(size + 8 >= sizeof out || out[size] == 0);
    }
    struct table_room name = {.data = out, .room = 0}, value = {.data = in, .room = 0};
    EXPECT_EQ(dict_pop_last(table, &name, &value), -EMSGSIZE);
    EXPECT_EQ(name.size, key_of(2).size);
    name.room = value.room = sizeof in;
    EXPECT_EQ(dict_pop_last(table, &name, &value), 1);
    EXPECT_EQ(dict_pop_last(table, &name, &value), 0);
    struct table_value huge = {.kind = 1, .size = (UINT64_C(64) << 30) + 1};
    EXPECT_EQ(set(2, &huge), -ENOSPC);
    EXPECT_EQ(dict_length(table), 0);
    expect_sound();
    table_end(family);
}

static void classes(void)
{
    for (uint64_t size = 0; size < 1 << 20; size += 1 + size / 99) {
        uint32_t class = blocks_class(size);
        EXPECT(size <= blocks_capacity(class));
        EXPECT(class == 0 || size > blocks_capacity(class - 1));
    }
    EXPECT_EQ(blocks_class(UINT64_C(64) << 30), TABLE_CLASSES - 1);
    EXPECT(blocks_class((UINT64_C(64) << 30) + 1) >= TABLE_CLASSES);
    for (uint32_t level = TABLE_LEVEL_MIN; level <= TABLE_LEVEL_MAX; level++) {
        uint64_t words = 8 + (UINT64_C(1) << level) + UINT64_C(4) * dict_capacity(level);
        EXPECT(words * 8 <= level_size(level));
        EXPECT((8 + list_capacity(level)) * 8 <= level_size(level));
    }
}

/* Half of what is idle may stay, but not more than is in use, if that is more than the least. */
static void memory_goes_back(void)
{
    static char data[256 << 10];
    struct table_value v = bytes_of(data, sizeof data, 1);
    struct table_stats stats;
    table_new(family, true);
    for (int i = 0; i < 256; i++)
        EXPECT_EQ(list_append(table, &v), 0);
    table_stats(table, &stats);
    EXPECT_EQ(stats.bytes, UINT64_C(64) << 20);
    EXPECT_EQ(stats.idle, 0);
    struct table_room room = {.data = data, .room = sizeof data};
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(list_pop(table, -1, &room), 1);
    table_stats(table, &stats);
    EXPECT_EQ(stats.idle, UINT64_C(25) << 20); /* less than is in use */
    EXPECT(resident() >= UINT64_C(64) << 20);
    for (int i = 0; i < 150; i++)
        EXPECT_EQ(list_pop(table, -1, &room), 1);
    table_stats(table, &stats);
    EXPECT(stats.idle <= TABLE_KEEP);
    EXPECT(resident() <= TABLE_KEEP + stats.bytes + (1 << 20));
    expect_sound();
    for (int i = 0; i < 250; i++)
        EXPECT_EQ(list_append(table, &v), 0);
    EXPECT_EQ(list_length(table), 256);
    EXPECT_EQ(list_splice(table, 0, 256, NULL, 0), 0);
    EXPECT(resident() <= TABLE_KEEP + (1 << 20));
    expect_sound();
    table_end(family);
}

/* Small blocks go back when all is cleared, and so do rows. */
static void clear_goes_back(void)
{
    char name[20];
    table_new(family, false);
    struct table_value v = {.kind = 1,
                            .size = 100,
                            .data = "0123456789012345678901234567890123456789012345678901234567890123"
                                    "456789012345678901234567890123456789"};
    for (int i = 0; i < 100000; i++) {
        struct table_key key = table_key(table, name, (uint64_t)snprintf(name, sizeof name, "%d", i));
        EXPECT_EQ(dict_set(table, &key, &v), 0);
    }
    EXPECT(resident() > 20 << 20);
    EXPECT_EQ(dict_clear(table), 0);
    EXPECT(resident() < 8 << 20);
    EXPECT_EQ(dict_length(table), 0);
    expect_sound();
    table_end(family);
}

static void popitem_is_not_slow(void)
{
    static char out[64];
    char name[20];
    struct table_value v = {.kind = TABLE_INT};
    struct table_room room = {.data = out, .room = sizeof out};
    table_new(family, false);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 30000; i++) {
            struct table_key key = table_key(table, name, (uint64_t)snprintf(name, sizeof name, "%d", i));
            EXPECT_EQ(dict_set(table, &key, &v), 0);
        }
        for (int i = 30000; i-- > 0;) {
            EXPECT_EQ(dict_pop_last(table, &room, &room), 1);
            EXPECT_EQ(dict_length(table), i);
        }
    }
    table_end(family);
}

static void exchanges(void)
{
    table_new(family, false);
    struct table_key key = key_of(3);
    struct table_value a = {.kind = 1, .size = 3, .data = "abc"}, b = {.kind = 1, .size = 3, .data = "abd"},
                       kind = {.kind = 2, .size = 3, .data = "abc"}, n = {.kind = TABLE_INT, .number = 5};
    EXPECT_EQ(dict_compare_exchange(table, &key, &a, &b), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, NULL, NULL), 1);
    EXPECT_EQ(dict_compare_exchange(table, &key, NULL, &a), 1);
    EXPECT_EQ(dict_compare_exchange(table, &key, NULL, &b), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, &b, &n), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, &kind, &n), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, &n, &b), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, &a, &n), 1);
    EXPECT_EQ(dict_compare_exchange(table, &key, &a, &b), 0);
    EXPECT_EQ(dict_compare_exchange(table, &key, &n, NULL), 1);
    EXPECT_EQ(dict_length(table), 0);
    table_end(family);
}

static void slices(void)
{
    struct table_copy copy = {0};
    struct table_value v = {.kind = TABLE_INT};
    struct table_room room = {0};
    table_new(family, true);
    for (v.number = 0; v.number < 10; v.number++)
        EXPECT_EQ(list_append(table, &v), 0);
    static const int64_t bounds[] = {INT64_MIN, -11, -10, -9, -1, 0, 1, 9, 10, 11, INT64_MAX};
    for (int i = 0; i < 11; i++)
        for (int k = 0; k < 11; k++) {
            int64_t from = bounds[i] < 0 ? bounds[i] + 10 : bounds[i], to = bounds[k] < 0 ? bounds[k] + 10 : bounds[k];
            from = from < 0 ? 0 : from > 10 ? 10 : from;
            to = to < 0 ? 0 : to > 10 ? 10 : to;
            EXPECT_EQ(list_copy(table, bounds[i], bounds[k], &copy), 0);
            EXPECT_EQ(copy.count, to > from ? to - from : 0);
            for (; copy_next(&copy, &v); from++)
                EXPECT_EQ(v.number, from);
        }
    EXPECT_EQ(list_get(table, -10, &room), 1);
    EXPECT_EQ(room.number, 0);
    EXPECT_EQ(list_get(table, -11, &room), 0);
    EXPECT_EQ(list_get(table, 10, &room), 0);
    EXPECT_EQ(list_get(table, INT64_MIN, &room), 0);
    EXPECT_EQ(list_set(table, -1, &v), 1);
    EXPECT_EQ(list_set(table, 10, &v), 0);
    EXPECT_EQ(list_pop(table, 10, &room), 0);
    copy_free(&copy);
    table_end(family);
}

/* A view is refused, or cannot grow: nothing is changed, and it can be tried again. */
static void no_room(void)
{
    static char data[32 << 20], out[16];
    struct rlimit all, few;
    struct table_value v = bytes_of(data, sizeof data, 1), small = {.kind = TABLE_INT, .number = 1};
    struct table_room room = {.data = out, .room = sizeof out};
    if (SANITIZED)
        return; /* a sanitizer needs all address space that there is */
    table_new(family, false);
    EXPECT_EQ(set(1, &small), 0);
    EXPECT_EQ(getrlimit(RLIMIT_AS, &all), 0);
    few = all;
    few.rlim_cur = 1 << 20;
    EXPECT_EQ(setrlimit(RLIMIT_AS, &few), 0);
    int rc = set(1, &v), other = set(2, &v);
    struct table view;
    int opened = table_open(family, table->slot, &view);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &all), 0);
    EXPECT_EQ(rc, -ENOMEM);
    EXPECT_EQ(other, -ENOMEM);
    EXPECT_EQ(opened, -ENOMEM);
    EXPECT_EQ(get(1, &room), 1);
    EXPECT_EQ(room.number, 1);
    EXPECT_EQ(dict_length(table), 1);
    EXPECT_EQ(set(1, &v), 1);
    EXPECT_EQ(set(2, &v), 0);
    expect_sound();
    int fd = family->fd;
    family->fd = -1; /* closed by the program */
    EXPECT_EQ(table_open(family, table->slot, &view), -EBADF);
    struct table_value third = {.kind = 1, .size = 1 << 20, .data = data};
    EXPECT_EQ(set(3, &third), -EBADF);
    EXPECT_EQ(set(3, &small), 0);
    family->fd = fd;
    EXPECT_EQ(set(3, &third), 1);
    expect_sound();
    table_end(family);
}

/* A process that cannot map what another one has put changes nothing, and the Dict is good for the others. */
static void out_of_reach(void)
{
    char name[20];
    struct table other;
    struct table_value v = {.kind = 1, .size = 200, .data = (const char[200]){0}};
    struct table_copy copy = {0};
    table_new(family, false);
    for (int i = 0; i < 5000; i++) {
        struct table_key key = table_key(table, name, (uint64_t)snprintf(name, sizeof name, "%d", i));
        EXPECT_EQ(dict_set(table, &key, &v), 0);
    }
    EXPECT_EQ(table_open(family, table->slot, &other), 0);
    int fd = family->fd;
    family->fd = -1; /* closed by the program */
    for (int i = 0; i < 5000; i += 99) {
        struct table_key key = table_key(table, name, (uint64_t)snprintf(name, sizeof name, "%d", i));
        EXPECT_EQ(dict_contains(&other, &key), -EBADF);
        EXPECT_EQ(dict_delete(&other, &key), -EBADF);
        EXPECT_EQ(dict_set(&other, &key, &v), -EBADF);
    }
    EXPECT_EQ(dict_copy(&other, TABLE_VALUES, &copy), -EBADF);
    family->fd = fd;
    EXPECT_EQ(dict_length(&other), 5000);
    struct table_key key = table_key(table, "4999", 4);
    EXPECT_EQ(dict_delete(&other, &key), 1);
    expect_sound();
    table_close(&other);
    copy_free(&copy);
    table_end(family);
}

/* Whoever has the slot next finds an empty window. */
static void slot_is_empty_again(void)
{
    struct table_value v = {.kind = 1, .size = 40, .data = "0123456789012345678901234567890123456789"};
    for (int round = 0; round < 3; round++) {
        table_new(family, round % 2);
        uint32_t slot = table->slot;
        EXPECT_EQ(table_length(), 0);
        EXPECT(resident() == 0 || round == 0 || resident() < 1 << 16);
        if (!lists)
            EXPECT_EQ(set(1, &v), 0);
        else
            EXPECT_EQ(list_append(table, &v), 0);
        EXPECT_EQ(table_check(table, lists ? TABLE_LIST : TABLE_DICT), 0);
        table_end(family);
        EXPECT_EQ(slot_kind(load_acquire(&family->states[slot])), SLOT_FREE);
    }
    table_new(family, false);
    EXPECT_EQ(table_check(table, TABLE_LIST), -EBADMSG);
    EXPECT(table_broken(table));
    EXPECT_EQ(set(1, &v), -EBADMSG);
    EXPECT_EQ(dict_length(table), -EBADMSG);
    table_end(family);
}

int main(void)
{
    begin(60);
    family = family_new();
    RUN(classes);
    RUN(numbers);
    RUN(sizes);
    RUN(exchanges);
    RUN(slices);
    RUN(memory_goes_back);
    RUN(clear_goes_back);
    RUN(popitem_is_not_slow);
    RUN(slot_is_empty_again);
    RUN(no_room);
    RUN(out_of_reach);
    family_end(family);
    return GOOD;
}
