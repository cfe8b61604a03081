/* SPDX-License-Identifier: MIT */
/* Where a message ends. The headers of multiprocessing's wire, and one of our own. Numbers are big-endian.
 *
 *   length (4 bytes), message                                              up to 0x7fffffff bytes
 *   -1 (4), length (8), message                                            any length, also a small one
 *   -2 (4), count (4), length (8), count lengths (8 each), pickle, buffers between ends that both know it
 */
#ifndef MPFAST_FRAMING_H
#define MPFAST_FRAMING_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_LONG (-1)
#define FRAME_BUFFERS (-2)
#define FRAME_SHORT_MAX 0x7fffffffu
#define FRAME_HEADER 16           /* bytes of the longest header */
#define FRAME_BUFFERS_MAX 1048576 /* buffers of one message */

/* A header, as far as it has come. */
struct frame {
    uint8_t head[FRAME_HEADER];
    size_t got;
};

static inline uint64_t frame_number(const uint8_t *from, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | from[i];
    return number;
}

static inline void frame_put_number(uint8_t *to, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* What the first four bytes say. A length, FRAME_LONG, FRAME_BUFFERS, or none of these. */
static inline int32_t frame_kind(const struct frame *f) { return (int32_t)(uint32_t)frame_number(f->head, 4); }

/* How many bytes the header has, as far as one can tell. -EBADMSG if it is none. */
static inline int frame_need(const struct frame *f)
{
    if (f->got < 4)
        return 4;
    int32_t kind = frame_kind(f);
    return kind >= 0 ? 4 : kind == FRAME_LONG ? 12 : kind == FRAME_BUFFERS ? 16 : -EBADMSG;
}

/* For a whole header, the length of the message, or of the pickle in it. */
static inline uint64_t frame_length(const struct frame *f)
{
    int32_t kind = frame_kind(f);
    return kind >= 0 ? (uint64_t)kind : frame_number(f->head + (kind == FRAME_LONG ? 4 : 8), 8);
}

/* For a header of FRAME_BUFFERS, how many buffers follow the pickle. */
static inline uint32_t frame_count(const struct frame *f) { return (uint32_t)frame_number(f->head + 4, 4); }

static inline size_t frame_header_size(uint64_t length) { return length <= FRAME_SHORT_MAX ? 4 : 12; }

/* Writes the header of a plain message. Returns its length. */
static inline size_t frame_header(uint8_t *to, uint64_t length, bool longer)
{
    if (!longer && length <= FRAME_SHORT_MAX) {
        frame_put_number(to, length, 4);
        return 4;
    }
    frame_put_number(to, (uint32_t)FRAME_LONG, 4);
    frame_put_number(to + 4, length, 8);
    return 12;
}

/* Writes the fixed part of a header with buffers. The table of their lengths follows it. */
static inline size_t frame_buffers_header(uint8_t *to, uint64_t pickle, uint32_t count)
{
    frame_put_number(to, (uint32_t)FRAME_BUFFERS, 4);
    frame_put_number(to + 4, count, 4);
    frame_put_number(to + 8, pickle, 8);
    return 16;
}

static inline uint64_t frame_entry(const uint8_t *table, size_t i) { return frame_number(table + 8 * i, 8); }

static inline void frame_put_entry(uint8_t *table, size_t i, uint64_t length)
{
    frame_put_number(table + 8 * i, length, 8);
}

#endif
