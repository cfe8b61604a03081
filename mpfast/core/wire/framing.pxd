# SPDX-License-Identifier: MIT
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef extern from "core/wire/framing.h" nogil:
    enum:
        FRAME_LONG
        FRAME_BUFFERS
        FRAME_HEADER
        FRAME_BUFFERS_MAX
    struct frame:
        uint8_t head[16]
        size_t got
    int32_t frame_kind(const frame *f)
    int frame_need(const frame *f)
    uint64_t frame_length(const frame *f)
    uint32_t frame_count(const frame *f)
    size_t frame_header_size(uint64_t length)
    size_t frame_header(uint8_t *to, uint64_t length, bint longer)
    size_t frame_buffers_header(uint8_t *to, uint64_t pickle, uint32_t count)
    uint64_t frame_entry(const uint8_t *table, size_t i)
    void frame_put_entry(uint8_t *table, size_t i, uint64_t length)
