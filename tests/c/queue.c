/* SPDX-License-Identifier: MIT */
/* The queue: order, sizes, limits, crowds, and what the dead leave. Pages of 8 tickets and a directory of 8 pages, so
 * that all of it wraps; participants are threads (users.h) that share one mapping. */
#define QUEUE_PAGE_BITS 3
#define QUEUE_DIRECTORY 8
#define FAMILY_PARTICIPANTS 64
#define FAMILY_SMALL_SLOTS 64u
#define FAMILY_LARGE_SLOTS 64u
#include <sys/resource.h>

#include "users.h"

#include "core/queue/queue.h"
#include "core/life/tend.h"

#define ROOM (8 * 8) /* items, in the directory */

static struct family *family;

static uint32_t queue_make(struct family *f, uint64_t maxsize, uint64_t budget)
{
    int64_t slot = handle_claim(f, SLOT_LARGE, SLOT_QUEUE);
    EXPECT(slot >= 0);
    queue_init(slot_at(f, (uint32_t)slot), maxsize, budget);
    return (uint32_t)slot;
}

static struct queue *queue_view(struct family *f, uint32_t slot)
{
    struct queue *q = NULL;
    EXPECT_EQ(queue_open(f, slot, &q), 0);
    return q;
}

static struct queue *queue_new(uint64_t maxsize) { return queue_view(family, queue_make(family, maxsize, 0)); }

static void queue_end(struct queue *q)
{
    uint32_t slot = q->store.slot;
    struct family *f = q->store.family;
    queue_close(q);
    handle_remove(f, slot);
}

/* The view of another member that shares the mapping: ThreadSanitizer sees both. */
static struct queue *queue_share(const struct queue *q, struct family *f)
{
    struct queue *copy = malloc(sizeof *copy);
    EXPECT(copy != NULL);
    memcpy(copy, q, sizeof *copy);
    copy->store.family = f;
    memset(copy->store.cursors, 0, sizeof copy->store.cursors);
    memset((void *)copy->store.touched, 0, sizeof copy->store.touched);
    copy->store.pins = NULL;
    copy->store.pinned = copy->store.pins_size = 0;
    pthread_mutex_lock(&f->mutex);
    ref_set(f, identity_index(family_me(f)), q->store.slot);
    pthread_mutex_unlock(&f->mutex);
    return copy;
}

static void queue_unshare(struct queue *q)
{
    for (int c = 0; c < STORE_CLASSES; c++)
        free(q->store.touched[c]);
    free(q->store.pins);
    free(q);
}

static void fill(char *data, uint64_t size, uint32_t seed)
{
    for (uint64_t i = 0; i < size; i += 1 + size / 64)
        data[i] = (char)(seed + i);
    if (size > 0)
        data[size - 1] = (char)seed;
}

static bool filled(const char *data, uint64_t size, uint32_t seed)
{
    for (uint64_t i = 0; i + 1 < size; i += 1 + size / 64)
        if (data[i] != (char)(seed + i))
            return false;
    return size == 0 || data[size - 1] == (char)seed;
}

static void put_bytes(struct queue *q, uint64_t size, uint32_t seed)
{
    struct store_item item;
    EXPECT_EQ(item_prepare(&q->store, size, seed & 0xff, &item), 0);
    fill(item.data, size, seed);
    EXPECT_EQ(queue_put(q, &item), 0);
}

static void take_bytes(struct queue *q, uint64_t size, uint32_t seed)
{
    struct store_item item;
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT(item.block != NO_BLOCK);
    EXPECT_EQ(item.size, size);
    EXPECT_EQ(item.kind, seed & 0xff);
    item_touch(&q->store, &item);
    EXPECT(filled(item.data, size, seed));
    item_release(&q->store, &item);
}

/* No block is anybody's, and no segment is being installed. */
static void nothing_kept(const struct queue *q)
{
    for (uint32_t c = 0; c < STORE_CLASSES; c++)
        for (uint32_t i = 0; i < load_relaxed(&q->header->store.top[c]); i++)
            EXPECT_EQ(load_relaxed(&block_at(&q->store, c, i)->word), 0);
    for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++)
        EXPECT(!segment_is_init(load_relaxed(&q->states[i])));
}

static void classes(void)
{
    const uint64_t sizes[] = {0, 1, 47, 48, 49, 112, 113, 4079, 4080, 4081, 8192, 8193, 65536, 65537};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t class = class_for(sizes[i]);
        EXPECT(class_capacity(class) >= sizes[i]);
        EXPECT(class == 0 || class_capacity(class - 1) < sizes[i]);
    }
    EXPECT_EQ(class_for(UINT64_C(64) << 30), STORE_CLASSES - 1);
    EXPECT_EQ(class_for((UINT64_C(64) << 30) + 1), STORE_CLASSES);
    EXPECT_EQ(class_for(UINT64_MAX), STORE_CLASSES);
    for (uint32_t c = 0; c < STORE_CLASSES; c++)
        EXPECT(class_data_at(c) + class_blocks(c) * class_size(c) <= class_data_at(c + 1));
}

static void order(void)
{
    struct queue *q = queue_new(0);
    struct store_item item;
    EXPECT_EQ(queue_take(q, &item), -EAGAIN);
    EXPECT(queue_empty(q));
    for (uint64_t turn = 0, in = 0, out = 0; turn < 300; turn++) {
        for (uint64_t n = turn % 40; n > 0; n--)
            if (in % 3 == 0)
                EXPECT_EQ(queue_put_value(q, in++), 0);
            else
                put_bytes(q, in % 200, (uint32_t)in), in++;
        EXPECT_EQ(queue_size(q), in - out);
        EXPECT_EQ(queue_put_count(q), in);
        for (uint64_t n = turn % 40; n > 0; n--, out++)
            if (out % 3 == 0) {
                EXPECT_EQ(queue_take(q, &item), 0);
                EXPECT(item.block == NO_BLOCK && item.value == out);
            } else {
                take_bytes(q, out % 200, (uint32_t)out);
            }
        EXPECT(queue_empty(q));
    }
    nothing_kept(q);
    queue_end(q);
}

static void sizes(void)
{
    struct queue *q = queue_new(0);
    for (int turn = 0; turn < 3; turn++) {
        for (uint64_t size = 1; size <= 64 << 20; size = size * 5 / 2 + 1)
            put_bytes(q, size, (uint32_t)size);
        for (uint64_t size = 1; size <= 64 << 20; size = size * 5 / 2 + 1)
            take_bytes(q, size, (uint32_t)size);
    }
    nothing_kept(q);
    struct queue_stats s;
    queue_stats(q, &s);
    EXPECT(s.memory > 0 && s.idle > 0 && s.idle <= s.memory);
    queue_trim(q);
    queue_stats(q, &s);
    EXPECT(s.idle == 0 && s.memory < 1 << 20);
    EXPECT_EQ(item_prepare(&q->store, (UINT64_C(64) << 30) + 1, 0, &(struct store_item){0}), -EMSGSIZE);
    queue_end(q);
}

static void bounds(void)
{
    struct queue *q = queue_new(5);
    struct store_item item;
    for (uint64_t i = 0; i < 1000; i++) {
        EXPECT(!queue_full(q));
        for (uint64_t n = 0; n < 5; n++)
            EXPECT_EQ(queue_put_value(q, i + n), 0);
        EXPECT(queue_full(q));
        EXPECT_EQ(queue_put_value(q, 7), -EAGAIN);
        for (uint64_t n = 0; n < 5; n++)
            EXPECT_EQ(queue_take(q, &item), 0);
    }
    queue_end(q);
}

static void no_more_pages(void)
{
    struct queue *q = queue_new(0);
    struct store_item item;
    for (int turn = 0; turn < 5; turn++) {
        uint64_t n = 0;
        while (queue_put_value(q, n) == 0)
            n++;
        EXPECT(n > ROOM - 2 * 8 && n <= ROOM);
        for (uint64_t i = 0; i < n; i++) {
            EXPECT_EQ(queue_take(q, &item), 0);
            EXPECT_EQ(item.value, i);
        }
        EXPECT_EQ(queue_take(q, &item), -EAGAIN);
    }
    queue_end(q);
}

static void budgets(void)
{
    struct queue *q = queue_view(family, queue_make(family, 0, 8 << 20));
    struct store_item items[64];
    int n = 0, rc;
    while (n < 64 && (rc = item_prepare(&q->store, 1 << 20, 0, &items[n])) == 0)
        n++;
    EXPECT_EQ(rc, -EAGAIN);
    EXPECT(n >= 6 && n <= 9);
    EXPECT_EQ(item_prepare(&q->store, 16 << 20, 0, &items[n]), -EAGAIN);
    item_release(&q->store, &items[--n]);
    EXPECT_EQ(item_prepare(&q->store, 1 << 20, 0, &items[n]), 0);
    n++;
    while (n > 0)
        item_release(&q->store, &items[--n]);
    EXPECT_EQ(item_prepare(&q->store, 16 << 20, 0, &items[0]), 0); /* alone it is let in */
    item_release(&q->store, &items[0]);
    for (n = 0; n < 60; n++)
        put_bytes(q, 4000, 1);
    queue_end(q);
}

static void ends(void)
{
    struct queue *q = queue_new(0);
    struct store_item item;
    EXPECT_EQ(queue_task_done(q), -ERANGE);
    EXPECT_EQ(queue_put_value(q, 1), 0);
    EXPECT_EQ(queue_put_value(q, 2), 0);
    EXPECT_EQ(queue_unfinished(q), 2);
    queue_shutdown(q);
    EXPECT_EQ(queue_put_value(q, 3), -ESHUTDOWN);
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT_EQ(queue_take(q, &item), -ESHUTDOWN);
    EXPECT_EQ(queue_task_done(q), 0);
    EXPECT_EQ(queue_unfinished(q), 1);
    EXPECT_EQ(queue_task_done(q), 0);
    EXPECT_EQ(queue_task_done(q), -ERANGE);
    queue_end(q);
}

static void bells(void)
{
    struct queue *q = queue_new(2);
    struct store_item item;
    int fd = queue_bell(q, true);
    EXPECT(fd >= 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    EXPECT(!queue_arm(q, false));
    EXPECT_EQ(poll(&p, 1, 0), 0);
    EXPECT_EQ(queue_put_value(q, 1), 0);
    EXPECT_EQ(poll(&p, 1, 0), 1);
    queue_silence(q);
    EXPECT_EQ(queue_put_value(q, 1), 0);
    EXPECT_EQ(poll(&p, 1, 0), 0); /* rung once for one arming */
    EXPECT(queue_arm(q, false));
    EXPECT(!queue_arm(q, true));
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT_EQ(poll(&p, 1, 0), 1);
    queue_end(q);
}

static bool rings(struct queue *q, struct pollfd *p)
{
    struct store_item item;
    queue_silence(q);
    EXPECT(!queue_arm(q, false));
    EXPECT_EQ(queue_put_value(q, 1), 0);
    bool rung = poll(p, 1, 0) == 1;
    EXPECT_EQ(queue_take(q, &item), 0);
    return rung;
}

static void a_kept_descriptor(void)
{
    struct queue *q = queue_new(2);
    int stranger[2];
    struct pollfd p = {.fd = queue_bell(q, false), .events = POLLIN};
    EXPECT(rings(q, &p));
    int kept = q->ringers[0].fd;
    EXPECT(kept >= 0);
    EXPECT(rings(q, &p));
    EXPECT_EQ(q->ringers[0].fd, kept);
    EXPECT_EQ(close(kept), 0); /* as a program may that closes all it knows nothing of */
    EXPECT(rings(q, &p));
    kept = q->ringers[0].fd;
    EXPECT_EQ(pipe2(stranger, O_NONBLOCK), 0);
    EXPECT_EQ(dup2(stranger[1], kept), kept); /* a pipe, too, but not that one */
    EXPECT(rings(q, &p));
    struct pollfd strange = {.fd = stranger[0], .events = POLLIN};
    EXPECT_EQ(poll(&strange, 1, 0), 0);
    int last = q->ringers[0].fd;
    queue_end(q);
    EXPECT_EQ(fcntl(last, F_GETFD), -1);
    EXPECT_EQ(close(stranger[0]) | close(stranger[1]) | close(kept), 0);
}

/* Which descriptor comes next: the lowest that is free. */
static int next_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* A process rings its own bell, even if it has no descriptor left. */
static void no_descriptor_left(void)
{
    struct queue *q = queue_new(3);
    struct rlimit all, none;
    struct pollfd p = {.fd = queue_bell(q, false), .events = POLLIN};
    EXPECT(!queue_arm(q, false));
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next_fd(), .rlim_max = all.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_EQ(queue_put_value(q, 1), 0);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &all), 0);
    EXPECT_EQ(poll(&p, 1, 0), 1);
    queue_end(q);
}

/* Crowds: each value once, each putter's in order. ------------------------------------------------------------------- */

enum { PUTTERS = 3, TAKERS = 3 };
static struct queue *crowd_queue;
static uint32_t crowd_items;
static shared32 crowd_seen[PUTTERS * 100000];
static shared32 crowd_taken;

static int patient_wait(struct user *u, struct queue *q, enum queue_end end)
{
    struct waiting w;
    int rc;
    user_waits(u, &w, in(30 * SECOND), BACKSTOP_IDLE);
    while ((rc = queue_wait(q, end, &w, &u->history)) == -EINTR)
        ;
    waiting_end(&w);
    return rc;
}

static void crowd_put(struct user *u, struct queue *q)
{
    for (uint32_t i = 0; i < crowd_items; i++) {
        struct store_item item = {.block = NO_BLOCK, .value = (uint64_t)u->number << 24 | i};
        if (i % 3 != 0) {
            EXPECT_EQ(item_prepare(&q->store, 8 + i % 100, 1, &item), 0);
            memcpy(item.data, &(uint64_t){(uint64_t)u->number << 24 | i}, 8);
        }
        int rc;
        while ((rc = queue_put(q, &item)) == -EAGAIN)
            if (q->header->maxsize != 0)
                EXPECT_EQ(patient_wait(u, q, QUEUE_SPACE), 0);
            else
                sched_yield();
        EXPECT_EQ(rc, 0);
    }
}

static void crowd_take(struct user *u, struct queue *q)
{
    int64_t last[PUTTERS] = {-1, -1, -1};
    for (;;) {
        struct store_item item;
        int rc = queue_take(q, &item);
        if (rc == -ESHUTDOWN)
            return;
        if (rc == -EAGAIN) {
            EXPECT_EQ(patient_wait(u, q, QUEUE_ITEMS), 0);
            continue;
        }
        EXPECT_EQ(rc, 0);
        uint64_t value = item.value;
        if (item.block != NO_BLOCK)
            memcpy(&value, item.data, 8);
        item_release(&q->store, &item);
        uint32_t number = (uint32_t)(value >> 24), i = value & 0xffffff;
        EXPECT(number < PUTTERS && i < crowd_items && (int64_t)i > last[number]);
        last[number] = i;
        EXPECT_EQ(add_relaxed(&crowd_seen[number * 100000 + i], 1u), 0);
        if (add_relaxed(&crowd_taken, 1u) + 1 == PUTTERS * crowd_items)
            queue_shutdown(q);
    }
}

static void crowd_member(struct user *u)
{
    struct queue *q = queue_share(crowd_queue, u->f);
    if (u->number < PUTTERS)
        crowd_put(u, q);
    else
        crowd_take(u, q);
    queue_unshare(q);
}

static void crowd_run(uint64_t maxsize, uint32_t items)
{
    crowd_queue = queue_new(maxsize);
    crowd_items = items;
    store_relaxed(&crowd_taken, 0);
    for (size_t i = 0; i < sizeof crowd_seen / sizeof *crowd_seen; i++)
        store_relaxed(&crowd_seen[i], 0);
    crowd(family, PUTTERS + TAKERS, true, crowd_member);
    EXPECT_EQ(load_relaxed(&crowd_taken), PUTTERS * items);
    nothing_kept(crowd_queue);
    queue_end(crowd_queue);
}

static void crowds(void)
{
    for (int turn = 0; turn < times(4); turn++) {
        crowd_run(0, 1500);
        crowd_run(1, 700);
        crowd_run(7, 1500);
    }
}

/* The dead. ---------------------------------------------------------------------------------------------------------- */

static struct family *died;

static struct queue *ghost_of(const struct queue *q)
{
    died = view_new(family);
    return queue_share(q, died);
}

/* The ghost is killed, and the next member gets its entry. */
static void bury(struct queue *ghost)
{
    uint32_t me = family_me(died);
    queue_unshare(ghost);
    view_die(died);
    struct reaped r = {0};
    reap_owner(family, me, &r);
    EXPECT_EQ(state_kind(load_relaxed(&family->participants[identity_index(me)].state)), PARTICIPANT_FREE);
}

static void dead_owners(void)
{
    struct queue *q = queue_new(0), *ghost = ghost_of(q);
    struct store_item small, large, taken;
    put_bytes(q, 20, 1);
    put_bytes(q, 100000, 2);
    EXPECT_EQ(item_prepare(&ghost->store, 20, 0, &small), 0);
    EXPECT_EQ(item_prepare(&ghost->store, 1 << 20, 0, &large), 0);
    EXPECT_EQ(queue_take(ghost, &taken), 0);
    put_bytes(ghost, 30, 3);
    bury(ghost);
    take_bytes(q, 100000, 2);
    take_bytes(q, 30, 3);
    EXPECT(queue_empty(q));
    nothing_kept(q);
    queue_end(q);
}

/* Killed between the two stores of a put: the word says that it is queued, but no cell names it. */
static void dead_putters(void)
{
    struct queue *q = queue_new(0), *ghost = ghost_of(q);
    struct store_item item;
    EXPECT_EQ(item_prepare(&ghost->store, 20, 0, &item), 0);
    struct block *b = block_at(&q->store, name_class(item.block), name_index(item.block));
    store_relaxed(&b->word, block_queued(queue_me(ghost), 0));
    put_bytes(q, 10, 1);
    bury(ghost);
    take_bytes(q, 10, 1);
    nothing_kept(q);

    ghost = ghost_of(q); /* killed while it installs a page, before and after the directory knows of it */
    store_relaxed(&q->states[5], segment_init(queue_me(ghost), 7));
    store_relaxed(&q->header->segments_top, 6);
    bury(ghost);
    EXPECT_EQ(load_relaxed(&q->states[5]), 0);
    queue_end(q);
}

static void views_of_children(void)
{
    struct queue *q = queue_new(0), *ghost = ghost_of(q);
    struct store_item item;
    put_bytes(q, 100000, 5);
    EXPECT_EQ(queue_take(q, &item), 0);
    EXPECT_EQ(item_pin(&q->store, &item), 0);
    hold_add(pinned_block(&q->store, item.block), queue_me(q)); /* as stores_fork */
    hold_add(pinned_block(&q->store, item.block), queue_me(ghost));
    item_unpin(&q->store, &item);
    EXPECT_EQ(block_participant(load_relaxed(&pinned_block(&q->store, item.block)->block.word)), queue_me(ghost));
    EXPECT(filled(item.data, item.size, 5));
    item_unpin(&ghost->store, &item);
    nothing_kept(q);
    for (int parent_first = 0; parent_first < 2; parent_first++) {
        put_bytes(q, 100000, 5);
        EXPECT_EQ(queue_take(q, &item), 0);
        EXPECT_EQ(item_pin(&q->store, &item), 0);
        hold_add(pinned_block(&q->store, item.block), queue_me(q));
        hold_add(pinned_block(&q->store, item.block), queue_me(ghost));
        if (parent_first)
            item_unpin(&q->store, &item);
        bury(ghost);
        if (!parent_first)
            item_unpin(&q->store, &item);
        nothing_kept(q);
        ghost = ghost_of(q);
    }
    bury(ghost);
    queue_end(q);
}

static uint64_t memory_of_file(void)
{
    struct stat st;
    EXPECT_EQ(fstat(family->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void memory_returns(void)
{
    queue_end(queue_new(0));
    uint64_t before = memory_of_file();
    for (int turn = 0; turn < 50; turn++) {
        struct queue *q = queue_new(0);
        put_bytes(q, 3 << 20, 1);
        put_bytes(q, 10, 1);
        queue_end(q);
    }
    EXPECT(memory_of_file() <= before + (64 << 10));
}

int main(void)
{
    begin(55);
    family = family_new();
    RUN(classes);
    RUN(order);
    RUN(sizes);
    RUN(bounds);
    RUN(no_more_pages);
    RUN(budgets);
    RUN(ends);
    RUN(bells);
    RUN(a_kept_descriptor);
    RUN(no_descriptor_left);
    RUN(memory_returns);
    RUN(dead_owners);
    RUN(dead_putters);
    RUN(views_of_children);
    RUN(crowds);
    family_end(family);
    return GOOD;
}
