/* SPDX-License-Identifier: MIT */
/* The CPU on which the peer was last seen. If it was another one, spinning can help. If it was this one, the peer
 * cannot act while we spin, so we give it the CPU once. A naive spin there made everything slower than sleeping. */
#ifndef MPFAST_PEERS_H
#define MPFAST_PEERS_H

#include "core/family/participant.h"
#include "core/base/spin.h"
#include "core/base/thread.h"

/* In the slot. */
struct spin {
    shared32 peers[2]; /* the last two participants that acted here, as index << 16 | CPU, newest first, 0 = none */
    shared64 lease;    /* a thread spins until then. It expires by itself, so a killed spinner costs nothing */
};

static inline uint32_t spin_mark(uint32_t me) { return identity_index(me) << 16 | thread_cpu(); }

/* Notes that this thread acts on the slot, so that its waiters can look where it runs. */
static inline void spin_here(struct spin *s, uint32_t me)
{
    uint32_t mark = spin_mark(me), last = load_relaxed(&s->peers[0]);
    if (last == mark)
        return;
    if (last >> 16 != mark >> 16)
        store_relaxed(&s->peers[1], last);
    store_relaxed(&s->peers[0], mark);
}

static inline bool mark_elsewhere(uint32_t mark, uint32_t cpu)
{
    return (mark & 0xffff) != cpu && (mark & 0xffff) != CPU_UNKNOWN && cpu != CPU_UNKNOWN;
}

/* The CPU on which the last other process that acted here was seen, or CPU_UNKNOWN. */
static inline uint32_t spin_peer_cpu(const struct spin *s, uint32_t me)
{
    for (int i = 0; i < 2; i++) {
        uint32_t mark = load_relaxed(&s->peers[i]);
        if (mark >> 16 != 0 && mark >> 16 != identity_index(me))
            return mark & 0xffff;
    }
    return CPU_UNKNOWN;
}

/* For locks. Only waiters and wakers note where they run, because a free lock's nanoseconds are dear. */
static inline void spin_note_cpu(struct family *f, uint32_t me)
{
    store_relaxed(&f->participants[identity_index(me)].cpu, (uint64_t)thread_cpu() + 1);
}

static inline bool spin_owner_elsewhere(const struct family *f, uint32_t owner)
{
    uint64_t noted = load_relaxed(&f->participants[identity_index(owner)].cpu);
    return noted != 0 && mark_elsewhere((uint32_t)(noted - 1), thread_cpu());
}

/* Tries to get by without sleeping. True is advice, as spin_until's. */
static inline bool spin_first(bool (*ready)(const void *), const void *what, struct spin *s, uint32_t me,
                              struct spin_history *h, int64_t budget)
{
    uint32_t peer = spin_peer_cpu(s, me), here = thread_cpu();
    if (peer == CPU_UNKNOWN || here == CPU_UNKNOWN)
        return false;
    return peer == here ? spin_yield(ready, what, h) : spin_until(ready, what, h, &s->lease, budget);
}

static inline bool spin_on(const shared32 *word, uint32_t seen, struct spin *s, uint32_t me, struct spin_history *h,
                           int64_t budget)
{
    struct spin_word w = {word, seen};
    return spin_first(spin_word_changed, &w, s, me, h, budget);
}

#endif
