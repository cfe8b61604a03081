# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "core/base/atomic.h":
    ctypedef struct shared32:  # opaque: Cython would turn an assignment into a hidden seq_cst store
        pass
    ctypedef struct shared64:
        pass
    uint32_t load32 "load_relaxed"(const shared32 *p) nogil
    uint64_t load64 "load_relaxed"(const shared64 *p) nogil
    uint64_t load64_acquire "load_acquire"(const shared64 *p) nogil
