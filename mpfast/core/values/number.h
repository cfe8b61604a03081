/* SPDX-License-Identifier: MIT */
/* Numbers in memory that processes share: integers of 1, 2, 4 or 8 bytes, float and double.
 *
 * Bits travel as an uint64_t. What does not fit into the number is cut off, as ctypes does, and what is read is filled up
 * with zeros: number_extend(). Each operation is one instruction, or one store that commits it, so a process that is
 * killed anywhere leaves the old number or the new one. */
#ifndef MPFAST_NUMBER_H
#define MPFAST_NUMBER_H

#include "core/base/atomic.h"

#include <string.h>

#define NUMBER_READ(name, operation) \
    static inline uint64_t name(const void *p, int size) \
    { \
        switch (size) { \
        case 1: \
            return operation((const shared8 *)p); \
        case 2: \
            return operation((const shared16 *)p); \
        case 4: \
            return operation((const shared32 *)p); \
        default: \
            return operation((const shared64 *)p); \
        } \
    }

#define NUMBER_WRITE(name, operation) \
    static inline void name(void *p, int size, uint64_t v) \
    { \
        switch (size) { \
        case 1: \
            operation((shared8 *)p, (uint8_t)v); \
            break; \
        case 2: \
            operation((shared16 *)p, (uint16_t)v); \
            break; \
        case 4: \
            operation((shared32 *)p, (uint32_t)v); \
            break; \
        default: \
            operation((shared64 *)p, v); \
        } \
    }

#define NUMBER_CHANGE(name, operation) \
    static inline uint64_t name(void *p, int size, uint64_t v) \
    { \
        switch (size) { \
        case 1: \
            return operation((shared8 *)p, (uint8_t)v); \
        case 2: \
            return operation((shared16 *)p, (uint16_t)v); \
        case 4: \
            return operation((shared32 *)p, (uint32_t)v); \
        default: \
            return operation((shared64 *)p, v); \
        } \
    }

/* For a thread that has the number's lock, which orders them. Others may look without it, so they are whole words. */
NUMBER_READ(number_read, load_relaxed)
NUMBER_WRITE(number_write, store_relaxed)

/* Without a lock. They have one order among themselves in all processes. Changes return the old number. */
NUMBER_READ(number_load, load_seq)
NUMBER_WRITE(number_store, store_seq)
NUMBER_CHANGE(number_swap, swap_seq)
NUMBER_CHANGE(number_add, add_seq)
NUMBER_CHANGE(number_and, and_seq)
NUMBER_CHANGE(number_or, or_seq)
NUMBER_CHANGE(number_xor, xor_seq)

/* Stores `then` if the number is `expected`. */
static inline bool number_cas(void *p, int size, uint64_t expected, uint64_t then)
{
    uint8_t byte = (uint8_t)expected;
    uint16_t half = (uint16_t)expected;
    uint32_t word = (uint32_t)expected;
    switch (size) {
    case 1:
        return cas_seq((shared8 *)p, &byte, (uint8_t)then); /* pairs with number_load, number_swap and the like */
    case 2:
        return cas_seq((shared16 *)p, &half, (uint16_t)then); /* the same: pairs with number_load, number_swap */
    case 4:
        return cas_seq((shared32 *)p, &word, (uint32_t)then); /* the same: pairs with number_load, number_swap */
    default:
        return cas_seq((shared64 *)p, &expected, then); /* the same: pairs with number_load, number_swap */
    }
}

/* What of the bits fits into a number. */
static inline uint64_t number_cut(uint64_t bits, int size) { return bits & UINT64_MAX >> (64 - 8 * size); }

/* The number that the bits are, with its sign. */
static inline int64_t number_extend(uint64_t bits, int size)
{
    int shift = 64 - 8 * size;
    return (int64_t)(bits << shift) >> shift;
}

static inline double number_double(uint64_t bits, int size)
{
    uint32_t half = (uint32_t)bits;
    float single;
    double whole;
    if (size == 4) {
        memcpy(&single, &half, sizeof single);
        return (double)single;
    }
    memcpy(&whole, &bits, sizeof whole);
    return whole;
}

static inline uint64_t number_bits(double value, int size)
{
    uint64_t bits;
    uint32_t half;
    float single = (float)value;
    if (size == 4) {
        memcpy(&half, &single, sizeof half);
        return half;
    }
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Adds to a float or double. Returns the old bits. */
static inline uint64_t number_add_double(void *p, int size, double n)
{
    for (;;) {
        uint64_t seen = number_load(p, size);
        if (number_cas(p, size, seen, number_bits(number_double(seen, size) + n, size)))
            return seen;
    }
}

#endif
