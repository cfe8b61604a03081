/* SPDX-License-Identifier: MIT */
/* The memory orders of a reader of a Dict, which copies first and looks again afterwards, on what C11 allows instead of
 * on what this machine does.
 *
 * Relacy runs the threads in random order and lets every load see any value that its order permits. Mutants are this
 * file with one order macro set to relaxed: run.py. Checked: what a reader finds is one version, whole, if the words that
 * it looks at again are what they were. The loads for that second look need no order: what came before them has it. */
#include <relacy/relacy.hpp>

using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;

#define relaxed memory_order_relaxed
#ifndef IN /* words_in, value_write: the payload of a block */
#define IN memory_order_release
#endif
#ifndef OUT /* words_out */
#define OUT memory_order_acquire
#endif
#ifndef COMMIT /* dict_replace, list_write: a ref */
#define COMMIT memory_order_release
#endif
#ifndef REF /* dict_try_get, list_read */
#define REF memory_order_acquire
#endif
#ifndef ENTRY /* entry_write, index_add, list_write: what lies in the rows */
#define ENTRY memory_order_release
#endif
#ifndef LOOK /* dict_find, entry_alive */
#define LOOK memory_order_acquire
#endif
#ifndef STATE_COMMIT /* dict_commit, list_commit */
#define STATE_COMMIT memory_order_release
#endif
#ifndef STATE
#define STATE memory_order_acquire
#endif
#ifndef ROOT_COMMIT /* rows_commit */
#define ROOT_COMMIT memory_order_release
#endif
#ifndef ROOT /* rows_now */
#define ROOT memory_order_acquire
#endif
#ifndef TAG_ADVANCE /* table_next_tag: it comes before the change, and after the commit of the one before */
#define TAG_ADVANCE memory_order_release
#endif
#ifndef TAG /* seen_begin */
#define TAG memory_order_acquire
#endif

enum { VERSIONS = 6 };

typedef rl::atomic<unsigned> word_t;

/* Version v of a value lies in the block that version v - 2 has had. */
struct blocks : rl::test_suite<blocks, 3> {
    word_t ref, block[2][2];

    void before()
    {
        ref.store(2, relaxed);
        for (int w = 0; w < 2; w++)
            block[0][w].store(2, relaxed), block[1][w].store(0, relaxed);
    }

    void thread(unsigned me)
    {
        for (unsigned v = 3; me == 0 && v <= VERSIONS; v++) {
            block[v % 2][0].store(v, IN), block[v % 2][1].store(v, IN);
            ref.store(v, COMMIT);
        }
        for (unsigned n = 0; me != 0 && n < 3; n++) {
            unsigned v = ref.load(REF), a = block[v % 2][0].load(OUT), b = block[v % 2][1].load(OUT);
            if (ref.load(relaxed) == v)
                RL_ASSERT(a == v && b == v);
        }
    }
};

/* Version v of the rows has the parity of version v - 2. It is made with one entry and gets another. */
struct rows : rl::test_suite<rows, 3> {
    word_t root, state[2], entry[2][2];

    void before()
    {
        root.store(2, relaxed);
        state[0].store(1, relaxed), state[1].store(0, relaxed);
        for (int p = 0; p < 2; p++)
            entry[p][0].store(p == 0 ? 20 : 0, relaxed), entry[p][1].store(0, relaxed);
    }

    void thread(unsigned me)
    {
        for (unsigned v = 3; me == 0 && v <= VERSIONS; v++) {
            unsigned p = v % 2;
            entry[p][0].store(v * 10, ENTRY);
            state[p].store(1, STATE_COMMIT);
            root.store(v, ROOT_COMMIT);
            entry[p][1].store(v * 10 + 1, ENTRY);
            state[p].store(2, STATE_COMMIT);
        }
        for (unsigned n = 0; me != 0 && n < 3; n++) {
            unsigned v = root.load(ROOT), p = v % 2, used = state[p].load(STATE), found[2] = {};
            for (unsigned i = 0; i < used; i++)
                found[i] = entry[p][i].load(LOOK);
            if (root.load(relaxed) == v) {
                RL_ASSERT(used >= 1 && used <= 2);
                for (unsigned i = 0; i < used; i++)
                    RL_ASSERT(found[i] == v * 10 + i);
            }
        }
    }
};

/* Change v stores v in one of two words. A reader of both must find two that follow one another. */
struct copies : rl::test_suite<copies, 3> {
    word_t tag, value[2];

    void before() { tag.store(2, relaxed), value[0].store(2, relaxed), value[1].store(1, relaxed); }

    void thread(unsigned me)
    {
        for (unsigned v = 3; me == 0 && v <= VERSIONS; v++) {
            tag.store(v, TAG_ADVANCE);
            value[v % 2].store(v, COMMIT);
        }
        for (unsigned n = 0; me != 0 && n < 3; n++) {
            unsigned t = tag.load(TAG), a = value[0].load(REF), b = value[1].load(REF);
            if (tag.load(relaxed) == t)
                RL_ASSERT(a + 1 == b || b + 1 == a);
        }
    }
};

template <class T> static void check(const char *name)
{
    rl::test_params params;
    params.iteration_count = 60000;
    printf("%s: %s\n", name, rl::simulate<T>(params) ? "holds" : "FAILS");
}

int main() /* as pan does, it says in its output what it has found */
{
    check<blocks>("blocks");
    check<rows>("rows");
    check<copies>("copies");
    return 0;
}
