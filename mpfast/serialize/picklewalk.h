/* SPDX-License-Identifier: MIT */
/* Where the next opcode of a pickle begins, without loading anything. The opcodes and their arguments are those of the
 * table in Python's pickletools, protocol 5. */
#ifndef MPFAST_PICKLEWALK_H
#define MPFAST_PICKLEWALK_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the little-endian length of what follows. 0 if the opcode has none. */
static inline unsigned pickle_counted(uint8_t op)
{
    switch (op) {
    case 'C':
    case 'U':
    case 0x8a:
    case 0x8c: /* SHORT_BINBYTES, SHORT_BINSTRING, LONG1, SHORT_BINUNICODE */
        return 1;
    case 'B':
    case 'T':
    case 'X':
    case 0x8b: /* BINBYTES, BINSTRING, BINUNICODE, LONG4 */
        return 4;
    case 0x8d:
    case 0x8e:
    case 0x96: /* BINUNICODE8, BINBYTES8, BYTEARRAY8 */
        return 8;
    default:
        return 0;
    }
}

/* Bytes of an argument of fixed length. -1 if pickles of protocol 5 do not have the opcode. */
static inline int pickle_fixed(uint8_t op)
{
    switch (op) {
    case 'G':
    case 0x95: /* BINFLOAT, FRAME */
        return 8;
    case 'J':
    case 'r':
    case 'j':
    case 0x84: /* BININT, LONG_BINPUT, LONG_BINGET, EXT4 */
        return 4;
    case 'M':
    case 0x83: /* BININT2, EXT2 */
        return 2;
    case 'K':
    case 'q':
    case 'h':
    case 0x80:
    case 0x82: /* BININT1, BINPUT, BINGET, PROTO, EXT1 */
        return 1;
    case 'N':
    case '.':
    case '(':
    case ')':
    case ']':
    case '}':
    case '0':
    case '1':
    case '2':
    case 'a':
    case 'b':
    case 'd':
    case 'e':
    case 'l':
    case 'o':
    case 'Q':
    case 'R':
    case 's':
    case 't':
    case 'u':
    case 0x81:
    case 0x85:
    case 0x86:
    case 0x87:
    case 0x88:
    case 0x89:
    case 0x8f:
    case 0x90:
    case 0x91:
    case 0x92:
    case 0x93:
    case 0x94:
    case 0x97:
    case 0x98:
        return 0;
    default:
        return -1;
    }
}

/* The length of the opcode at p with its argument. `left` bytes are there. 0 if it is not whole, or unknown. */
static inline size_t pickle_opcode(const uint8_t *p, size_t left)
{
    if (left == 0)
        return 0;
    unsigned digits = pickle_counted(*p);
    if (digits == 0) {
        int fixed = pickle_fixed(*p);
        return fixed < 0 || (size_t)fixed >= left ? 0 : 1 + (size_t)fixed;
    }
    if (left < 1 + digits)
        return 0;
    uint64_t count = 0;
    for (unsigned i = digits; i > 0; i--)
        count = count << 8 | p[i];
    return count > left - 1 - digits ? 0 : 1 + digits + (size_t)count;
}

#endif
