/* SPDX-License-Identifier: MIT */
/* number.h: all sizes wrap and extend, all changes are whole, and what was done before an exchange is seen after it. */
#define FAMILY_PARTICIPANTS 16
#define FAMILY_SMALL_SLOTS 64
#define FAMILY_LARGE_SLOTS 64
#include "users.h"

#include "core/values/number.h"

#include <math.h>

static const int sizes[] = {1, 2, 4, 8};
static _Alignas(64) char line[64];
static uint64_t before_exchange[2];

#define FOR_SIZES(size) for (int i_ = 0, size; i_ < 4 && (size = sizes[i_], true); i_++)

static uint64_t most(int size) { return UINT64_MAX >> (64 - 8 * size); }

/* Neighbours stay as they are. */
static void *between(int size)
{
    memset(line, 0xaa, sizeof line);
    number_write(line + 8, size, 0);
    return line + 8;
}

static void expect_neighbours(int size)
{
    for (int i = 0; i < (int)sizeof line; i++)
        EXPECT(i >= 8 && i < 8 + size ? true : line[i] == (char)0xaa);
}

static void loads_and_stores(void)
{
    FOR_SIZES(size)
    {
        void *p = between(size);
        const uint64_t values[] = {0, 1, 0x7f, 0x80, most(size) / 2, most(size) / 2 + 1, most(size), UINT64_MAX};
        for (int i = 0; i < 8; i++) {
            number_write(p, size, values[i]);
            EXPECT_EQ(number_read(p, size), values[i] & most(size));
            number_store(p, size, ~values[i]);
            EXPECT_EQ(number_load(p, size), ~values[i] & most(size));
        }
        expect_neighbours(size);
        EXPECT_EQ(number_extend(most(size), size), -1);
        EXPECT_EQ(number_extend(most(size) / 2, size), (int64_t)(most(size) / 2));
        EXPECT_EQ(number_extend(most(size) / 2 + 1, size), -(int64_t)(most(size) / 2) - 1);
    }
}

static void changes(void)
{
    FOR_SIZES(size)
    {
        void *p = between(size);
        EXPECT_EQ(number_add(p, size, most(size)), 0);
        EXPECT_EQ(number_add(p, size, 3), most(size));
        EXPECT_EQ(number_swap(p, size, 0xc), 2);
        EXPECT_EQ(number_and(p, size, 0x6), 0xc);
        EXPECT_EQ(number_or(p, size, 0x3), 0x4);
        EXPECT_EQ(number_xor(p, size, 0x5), 0x7);
        EXPECT_EQ(number_load(p, size), 0x2);
        EXPECT(!number_cas(p, size, 3, 9));
        EXPECT_EQ(number_load(p, size), 0x2);
        EXPECT(number_cas(p, size, 2, UINT64_MAX - 1));
        EXPECT_EQ(number_load(p, size), most(size) - 1);
        expect_neighbours(size);
    }
}

static void floats(void)
{
    for (int size = 4; size <= 8; size += 4) {
        void *p = between(size);
        const double values[] = {0.0, -0.0, 1.5, -3.25, INFINITY, -INFINITY};
        for (int i = 0; i < 6; i++) {
            number_write(p, size, number_bits(values[i], size));
            EXPECT_EQ(memcmp(&(double){number_double(number_read(p, size), size)}, &values[i], 8), 0);
        }
        EXPECT(isnan(number_double(number_bits(NAN, size), size)));
        EXPECT(!number_cas(p, size, number_bits(0.0, size), 0));
        number_write(p, size, number_bits(-0.0, size));
        EXPECT(!number_cas(p, size, number_bits(0.0, size), 0));
        number_write(p, size, number_bits(NAN, size));
        EXPECT(number_cas(p, size, number_bits(NAN, size), number_bits(2.0, size)));
        EXPECT_EQ(number_add_double(p, size, 0.5), number_bits(2.0, size));
        EXPECT_EQ(number_load(p, size), number_bits(2.5, size));
        expect_neighbours(size);
    }
    EXPECT_EQ(number_bits(0.1, 4), number_bits((double)0.1f, 4));
    EXPECT(isinf(number_double(number_bits(1e300, 4), 4)));
}

/* Four members at once: no change is lost, whatever the others do. */
static void add_many(struct user *u)
{
    for (int i = 0; i < times(1000); i++) {
        number_add(line, 8, 1);
        number_add(line + 8, 1, 1);
        number_add_double(line + 16, 8, 1.0);
        number_add_double(line + 24, 4, u->number % 2 ? 1.0 : -1.0);
        number_xor(line + 32, 4, UINT64_C(1) << u->number);
        number_or(line + 40, 2, UINT64_C(1) << u->number);
        number_and(line + 48, 2, ~(UINT64_C(1) << u->number));
        while (true) {
            uint64_t seen = number_load(line + 56, 8);
            if (number_cas(line + 56, 8, seen, seen + 3))
                break;
        }
    }
}

static void races(void)
{
    struct family *family = family_new();
    uint64_t n = (uint64_t)times(1000);
    memset(line, 0, sizeof line);
    number_write(line + 48, 2, 0xffff);
    crowd(family, 4, false, add_many);
    EXPECT_EQ(number_load(line, 8), 4 * n);
    EXPECT_EQ(number_load(line + 8, 1), 4 * n % 256);
    EXPECT_EQ(number_load(line + 16, 8), number_bits((double)(4 * n), 8));
    EXPECT_EQ(number_load(line + 24, 4), number_bits(0.0, 4));
    EXPECT_EQ(number_load(line + 32, 4), n % 2 ? 15 : 0);
    EXPECT_EQ(number_load(line + 40, 2), 15);
    EXPECT_EQ(number_load(line + 48, 2), 0xfff0);
    EXPECT_EQ(number_load(line + 56, 8), 12 * n);
    family_end(family);
}

/* Two members hand a turn over. What one wrote before its turn ended, the other sees. */
static void take_turns(struct user *u)
{
    for (int i = 0; i < times(300); i++) {
        for (;;) {
            if (number_load(line, 4) == (uint64_t)u->number)
                break;
            sched_yield();
        }
        EXPECT_EQ(before_exchange[0], before_exchange[1]);
        before_exchange[0]++;
        before_exchange[1]++;
        if (i % 3 == 0)
            number_store(line, 4, (uint64_t)!u->number);
        else if (i % 3 == 1)
            number_swap(line, 4, (uint64_t)!u->number);
        else
            EXPECT(number_cas(line, 4, (uint64_t)u->number, (uint64_t)!u->number));
    }
}

static void turns(void)
{
    struct family *family = family_new();
    memset(line, 0, sizeof line);
    crowd(family, 2, false, take_turns);
    EXPECT_EQ(before_exchange[0], 2 * (uint64_t)times(300));
    family_end(family);
}

int main(void)
{
    begin(60);
    RUN(loads_and_stores);
    RUN(changes);
    RUN(floats);
    RUN(races);
    RUN(turns);
    return GOOD;
}
