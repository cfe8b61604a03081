# SPDX-License-Identifier: MIT
from libc.stdint cimport int32_t, uint64_t

cdef extern from "core/wire/travel.h" nogil:
    const int TRAVEL_GOODS
    const int TRAVEL_BELL_READER
    const int TRAVEL_PLACES
    struct travel_file:
        pass
    struct travel:
        uint64_t key
        int32_t pid
        int32_t fd[3]
        travel_file file[3]
    int travel_look(int fd, travel_file *file)
    bint travel_same(const travel_file *a, const travel_file *b)
    int travel_take(const travel *t)
