# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.family.family cimport family

cdef extern from "core/store/map.h":
    const uint64_t WINDOW_WORDS
    void *window_map(const family *f, uint32_t slot, uint64_t offset, uint64_t size) nogil
