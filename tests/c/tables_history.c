/* SPDX-License-Identifier: MIT */
/* Four writers and four readers write down when each call began and ended, and what it gave. Afterwards there must be one
 * order in which all of it can have happened, one after the other, with each call at a moment between its begin and its end.
 *
 * Writers number their changes while they hold the lock. So the order of the changes is known, and what the table was
 * after each. A reader's call has to be given a number of a change after which its result was true, and numbers must
 * not go back from a call that had ended to one that began later. To give each the least number is as good as any. */
#include "check.h"
#include "sections.h"
#include "tabled.h"

#include "core/life/fork.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define WRITERS 4
#define READERS 4
#define KEYS 5
#define CHANGES 60000
#define READS 30000 /* of each reader */

enum call { GET_CALL, LENGTH_CALL, ALL_CALL };

struct change {
    int64_t begun, ended;
    uint32_t key, value; /* 0: not there any more */
    uint32_t length;
    uint64_t all; /* says what the table was */
};

struct reading {
    int64_t begun, ended;
    enum call call;
    uint32_t key;
    uint64_t result;
};

static struct family *family;
static struct {
    _Atomic uint32_t changes; /* the number of the last. 0: the empty table */
    uint32_t now[KEYS], length;
    uint64_t all;
    struct change change[CHANGES + 1];
    struct reading reading[READERS][READS];
    _Atomic uint32_t readings[READERS];
} *history;

static uint64_t part(uint32_t key, uint32_t value) { return words_mix(key * UINT64_C(77777) + 5, value + UINT64_C(3)); }

/* The value is the number of its change, in bytes of that value. */
static uint32_t number_in(const struct table_value *v)
{
    uint32_t value;
    EXPECT(v->size >= 4);
    memcpy(&value, v->data, 4);
    return value;
}

static struct table_value numbered(uint32_t number)
{
    static char bytes[600];
    memset(bytes, (int)number, sizeof bytes);
    memcpy(bytes, &number, 4);
    return (struct table_value){.kind = 1, .size = 4 + number % 7 * 80, .data = bytes};
}

static void change_one(uint32_t number)
{
    struct change *c = &history->change[number];
    c->key = chance(KEYS);
    bool there = history->now[c->key] != 0, delete = there && chance(3) == 0;
    struct table_key key = key_of(c->key);
    struct table_value v = numbered(number);
    c->value = delete ? 0 : number;
    c->length = history->length = history->length + !there - delete;
    history->all -= there ? part(c->key, history->now[c->key]) : 0;
    history->all += delete ? 0 : part(c->key, number);
    c->all = history->all;
    history->now[c->key] = c->value;
    c->begun = clock_now();
    EXPECT_EQ(delete ? dict_delete(table, &key) : dict_set(table, &key, &v), there);
    c->ended = clock_now();
}

static bool write_some(int unused)
{
    struct user u = {.f = family, .me = family_me(family)};
    (void)unused;
    int entered = user_section(&u, table->slot);
    uint32_t number = history->changes + 1;
    if (number <= (uint32_t)times(CHANGES / 20)) {
        change_one(number);
        history->changes = number;
    }
    user_leave(&u, table->slot, entered);
    return number < (uint32_t)times(CHANGES / 20);
}

static uint64_t all_of(struct table_copy *copy)
{
    struct table_value v;
    uint64_t all = 0;
    while (copy_next(copy, &v)) {
        uint32_t key = 0;
        while (!key_is(key, &v))
            EXPECT(++key < KEYS);
        EXPECT(copy_next(copy, &v));
        all += part(key, number_in(&v));
    }
    return all;
}

static bool read_some(int number)
{
    static char bytes[600];
    static struct table_copy copy;
    uint32_t n = history->readings[number];
    struct reading *r = &history->reading[number][n];
    *r = (struct reading){.call = (enum call)chance(3), .key = chance(KEYS), .begun = clock_now()};
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_key key = key_of(r->key);
    int64_t rc = r->call == GET_CALL      ? dict_get(table, &key, &room)
                 : r->call == LENGTH_CALL ? dict_length(table)
                                          : dict_copy(table, TABLE_KEYS | TABLE_VALUES, &copy);
    r->ended = clock_now();
    EXPECT(rc >= 0 || rc == -EAGAIN);
    struct table_value v = {.data = bytes, .size = room.size};
    r->result = r->call == ALL_CALL ? (rc == 0 ? all_of(&copy) : 0) : (uint64_t)rc;
    if (r->call == GET_CALL && rc == 1) {
        r->result = number_in(&v);
        EXPECT(memcmp(bytes, numbered((uint32_t)r->result).data, room.size) == 0);
    }
    if (rc >= 0)
        history->readings[number] = n + 1;
    return n + 1 < READS && history->changes < (uint32_t)times(CHANGES / 20);
}

static pid_t begin_user(int number)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    chance_seed((uint64_t)number + 77);
    while (number < WRITERS ? write_some(number) : read_some(number - WRITERS))
        ;
    participant_leave(family);
    _exit(GOOD);
}

/* The check ---------------------------------------------------------------------------------------------------------- */

static uint64_t result_after(uint32_t change, const struct reading *r)
{
    if (r->call == LENGTH_CALL)
        return history->change[change].length;
    if (r->call == ALL_CALL)
        return history->change[change].all;
    while (change > 0 && history->change[change].key != r->key)
        change--;
    return change == 0 ? 0 : history->change[change].value;
}

static int by_begin(const void *a, const void *b)
{
    int64_t x = (*(const struct reading *const *)a)->begun, y = (*(const struct reading *const *)b)->begun;
    return (x > y) - (x < y);
}

static int by_end(const void *a, const void *b)
{
    int64_t x = (*(const struct reading *const *)a)->ended, y = (*(const struct reading *const *)b)->ended;
    return (x > y) - (x < y);
}

/* The least number that this reading can have, from `least` on. Its change must have begun before the reading ended. */
static uint32_t number_for(const struct reading *r, uint32_t least)
{
    uint32_t number = least;
    while (result_after(number, r) != r->result) {
        number++;
        EXPECT(number <= history->changes);
        EXPECT(history->change[number].begun <= r->ended);
    }
    return number;
}

/* The last change that had ended when the reading began. */
static uint32_t ended_before(int64_t begun)
{
    uint32_t low = 0, high = history->changes;
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (history->change[middle].ended < begun)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void check(void)
{
    size_t n = 0, over = 0;
    static struct reading *begins[READERS * READS], *ends[READERS * READS];
    static uint32_t numbers[READERS * READS];
    for (int i = 0; i < READERS; i++)
        for (uint32_t k = 0; k < history->readings[i]; k++)
            begins[n++] = &history->reading[i][k];
    memcpy(ends, begins, sizeof begins);
    qsort(begins, n, sizeof *begins, by_begin);
    qsort(ends, n, sizeof *ends, by_end);
    uint32_t floor = 0;
    uint64_t waited = 0;
    for (size_t i = 0; i < n; i++) {
        for (; ends[over]->ended < begins[i]->begun; over++) {
            uint32_t number = numbers[ends[over] - history->reading[0]];
            floor = number > floor ? number : floor;
        }
        uint32_t least = ended_before(begins[i]->begun);
        uint32_t number = number_for(begins[i], least > floor ? least : floor);
        numbers[begins[i] - history->reading[0]] = number;
        waited += number > least;
    }
    printf("%u changes, %zu readings, of which %llu saw a change that was not over\n", history->changes, n,
           (unsigned long long)waited);
    EXPECT(n > 100);
}

static void record(void)
{
    pid_t pids[WRITERS + READERS];
    int status;
    for (int i = 0; i < WRITERS + READERS; i++)
        pids[i] = begin_user(i);
    for (int i = 0; i < WRITERS + READERS; i++) {
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT_EQ(status, 0);
    }
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(100);
    history = mmap(NULL, sizeof *history, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)history != MAP_FAILED);
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    table_new(family, false);
    RUN(record);
    RUN(check);
    return GOOD;
}
