/* SPDX-License-Identifier: MIT */
/* The memory behind blocks: making it exist, mapping it, counting it.
 *
 * Fresh memory costs ten times what writing to it costs, because of a page fault for each 4 KiB. A fault that finds no
 * memory kills the process. So memory is made in bulk before it is written to, by a call that can fail, and kept for
 * the next item. */
#ifndef MPFAST_STORE_MEMORY_H
#define MPFAST_STORE_MEMORY_H

#include "core/base/hugemem.h"
#include "core/store/item.h"
#include "core/store/trim.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define STORE_KEEP ((uint64_t)256 << 20) /* bytes of free large blocks that are not given back before a pause */
#define STORE_TOUCH ((uint64_t)64 << 10) /* from here on pages are mapped in bulk */
#define STORE_AWAIT ((uint64_t)1 << 20)  /* a block of this size is waited for rather than made, */
#define STORE_AWAIT_BLOCKS 3u            /* once there are so many, */
#define STORE_HASTE 8u                   /* unless it was in vain lately */
#ifndef STORE_SLACK
#define STORE_SLACK ((uint64_t)1 << 20) /* an item of any size is let into a store that has no more than this */
#endif

/* Asks for so many more bytes. -EAGAIN: they are more than the budget allows, even after all that is free was given
 * back. `own`: what the block that they are for has already. */
static inline int memory_charge(const struct store *s, uint64_t bytes, uint64_t own)
{
    uint64_t budget = s->header->budget;
    uint64_t sum = add_relaxed(&s->header->memory, bytes) + bytes;
    if (budget == 0 || sum <= budget)
        return 0;
    for (int trimmed = 0; trimmed < 2; trimmed++) {
        sum = memory_measure(s);
        if (sum + bytes <= budget || sum <= own + STORE_SLACK) {
            store_relaxed(&s->header->memory, sum + bytes);
            return 0;
        }
        if (!trimmed)
            store_trim(s);
    }
    store_relaxed(&s->header->memory, sum);
    return -EAGAIN;
}

/* As madvise(), for whole pages of this system. `data` may be in the middle of one. */
static inline int memory_advise(char *data, uint64_t size, int advice)
{
    uint64_t within = (uintptr_t)data & (page_size() - 1);
    return madvise(data - within, size + within, advice);
}

/* Makes memory exist. Kernels before 5.14, and filters that refuse the call, cannot say that there is none. */
static inline int memory_populate(char *data, uint64_t size)
{
    int rc;
    while ((rc = memory_advise(data, size, MADV_POPULATE_WRITE)) < 0 && errno == EINTR)
        ;
    return rc == 0 || errno == EINVAL || errno == EPERM || errno == EACCES || errno == ENOSYS ? 0 : -ENOMEM;
}

/* What this view remembers of a large block's pages. NULL: nothing. */
static inline shared64 *touched_of(struct store *s, uint32_t class, uint32_t index)
{
    uint32_t me = family_me(s->family);
    if (index >= STORE_TOUCHED)
        return NULL;
    if (load_relaxed(&s->toucher) != me) {
        for (uint32_t c = STORE_LARGE; c < STORE_CLASSES; c++)
            for (uint32_t i = 0; load_relaxed(&s->touched[c]) != NULL && i < STORE_TOUCHED; i++)
                store_relaxed(load_relaxed(&s->touched[c]) + i, 0);
        store_relaxed(&s->toucher, me);
    }
    shared64 *found = load_acquire(&s->touched[class]); /* pairs with the CAS below, in touched_of */
    if (found != NULL)
        return found + index;
    shared64 *fresh = calloc(STORE_TOUCHED, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    if (cas_acqrel(&s->touched[class], &found, fresh)) /* pairs with the load above, in touched_of */
        return fresh + index;
    free(fresh);
    return NULL;
}

/* Maps the first `size` bytes of a large block, which exist. */
static inline void large_touch(struct store *s, uint32_t class, uint32_t index, struct large_block *b, char *data,
                               uint64_t size)
{
    shared64 *record = touched_of(s, class, index);
    uint64_t era = (uint64_t)(load_relaxed(&b->punched) & 0xffff) << 48;
    uint64_t mapped = record == NULL ? 0 : load_relaxed(record);
    mapped = (mapped ^ era) >> 48 == 0 ? mapped & TOUCHED_MASK : 0;
    if (size < mapped + STORE_TOUCH)
        return;
    memory_advise(data + mapped, ROUND_UP(size - mapped, FAMILY_PAGE),
                  MADV_POPULATE_READ); /* advice: else it happens page by page */
    if (record != NULL)
        store_relaxed(record, era | ROUND_UP(size, FAMILY_PAGE));
}

/* Makes sure that the first `size` bytes of a large block, which is ours, exist. */
static inline int large_back(struct store *s, uint32_t class, uint32_t index, struct large_block *b, char *data,
                             uint64_t size)
{
    uint64_t need = ROUND_UP(size, FAMILY_PAGE), backed = load_relaxed(&b->backed);
    if (need > backed) {
        int rc = memory_charge(s, need - backed, backed);
        if (rc == 0 && (rc = memory_populate(data + backed, need - backed)) < 0)
            sub_relaxed(&s->header->memory, need - backed);
        if (rc < 0)
            return rc;
        store_relaxed(&b->backed, need);
    }
    large_touch(s, class, index, b, data, size);
    return 0;
}

/* Makes memory for blocks from `first` on, before they are taken. They may have none yet. *charged: so many bytes were
 * asked for. */
static inline int piece_back(struct store *s, uint32_t class, uint32_t first, uint64_t *charged)
{
    uint32_t piece = class_piece(class), count = class_blocks(class) - first;
    uint64_t size = (uint64_t)(count < piece ? count : piece) << (class + 6);
    *charged = 0;
    if (class >= STORE_LARGE || (first - class_home(class)) % piece != 0)
        return 0;
    int rc = memory_charge(s, size, 0);
    if (rc < 0)
        return rc;
    char *data = region_address(s->map, class, (uint64_t)first << (class + 6));
    rc = data == NULL ? -ENOMEM : memory_populate(data, size);
    if (rc < 0)
        sub_relaxed(&s->header->memory, size);
    else
        *charged = size;
    return rc;
}

static inline void top_raise(const struct store *s, uint32_t class, uint32_t end)
{
    uint32_t top = load_relaxed(&s->header->top[class]);
    while (top < end && !cas_relaxed(&s->header->top[class], &top, end))
        ;
}

/* The lowest blocks come into use: all small ones, or one large one. The pages of small ones are made one by one, as
 * processes write to them. */
static inline int home_extend(struct store *s, uint32_t class)
{
    shared32 *top = &s->header->top[class];
    uint32_t i = load_relaxed(top), home = class_home(class);
    if (class >= STORE_LARGE) {
        while (i < home && !cas_relaxed(top, &i, i + 1))
            ;
        lease_set(&s->cursors[class], i, i + 1);
        return 0;
    }
    int rc = memory_charge(s, (uint64_t)class_piece(class) << (class + 6), 0);
    if (rc < 0)
        return rc;
    if (cas_relaxed(top, &i, home))
        add_relaxed(&s->header->memory, (uint64_t)(home - class_piece(class)) << (class + 6));
    else
        sub_relaxed(&s->header->memory, (uint64_t)class_piece(class) << (class + 6));
    return 0;
}

/* A lease of blocks above the limit, which no process uses but one that was slow. -EAGAIN: there are none, or they
 * would go over the budget. */
static inline int field_extend(struct store *s, uint32_t class)
{
    struct fields *fields = fields_of(s);
    uint32_t home = class_home(class), most = class_blocks(class);
    if (fields == NULL)
        return -ENOMEM;
    int rc = block_top(s, class) > home ? 0 : memory_populate((char *)fields, FAMILY_PAGE);
    if (rc < 0)
        return rc;
    struct field *f = &fields->of[class];
    for (uint32_t limit = load_relaxed(&f->limit);;) {
        uint32_t first = limit < home ? home : limit, end = first + class_run(class);
        if (first >= most)
            return -EAGAIN;
        uint64_t charged;
        if ((rc = piece_back(s, class, first, &charged)) < 0)
            return rc;
        end = end < most ? end : most;
        if (cas_relaxed(&f->limit, &limit, end)) {
            top_raise(s, class, piece_end(class, end));
            field_reach(f, end - home);
            lease_set(&s->cursors[class], first, end);
            return 0;
        }
        sub_relaxed(&s->header->memory, charged);
    }
}

static inline int block_extend(struct store *s, uint32_t class)
{
    return (block_top(s, class) < class_home(class) ? home_extend : field_extend)(s, class);
}

static inline void memory_abandon(struct store *s, uint32_t class, struct block *b)
{
    if (class < STORE_LARGE) {
        block_free(s, b);
        return;
    }
    add_relaxed(&s->header->idle, load_relaxed(&large_block(b)->backed));
    block_free_told(s, b);
}

static inline int memory_back(struct store *s, uint32_t class, uint32_t index, struct block *b, char *data,
                              uint64_t size)
{
    if (data == NULL)
        return -ENOMEM;
    if (class < STORE_LARGE)
        return 0;
    return large_back(s, class, index, large_block(b), data, size);
}

/* Waits for a block that another call is about to free, at most as long as making a new one would take. It waits only
 * if the user's progress shows that blocks are being freed. */
static inline int memory_await(struct store *s, uint32_t class, uint64_t size, uint32_t *index, struct block **out)
{
    uint64_t progress = load_relaxed(s->progress);
    uint32_t seen, hasty = load_relaxed(&s->hasty);
    bool moved = load_relaxed(&s->progress_seen) != progress;
    store_relaxed(&s->progress_seen, progress);
    if (!moved || size < STORE_AWAIT || block_top(s, class) < STORE_AWAIT_BLOCKS)
        return 0;
    if (hasty > 0) {
        store_relaxed(&s->hasty, hasty - 1);
        return 0;
    }
    int64_t deadline = clock_now() + (int64_t)(size - size / 4); /* nanoseconds: 1.3 bytes each, where pages are made */
    for (int rc = 0; rc != -ETIMEDOUT && rc != -EINTR;) {
        if (!eventcount_enter(&s->header->freed, &seen))
            continue;
        if ((rc = block_reuse(s, class, index, out)) != 0)
            return rc;
        rc = futex_wait(&s->header->freed, seen, deadline);
    }
    store_relaxed(&s->hasty, STORE_HASTE);
    return 0;
}

/* The lease is at its end. */
static inline int block_take_more(struct store *s, uint32_t class, uint64_t size, uint32_t *index, struct block **out)
{
    store_tend(s);
    for (;;) {
        int rc = block_reuse(s, class, index, out);
        if (rc == 0 && class >= STORE_LARGE)
            rc = memory_await(s, class, size, index, out);
        if (rc != 0)
            return rc;
        rc = block_extend(s, class);
        if (rc == -EAGAIN)
            return block_reuse_any(s, class, index, out);
        if (rc < 0)
            return rc;
    }
}

/* The block that this process gave back last is in its caches. It may lie in front of a sweep, which does not matter.
 * It was in use when the sweep began, or has come there from behind the sweep in this way. */
static inline int block_find_spare(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t spare = load_relaxed(&c->spare), spared = load_relaxed(&c->spared) + 1;
    if (spare == 0)
        return 0;
    store_relaxed(&c->spare, 0);
    store_relaxed(&c->spared, spared);
    if (unlikely(spared % STORE_RUN == 0))
        store_tend(s);
    *index = spare - 1;
    return *index < block_top(s, class) ? block_try(s, class, *index, out) : 0;
}

static inline int block_take(struct store *s, uint32_t class, uint64_t size, uint32_t *index, struct block **out)
{
    uint32_t met = 0;
    int rc = class < STORE_LARGE ? 0 : block_find_low(s, class, index, out);
    if (likely(rc == 0))
        rc = block_find_spare(s, class, index, out);
    else
        store_tend(s);
    if (rc == 0)
        rc = lease_find(s, class, &met, index, out);
    return likely(rc != 0) ? rc : block_take_more(s, class, size, index, out);
}

/* A private block for `size` bytes. -EAGAIN: over the budget. Else -ENOMEM or -EMSGSIZE. */
static inline int item_prepare(struct store *s, uint64_t size, uint32_t kind, struct store_item *item)
{
    struct block *b;
    uint32_t index = 0, class = class_for(size);
    if (unlikely(class == STORE_CLASSES))
        return -EMSGSIZE;
    int rc = block_take(s, class, size, &index, &b);
    if (unlikely(rc <= 0))
        return rc < 0 ? rc : -EAGAIN;
    if (class >= STORE_LARGE) {
        store_relaxed(&large_block(b)->shared, BLOCK_PRIVATE);
        sub_relaxed(&s->header->idle, load_relaxed(&large_block(b)->backed));
    }
    char *data = block_data(s, b, class, index);
    rc = memory_back(s, class, index, b, data, size);
    if (unlikely(rc < 0)) {
        memory_abandon(s, class, b);
        return rc;
    }
    store_relaxed(&b->about, (uint64_t)kind << 56 | size); /* published by cell_fill */
    *item = (struct store_item){.block = block_name(class, index), .data = data, .size = size, .kind = kind};
    return 0;
}

/* Maps the memory of an item in bulk, before much of it is read. */
static inline void item_touch(struct store *s, const struct store_item *item)
{
    if (item->block == NO_BLOCK || item->size < STORE_TOUCH)
        return;
    struct block *b = block_at(s, name_class(item->block), name_index(item->block));
    if (b != NULL)
        large_touch(s, name_class(item->block), name_index(item->block), large_block(b), item->data, item->size);
}

/* Gives back a free block of the class, from the top down, as the lowest are used first. A call looks at a few only, and
 * the next one goes on there, so that a queue that is drained costs no look at all its blocks for each. False: none. */
static inline bool large_give_back(struct store *s, uint32_t class)
{
    uint32_t top = block_top(s, class), i = load_relaxed(&s->relieving[class]);
    i = i == 0 || i > top ? top : i;
    bool given = false;
    for (uint32_t n = 0; n < 4 * TRIM_STRIDE && i > 0 && !given; n++) {
        struct block *b = block_at(s, class, --i);
        if (b == NULL)
            return false;
        given = load_relaxed(&large_block(b)->backed) != 0 && load_relaxed(&b->word) == 0 && large_trim(s, class, i, b);
    }
    store_relaxed(&s->relieving[class], i);
    return given;
}

/* After a peak. Gives back free memory as long as it is more than what is in use, and more than STORE_KEEP. */
static inline void memory_relieve(struct store *s, uint32_t class)
{
    for (int turn = 0; turn < 2; turn++) { /* more than comes free, so that it ends, but not all at once */
        uint64_t idle = load_relaxed(&s->header->idle), memory = load_relaxed(&s->header->memory);
        if ((int64_t)idle <= (int64_t)STORE_KEEP || idle <= memory - idle || !large_give_back(s, class))
            return;
    }
}

/* The item was read, or will not be put. */
static inline void item_release(struct store *s, const struct store_item *item)
{
    uint32_t class = name_class(item->block), index = name_index(item->block);
    if (item->block == NO_BLOCK)
        return;
    store_relaxed(&s->cursors[class].spare, index + 1);
    memory_abandon(s, class, block_at(s, class, index));
    if (class >= STORE_LARGE)
        memory_relieve(s, class);
}

#endif
