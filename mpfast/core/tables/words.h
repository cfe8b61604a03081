/* SPDX-License-Identifier: MIT */
/* Bytes in shared memory, copied and compared word by word.
 *
 * The order of each word is what lets a reader trust its second look at a ref. If it has met one word of another use of
 * the block, it finds the ref changed, as that came before. */
#ifndef MPFAST_TABLES_WORDS_H
#define MPFAST_TABLES_WORDS_H

#include "core/base/atomic.h"

#include <string.h>

/* The last word of some bytes, filled up with zeros. */
static inline uint64_t words_rest(const char *from, uint64_t size)
{
    uint64_t word = 0;
    memcpy(&word, from, size);
    return word;
}

static inline void words_in(shared64 *to, const void *from, uint64_t size)
{
    const char *p = from;
    uint64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        store_release(to + i / 8, word); /* pairs with words_out and words_same */
    }
    if (i < size)
        store_release(to + i / 8, words_rest(p + i, size - i)); /* pairs with words_out and words_same */
}

static inline void words_out(void *to, const shared64 *from, uint64_t size)
{
    char *p = to;
    uint64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word = load_acquire(from + i / 8); /* pairs with words_in */
        memcpy(p + i, &word, 8);
    }
    if (i < size) {
        uint64_t word = load_acquire(from + i / 8); /* pairs with words_in */
        memcpy(p + i, &word, size - i);
    }
}

/* Are there these bytes? What is compared may be another use of the block, as with words_out. */
static inline bool words_same(const shared64 *there, const void *data, uint64_t size)
{
    const char *p = data;
    uint64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        if (load_acquire(there + i / 8) != word) /* pairs with words_in */
            return false;
    }
    return i == size || load_acquire(there + i / 8) == words_rest(p + i, size - i); /* pairs with words_in */
}

/* A hash with a seed, as Python's own differs between processes. It multiplies to 128 bits and folds, after Wang Yi's
 * wyhash. */
static inline uint64_t words_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t words_hash(uint64_t seed, const void *data, uint64_t size)
{
    const char *p = data;
    uint64_t h = seed ^ UINT64_C(0x9e3779b97f4a7c15), i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        h = words_mix(h ^ word, UINT64_C(0xe7037ed1a0b428db));
    }
    if (i < size)
        h = words_mix(h ^ words_rest(p + i, size - i), UINT64_C(0x8ebc6af09c88c6e3));
    return words_mix(h ^ size, seed ^ UINT64_C(0x589965cc75374cc3));
}

#endif
