/* SPDX-License-Identifier: MIT */
/* A pool's rings, its ledger and its words, one step after the other. Workers are members of the family of their own,
 * which die when they are told to. */
#define TASK_PAUSE (20 * MILLISECOND)
#include "queuers.h"

#include "core/tasks/ledger.h"

#define JOB 77

static struct family *family;
static uint32_t slots[2];
static struct queue *tasks, *results;
static struct pool_header *pool;

/* A worker: its view of the family and of the rings. */
struct hand {
    struct user user;
    struct queue *results;
    struct seat seat;
};

static struct queue *ring_new(uint32_t *slot)
{
    *slot = queue_make(family, 0, 0);
    ring_init(slot_at(family, *slot), 0);
    return queue_view(family, *slot);
}

static void begin_pool(void)
{
    tasks = ring_new(&slots[0]);
    results = ring_new(&slots[1]);
    pool = pool_map(tasks);
    EXPECT(pool != NULL);
}

static void end_pool(void)
{
    reap_all(family);
    EXPECT(queue_empty(tasks) && queue_empty(results));
    pool_unmap(pool);
    queue_close(tasks);
    queue_close(results);
    for (int i = 0; i < 2; i++) {
        expect_nothing_kept(family, slots[i]);
        handle_remove(family, slots[i]);
        expect_no_memory(family, slots[i]);
    }
}

static struct queue *attach(struct user *u, uint32_t slot)
{
    user_keep(u, slot);
    EXPECT_EQ(handle_attach(u->f, slot, SLOT_QUEUE, generation_of(u->f, slot)), 0);
    return queue_view(u->f, slot);
}

static void hire(struct hand *h, uint32_t number)
{
    *h = (struct hand){.user.number = (int)number};
    worker_prepare(pool, number);
    user_join(&h->user, family);
    h->results = attach(&h->user, slots[1]);
    h->seat = (struct seat){.tasks = attach(&h->user, slots[0]), .number = number, .pid = 1000 + number};
    h->seat.pool = pool_map(h->seat.tasks);
    EXPECT_EQ(worker_look(pool, number), worker_word(WORKER_STARTING, 0));
    seat_starting(&h->seat);
    EXPECT_EQ(worker_look(pool, number), worker_word(WORKER_STARTING, h->user.me));
    seat_ready(&h->seat);
}

/* As a kill: all that it has it has still. */
static void die(struct hand *h)
{
    pool_unmap(h->seat.pool);
    queue_close(h->seat.tasks);
    queue_close(h->results);
    view_die(h->user.f);
}

static uint64_t deal(uint64_t size, uint64_t first, uint32_t count)
{
    struct store_item item;
    EXPECT_EQ(task_prepare(tasks, size, &item), 0);
    memset(task_payload(&item), 0x5a, size);
    task_of(&item)->job = JOB;
    task_of(&item)->first = first;
    task_of(&item)->count = count;
    EXPECT_EQ(task_deal(tasks, &item, 0, count), 0);
    return item.block;
}

static uint64_t take(struct hand *h, struct store_item *item)
{
    EXPECT_EQ(task_take(&h->seat, item), 0);
    EXPECT_EQ(task_of(item)->job, JOB);
    EXPECT_EQ(load_relaxed(&task_of(item)->taker), h->seat.pid);
    EXPECT(load_relaxed(&task_of(item)->began) > 0);
    return task_of(item)->first;
}

static void result(struct hand *h, uint64_t size, uint64_t first, uint32_t cells, struct store_item *out)
{
    EXPECT_EQ(result_prepare(h->results, size, RESULT_CELLS, JOB, first, out), 0);
    EXPECT_EQ(result_cells(out), 0);
    memset(result_payload(out), 0x77, size);
    result_count(&result_of(out)->count, cells);
}

static uint32_t worker_of(uint32_t number) { return worker_identity(worker_look(pool, number)); }

static int lost(struct queue *ring, uint32_t dead, struct store_item *item)
{
    struct block_walk walk;
    walk_begin(&walk);
    return ledger_next(ring, dead, &walk, item);
}

static void expect_lost(struct queue *ring, uint32_t dead, struct store_item *item, uint64_t name)
{
    EXPECT_EQ(lost(ring, dead, item), 1);
    EXPECT_EQ(item->block, name);
}

static void there_and_back(void)
{
    struct hand h;
    struct store_item item, out, back;
    struct task *t;
    begin_pool();
    hire(&h, 0);
    EXPECT_EQ(task_take(&h.seat, &item), -EAGAIN);
    uint64_t name = deal(30, 10, 3);
    EXPECT_EQ(task_look(tasks, name, &t), TASK_QUEUED);
    EXPECT_EQ(take(&h, &item), 10);
    EXPECT_EQ(task_look(tasks, name, &t), TASK_TAKEN);
    EXPECT_EQ(t->first, 10);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(group_claim(&task_of(&item)->group), i);
    EXPECT_EQ(group_claim(&task_of(&item)->group), GROUP_OVER);
    result(&h, 100, 10, 3, &out);
    EXPECT_EQ(result_put(&h.seat, h.results, &out, 5), 0);
    task_free(h.seat.tasks, &item);
    EXPECT_EQ(task_look(tasks, name, &t), TASK_FREE);
    EXPECT_EQ(result_take(results, &back), 0);
    EXPECT_EQ(back.kind, RESULT_CELLS);
    EXPECT_EQ(result_cells(&back), 3);
    EXPECT(result_of(&back)->job == JOB && result_of(&back)->first == 10 && result_of(&back)->elapsed == 5);
    result_free(results, &back);
    EXPECT_EQ(result_cells(&back), 0);
    EXPECT_EQ(result_take(results, &back), -EAGAIN);
    seat_leaving(&h.seat);
    EXPECT_EQ(worker_state(worker_look(pool, 0)), WORKER_LEAVING);
    die(&h);
    end_pool();
}

static void words(void)
{
    shared64 group;
    uint32_t from, to;
    store_relaxed(&group, group_make(2, 6));
    EXPECT(group_left(&group, &from, &to) && from == 2 && to == 6);
    EXPECT_EQ(group_condemn(&group, 0, &from, &to), CONDEMNED_LATE);
    EXPECT_EQ(group_condemn(&group, 6, &from, &to), CONDEMNED_LATE);
    EXPECT_EQ(group_claim(&group), 2);
    EXPECT_EQ(group_condemn(&group, 4, &from, &to), CONDEMNED_WAITING);
    EXPECT(from == 3 && to == 6);
    EXPECT_EQ(group_condemn(&group, 4, &from, &to), CONDEMNED_LATE);
    EXPECT(!group_recall(&group, &from, &to));
    EXPECT_EQ(group_condemn(&group, 2, &from, &to), CONDEMNED_RUNNING);
    EXPECT(from == 3 && to == 3);
    EXPECT_EQ(group_claim(&group), GROUP_GIVEN_UP);
    EXPECT_EQ(group_condemn(&group, 2, &from, &to), CONDEMNED_LATE);
    EXPECT(!group_left(&group, &from, &to));
    store_relaxed(&group, group_make(0, GROUP_MOST));
    EXPECT_EQ(group_claim(&group), 0);
    EXPECT(group_recall(&group, &from, &to) && from == 1 && to == GROUP_MOST);
    EXPECT_EQ(group_claim(&group), GROUP_OVER);
    EXPECT_EQ(group_condemn(&group, 0, &from, &to), CONDEMNED_LATE);
    store_relaxed(&group, 0); /* of a block that was free, and whose memory was given back */
    EXPECT_EQ(group_condemn(&group, 0, &from, &to), CONDEMNED_LATE);
    EXPECT_EQ(worker_identity(worker_word(WORKER_LEAVING, identity_make(9, 5))), identity_make(9, 5));
    EXPECT_EQ(worker_state(worker_word(WORKER_LEAVING, identity_make(9, 5))), WORKER_LEAVING);
}

/* The pool marks by itself, and nobody who reaps the dead one afterwards touches what was dealt again. */
static void marked_then_reaped(void)
{
    struct hand h, second;
    struct store_item item, out, again;
    uint32_t from, to;
    begin_pool();
    hire(&h, 0);
    hire(&second, 1);
    uint64_t name = deal(30, 0, 4), kept = deal(30, 4, 1);
    take(&h, &item);
    EXPECT_EQ(group_claim(&task_of(&item)->group), 0);
    EXPECT_EQ(take(&second, &again), 4);
    result(&h, 60, 0, 1, &out);
    die(&h);
    EXPECT_EQ(lost(tasks, worker_of(0), &item), 0);
    ledger_mark(tasks, worker_of(0));
    ledger_mark(results, worker_of(0));
    expect_lost(results, worker_of(0), &item, out.block);
    EXPECT_EQ(result_cells(&item), 1);
    EXPECT_EQ(result_pin(results, &item), -EINVAL);
    result_free(results, &item);
    EXPECT_EQ(lost(results, worker_of(0), &item), 0);
    expect_lost(tasks, worker_of(0), &item, name);
    EXPECT(group_left(&task_of(&item)->group, &from, &to) && from == 1 && to == 4);
    EXPECT_EQ(ledger_again(tasks, &item, from, to), 0);
    EXPECT_EQ(take(&second, &item), 0);
    EXPECT_EQ(group_claim(&task_of(&item)->group), 1);
    reap_all(family);
    EXPECT_EQ(lost(tasks, worker_of(0), &out), 0);
    EXPECT_EQ(again.block, kept);
    task_free(second.seat.tasks, &again);
    task_free(second.seat.tasks, &item);
    die(&second);
    end_pool();
}

/* Others reap the dead one, and its index is another worker's, before the pool settles the death. */
static void reaped_then_marked(void)
{
    struct hand h, second;
    struct store_item item, other;
    begin_pool();
    hire(&h, 0);
    uint64_t name = deal(30, 0, 1), kept = deal(30, 1, 1);
    take(&h, &item);
    die(&h);
    reap_all(family);
    hire(&second, 1);
    EXPECT_EQ(identity_index(worker_of(1)), identity_index(worker_of(0)));
    EXPECT(worker_of(1) != worker_of(0));
    EXPECT_EQ(take(&second, &other), 1);
    EXPECT_EQ(other.block, kept);
    ledger_mark(tasks, worker_of(0));
    expect_lost(tasks, worker_of(0), &item, name);
    EXPECT_EQ(lost(tasks, worker_of(1), &other), 0);
    die(&second);
    ledger_mark(tasks, worker_of(1));
    expect_lost(tasks, worker_of(0), &item, name);
    expect_lost(tasks, worker_of(1), &other, kept);
    task_free(tasks, &item);
    EXPECT_EQ(lost(tasks, worker_of(0), &item), 0);
    task_free(tasks, &other);
    end_pool();
}

/* A result whose put was half done. */
static void half_put(void)
{
    struct hand h;
    struct store_item out, item;
    begin_pool();
    hire(&h, 0);
    result(&h, 60, 3, 1, &out);
    struct block *b = block_at(&results->store, name_class(out.block), name_index(out.block));
    store_relaxed(&b->word, block_queued(identity_index(h.user.me), 0));
    die(&h);
    ledger_mark(results, worker_of(0));
    expect_lost(results, worker_of(0), &item, out.block);
    EXPECT_EQ(result_cells(&item), 1);
    result_free(results, &item);
    end_pool();
}

/* Large blocks: what is there of a result that was counted, and of one that had no memory yet. */
static void large(void)
{
    struct hand h;
    struct store_item out, bare, item, task;
    begin_pool();
    hire(&h, 0);
    uint64_t name = deal(50000, 0, 2);
    take(&h, &task);
    EXPECT_EQ(task_payload(&task)[49999], 0x5a);
    result(&h, 30000, 0, 1, &out);
    result(&h, 30000, 1, 0, &bare);
    struct block *b = block_at(&results->store, name_class(bare.block), name_index(bare.block));
    store_relaxed(&large_block(b)->backed, 0);
    die(&h);
    ledger_mark(results, worker_of(0));
    ledger_mark(tasks, worker_of(0));
    expect_lost(results, worker_of(0), &item, out.block);
    EXPECT_EQ(result_cells(&item), 1);
    EXPECT_EQ(result_pin(results, &item), -EINVAL);
    EXPECT_EQ(result_payload(&item)[29999], 0x77);
    result_free(results, &item);
    expect_lost(results, worker_of(0), &item, bare.block);
    EXPECT_EQ(item.size, 0);
    EXPECT_EQ(result_cells(&item), 0);
    result_free(results, &item);
    expect_lost(tasks, worker_of(0), &item, name);
    EXPECT_EQ(task_payload(&item)[49999], 0x5a);
    task_free(tasks, &item);
    end_pool();
}

/* The ring is full when a lost block is to be put again. It stays in the ledger. */
static void put_again_later(void)
{
    struct hand h, second;
    struct store_item item, other;
    int n = 0;
    begin_pool();
    hire(&h, 0);
    hire(&second, 1);
    uint64_t name = deal(30, 0, 1);
    take(&h, &item);
    die(&h);
    ledger_mark(tasks, worker_of(0));
    while (task_prepare(tasks, 30, &other) == 0 && task_deal(tasks, &other, 0, 0) == 0)
        n++;
    task_free(tasks, &other);
    expect_lost(tasks, worker_of(0), &item, name);
    EXPECT_EQ(ledger_again(tasks, &item, 0, 1), -EAGAIN);
    expect_lost(tasks, worker_of(0), &item, name);
    for (; n > 0; n--) {
        EXPECT_EQ(task_take(&second.seat, &other), 0);
        EXPECT_EQ(group_claim(&task_of(&other)->group), GROUP_OVER);
        task_free(second.seat.tasks, &other);
    }
    EXPECT_EQ(ledger_again(tasks, &item, 0, 1), 0);
    EXPECT_EQ(lost(tasks, worker_of(0), &item), 0);
    EXPECT_EQ(take(&second, &item), 0);
    EXPECT_EQ(item.block, name);
    task_free(second.seat.tasks, &item);
    die(&second);
    end_pool();
}

/* A process that has closed all its descriptors still finds everything. */
static void without_descriptor(void)
{
    struct hand h;
    struct store_item item, large_item, found;
    begin_pool();
    hire(&h, 0);
    deal(30, 0, 1);
    deal(50000, 1, 1);
    take(&h, &item);
    take(&h, &large_item);
    die(&h);
    int fd = family->fd;
    family->fd = -1;
    ledger_mark(tasks, worker_of(0));
    expect_lost(tasks, worker_of(0), &found, item.block);
    task_free(tasks, &found);
    expect_lost(tasks, worker_of(0), &found, large_item.block);
    task_free(tasks, &found);
    EXPECT_EQ(lost(tasks, worker_of(0), &found), 0);
    family->fd = fd;
    end_pool();
}

/* Views keep a result's block, and the next worker that gets it finds no count in it. */
static void pinned(void)
{
    struct hand h;
    struct store_item out, item;
    begin_pool();
    hire(&h, 0);
    result(&h, 30000, 0, 1, &out);
    EXPECT_EQ(result_put(&h.seat, h.results, &out, 1), 0);
    EXPECT_EQ(result_take(results, &item), 0);
    EXPECT_EQ(result_pin(results, &item), 0);
    EXPECT_EQ(result_payload(&item)[29999], 0x77);
    item_unpin(&results->store, &item);
    result(&h, 30000, 0, 0, &out);
    EXPECT_EQ(out.block, item.block);
    result_free(h.results, &out);
    result(&h, 40, 0, 1, &out);
    EXPECT_EQ(result_put(&h.seat, h.results, &out, 1), 0);
    EXPECT_EQ(result_take(results, &item), 0);
    EXPECT_EQ(result_pin(results, &item), -EINVAL);
    EXPECT_EQ(result_cells(&item), 1);
    result_free(results, &item);
    die(&h);
    end_pool();
}

/* Results that a worker has counted and still has. */
static void peeked(void)
{
    struct hand h;
    struct store_item out, item;
    begin_pool();
    hire(&h, 0);
    for (uint64_t size = 40; size < 50000; size += 30000) {
        result(&h, size, 5, 0, &out);
        EXPECT_EQ(result_peek(results, out.block, &item), 0);
        result_count(&result_of(&out)->count, 2);
        EXPECT_EQ(result_peek(results, out.block, &item), 2);
        EXPECT(item.block == out.block && item.size == out.size);
        EXPECT_EQ(result_of(&item)->first, 5);
        EXPECT_EQ(result_peek(h.results, out.block, &item), 0); /* the worker's own */
        EXPECT_EQ(result_put(&h.seat, h.results, &out, 1), 0);
        EXPECT_EQ(result_peek(results, out.block, &item), 0);
        EXPECT_EQ(result_take(results, &item), 0);
        EXPECT_EQ(result_peek(results, out.block, &item), 0);
        result_free(results, &item);
        EXPECT_EQ(result_peek(results, out.block, &item), 0);
    }
    EXPECT_EQ(result_prepare(h.results, 40, RESULT_START, 0, 0, &out), 0);
    result_count(&result_of(&out)->count, 1);
    EXPECT_EQ(result_peek(results, out.block, &item), 0);
    result_free(h.results, &out);
    die(&h);
    end_pool();
}

/* A worker that sleeps gives back what a burst has left, and then sleeps on. */
static void tidied(void)
{
    struct hand h;
    struct store_item items[20];
    struct waiting w;
    begin_pool();
    hire(&h, 0);
    h.seat.results = h.results;
    task_waits(&h.seat, &w);
    EXPECT_EQ(w.backstop, NEVER);
    for (uint64_t i = 0; i < 20; i++) {
        deal(100000, i, 1);
        take(&h, &items[i]);
    }
    for (int i = 0; i < 20; i++)
        task_free(h.seat.tasks, &items[i]);
    EXPECT(ring_bytes(tasks) < memory_measure(&tasks->store));
    task_waits(&h.seat, &w);
    EXPECT_EQ(w.backstop, TASK_PAUSE);
    while (w.backstop != NEVER)
        EXPECT_EQ(task_wait(&h.seat, &w), -EINTR);
    waiting_end(&w);
    EXPECT(memory_measure(&tasks->store) < TASK_KEEP);
    die(&h);
    end_pool();
}

static void damaged(void)
{
    struct hand h;
    struct store_item item;
    begin_pool();
    hire(&h, 0);
    EXPECT_EQ(queue_put_value(tasks, 5), 0);
    EXPECT_EQ(task_take(&h.seat, &item), -EBADMSG);
    EXPECT_EQ(item_prepare(&h.results->store, 8, RESULT_CELLS, &item), 0);
    EXPECT_EQ(queue_put(h.results, &item), 0);
    EXPECT_EQ(result_take(results, &item), -EBADMSG);
    item_release(&results->store, &item);
    die(&h);
    end_pool();
}

/* Waiting -------------------------------------------------------------------------------------------------------------- */

static struct hand sleeper;
static shared32 went; /* how the wait ended, + 1 */

static void *sleep_for_task(void *unused)
{
    struct waiting w;
    struct store_item item;
    int rc;
    task_waits(&sleeper.seat, &w);
    while ((rc = task_take(&sleeper.seat, &item)) == -EAGAIN)
        while (task_wait(&sleeper.seat, &w) == -EINTR)
            ;
    waiting_end(&w);
    if (rc == 0)
        task_free(sleeper.seat.tasks, &item);
    store_seq(&went, (uint32_t)(1 - rc)); /* pairs with main's thread, in after */
    return unused;
}

static bool is_asleep(void)
{
    return load_relaxed(&family->participants[identity_index(sleeper.user.me)].waits[0].tid) != 0;
}

static void deal_one(void) { deal(30, 0, 1); }
static void tell_one(void) { worker_leave(tasks, pool, sleeper.seat.number); }
static void tell_all(void) { pool_leave(tasks, pool); }
static void tell_another(void) { worker_leave(tasks, pool, sleeper.seat.number + 1); }

/* What a worker that sleeps without a backstop takes the act for. */
static int after(void (*act)(void))
{
    pthread_t thread;
    hire(&sleeper, 3);
    store_relaxed(&went, 0);
    EXPECT_EQ(pthread_create(&thread, NULL, sleep_for_task, NULL), 0);
    while (!is_asleep())
        usleep(100);
    usleep(1000); /* for the futex */
    act();
    pthread_join(thread, NULL);
    seat_leaving(&sleeper.seat);
    die(&sleeper);
    return 1 - (int)load_seq(&went); /* pairs with sleep_for_task */
}

static void tell_another_then_deal(void)
{
    tell_another();
    usleep(2000);
    EXPECT_EQ(load_relaxed(&went), 0);
    deal_one();
}

static void wakes(void)
{
    begin_pool();
    EXPECT_EQ(after(deal_one), 0);
    EXPECT_EQ(after(tell_one), -ESHUTDOWN);
    EXPECT_EQ(after(tell_another_then_deal), 0);
    EXPECT_EQ(after(tell_all), -ESHUTDOWN);
    end_pool();
}

static void *put_soon(void *hand)
{
    struct hand *h = hand;
    struct store_item out;
    usleep(200);
    result(h, 40, 0, 1, &out);
    EXPECT_EQ(result_put(&h->seat, h->results, &out, 1), 0);
    return NULL;
}

static void drainer_waits(void)
{
    struct spin_history history = {0};
    struct store_item item;
    struct hand h;
    pthread_t thread;
    begin_pool();
    hire(&h, 0);
    int64_t began = clock_now();
    EXPECT_EQ(result_wait(results, NEVER, &history), -ETIMEDOUT);
    EXPECT(clock_now() - began >= RESULT_PATIENCE);
    EXPECT_EQ(result_wait(results, clock_now(), &history), -ETIMEDOUT);
    for (int i = 0; i < times(20); i++) {
        EXPECT_EQ(pthread_create(&thread, NULL, put_soon, &h), 0);
        while (result_take(results, &item) == -EAGAIN)
            result_wait(results, NEVER, &history);
        pthread_join(thread, NULL);
        result_free(results, &item);
    }
    die(&h);
    end_pool();
}

int main(void)
{
    begin(30);
    family = family_new();
    RUN(words);
    RUN(there_and_back);
    RUN(marked_then_reaped);
    RUN(reaped_then_marked);
    RUN(half_put);
    RUN(large);
    RUN(put_again_later);
    RUN(without_descriptor);
    RUN(pinned);
    RUN(peeked);
    RUN(tidied);
    RUN(damaged);
    RUN(wakes);
    RUN(drainer_waits);
    family_end(family);
    return GOOD;
}
