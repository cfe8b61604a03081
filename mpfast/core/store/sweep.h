/* SPDX-License-Identifier: MIT */
/* Where a process looks for a free block, and when there have to be more.
 *
 * A process leases a run of blocks and looks at one after another. A lease only says that others look elsewhere. Each
 * block is still taken by a CAS on its word. So a process that is killed takes nothing with it but a few places that no
 * process looks at until the next sweep. A process finds the next run in this order:
 *
 *   home     the lowest blocks of the class. Each process begins at a run of its own. They stay in its caches as long
 *            as few items wait, and nothing is shared with others for that.
 *   field    all blocks above, up to a limit. The processes sweep through it together, by one shared word. A sweep
 *            begins again at the front as soon as the front is free. So it keeps to as few blocks as will do.
 *   new ones above the limit. There are only more of them when the sweep has met enough blocks in use.
 *
 * Why the memory is bounded. A block in front of the sweep is only taken from the lease of an earlier sweep. New blocks
 * above the limit are behind the end of this sweep. So blocks that a sweep finds in use were all in use when it began,
 * but for one run for each process. The field grows by a piece only if the sweep has found three quarters of its blocks
 * in use (large ones: eight ninths). So it never has more than four thirds of the blocks that were in use at one time,
 * and a piece, and two runs for each process. A process that is killed between two words, or a thread that loses a
 * count to another, can only make `used` smaller. The field grows later then. One call that has itself met as many
 * blocks in use as the field has makes it grow in any case.
 *
 * Why it is fast. A sweep that meets many blocks in use either comes to the free ones behind them, or has met three for
 * each new one. */
#ifndef MPFAST_STORE_SWEEP_H
#define MPFAST_STORE_SWEEP_H

#include "core/store/block.h"

#define SWEEP_MASK ((UINT64_C(1) << 22) - 1)
#define SWEEP_USED ((UINT64_C(1) << 20) - 1)

/* In runs of the field, but `used` in pairs of runs. */
struct sweep {
    uint32_t next, end, used;
};

static inline struct sweep sweep_of(uint64_t word)
{
    return (struct sweep){word & SWEEP_MASK, word >> 22 & SWEEP_MASK, (uint32_t)(word >> 44)};
}

static inline uint64_t sweep_word(struct sweep w)
{
    uint64_t used = w.used < SWEEP_USED ? w.used : SWEEP_USED;
    return used << 44 | (w.end & SWEEP_MASK) << 22 | (w.next & SWEEP_MASK);
}

/* Where the field ends. It begins where home ends. */
static inline uint32_t field_limit(const struct store *s, const struct field *f, uint32_t class)
{
    uint32_t limit = load_relaxed(&f->limit), home = class_home(class), top = block_top(s, class);
    if (limit > top)
        limit = top;
    return limit < home ? home : limit;
}

static inline void lease_set(struct store_cursor *c, uint32_t next, uint32_t end)
{
    store_relaxed(&c->missed, 0);
    store_relaxed(&c->lease, (uint64_t)next << 32 | end);
}

/* Takes a block from what is left of the lease. 1: it has one. 0: there is none. *met grows by the blocks that were in
 * use. Threads that come here at the same time try the same blocks. */
static inline int lease_find(struct store *s, uint32_t class, uint32_t *met, uint32_t *index, struct block **out)
{
    struct store_cursor *c = &s->cursors[class];
    uint64_t lease = load_relaxed(&c->lease);
    uint32_t i = (uint32_t)(lease >> 32), end = (uint32_t)lease, top = block_top(s, class), missed = 0;
    int rc = 0;
    if (end > top) /* the memory of the rest may have been given back since */
        end = top;
    while (i < end && (rc = block_try(s, class, i++, out)) == 0)
        missed++;
    store_relaxed(&c->lease, (uint64_t)i << 32 | (uint32_t)lease);
    if (unlikely(missed > 0)) {
        *met += missed;
        store_relaxed(&c->missed, load_relaxed(&c->missed) + missed);
        store_relaxed(&c->met, load_relaxed(&c->met) + missed);
    }
    *index = i - 1;
    return rc;
}

/* Is the run hardly in use? */
static inline bool run_idle(const struct store *s, uint32_t class, uint32_t first, uint32_t run)
{
    uint32_t used = 0, step = run < 4 ? 1 : run / 4;
    for (uint32_t i = step; i <= run; i += step)
        used += !block_idle(s, class, first + i - 1);
    return used <= (run >= 4);
}

/* Leases the front of this process's own run, only as much as a few items need. Blocks that were used lately are in
 * caches. */
static inline bool lease_own(struct store *s, uint32_t class, uint32_t first)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t run = class_run(class), least = class < 3 ? 32 : 2, window = load_relaxed(&c->window);
    least = least < run ? least : run;
    window = window < least ? least : window < run ? window : run;
    if (block_idle(s, class, first + (window + 1) / 2 - 1) && block_idle(s, class, first)) {
        if (window > least && block_idle(s, class, first + window - window / 4 - 1))
            window /= 2;
        lease_set(c, first, first + window);
    } else if (window < run) {
        lease_set(c, first + window, first + 2 * window);
        window *= 2;
    } else {
        return false;
    }
    store_relaxed(&c->window, window);
    return true;
}

/* Leases blocks at home, of this process's run, or else of the one that it has not tried for longest. */
static inline bool lease_home(struct store *s, uint32_t class)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t run = class_run(class), home = class_home(class), runs = home / run;
    if (runs == 0 || block_top(s, class) < home)
        return false;
    if (lease_own(s, class, store_me(s) % runs * run))
        return true;
    uint32_t next = load_relaxed(&c->home) % runs;
    store_relaxed(&c->home, next + 1);
    if (!run_idle(s, class, next * run, run))
        return false;
    lease_set(c, next * run, (next + 1) * run);
    return true;
}

/* Is the front of the field, of which the sweep has passed so many runs, free again? Blocks nearly always come free in
 * the order in which they were taken. So it is enough to look at a few. */
static inline bool front_idle(const struct store *s, uint32_t class, uint32_t next)
{
    uint32_t run = class_run(class), home = class_home(class);
    uint32_t front = run * (class < STORE_LARGE ? (next + 1) / 2 : (next + 3) / 4);
    return next != 0 && block_idle(s, class, home + front - 1) && block_idle(s, class, home + front / 2) &&
           block_idle(s, class, home);
}

/* May the field, of so many runs, get more? met: blocks that this call has met in use. */
static inline bool field_may_grow(uint32_t class, uint32_t runs, struct sweep w, uint32_t met)
{
    uint64_t run = class_run(class), used = 2 * w.used * run, blocks = runs * run;
    used = used > met ? used : met;
    return used + used / (class < STORE_LARGE ? 3 : 8) >= blocks;
}

/* Should new blocks be taken now, rather than the next run of the sweep? */
static inline bool field_wants_more(struct store *s, uint32_t class, uint32_t runs, struct sweep w, uint32_t met)
{
    uint32_t run = class_run(class), piece = class_piece(class) / run;
    bool missed = load_relaxed(&s->cursors[class].missed) * 2 >= run;
    if (w.next < w.end && w.next < runs && !missed)
        return false;
    return (piece > 1 && runs % piece != 0) || field_may_grow(class, runs, w, met);
}

static inline void field_reach(struct field *f, uint32_t blocks)
{
    if (load_relaxed(&f->reach) < blocks)
        store_relaxed(&f->reach, blocks);
}

/* The blocks in use that this view has met and not told: in pairs of runs. */
static inline uint32_t met_take(struct store_cursor *c, uint32_t run)
{
    uint32_t met = load_relaxed(&c->met);
    store_relaxed(&c->met, met % (2 * run));
    return met / (2 * run);
}

/* Leases the next run of the sweep: 1. 0: there should be more blocks. */
static inline int lease_field(struct store *s, uint32_t class, uint32_t met)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t run = class_run(class), home = class_home(class);
    if (block_top(s, class) <= home) /* there is no field, and its page is not to be made */
        return 0;
    struct fields *fields = fields_of(s);
    if (fields == NULL)
        return -ENOMEM;
    struct field *f = &fields->of[class];
    uint64_t word = load_relaxed(&f->sweep);
    uint32_t told = met_take(c, run);
    for (;;) {
        uint32_t runs = (field_limit(s, f, class) - home) / run;
        struct sweep w = sweep_of(word);
        w.used += told;
        bool again = front_idle(s, class, w.next < runs ? w.next : runs);
        bool more = !again && field_wants_more(s, class, runs, w, met);
        if (!more && (again || w.next >= w.end || w.next >= runs))
            w = (struct sweep){0, runs, 0};
        if (runs == 0 || (more && told == 0))
            return 0;
        uint32_t first = home + w.next * run;
        w.next += !more;
        if (!cas_relaxed(&f->sweep, &word, sweep_word(w)))
            continue;
        if (more)
            return 0;
        field_reach(f, w.next * run);
        lease_set(c, first, first + run);
        return 1;
    }
}

/* Large blocks: always the lowest first, as one that exists costs a tenth of one that does not. */
static inline int block_find_low(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    uint32_t top = block_top(s, class);
    for (uint32_t i = 0; i < BLOCK_LOW && i < top; i++) {
        int rc = block_try(s, class, i, out);
        if (rc != 0) {
            *index = i;
            return rc;
        }
    }
    return 0;
}

/* An existing block that is free: 1, 0 if there should be more of them, or -ENOMEM. */
static inline int block_reuse(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    int rc = class < STORE_LARGE ? 0 : block_find_low(s, class, index, out);
    for (uint32_t met = 0; rc == 0 && (rc = lease_find(s, class, &met, index, out)) == 0;) {
        if (class < STORE_LARGE && met == 0 && lease_home(s, class))
            continue;
        int leased = lease_field(s, class, met);
        if (leased <= 0)
            return leased;
    }
    return rc;
}

/* As block_reuse, but no block is left out. Called before memory is refused. */
static inline int block_reuse_any(struct store *s, uint32_t class, uint32_t *index, struct block **out)
{
    struct store_cursor *c = &s->cursors[class];
    uint32_t top = block_top(s, class), i = (uint32_t)(load_relaxed(&c->lease) >> 32);
    for (uint32_t n = 0; n < top; n++, i++) {
        i = i < top ? i : 0;
        int rc = block_try(s, class, i, out);
        if (rc != 0) {
            *index = i;
            lease_set(c, i + 1, top);
            return rc;
        }
    }
    return 0;
}

#endif
