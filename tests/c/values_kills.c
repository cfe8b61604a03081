/* SPDX-License-Identifier: MIT */
/* Kills at every step of what processes do with Values and Arrays: sections, numbers, blocks of the heap, windows. */
#define HEAP_BLOCKS 32u
#define HEAP_STALE ((uint64_t)8 << 10)
#include "kills.h"
#include "sections.h"

#include "core/values/heap.h"

#define PLENTY 24

static uint64_t counted(void) { return *(uint64_t *)((char *)slot_at(family, scene->slot[0]) + BESIDE_AT); }

/* Sections ---------------------------------------------------------------------------------------------------------- */

static void lock_prepare(void) { keep(SLOT_RLOCK); }

/* The lock had a holder with a name before. */
static void named_prepare(void)
{
    struct user u = self();
    lock_prepare();
    EXPECT(lock_try(slot_at(family, scene->slot[0]), u.me));
    EXPECT(user_unlock(&u, scene->slot[0]));
}

/* Each counts what it has done right after it is done, so at most the last of a dead one is not counted. */
static void add_some(void)
{
    struct user u = self();
    for (int i = 0; i < 4; i++) {
        EXPECT(user_add(&u, scene->slot[0], 1)); /* no death in a section is told */
        scene->acted++;
    }
}

static void add_meanwhile(void)
{
    struct user u = self();
    int entered = (int)section_enter(slot_at(family, scene->slot[0]), u.me);
    EXPECT(entered != SECTION_MINE);
    user_leave(&u, scene->slot[0], entered);
}

/* The judge counts too, and finds the lock free for a holder with a name. */
static void add_afterwards(void)
{
    struct user u = self();
    UNTIL(scene->done == playing->companions);
    add_some();
    EXPECT(counted() == (uint64_t)scene->acted || (scene->killed && counted() == (uint64_t)scene->acted + 1));
    EXPECT_EQ(user_lock(&u, scene->slot[0], in(SECOND)), 0);
    EXPECT(user_unlock(&u, scene->slot[0]));
}

/* The victim has the lock under its name around two sections. While it does, they are not all that is to be done. */
static void add_by_name(void)
{
    struct user u = self();
    EXPECT(lock_try(slot_at(family, scene->slot[0]), u.me));
    scene->inside = 1;
    for (int i = 0; i < 2; i++) {
        EXPECT(user_add(&u, scene->slot[0], 1));
        scene->acted++;
    }
    scene->inside = 0;
    EXPECT(user_unlock(&u, scene->slot[0]));
}

static void told_afterwards(void)
{
    struct user u = self();
    struct lock *l = slot_at(family, scene->slot[0]);
    bool told = !user_add(&u, scene->slot[0], 1);
    EXPECT(!scene->inside || !scene->killed || told);
    EXPECT(!told || scene->killed);
    if (told) {
        EXPECT(lock_recover(family, l, u.me));
        EXPECT(user_add(&u, scene->slot[0], 1));
        EXPECT(user_unlock(&u, scene->slot[0]));
    }
    scene->acted++;
    EXPECT(counted() == (uint64_t)scene->acted || (scene->killed && counted() == (uint64_t)scene->acted + 1));
    EXPECT_EQ(load_relaxed(&l->word), 0);
}

/* The victim inherits the lock of one that died in a section, as does the next if it is killed too. */
static void dead_prepare(void)
{
    lock_prepare();
    struct family *view = view_new(family);
    ref_set(view, identity_index(family_me(view)), scene->slot[0]);
    refs_vouched(view);
    EXPECT_EQ(section_enter(slot_at(family, scene->slot[0]), family_me(view)), SECTION_TAKEN);
    view_die(view);
}

/* Numbers without a lock -------------------------------------------------------------------------------------------- */

static void atomic_prepare(void) { keep(SLOT_VALUE); }

static void count_without_lock(void)
{
    char *at = slot_at(family, scene->slot[0]);
    for (int i = 0; i < 4; i++) {
        number_add(at, 8, 1);
        number_add_double(at + 8, 8, 1.0);
        scene->acted++;
    }
}

static void counted_without_lock(void)
{
    char *at = slot_at(family, scene->slot[0]);
    UNTIL(scene->done == playing->companions);
    count_without_lock();
    uint64_t count = number_load(at, 8), acted = (uint64_t)scene->acted;
    double sum = number_double(number_load(at + 8, 8), 8);
    EXPECT(count == acted || (scene->killed && count == acted + 1));
    EXPECT(sum == (double)acted || (scene->killed && sum == (double)count));
}

/* Blocks ------------------------------------------------------------------------------------------------------------ */

struct array {
    uint32_t slot, class, index;
    char *data;
    uint64_t size;
};

static struct array kept;

static struct array array_new(uint64_t size)
{
    int64_t slot = handle_claim(family, SLOT_SMALL, SLOT_VALUE);
    EXPECT(slot >= 0);
    struct array a = {.slot = (uint32_t)slot, .class = heap_class(size), .size = size};
    int64_t index = heap_find(heap_of(family), a.class, heap_owner(a.slot, generation_of(family, a.slot)), size);
    EXPECT(index >= 0);
    a.index = (uint32_t)index;
    a.data = heap_data(heap_of(family), a.class, a.index);
    for (uint64_t i = 0; i < size; i++)
        EXPECT_EQ(a.data[i], 0);
    return a;
}

static void array_end(struct array *a) { handle_remove(family, a->slot); }

static void heap_prepare(void)
{
    EXPECT(heap_of(family) != NULL);
    kept = array_new(300);
    memset(kept.data, 7, 300);
    for (int i = 0; i < 3; i++) { /* so that the victim meets blocks that were used */
        struct array a = array_new(i % 2 ? 300 : 5000);
        memset(a.data, 5, a.size);
        array_end(&a);
    }
}

static void use_blocks(void)
{
    struct array a = array_new(300), b = array_new(5000);
    memset(a.data, 1, 300);
    memset(b.data, 2, 5000);
    array_end(&a);
    a = array_new(200);
    memset(a.data, 3, 200);
    array_end(&b);
    array_end(&a);
}

static void expect_kept(void)
{
    for (int i = 0; i < 300; i++)
        EXPECT_EQ(kept.data[i], 7);
}

/* What the dead one had is given back. */
static void bury(void)
{
    struct reaped r = {0};
    UNTIL(scene->done == playing->companions);
    for (uint32_t i = 1; i < FAMILY_PARTICIPANTS; i++)
        if (i != identity_index(family_me(family)))
            reap_owner(family, identity_make(i, 0), &r);
}

/* All blocks can be had but the one that is kept: none is lost with the dead. */
static void blocks_afterwards(void)
{
    struct array all[PLENTY];
    bury();
    for (int i = 0; i < PLENTY; i++) {
        all[i] = array_new(i % 2 ? 300 : 5000);
        memset(all[i].data, 100 + i, all[i].size);
    }
    for (int i = 0; i < PLENTY; i++) {
        for (uint64_t k = 0; k < all[i].size; k++)
            EXPECT_EQ(all[i].data[k], 100 + i);
        array_end(&all[i]);
    }
    expect_kept();
    struct heap *h = heap_of(family);
    uint32_t used = 0;
    for (uint32_t class = 0; class < HEAP_CLASSES; class++)
        for (uint32_t i = 0; i < load_relaxed(&h->tops[class]) && i < HEAP_BLOCKS; i++)
            used += heap_in_use(h, load_relaxed(heap_word(h, class, i)));
    EXPECT_EQ(used, 1);
    array_end(&kept);
}

static void blocks_companion(void)
{
    for (int i = 0; i < 2; i++)
        use_blocks();
}

static void trim_prepare(void)
{
    struct array all[8];
    heap_prepare();
    for (int i = 0; i < 8; i++) {
        all[i] = array_new(4096);
        memset(all[i].data, 9, 4096);
    }
    for (int i = 0; i < 8; i++)
        array_end(&all[i]);
}

static void trim(void)
{
    struct array a = array_new(4096);
    heap_trim(heap_of(family), heap_owner(a.slot, generation_of(family, a.slot)));
    memset(a.data, 4, 4096);
    array_end(&a);
}

/* Windows ----------------------------------------------------------------------------------------------------------- */

static void use_window(void)
{
    int64_t slot = handle_claim(family, SLOT_LARGE, SLOT_ARRAY);
    EXPECT(slot >= 0);
    char *data = window_map(family, (uint32_t)slot, 0, 1 << 20);
    EXPECT(data != NULL);
    for (int i = 0; i < 1 << 20; i += 4096) {
        EXPECT_EQ(data[i], 0);
        data[i] = 1;
    }
    munmap(data, 1 << 20);
    handle_remove(family, (uint32_t)slot);
}

static void window_victim(void)
{
    use_window();
    use_window();
}

static void window_afterwards(void)
{
    bury();
    for (int i = 0; i < 3; i++)
        use_window();
}

static const struct scenario scenarios[] = {
    {.name = "section",
     .prepare = lock_prepare,
     .victim = add_some,
     .meanwhile = add_meanwhile,
     .afterwards = add_afterwards},
    {.name = "section, after a with",
     .prepare = named_prepare,
     .victim = add_some,
     .meanwhile = add_meanwhile,
     .afterwards = add_afterwards},
    {.name = "section, others add",
     .prepare = lock_prepare,
     .victim = add_some,
     .companion = add_some,
     .companions = 2,
     .afterwards = add_afterwards},
    {.name = "section, after a death",
     .prepare = dead_prepare,
     .victim = add_some,
     .companion = add_some,
     .companions = 1,
     .afterwards = add_afterwards},
    {.name = "section in a with", .prepare = lock_prepare, .victim = add_by_name, .afterwards = told_afterwards},
    {.name = "atomic",
     .prepare = atomic_prepare,
     .victim = count_without_lock,
     .companion = count_without_lock,
     .companions = 1,
     .afterwards = counted_without_lock},
    {.name = "heap", .prepare = heap_prepare, .victim = use_blocks, .afterwards = blocks_afterwards},
    {.name = "heap, others use it",
     .prepare = heap_prepare,
     .victim = use_blocks,
     .companion = blocks_companion,
     .companions = 1,
     .afterwards = blocks_afterwards},
    {.name = "heap, memory back", .prepare = trim_prepare, .victim = trim, .afterwards = blocks_afterwards},
    {.name = "window", .prepare = lock_prepare, .victim = window_victim, .afterwards = window_afterwards},
};

int main(void) { return run_scenarios(scenarios, (int)(sizeof scenarios / sizeof *scenarios)); }
