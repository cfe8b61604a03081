/* SPDX-License-Identifier: MIT */
/* What a shared Dict and List cost without Python: the floor under the extension's figures. Best of some rounds, in
 * nanoseconds of CPU time, which other work on the machine lengthens less than time on the clock.
 *
 *     cc -std=gnu11 -D_GNU_SOURCE -O2 -Impfast bench/c/tables.c -o build/bench/tables -pthread && build/bench/tables */
#include "core/life/fork.h"
#include "core/life/handle.h"
#include "core/locks/section.h"
#include "core/tables/dict_change.h"
#include "core/tables/dict_copy.h"
#include "core/tables/list_change.h"

#include <sys/wait.h>
#include <time.h>

#define ROUNDS 7
#define KEYS 1000
#define CALLS 50000

static struct family *family;
static struct table table;
static char names[KEYS][16], data[1 << 20], room[1 << 20];
static uint64_t size; /* of values */

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static double cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void table_new(enum slot_kind kind)
{
    int64_t slot = handle_claim(family, SLOT_LARGE, kind);
    must(slot >= 0 && table_open(family, (uint32_t)slot, &table) == 0, "a slot");
    must(table_init(&table, kind == SLOT_DICT ? TABLE_DICT : TABLE_LIST, DEATH_RAISE) == 0, "a table");
}

static void enter(void)
{
    uint32_t me = family_me(family);
    struct spin_history history = {0};
    struct waiting w;
    if (section_enter(&table.header->lock, me) != SECTION_BUSY)
        return;
    waiting_begin(&w, NEVER, BACKSTOP_OWNED);
    while (section_wait(family, table.slot, me, &w, &history) != 0)
        ;
    waiting_end(&w);
}

static struct table_key key_of(int i) { return table_key(&table, names[i % KEYS], strlen(names[i % KEYS])); }

static void write_one(int i)
{
    struct table_key key = key_of(i);
    struct table_value v = {.kind = 1, .size = size, .data = data};
    enter();
    must(dict_set(&table, &key, &v) >= 0, "dict_set");
    section_leave(family, &table.header->lock);
}

static void read_one(int i)
{
    struct table_key key = key_of(i);
    struct table_room r = {.data = room, .room = sizeof room};
    must(dict_get(&table, &key, &r) == 1, "dict_get");
}

static void length_one(int i)
{
    (void)i;
    must(dict_length(&table) == KEYS, "dict_length");
}

static void append_one(int i)
{
    struct table_value v = {.kind = TABLE_INT, .number = i};
    enter();
    must(list_append(&table, &v) == 0, "list_append");
    section_leave(family, &table.header->lock);
}

static void copy_all(int i)
{
    static struct table_copy copy;
    (void)i;
    must(dict_copy(&table, TABLE_KEYS | TABLE_VALUES, &copy) == 0, "dict_copy");
}

static void measure(const char *what, void (*one)(int), int calls)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double begun = cpu_now();
        for (int i = 0; i < calls; i++)
            one(i);
        double took = (cpu_now() - begun) / calls;
        best = took < best ? took : best;
    }
    printf("%-28s %9.0f ns\n", what, best);
}

/* Another process writes all the time. */
static pid_t writer(void)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    for (int i = 0; pid == 0; i++)
        write_one(i);
    return pid;
}

static void measure_dict(void)
{
    static const uint64_t sizes[] = {20, 1024, 65536};
    char what[60];
    table_new(SLOT_DICT);
    for (int s = 0; s < 3; s++) {
        size = sizes[s];
        for (int i = 0; i < KEYS; i++)
            write_one(i);
        snprintf(what, sizeof what, "dict, write %d bytes", (int)size);
        measure(what, write_one, s < 2 ? CALLS : KEYS);
        snprintf(what, sizeof what, "dict, read %d bytes", (int)size);
        measure(what, read_one, s < 2 ? CALLS : KEYS);
    }
    size = 20;
    for (int i = 0; i < KEYS; i++)
        write_one(i);
    measure("dict, length", length_one, CALLS);
    measure("dict, copy of 1,000", copy_all, 50);
    pid_t pid = writer();
    measure("dict, read, one writes", read_one, CALLS);
    measure("dict, write, two do", write_one, CALLS);
    kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid, "waitpid");
    table_close(&table);
}

int main(void)
{
    struct reaped r = {0};
    must(family_create(&family) == 0 && member_join(family, &r) == 0, "a family");
    families_add(family);
    must(fork_install() == 0, "fork hooks");
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "key %d", i);
    measure_dict();
    table_new(SLOT_LIST);
    measure("list, append", append_one, CALLS);
    return 0;
}
