/* SPDX-License-Identifier: MIT */
/* Writers and readers of one Dict and one List, of which one after the other is killed, anywhere. No reader meets half
 * a value or waits, no writer hears of a death, all that was added is there, and no block is lost. */
#define TABLE_KEEP ((uint64_t)64 << 10)
#include "check.h"
#include "sections.h"
#include "tabled.h"

#include "core/life/fork.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define WRITERS 6
#define READERS 2
#define USERS (WRITERS + READERS)
#define KEYS 20
#define ITEMS 40 /* about as many has the List */

static struct family *family;
static struct table *dict, *list;
static struct {
    struct {
        _Atomic uint64_t begun, done; /* additions of all who had this number */
    } added[WRITERS];
    _Atomic uint64_t writes, reads, given_up, stop;
} *books;

static struct user self_of(int number) { return (struct user){.f = family, .me = family_me(family), .number = number}; }

static void choose(bool a_list)
{
    lists = a_list;
    table = a_list ? list : dict;
}

/* A value that says in its first bytes which one it is. */
static void expect_whole(const void *data, uint64_t size, uint32_t kind, int64_t number)
{
    uint32_t value = 0;
    if (kind == TABLE_INT)
        return;
    EXPECT(size >= 4);
    memcpy(&value, data, 4);
    EXPECT(value_is(value, kind, size, data, number));
}

/* Sizes from 4 bytes on, and now and then a number. */
static uint32_t some_value(void)
{
    uint32_t value = 1002 + chance(60000);
    return value % 40 < 4 || value % 40 > 36 ? value + 8 : value;
}

static void write_dict(int number)
{
    static char bytes[VALUE_ROOM];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_key key = key_of(1 + chance(KEYS)), counter = key_of(0);
    struct table_value v = value_of(some_value());
    int64_t sum;
    switch (chance(10)) {
    case 0:
    case 1:
        books->added[number].begun++;
        EXPECT_EQ(dict_add(table, &counter, 1, &sum), 0);
        books->added[number].done++;
        break;
    case 2:
    case 3:
        if (dict_pop(table, &key, &room) == 1)
            expect_whole(bytes, room.size, room.kind, room.number);
        break;
    case 4:
        EXPECT(dict_set_default(table, &key, &v, &room) >= 0);
        break;
    case 5:
        if (dict_length(table) > KEYS - 2)
            EXPECT(dict_compare_exchange(table, &key, &v, NULL) >= 0);
        break;
    default:
        EXPECT(dict_set(table, &key, &v) >= 0);
    }
}

static void write_list(void)
{
    static char bytes[VALUE_ROOM];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_value values[8];
    uint32_t n = 1 + chance(3);
    values_of(values, some_value(), n);
    bool many = list_length(table) > ITEMS;
    switch (chance(6)) {
    case 0:
    case 1:
        EXPECT_EQ(many ? list_splice(table, 3, 9, values, 1) : list_extend(table, values, 1), 0);
        break;
    case 2:
        if (list_pop(table, many ? -1 : (int64_t)chance(ITEMS), &room) == 1)
            expect_whole(bytes, room.size, room.kind, room.number);
        break;
    case 3:
        EXPECT_EQ(list_reverse(table), 0);
        break;
    case 4:
        EXPECT_EQ(list_splice(table, chance(ITEMS), 2, values, 1), 0);
        break;
    default:
        EXPECT(list_set(table, chance(ITEMS), values) >= 0);
    }
}

static void write_some(int number)
{
    struct user u = self_of(number);
    while (!books->stop) {
        choose(chance(2));
        int entered = user_section(&u, table->slot);
        EXPECT_EQ(entered, SECTION_TAKEN);
        for (uint32_t i = chance(3); i < 3; i++)
            lists ? write_list() : write_dict(number);
        user_leave(&u, table->slot, entered);
        books->writes++;
    }
}

static void read_all(void)
{
    static struct table_copy copy;
    struct table_value v;
    int rc = table_copy_all(&copy);
    if (rc == -EAGAIN)
        return;
    EXPECT_EQ(rc, 0);
    EXPECT(lists || copy.count <= KEYS + 1);
    for (bool key = !lists; copy_next(&copy, &v); key = !key && !lists)
        if (!key)
            expect_whole(v.data, v.size, v.kind, v.number);
}

static void read_some(void)
{
    static char bytes[VALUE_ROOM];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    while (!books->stop) {
        choose(chance(2));
        struct table_key key = key_of(lists ? 0 : 1 + chance(KEYS));
        int rc = lists ? list_get(table, (int64_t)chance(ITEMS) - 5, &room) : dict_get(table, &key, &room);
        books->given_up += rc == -EAGAIN;
        EXPECT(rc == 0 || rc == 1 || rc == -EAGAIN);
        if (rc == 1)
            expect_whole(bytes, room.size, room.kind, room.number);
        if (chance(8) == 0)
            read_all();
        EXPECT(table_length() >= 0);
        books->reads++;
    }
}

static pid_t begin_user(int number)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(120);
    chance_seed((uint64_t)clock_now() + (uint64_t)number);
    if (number < WRITERS)
        write_some(number);
    else
        read_some();
    participant_leave(family);
    _exit(GOOD);
}

static void end_users(const pid_t *pids)
{
    int status;
    books->stop = 1;
    for (int i = 0; i < USERS; i++) {
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT_EQ(status, 0);
    }
}

static void kill_some(pid_t *pids, int kills)
{
    for (int n = 0; n < kills; n++) {
        usleep(500 + chance(4000));
        int i = (int)chance(USERS), status;
        kill(pids[i], SIGKILL);
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT(WIFSIGNALED(status));
        pids[i] = begin_user(i);
    }
}

static void expect_all_there(void)
{
    struct user u = self_of(0);
    uint64_t begun = 0, done = 0;
    struct table_stats stats;
    for (int i = 0; i < WRITERS; i++) {
        begun += books->added[i].begun;
        done += books->added[i].done;
    }
    for (int l = 0; l < 2; l++) {
        choose(l);
        EXPECT_EQ(user_section(&u, table->slot), SECTION_TAKEN);
        lists ? write_list() : write_dict(0); /* it mends, if there is anything to mend */
        user_leave(&u, table->slot, SECTION_TAKEN);
        read_all();
        expect_sound();
        table_stats(table, &stats);
        printf("%s: %u repairs\n", lists ? "list" : "dict", stats.repairs);
    }
    choose(false);
    struct table_key counter = key_of(0);
    struct table_room room = {0};
    EXPECT_EQ(dict_get(table, &counter, &room), 1);
    EXPECT((uint64_t)room.number >= done && (uint64_t)room.number <= begun + 1);
}

static void storm(void)
{
    pid_t pids[USERS];
    int kills = stress() ? 6000 : times(100);
    for (int i = 0; i < USERS; i++)
        pids[i] = begin_user(i);
    kill_some(pids, kills);
    end_users(pids);
    expect_all_there();
    printf("%d kills, %llu writes, %llu reads, %llu gave up\n", kills, (unsigned long long)books->writes,
           (unsigned long long)books->reads, (unsigned long long)books->given_up);
    EXPECT(books->writes > 100 && books->reads > 100);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(100);
    books = mmap(NULL, sizeof *books, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)books != MAP_FAILED);
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    list = table_new(family, true);
    dict = table_new(family, false);
    RUN(storm);
    return GOOD;
}
