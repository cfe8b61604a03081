/* SPDX-License-Identifier: MIT */
/* A writer of a Dict or List ends before each of its writes to shared memory, and then the process that mends what it has
 * left ends before each of its own. A reader without the lock finds exactly the state before, or the one after, and
 * what is mended does not change it. Then something else is done, so that nothing half begun is completed by it.
 *
 * A killed writer leaves what it has written, and no more. So here it is a function that is left by longjmp(). In
 * tables_deaths.c processes are killed. */
static void write_point(void);
#define POINT() write_point()
#define READ_POINT() ((void)0)
#define STEP() write_point()
#define TABLE_TAGS 200
#define TABLE_KEEP ((uint64_t)16 << 10)
#include "check.h"

#include "tabled.h"

#include <setjmp.h>

KILLED_BY_JUMPS

#define SCRIPT 100

static struct family *family;
static jmp_buf killed;
static long until, writes; /* the write before which the writer is killed. 0: it lives */
static char where[120];
static struct model before_, after_;
static struct doing script[SCRIPT];

static void write_point(void)
{
    if (until != 0 && ++writes == until)
        longjmp(killed, 1);
}

/* True if the doing had no n-th write. */
static bool done_before(const struct model *m, const struct doing *d, long n)
{
    until = n;
    writes = 0;
    if (setjmp(killed) == 0) {
        table_do(m, d);
        until = 0;
        return true;
    }
    until = 0;
    return false;
}

static void play(struct model *m, int n)
{
    table_new(family, lists);
    m->n = 0;
    for (int i = 0; i < n; i++) {
        table_do(m, &script[i]);
        model_do(m, &script[i]);
    }
}

/* What a reader sees: the state before the doing at `i`, or after it. */
static const struct model *seen(void)
{
    bool old = table_is(&before_), new = table_is(&after_);
    EXPECT(old || new);
    return old ? &before_ : &after_;
}

/* The next writer mends, and does something else. */
static void go_on(const struct model *m, struct doing other)
{
    struct model then = *m;
    table_do(m, &other);
    model_do(&then, &other);
    EXPECT(table_is(&then));
    expect_sound();
}

static struct doing other_than(const struct doing *d)
{
    if (lists)
        return (struct doing){.what = d->what == APPEND ? ASSIGN : APPEND, .key = 0, .value = 3004, .n = 1};
    return (struct doing){.what = d->what == SET ? DELETE : SET, .key = (d->key + 1) % MODEL_KEYS, .value = 3004};
}

/* A victim is killed at write n of the doing at i, and the next at write k of what it does, if k is not 0. 0: neither
 * came so far. 1: the first did. 2: both. */
static int one(int i, long n, long k)
{
    snprintf(where, sizeof where, "%s, doing %d (%d), killed at write %ld, the next one at %ld",
             lists ? "list" : "dict", i, script[i].what, n, k);
    play(&before_, i);
    after_ = before_;
    model_do(&after_, &script[i]);
    struct doing other = other_than(&script[i]);
    int result = done_before(&before_, &script[i], n) ? 0 : 1;
    struct model m = result == 0 ? after_ : *seen();
    if (result == 1 && k > 0) {
        before_ = after_ = m;
        model_do(&after_, &other);
        result = done_before(&before_, &other, k) ? 1 : 2;
        m = result == 1 ? after_ : *seen();
        other.key = (other.key + 1) % MODEL_KEYS;
        other.value += 5;
    }
    go_on(&m, other);
    table_end(family);
    return result;
}

static void kill_everywhere(uint64_t seed, int stride, int pairs)
{
    struct model m = {0};
    long cases = 0, mended = 0;
    chance_seed(seed);
    for (int i = 0; i < SCRIPT; i++) {
        script[i] = doing_by_chance(&m, (uint32_t)i);
        model_do(&m, &script[i]);
    }
    for (int i = 0; i < SCRIPT; i++)
        for (long n = 1 + (long)chance((uint32_t)stride);; n += stride) {
            if (one(i, n, 0) == 0)
                break;
            cases++;
            for (long k = 1 + (long)chance((uint32_t)pairs); one(i, n, k) == 2; k += pairs)
                mended++;
        }
    printf("  seed %d, %s: %ld writes, %ld of the next\n", (int)seed, lists ? "list" : "dict", cases, mended);
    EXPECT(cases > 100);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread");
    return SKIP;
#endif
    begin(100);
    family = family_new();
    doing = where;
    int stride = stress() ? 1 : SANITIZED ? 61 : 29, pairs = stress() ? 37 : SANITIZED ? 1501 : 701;
    for (uint64_t seed = 0; seed < (stress() ? 6 : 2); seed++)
        for (int l = 0; l < 2; l++) {
            lists = l;
            kill_everywhere(seed, stride, pairs);
        }
    family_end(family);
    _exit(GOOD); /* what the killed had of private memory is lost, and no leak */
}
