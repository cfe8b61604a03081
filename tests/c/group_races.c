/* SPDX-License-Identifier: MIT */
/* The group word between threads that run at once. A worker claims and counts, the pool recalls, or condemns. Cells and
 * the taker are not atomic, so ThreadSanitizer sees whether the words publish them. */
#include "check.h"

#include "core/tasks/group.h"

#define GROUPS 8000
#define ELEMENTS 12u

struct group {
    shared64 word;
    shared32 count;
    shared32 end;             /* what the worker's last claim said, + 3 */
    uint32_t taker;           /* not atomic: the first claim publishes it */
    uint32_t cells[ELEMENTS]; /* not atomic: the count publishes them */
    uint32_t ran[ELEMENTS];   /* not atomic: only the worker and, at the end, main() */
};

static struct group *groups;
static shared32 begun; /* groups that the worker may run */
static uint32_t wanted;

static void run(struct group *g)
{
    uint32_t n = 0;
    int64_t i;
    g->taker = 7;
    while ((i = group_claim(&g->word)) >= 0) {
        EXPECT_EQ(i, n);
        g->ran[i]++;
        g->cells[n] = 100 + (uint32_t)i;
        result_count(&g->count, ++n);
        if (chance(8) == 0)
            sched_yield(); /* so that the pool comes in between on a busy machine, too */
    }
    store_release(&g->end, (uint32_t)(i + 3)); /* pairs with pool_over */
}

static void *worker(void *unused)
{
    for (uint32_t i = 0; i < wanted; i++) {
        for (int turn = 1; load_acquire(&begun) <= i; turn++) /* pairs with main */
            turn % 1000 == 0 ? (void)sched_yield() : cpu_relax();
        run(&groups[i]);
    }
    return unused;
}

static int64_t pool_over(struct group *g)
{
    uint32_t end;
    while ((end = load_acquire(&g->end)) == 0) /* pairs with run */
        sched_yield();
    return (int64_t)end - 3;
}

static void expect_counted(struct group *g)
{
    uint32_t n = result_counted(&g->count);
    for (uint32_t k = 0; k < n; k++)
        EXPECT_EQ(g->cells[k], 100 + k);
}

/* The rest is the pool's. */
static void recall(struct group *g)
{
    uint32_t from, to;
    bool any = group_recall(&g->word, &from, &to);
    if (any && from > 0)
        EXPECT_EQ(g->taker, 7);
    expect_counted(g);
    EXPECT_EQ(pool_over(g), GROUP_OVER);
    EXPECT_EQ(result_counted(&g->count), any ? from : ELEMENTS);
    EXPECT(!any || to == ELEMENTS);
}

/* Any element, or the one that runs just now. */
static uint32_t element_of(struct group *g)
{
    uint32_t next = group_next(load_relaxed(&g->word));
    return next == 0 || chance(2) ? chance(ELEMENTS) : next - 1;
}

static void condemn(struct group *g, int counts[3])
{
    uint32_t from, to, element = element_of(g);
    enum condemned how = group_condemn(&g->word, element, &from, &to);
    counts[how]++;
    if (how == CONDEMNED_RUNNING)
        EXPECT_EQ(g->taker, 7); /* first, as the count publishes it as well */
    expect_counted(g);
    EXPECT_EQ(pool_over(g), how == CONDEMNED_RUNNING ? GROUP_GIVEN_UP : GROUP_OVER);
    uint32_t n = result_counted(&g->count);
    EXPECT_EQ(n, how == CONDEMNED_LATE ? ELEMENTS : from);
    EXPECT(how == CONDEMNED_LATE ? g->ran[element] == 1 : to == ELEMENTS);
    EXPECT(how != CONDEMNED_WAITING || (element >= from && g->ran[element] == 0));
    EXPECT(how != CONDEMNED_RUNNING || element + 1 == from);
}

static void race(void)
{
    pthread_t thread;
    int counts[3] = {0};
    wanted = (uint32_t)times(GROUPS);
    groups = calloc(wanted, sizeof *groups);
    EXPECT(groups != NULL);
    for (uint32_t i = 0; i < wanted; i++)
        store_relaxed(&groups[i].word, group_make(0, ELEMENTS));
    EXPECT_EQ(pthread_create(&thread, NULL, worker, NULL), 0);
    for (uint32_t i = 0; i < wanted; i++) {
        store_release(&begun, i + 1); /* pairs with worker */
        for (uint32_t turn = 0, next = chance(ELEMENTS); turn < 50 && group_next(load_relaxed(&groups[i].word)) < next;)
            turn++ % 4 == 0 ? (void)sched_yield() : cpu_relax();
        if (chance(2))
            recall(&groups[i]);
        else
            condemn(&groups[i], counts);
    }
    pthread_join(thread, NULL);
    printf("condemned: %d late, %d waiting, %d running\n", counts[0], counts[1], counts[2]);
    free(groups);
}

int main(void)
{
    begin(60);
    RUN(race);
    return GOOD;
}
