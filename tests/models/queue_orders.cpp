/* SPDX-License-Identifier: MIT */
/* The memory orders of put, get and their sleepers, on what C11 allows instead of on what this machine does.
 *
 * Relacy runs the threads in random order and lets every load see any value that its order permits. Mutants are this
 * file with one order macro set to relaxed: run.py. Checked: payloads have no race, no item comes twice, and who sleeps
 * although there is an item, or room, is about to be woken. */
#include <relacy/relacy.hpp>

using rl::mo_acq_rel;
using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;
using rl::mo_seq_cst;

#define relaxed memory_order_relaxed
#ifndef ALLOC /* block_alloc: what the freer read is over */
#define ALLOC memory_order_acquire
#endif
#ifndef PUBLISH /* the CAS of the slot: payload and word; and before the look at the eventcount */
#define PUBLISH memory_order_seq_cst
#endif
#ifndef LOOK /* the load of the slot */
#define LOOK memory_order_seq_cst
#endif
#ifndef TAKE /* the CAS of the word */
#define TAKE memory_order_acq_rel
#endif
#ifndef FREE_BLOCK
#define FREE_BLOCK memory_order_release
#endif
#ifndef PASS /* the CAS of the head, before the look at the eventcount */
#define PASS memory_order_seq_cst
#endif
#ifndef LOOK_HEAD /* a putter's, before it sleeps */
#define LOOK_HEAD memory_order_seq_cst
#endif
#ifndef ASK /* the load of an eventcount */
#define ASK memory_order_seq_cst
#endif
#ifndef SET_W /* a sleeper's, before it looks again */
#define SET_W memory_order_seq_cst
#endif

enum { TICKETS = 6, BLOCKS = 2, EMPTY = 0, FREE = 0, QUEUED = 32 };

typedef rl::atomic<unsigned> word_t;

static bool cas(word_t &word, unsigned expected, unsigned desired, rl::memory_order order, rl::debug_info_param at)
{
    return word.compare_exchange_strong(expected, desired, order, at, mo_relaxed, at);
}

struct queue {
    word_t slot[TICKETS], word[BLOCKS], head, tail, items, space;
    rl::var<unsigned> payload[BLOCKS];
    bool told_getter, told_putter;
    unsigned got[TICKETS];

    void clear()
    {
        for (int i = 0; i < TICKETS; i++)
            slot[i].store(EMPTY, relaxed), got[i] = 0;
        for (int b = 0; b < BLOCKS; b++)
            word[b].store(FREE, relaxed);
        head.store(0, relaxed), tail.store(0, relaxed);
        items.store(0, relaxed), space.store(0, relaxed);
        told_getter = told_putter = false;
    }

    int alloc(unsigned me)
    {
        for (int b = 0; b < BLOCKS; b++)
            if (cas(word[b], FREE, 1 + me, ALLOC))
                return b;
        return -1;
    }

    /* The ticket, or -1 if there was no block. */
    int put(unsigned me, unsigned value)
    {
        int b = alloc(me);
        if (b < 0)
            return -1;
        payload[b]($) = value;
        unsigned t = tail.load(memory_order_acquire);
        for (;; t++) {
            if (slot[t].load(memory_order_acquire) == EMPTY) {
                word[b].store(QUEUED + t, relaxed);
                if (cas(slot[t], EMPTY, 1 + b, PUBLISH))
                    break;
            }
            cas(tail, t, t + 1, memory_order_release);
        }
        cas(tail, t, t + 1, memory_order_release);
        if (items.load(ASK) != 0)
            told_getter = true;
        return (int)t;
    }

    bool take(unsigned me, unsigned b, unsigned h)
    {
        unsigned w = word[b].load(relaxed);
        if (w != QUEUED + h || !cas(word[b], w, 1 + me, TAKE))
            return false;
        RL_ASSERT(got[h]++ == 0);
        RL_ASSERT(payload[b]($) != 0);
        payload[b]($) = 0;
        word[b].store(FREE, FREE_BLOCK);
        return true;
    }

    /* Tries from ticket h on; returns the ticket that it took, or -1 with h at the first empty one. */
    int get(unsigned me, unsigned &h)
    {
        for (;;) {
            unsigned w = slot[h].load(LOOK);
            if (w == EMPTY)
                return -1;
            bool won = take(me, w - 1, h);
            cas(head, h, h + 1, PASS);
            h++;
            if (won) {
                if (space.load(ASK) != 0)
                    told_putter = true;
                return (int)h - 1;
            }
        }
    }
};

/* Two producers, two consumers, two blocks that are used again; the second consumer sleeps when it finds nothing. */
struct transfer : rl::test_suite<transfer, 4> {
    queue q;
    int asleep; /* at this ticket */

    void before() { q.clear(), asleep = -1; }

    void thread(unsigned me)
    {
        if (me < 2) {
            for (unsigned n = 0; n < 2; n++)
                q.put(me, 10 + me * 2 + n);
            return;
        }
        unsigned h = q.head.load(memory_order_acquire);
        for (int n = 0; n < 3 && q.get(me, h) >= 0; n++)
            ;
        if (me == 3 && q.slot[h].load(LOOK) == EMPTY) {
            cas(q.items, 0, 1, SET_W);
            if (q.slot[h].load(LOOK) == EMPTY)
                asleep = (int)h;
        }
    }

    void after() { RL_ASSERT(asleep < 0 || q.slot[asleep].load(relaxed) == EMPTY || q.told_getter); }
};

/* A queue with room for one item, which is in it: a getter takes it, a putter waits for room. */
struct room : rl::test_suite<room, 2> {
    queue q;
    bool asleep;

    void before()
    {
        q.clear();
        asleep = false;
        q.payload[0]($) = 1;
        q.word[0].store(QUEUED, relaxed);
        q.slot[0].store(1, relaxed);
        q.tail.store(1, relaxed);
    }

    void thread(unsigned me)
    {
        unsigned h = 0;
        if (me == 0) {
            q.get(me, h);
        } else {
            cas(q.space, 0, 1, SET_W);
            asleep = q.head.load(LOOK_HEAD) == 0;
        }
    }

    void after() { RL_ASSERT(!asleep || q.told_putter); }
};

template <class T> static void check(const char *name)
{
    rl::test_params params;
    params.iteration_count = 60000;
    printf("%s: %s\n", name, rl::simulate<T>(params) ? "holds" : "FAILS");
}

int main() /* as pan does, it says in its output what it has found */
{
    check<transfer>("transfer");
    check<room>("room");
    return 0;
}
