/* SPDX-License-Identifier: MIT */
/* The queue between threads that run at once, some of them as processes of their own: what ThreadSanitizer and the
 * other sanitizers can see. Payloads are not atomic. Most waits have no backstop, so that a lost wake-up hangs. */
#define QUEUE_PAGE_BITS 3
#define QUEUE_DIRECTORY 8u
#include "shared_windows.h"
#include "queuers.h"

#define USERS 4

static struct family *family;
static uint32_t slot;
static uint32_t share; /* items of each putter */
static shared32 came[NUMBERS];
static shared32 claimed; /* gets that somebody has begun or is about to begin */

static void fresh(uint64_t maxsize, int items)
{
    slot = queue_make(family, maxsize, 0);
    store_relaxed(&claimed, 0);
    memset(came, 0, sizeof came);
    share = (uint32_t)times(items) < NUMBERS / USERS ? (uint32_t)times(items) : NUMBERS / USERS;
}

static void done(void)
{
    struct queue *q = queue_view(family, slot);
    uint32_t number;
    EXPECT_EQ(item_get(q, &number), -EAGAIN);
    EXPECT(queue_empty(q) && queue_size(q) == 0);
    expect_nothing_kept(family, slot);
    queue_close(q);
    handle_remove(family, slot);
}

static struct queue *enter(struct user *u)
{
    ref_set(u->f, identity_index(u->me), slot);
    refs_vouched(u->f);
    EXPECT_EQ(handle_attach(u->f, slot, SLOT_QUEUE, generation_of(u->f, slot)), 0);
    return queue_view(u->f, slot);
}

static void quit(struct user *u, struct queue *q)
{
    queue_close(q);
    handle_remove(u->f, slot);
}

static int wait_for(struct user *u, struct queue *q, enum queue_end end, int64_t deadline)
{
    struct waiting w;
    int rc;
    user_waits(u, &w, deadline, BACKSTOP_IDLE);
    while ((rc = queue_wait(q, end, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

static void put_one(struct user *u, struct queue *q, uint32_t number)
{
    int rc;
    while ((rc = item_put(q, number)) == -EAGAIN)
        wait_for(u, q, QUEUE_SPACE, NEVER);
    EXPECT_EQ(rc, 0);
}

static uint32_t take_one(struct user *u, struct queue *q)
{
    uint32_t number = 0;
    int rc;
    while ((rc = item_get(q, &number)) == -EAGAIN)
        wait_for(u, q, QUEUE_ITEMS, NEVER);
    EXPECT_EQ(rc, 0);
    EXPECT(number < NUMBERS && add_relaxed(&came[number], 1u) == 0);
    return number;
}

/* Numbers say who put them, modulo USERS, and rise: so each taker sees those of one putter rise. */
static void put_share(struct user *u, struct queue *q)
{
    for (uint32_t n = 0; n < share; n++)
        put_one(u, q, n * USERS + (uint32_t)u->number);
}

static void take_share(struct user *u, struct queue *q, uint32_t all)
{
    uint32_t last[USERS] = {0};
    while (add_relaxed(&claimed, 1u) < all) {
        uint32_t number = take_one(u, q), putter = number % USERS;
        EXPECT(number >= last[putter]);
        last[putter] = number;
    }
}

static void two_put_two_take(struct user *u)
{
    struct queue *q = enter(u);
    if (u->number < 2)
        put_share(u, q);
    else
        take_share(u, q, 2 * share);
    quit(u, q);
}

static void many_to_many(void)
{
    fresh(0, 4000);
    crowd(family, USERS, true, two_put_two_take);
    done();
}

static void narrow(void)
{
    fresh(1, 2000);
    crowd(family, USERS, true, two_put_two_take);
    done();
    fresh(3, 2000);
    crowd(family, USERS, true, two_put_two_take);
    done();
}

/* Each takes what it has put, or somebody else's. */
static void put_and_take(struct user *u)
{
    struct queue *q = enter(u);
    for (uint32_t n = 0; n < share; n++) {
        put_one(u, q, n * USERS + (uint32_t)u->number);
        take_one(u, q);
    }
    quit(u, q);
}

static void around(void)
{
    fresh(0, 4000);
    crowd(family, USERS, true, put_and_take);
    done();
}

/* Threads of one process, with one view. */
static struct queue *common;

static void *thread_beside(void *user)
{
    struct user *first = user, u = {.f = first->f, .me = first->me, .patient = true, .number = first->number + 1};
    chance_seed((uint64_t)u.number);
    (first->number < 2 ? put_share(&u, common) : take_share(&u, common, 2 * share));
    return NULL;
}

static void threads_of_one(void)
{
    struct user u[USERS];
    fresh(5, 3000);
    common = queue_view(family, slot);
    for (int i = 0; i < USERS; i++) {
        u[i] = (struct user){.f = family, .me = family_me(family), .number = i};
        EXPECT_EQ(pthread_create(&u[i].thread, NULL, thread_beside, &u[i]), 0);
    }
    for (int i = 0; i < USERS; i++)
        pthread_join(u[i].thread, NULL);
    queue_close(common);
    done();
}

/* Timeouts at any moment, and looks from all sides. Who gives up passes the wake-up on. */
static void impatient(struct user *u)
{
    struct queue *q = enter(u);
    struct queue_stats stats;
    uint32_t mine = 0;
    while (mine < share || load_relaxed(&claimed) < USERS * share) {
        int64_t deadline = in(chance(100) * MICROSECOND);
        if (mine < share && chance(2)) {
            if (item_put(q, mine * USERS + (uint32_t)u->number) == 0)
                mine++;
            else if (wait_for(u, q, QUEUE_SPACE, deadline) < 0)
                queue_pass_on(q, QUEUE_SPACE);
        } else {
            uint32_t number;
            if (item_get(q, &number) == 0)
                EXPECT(add_relaxed(&came[number], 1u) == 0 && add_relaxed(&claimed, 1u) < USERS * share);
            else if (wait_for(u, q, QUEUE_ITEMS, deadline) < 0)
                queue_pass_on(q, QUEUE_ITEMS);
        }
        EXPECT(queue_size(q) <= 2);
        queue_stats(q, &stats);
    }
    quit(u, q);
}

static void timeouts(void)
{
    fresh(2, 1500);
    crowd(family, USERS, false, impatient);
    done();
}

/* What was got is kept by one thread and let go by another. */
static void keeping(struct user *u)
{
    struct queue *q = enter(u);
    struct store_item kept[3];
    int n = 0;
    for (uint32_t i = 0; i < share; i++) {
        put_one(u, q, i * USERS + (uint32_t)u->number);
        while (queue_take(q, &kept[n]) == -EAGAIN)
            wait_for(u, q, QUEUE_ITEMS, NEVER);
        EXPECT_EQ(add_relaxed(&came[item_number(&kept[n])], 1u), 0);
        if (chance(2))
            item_release(&q->store, &kept[n]);
        else if (item_keep(q, &kept[n]) && ++n == 3)
            for (; n > 0; item_unpin(&q->store, &kept[n]))
                (void)item_number(&kept[--n]);
    }
    while (n > 0)
        item_unpin(&q->store, &kept[--n]);
    quit(u, q);
}

static void pins(void)
{
    fresh(0, 3000);
    crowd(family, USERS, true, keeping);
    done();
}

/* Killed with blocks of all kinds, again and again; whoever comes next reaps. */
static void dying(struct user *u)
{
    struct queue *q = enter(u);
    struct store_item item;
    for (uint32_t i = 0; i < share; i++) {
        put_one(u, q, i * USERS + (uint32_t)u->number);
        take_one(u, q);
        if (i % 16 != (uint32_t)u->number)
            continue;
        EXPECT_EQ(item_make(q, i % 2 ? 3 : 6, &item), 0); /* prepared, never put */
        queue_close(q);
        view_die(u->f);
        user_join(u, family);
        q = enter(u);
    }
    quit(u, q);
}

static void deaths(void)
{
    fresh(0, 600);
    crowd(family, USERS, false, dying);
    reap_all(family);
    done();
}

/* Who waits is told of the end, and what is in the queue is still got. */
static void until_shutdown(struct user *u)
{
    struct queue *q = enter(u);
    uint32_t number = 0;
    int rc = 0;
    if (u->number == 0) {
        for (uint32_t n = 0; n < 10; n++)
            put_one(u, q, n * USERS);
        jitter();
        queue_shutdown(q);
        EXPECT_EQ(item_put(q, 10 * USERS), -ESHUTDOWN);
    } else {
        while ((rc = item_get(q, &number)) != -ESHUTDOWN) {
            EXPECT(rc == 0 || rc == -EAGAIN);
            if (rc == 0)
                EXPECT_EQ(add_relaxed(&came[number], 1u), 0);
            else
                wait_for(u, q, QUEUE_ITEMS, NEVER);
        }
        EXPECT(load_relaxed(&q->header->shutdown));
    }
    quit(u, q);
}

static void shutdowns(void)
{
    for (int i = times(100); i > 0; i--) {
        fresh(0, 10);
        crowd(family, USERS, true, until_shutdown);
        for (uint32_t n = 0; n < 10; n++)
            EXPECT_EQ(load_relaxed(&came[n * USERS]), 1);
        handle_remove(family, slot);
    }
}

/* One waits until everything is done with, three do it. */
static void doing_tasks(struct user *u)
{
    struct queue *q = enter(u);
    if (u->number == 0) {
        put_share(u, q);
        while (queue_unfinished(q) != 0)
            wait_for(u, q, QUEUE_DONE, NEVER);
        EXPECT_EQ(load_relaxed(&claimed) >= share, true);
    } else {
        while (add_relaxed(&claimed, 1u) < share) {
            take_one(u, q);
            jitter();
            EXPECT_EQ(queue_task_done(q), 0);
        }
    }
    quit(u, q);
}

static void tasks(void)
{
    struct queue *q;
    fresh(0, 2000);
    crowd(family, USERS, true, doing_tasks);
    q = queue_view(family, slot);
    EXPECT_EQ(queue_task_done(q), -ERANGE);
    queue_close(q);
    done();
}

/* Who finds the bell's descriptor readable finds an item: nobody rings late, for one that was taken without it. */
static void rings_for(struct user *u)
{
    struct queue *q = enter(u);
    for (uint32_t i = 0; i < share; i++) {
        while (!queue_empty(q))
            sched_yield();
        EXPECT_EQ(queue_put_value(q, i), 0);
        if (chance(3))
            usleep((useconds_t)(i % 50));
    }
    quit(u, q);
}

static void bells(void)
{
    fresh(0, 3000);
    struct queue *q = queue_view(family, slot);
    struct user u;
    struct store_item item;
    struct pollfd p = {.fd = queue_bell(q, false), .events = POLLIN};
    EXPECT(p.fd >= 0);
    queue_settle(q);
    user_start(&u, family, 0, true, rings_for);
    for (uint32_t got = 0; got < share;) {
        queue_settle(q);
        if (poll(&p, 1, got % 2 ? 0 : -1) == 1) {
            EXPECT_EQ(queue_take(q, &item), 0);
            got++;
        } else {
            got += queue_take(q, &item) == 0;
        }
    }
    queue_settle(q);
    EXPECT_EQ(poll(&p, 1, 0), 0);
    user_finish(&u);
    queue_close(q);
    done();
}

int main(void)
{
    begin(60);
    family = family_new();
    RUN(many_to_many);
    RUN(narrow);
    RUN(around);
    RUN(threads_of_one);
    RUN(timeouts);
    RUN(pins);
    RUN(deaths);
    RUN(shutdowns);
    RUN(tasks);
    RUN(bells);
    family_end(family);
    return GOOD;
}
