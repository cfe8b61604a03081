/* SPDX-License-Identifier: MIT */
/* A Dict or List whose memory somebody has overwritten, in its header, its rows or its blocks, also while it is used.
 *
 * A child does all that one can do with it. Each call must return, in time, one of the values that it may return at all,
 * and the child may not die of a signal. MPFAST_SEED=n does case n alone, in this process, for a debugger. */
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#define STEP() ((void)0) /* what is damaged may take many of them */
#define TABLE_TAGS 5000
#define TABLE_KEEP ((uint64_t)16 << 10)
#include "check.h"
#include "tabled.h"
#include "core/life/fork.h"

#include <sys/wait.h>

#define SECONDS 60
#define EXTENTS 64
#define CASES_EACH 20 /* in one child, each with a table of its own */

static struct family *family;
static struct {
    volatile uint64_t calls, refused, damaged;
} *counts;

static const int allowed[] = {0, 1, -EAGAIN, -EBADMSG, -ENOMEM, -EMSGSIZE, -ENOSPC, -ERANGE, -EBADF};

static int64_t expect_allowed(int64_t rc)
{
    bool found = rc >= 0 && rc <= INT32_MAX;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        found |= rc == allowed[i];
    if (!found)
        EXPECT_EQ(rc, 0);
    counts->calls++;
    counts->refused += rc < 0;
    counts->damaged += rc == -EBADMSG;
    return rc;
}

static uint64_t damaged(uint64_t word)
{
    static const uint64_t bad[] = {0, UINT64_MAX, 1, UINT64_C(1) << 63, UINT64_C(1) << 62, 0xffffffff};
    switch (chance(8)) {
    case 0:
        return bad[chance(sizeof bad / sizeof *bad)];
    case 1:
        return word ^ UINT64_C(1) << chance(64);
    case 2:
        return word + chance(16) - 8;
    case 3:
        return word << chance(32) | chance(4);
    case 4: /* a ref that names something else */
        return word ^ chance(32);
    case 5:
        return word ^ (uint64_t)chance(32) << 27;
    case 6: /* a size, a state, an entry of the index */
        return word ^ (uint64_t)chance(1u << 12) << chance(33);
    default:
        return (uint64_t)chance(UINT32_MAX) << 32 | chance(UINT32_MAX);
    }
}

static void damage_header(void)
{
    uint64_t *words = (uint64_t *)table->header;
    uint32_t first = sizeof(struct lock) / 8, i = first + chance(sizeof(struct table_header) / 8 - first);
    words[i] = damaged(words[i]);
}

/* One word of the rows, of a block in use, or of one that is free. */
static void damage_home(void)
{
    static const uint32_t regions[] = {0, 1, 0, 1, 2, 3, 4, 5, 6, 8, 9, 2 + TABLE_CLASSES + TABLE_LARGE, 41};
    uint32_t region = regions[chance(sizeof regions / sizeof *regions)];
    uint64_t *words = (uint64_t *)(table->home + region * TABLE_UNIT);
    uint32_t i = chance(chance(3) ? 128 : chance(3) ? 600 : TABLE_UNIT / 8);
    words[i] = damaged(words[i]);
}

/* An index in which no search finds an end. */
static void damage_index(void)
{
    uint64_t root = load_relaxed(&table->header->root);
    uint64_t *words = (uint64_t *)(table->home + (root_parity(root) & 1) * TABLE_UNIT + level_at(TABLE_LEVEL_MIN));
    for (int i = 8; i < 24; i++)
        words[i] = words[i] == 0 ? UINT64_C(0x1234567800000001) : words[i];
}

static void damage(void)
{
    if (chance(16) == 0)
        damage_index();
    for (uint32_t n = chance(4) ? 1 : 1 + chance(12); n > 0; n--)
        (chance(4) ? damage_home : damage_header)();
}

static struct table_value some_value(void) { return value_of(1002 + chance(300)); }

static void use_dict(void)
{
    static char bytes[VALUE_ROOM], name[64];
    struct table_room room = {.data = bytes, .room = sizeof bytes}, last = {.data = name, .room = sizeof name};
    struct table_key key = key_of(chance(MODEL_KEYS));
    struct table_value v = some_value(), old = v;
    int64_t sum;
    switch (chance(9)) {
    case 0:
    case 1:
        expect_allowed(dict_set(table, &key, &v));
        break;
    case 2:
        expect_allowed(dict_get(table, &key, &room));
        break;
    case 3:
        expect_allowed(dict_pop(table, &key, chance(2) ? &room : NULL));
        break;
    case 4:
        expect_allowed(dict_pop_last(table, &last, &room));
        break;
    case 5:
        expect_allowed(dict_set_default(table, &key, &v, &room));
        break;
    case 6:
        expect_allowed(dict_compare_exchange(table, &key, chance(2) ? &old : NULL, chance(2) ? &v : NULL));
        break;
    case 7:
        expect_allowed(dict_add(table, &key, 5, &sum));
        break;
    default:
        expect_allowed(chance(30) ? dict_contains(table, &key) : dict_clear(table));
    }
}

static void use_list(void)
{
    static char bytes[VALUE_ROOM];
    struct table_room room = {.data = bytes, .room = sizeof bytes};
    struct table_value values[8];
    uint32_t n = chance(4);
    values_of(values, 1002 + chance(300), n < 1 ? 1 : n);
    int64_t i = (int64_t)chance(40) - 10;
    switch (chance(8)) {
    case 0:
    case 1:
        expect_allowed(list_append(table, values));
        break;
    case 2:
        expect_allowed(list_get(table, i, &room));
        break;
    case 3:
        expect_allowed(list_set(table, i, values));
        break;
    case 4:
        expect_allowed(list_pop(table, i, &room));
        break;
    case 5:
        expect_allowed(list_extend(table, values, n));
        break;
    case 6:
        expect_allowed(list_splice(table, chance(40), chance(9), values, n));
        break;
    default:
        expect_allowed(list_reverse(table));
    }
}

static void use(void)
{
    static struct table_copy copy;
    struct table_stats stats;
    (lists ? use_list : use_dict)();
    if (chance(10) == 0)
        expect_allowed(table_length());
    if (chance(20) == 0)
        expect_allowed(table_copy_all(&copy));
    if (chance(50) == 0)
        table_stats(table, &stats);
    if (chance(60) == 0)
        store_relaxed(&table->header->changing, 1); /* a writer was killed */
}

static void one(uint64_t seed)
{
    chance_seed(seed);
    table_new(family, chance(2));
    for (uint32_t n = chance(300); n > 0; n--)
        use();
    damage();
    for (uint32_t n = 0; n < 400; n++) {
        use();
        if (chance(40) == 0)
            damage();
        if (chance(60) == 0)
            store_relaxed(&table->header->broken, 0); /* so that the rest is tried too */
    }
    table_end(family);
}

static void some_in_a_child(uint64_t first)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        alarm(SECONDS);
        for (uint64_t i = 0; i < CASES_EACH; i++) {
            counts[1].calls = first + i;
            one(first + i);
        }
        _exit(GOOD);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != GOOD)
        fprintf(stderr, "MPFAST_SEED=%llu\n", (unsigned long long)counts[1].calls);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), GOOD);
}

static void overwritten(void)
{
    int n = stress() ? 25000 : times(400);
    for (int i = 0; i < n; i += CASES_EACH)
        some_in_a_child((uint64_t)i);
    printf("%d cases: %llu calls, %llu were refused, %llu told of damage\n", n, (unsigned long long)counts->calls,
           (unsigned long long)counts->refused, (unsigned long long)counts->damaged);
    EXPECT(counts->damaged > 0);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("ThreadSanitizer sees nothing between processes");
    return SKIP;
#endif
    begin(100);
    counts = mmap(NULL, FAMILY_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT((void *)counts != MAP_FAILED);
    family = family_new();
    families_add(family);
    EXPECT_EQ(fork_install(), 0);
    const char *seed = getenv("MPFAST_SEED");
    if (seed != NULL)
        one(strtoull(seed, NULL, 10));
    else
        RUN(overwritten);
    family_end(family);
    return GOOD;
}
