/* SPDX-License-Identifier: MIT */
/* How much memory a store takes, driven by random traces: it is never more than a small multiple of what was in use at
 * one time, and falls after a peak, although the queue is never empty.
 *
 * Several members, each with a view of its own, put and take in random order. What they took they give back in about the
 * order in which they took it; some of it they keep for long, as views do. */
#define POINT() ((void)0)
#define READ_POINT() ((void)0)
#define STEP() ((void)0)
#define FAMILY_PARTICIPANTS 64
#define FAMILY_SMALL_SLOTS 64u
#define FAMILY_LARGE_SLOTS 64u
#define QUEUE_DIRECTORY 4096u
#define TRIM_PERIOD (MILLISECOND / 2) /* so that a peak is past after milliseconds */

#include <inttypes.h>

#include "users.h"

#include "core/queue/queue.h"

#define MEMBERS 6
#define HELD 512
#define PIECE ((uint64_t)64 << 10)

struct member {
    struct family *f;
    struct queue *q;
    struct store_item held[HELD]; /* taken, and not given back yet */
    uint32_t count;
};

/* What a trace is like. */
struct trace {
    uint32_t members;
    uint32_t smallest, largest; /* classes */
    uint32_t holds;             /* items that a member keeps, about */
    bool pins;                  /* some of them for long */
};

struct world {
    struct trace trace;
    struct member members[MEMBERS];
    uint64_t queued;
    uint64_t used[STORE_CLASSES]; /* blocks in use now, */
    uint64_t peak[STORE_CLASSES]; /* and at most since `peaks_anew` */
    uint64_t worst;               /* per mille of what is allowed */
};

static struct family *family;

static uint64_t held_by_hand(uint32_t class, const struct trace *t)
{
    uint64_t home = class_size(class) * 64, runs = class_size(class) * 2 * (class < 3 ? 64 : class == 3 ? 32 : 16);
    return 2 * PIECE + home + runs * t->members;
}

/* Twice what was in use, a piece, the lowest blocks, and runs for the members, in whole pieces. A large block has memory
 * for as much as was ever in it, up to its size. */
static uint64_t allowed(const struct world *w)
{
    uint64_t sum = 0;
    for (uint32_t c = w->trace.smallest; c <= w->trace.largest; c++)
        sum += ROUND_UP(2 * w->peak[c] * class_size(c) + held_by_hand(c, &w->trace), PIECE);
    return sum;
}

static void within(struct world *w)
{
    uint64_t is = memory_measure(&w->members[0].q->store), most = allowed(w);
    if (is > most)
        fprintf(stderr, "%" PRIu64 " bytes, of %" PRIu64 " that are allowed\n", is, most);
    EXPECT(is <= most);
    uint64_t part = is * 1000 / most;
    w->worst = part > w->worst ? part : w->worst;
}

static void note(struct world *w, uint32_t class, int change)
{
    w->used[class] += (uint64_t)change;
    if (w->used[class] > w->peak[class])
        w->peak[class] = w->used[class];
}

static void peaks_anew(struct world *w) { memcpy(w->peak, w->used, sizeof w->peak); }

static void put_one(struct world *w, struct member *m)
{
    uint32_t class = w->trace.smallest + chance(w->trace.largest - w->trace.smallest + 1);
    uint64_t least = class == 0 ? 0 : class_capacity(class - 1);
    uint64_t size = least + 1 + chance((uint32_t)(class_capacity(class) - least));
    struct store_item item;
    EXPECT_EQ(item_prepare(&m->q->store, size, 1, &item), 0);
    EXPECT_EQ(name_class(item.block), class);
    if (chance(200) == 0) { /* cannot be pickled after all */
        item_release(&m->q->store, &item);
        return;
    }
    note(w, class, 1);
    item.data[0] = 1;
    item.data[size - 1] = 1;
    EXPECT_EQ(queue_put(m->q, &item), 0);
    w->queued++;
}

static void give_back(struct world *w, struct member *m)
{
    uint32_t i = w->trace.pins ? chance(m->count < 32 ? m->count : 32) : 0;
    if (name_class(m->held[i].block) < STORE_LARGE) /* only a large one can be kept for longer than a copy takes */
        i = 0;
    struct store_item item = m->held[i];
    memmove(m->held + i, m->held + i + 1, (--m->count - i) * sizeof item);
    note(w, name_class(item.block), -1);
    item_release(&m->q->store, &item);
}

static void take_one(struct world *w, struct member *m)
{
    if (m->count == HELD)
        give_back(w, m);
    EXPECT_EQ(queue_take(m->q, &m->held[m->count++]), 0);
    w->queued--;
    while (m->count > w->trace.holds && chance(8) != 0)
        give_back(w, m);
}

/* Lets so many items wait, and then so many through, some at a time. */
static void backlog(struct world *w, uint64_t items, uint64_t through)
{
    uint64_t swing = 1 + chance(200), done = 0;
    for (uint64_t turn = 0; done < through || w->queued != items; turn++) {
        struct member *m = &w->members[chance(w->trace.members)];
        for (; w->queued < items + swing; done++)
            put_one(w, m);
        for (m = &w->members[chance(w->trace.members)]; w->queued > items; done++)
            take_one(w, m);
        if (turn % 8 == 0)
            within(w);
    }
    within(w);
}

static void world_begin(struct world *w, struct trace t)
{
    *w = (struct world){.trace = t};
    int64_t slot = handle_claim(family, SLOT_LARGE, SLOT_QUEUE);
    EXPECT(slot >= 0);
    queue_init(slot_at(family, (uint32_t)slot), 0, 0);
    for (uint32_t i = 0; i < t.members; i++) {
        struct member *m = &w->members[i];
        m->f = view_new(family);
        pthread_mutex_lock(&m->f->mutex);
        ref_set(m->f, identity_index(family_me(m->f)), (uint32_t)slot);
        pthread_mutex_unlock(&m->f->mutex);
        EXPECT_EQ(queue_open(m->f, (uint32_t)slot, &m->q), 0);
    }
}

static void world_end(struct world *w)
{
    while (w->queued > 0)
        take_one(w, &w->members[0]);
    uint32_t slot = w->members[0].q->store.slot;
    for (uint32_t i = 0; i < w->trace.members; i++) {
        while (w->members[i].count > 0)
            give_back(w, &w->members[i]);
        queue_close(w->members[i].q);
        view_leave(w->members[i].f);
    }
    handle_remove(family, slot);
    printf("    at most %" PRIu64 " per mille of what is allowed\n", w->worst);
}

/* With a small backlog from now on, the memory of the peak comes back soon, and stays away. */
static void falls(struct world *w, uint64_t items)
{
    const char *was = doing;
    doing = "what comes after a peak";
    backlog(w, items, 0);
    peaks_anew(w);
    int64_t began = clock_now();
    uint64_t is;
    do {
        uint64_t worst = w->worst;
        for (int i = 0; i < 4096; i++) {
            put_one(w, &w->members[chance(w->trace.members)]);
            if (w->queued > items)
                take_one(w, &w->members[chance(w->trace.members)]);
        }
        w->worst = worst;
        is = memory_measure(&w->members[0].q->store);
        EXPECT(clock_now() < began + 20 * SECOND);
    } while (is > allowed(w) || clock_now() < began + 50 * TRIM_PERIOD);
    backlog(w, items, 20000);
    doing = was;
}

static void standing(struct trace t, uint64_t items, uint64_t through)
{
    struct world w;
    world_begin(&w, t);
    backlog(&w, items, through);
    world_end(&w);
}

static void one_size_stands(void)
{
    for (uint32_t c = 0; c < STORE_LARGE; c += 2)
        standing((struct trace){1, c, c, 0, false}, 20000 >> c / 2, (uint64_t)times(800000) >> c / 2);
}

static void two_put_one_size(void) { standing((struct trace){2, 1, 1, 2, false}, 5000, (uint64_t)times(400000)); }

static void large_ones_stand(void)
{
    standing((struct trace){2, STORE_LARGE, STORE_LARGE, 2, true}, 500, (uint64_t)times(50000));
    standing((struct trace){1, STORE_LARGE + 2, STORE_LARGE + 2, 0, false}, 100, (uint64_t)times(30000));
}

static void peaks(void)
{
    struct world w;
    world_begin(&w, (struct trace){2, 0, 2, 4, false});
    for (int i = 0; i < 3; i++) {
        backlog(&w, 30000, 60000);
        falls(&w, 20);
        backlog(&w, 30000, 60000);
        falls(&w, 2000);
    }
    world_end(&w);
}

static void large_peaks(void)
{
    struct world w;
    world_begin(&w, (struct trace){2, STORE_LARGE - 1, STORE_LARGE + 1, 4, true});
    for (int i = 0; i < 2; i++) {
        backlog(&w, 3000, 6000);
        falls(&w, 30);
    }
    world_end(&w);
}

static void any_trace(void)
{
    for (int i = 0; i < times(12); i++) {
        uint32_t smallest = chance(STORE_LARGE + 1);
        struct trace t = {1 + chance(MEMBERS), smallest, smallest + chance(STORE_LARGE + 2 - smallest), chance(40),
                          chance(2) == 0};
        uint32_t most = t.largest < 3 ? 20000 : t.largest < 6 ? 5000 : 1500;
        struct world w;
        world_begin(&w, t);
        for (int phase = 0; phase < 4; phase++)
            backlog(&w, 1 + chance(chance(3) == 0 ? 50 : most), chance(4 * most));
        falls(&w, 1 + chance(100));
        world_end(&w);
    }
}

int main(void)
{
    begin(55);
    const char *seed = getenv("SEED");
    if (seed != NULL)
        chance_seed(strtoull(seed, NULL, 10));
    family = family_new();
    RUN(one_size_stands);
    RUN(two_put_one_size);
    RUN(large_ones_stand);
    RUN(peaks);
    RUN(large_peaks);
    RUN(any_trace);
    family_end(family);
    return GOOD;
}
