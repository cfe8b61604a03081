# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t

cdef extern from "serialize/shortdump.h":
    enum:
        SHORT_SIZE
    size_t short_dump(object obj, uint8_t *to)
    size_t short_head(object obj, uint8_t *to, const char **data, size_t *size)
