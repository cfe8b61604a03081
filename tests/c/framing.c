/* SPDX-License-Identifier: MIT */
/* framing.h: headers of every kind come back as they were written, a byte at a time too; garbage is told apart. */
#include "check.h"

#include "core/wire/framing.h"

static const uint64_t lengths[] = {
    0, 1, 4, 16384, 0x7ffffffe, 0x7fffffff, 0x80000000u, 0xffffffffu, UINT64_C(1) << 32, UINT64_MAX >> 1, UINT64_MAX,
};

/* Puts the header together a byte at a time, as it may come. Returns its length. */
static size_t arrives(struct frame *f, const uint8_t *bytes, size_t size)
{
    f->got = 0;
    for (int need; (need = frame_need(f)) != (int)f->got;) {
        EXPECT(need > (int)f->got);
        EXPECT(need <= FRAME_HEADER);
        EXPECT(f->got < size);
        f->head[f->got] = bytes[f->got];
        f->got++;
    }
    return f->got;
}

static void plain(void)
{
    uint8_t bytes[FRAME_HEADER];
    struct frame f;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int longer = 0; longer < 2; longer++) {
            bool is_long = longer || lengths[i] > 0x7fffffff;
            size_t size = frame_header(bytes, lengths[i], longer);
            EXPECT_EQ(size, is_long ? 12 : 4);
            if (!longer)
                EXPECT_EQ(frame_header_size(lengths[i]), size);
            EXPECT_EQ(arrives(&f, bytes, size), size);
            EXPECT_EQ(frame_kind(&f), is_long ? FRAME_LONG : (int32_t)lengths[i]);
            EXPECT(frame_length(&f) == lengths[i]);
        }
}

static void with_buffers(void)
{
    uint8_t bytes[FRAME_HEADER];
    struct frame f;
    static const uint32_t counts[] = {0, 1, 64, FRAME_BUFFERS_MAX, FRAME_BUFFERS_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            size_t size = frame_buffers_header(bytes, lengths[i], counts[c]);
            EXPECT_EQ(size, FRAME_HEADER);
            EXPECT_EQ(arrives(&f, bytes, size), size);
            EXPECT_EQ(frame_kind(&f), FRAME_BUFFERS);
            EXPECT(frame_length(&f) == lengths[i]);
            EXPECT_EQ(frame_count(&f), counts[c]);
        }
}

static void tables(void)
{
    enum { ENTRIES = sizeof lengths / sizeof *lengths };
    uint8_t *table = malloc(8 * ENTRIES); /* exactly as large as it must be: ASan sees what goes beyond */
    EXPECT(table != NULL);
    for (size_t i = 0; i < ENTRIES; i++)
        frame_put_entry(table, i, lengths[i]);
    for (size_t i = 0; i < ENTRIES; i++)
        EXPECT(frame_entry(table, i) == lengths[i]);
    free(table);
}

/* The wire's format is the stdlib's: struct.pack("!i", n), and "!i" with -1 and "!Q". */
static void bytes_are_the_stdlibs(void)
{
    uint8_t bytes[FRAME_HEADER];
    EXPECT_EQ(frame_header(bytes, 0x01020304, false), 4);
    EXPECT(memcmp(bytes, "\1\2\3\4", 4) == 0);
    EXPECT_EQ(frame_header(bytes, UINT64_C(0x0102030405060708), false), 12);
    EXPECT(memcmp(bytes, "\xff\xff\xff\xff\1\2\3\4\5\6\7\10", 12) == 0);
    EXPECT_EQ(frame_buffers_header(bytes, 0x11, 0x01020304), 16);
    EXPECT(memcmp(bytes, "\xff\xff\xff\xfe\1\2\3\4\0\0\0\0\0\0\0\x11", 16) == 0);
}

static void garbage(void)
{
    static const int32_t kinds[] = {-3, -4, -1000, INT32_MIN, INT32_MIN + 1};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct frame f = {.got = 4};
        frame_put_number(f.head, (uint32_t)kinds[i], 4);
        EXPECT_EQ(frame_need(&f), -EBADMSG);
    }
    for (int round = 0; round < 100000; round++) {
        struct frame f = {.got = 4};
        frame_put_number(f.head, chance(UINT32_MAX), 4);
        int need = frame_need(&f);
        EXPECT(need == 4 || need == 12 || need == 16 || need == -EBADMSG);
        EXPECT((need == 4) == (frame_kind(&f) >= 0));
    }
}

int main(void)
{
    begin(30);
    RUN(plain);
    RUN(with_buffers);
    RUN(tables);
    RUN(bytes_are_the_stdlibs);
    RUN(garbage);
    return GOOD;
}
