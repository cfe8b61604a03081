# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t


cdef class Pickling:
    cdef readonly list stream    # the pickle: bytes-like objects, in order
    cdef readonly list buffers   # what is stored beside it: pickle.PickleBuffer objects
    cdef object pickler
    cdef object dump
    cdef object clear_memo
    cdef uint64_t reducers       # the state of the tables of which dispatch_table was made

    cdef int run(self, obj) except -1
    cdef refresh(self, uint64_t state)

cdef Pickling pickled(object obj)
cdef void done(Pickling pickling) noexcept
cdef object loads
