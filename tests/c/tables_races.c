/* SPDX-License-Identifier: MIT */
/* Threads of one process use one view of a Dict and of a List: two change them, three look. For ThreadSanitizer, and for
 * what is mapped while others look. */
#define TABLE_TAGS 500
#define TABLE_KEEP ((uint64_t)16 << 10)
#include "shared_windows.h"
#include "sections.h"
#include "tabled.h"

#define WRITERS 2
#define USERS 5
#define KEYS 60 /* that the Dict grows out of what is mapped at first, and shrinks again */

static struct table *dict, *list;
static shared32 writing;

static struct table_value some(char *data, uint32_t key)
{
    uint64_t size = 8 + chance(60) + (chance(40) == 0) * 5000;
    memset(data, (int)(key + size), size);
    return (struct table_value){.kind = 1, .size = size, .data = data};
}

static void expect_whole(const char *data, uint64_t size, uint32_t key, bool any)
{
    EXPECT(any || data[0] == (char)(key + size));
    for (uint64_t i = 1; i < size; i++)
        EXPECT_EQ(data[i], data[0]);
}

static void change(struct user *u, bool a_list, char *data)
{
    struct table *t = a_list ? list : dict;
    uint32_t n = chance(KEYS) * 40;
    struct table_key key = table_key(dict, &n, sizeof n);
    struct table_value v = some(data, n);
    int entered = user_section(u, t->slot);
    EXPECT_EQ(entered, SECTION_TAKEN);
    if (a_list)
        EXPECT_EQ(list_length(t) > KEYS ? list_splice(t, chance(KEYS), 5, &v, 1) : list_append(t, &v), 0);
    else if (chance(200) == 0)
        EXPECT_EQ(dict_clear(t), 0);
    else
        EXPECT((chance(3) ? dict_set(t, &key, &v) : dict_delete(t, &key)) >= 0);
    user_leave(u, t->slot, entered);
}

static void look(bool a_list, char *data, struct table_copy *copy)
{
    struct table_room room = {.data = data, .room = 10000};
    uint32_t n = chance(KEYS) * 40;
    struct table_key key = table_key(dict, &n, sizeof n);
    struct table_value v;
    int rc = a_list ? list_get(list, (int64_t)chance(KEYS) - 9, &room) : dict_get(dict, &key, &room);
    EXPECT(rc == 0 || rc == 1 || rc == -EAGAIN);
    if (rc == 1)
        expect_whole(data, room.size, n, a_list);
    rc = chance(10) ? -EAGAIN : a_list ? list_copy(list, 0, INT64_MAX, copy) : dict_copy(dict, TABLE_VALUES, copy);
    EXPECT(rc == 0 || rc == -EAGAIN);
    while (rc == 0 && copy_next(copy, &v))
        expect_whole(v.data, v.size, 0, true);
    EXPECT((a_list ? list_length(list) : dict_length(dict)) >= 0);
}

static void use(struct user *u)
{
    char *data = malloc(10000);
    struct table_copy copy = {0};
    EXPECT(data != NULL);
    if (u->number < WRITERS) {
        for (int i = 0; i < times(400); i++)
            change(u, chance(2), data);
        sub_relaxed(&writing, 1u);
    }
    while (u->number >= WRITERS && load_relaxed(&writing) > 0)
        look(chance(2), data, &copy);
    copy_free(&copy);
    free(data);
}

int main(void)
{
    struct user users[USERS];
    begin(100);
    struct family *family = family_new();
    list = table_new(family, true);
    dict = table_new(family, false);
    store_relaxed(&writing, WRITERS);
    for (int i = 0; i < USERS; i++) {
        user_start(&users[i], family, i, false, use);
        user_keep(&users[i], list->slot);
        user_keep(&users[i], dict->slot);
    }
    for (int i = 0; i < USERS; i++)
        user_finish(&users[i]);
    expect_sound();
    printf("%u and %u keys and items\n", (unsigned)dict_length(dict), (unsigned)list_length(list));
    return GOOD;
}
