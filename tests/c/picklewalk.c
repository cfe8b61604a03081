/* SPDX-License-Identifier: MIT */
/* picklewalk.h: opcodes of every kind have their length, and nothing is read beyond what is there. */
#include "check.h"

#include "serialize/picklewalk.h"

/* How many opcodes the bytes are, 0 if they are none; in memory of just their size, so that ASan sees more. */
static size_t walked(const char *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    EXPECT(copy != NULL);
    memcpy(copy, bytes, size);
    size_t at = 0, count = 0, length;
    while (at < size && (length = pickle_opcode(copy + at, size - at)) != 0) {
        at += length;
        count++;
    }
    free(copy);
    return at == size ? count : 0;
}

#define WALKED(bytes) walked(bytes, sizeof(bytes) - 1)

static void opcodes(void)
{
    EXPECT_EQ(WALKED("\x80\x05N."), 3);
    EXPECT_EQ(WALKED("\x80\x05\x95\x0b\0\0\0\0\0\0\0]\x94(K\1K\2K\3e."), 10);
    EXPECT_EQ(WALKED("C\3abc."), 2);
    EXPECT_EQ(WALKED("B\3\0\0\0abc."), 2);
    EXPECT_EQ(WALKED("\x8e\3\0\0\0\0\0\0\0abc."), 2);
    EXPECT_EQ(WALKED("\x96\0\0\0\0\0\0\0\0."), 2);
    EXPECT_EQ(WALKED("\x97\x98."), 3);
    EXPECT_EQ(WALKED("G12345678J1234M12r1234h1."), 6);
    EXPECT_EQ(WALKED("\x8c\0\x8a\2ab\x93R\x85\x86\x87."), 8);
}

static void not_whole(void)
{
    EXPECT_EQ(WALKED("C\4abc"), 0);
    EXPECT_EQ(WALKED("B\3\0\0"), 0);
    EXPECT_EQ(WALKED("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), 0);
    EXPECT_EQ(WALKED("J123"), 0);
    EXPECT_EQ(WALKED("cos\nsystem\n"), 0); /* of protocol 0 */
    uint8_t none = 0;
    EXPECT_EQ(pickle_opcode(&none, 0), 0);
}

static void chance_bytes(void)
{
    char bytes[64];
    for (int round = 0; round < times(200000); round++) {
        size_t size = 1 + chance(sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)chance(256);
        walked(bytes, size);
    }
}

int main(void)
{
    begin(60);
    RUN(opcodes);
    RUN(not_whole);
    RUN(chance_bytes);
    return GOOD;
}
