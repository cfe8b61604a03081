# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t


cdef class Pickled:
    cdef list stream
    cdef list buffers
    cdef Py_ssize_t out_of_band  # bytes from which a buffer is listed
    cdef object carrier          # None, or a connection whose other end may be read by other code


cdef class Pickling:
    cdef readonly list stream    # the pickle, as bytes-like objects in order
    cdef readonly list buffers   # what is stored beside it, as pickle.PickleBuffer objects
    cdef object pickler
    cdef object dump
    cdef object clear_memo
    cdef Pickled made
    cdef uint64_t reducers       # the state of the tables from which dispatch_table was made
    cdef bint travels            # is it in the dispatch_table how descriptors travel?

    cdef int run(self, obj) except -1
    cdef refresh(self, uint64_t state)

cdef class Place:
    cdef dict first
    cdef dict second
    cdef uint64_t state  # of the dicts when `found` was found
    cdef object found    # None: multiprocessing's own

    cdef object look(self, uint64_t state)

cdef object replaced(Place place)
cdef Pickling pickled_by(object pickler, object obj)

cdef Py_ssize_t IN_BAND
cdef Pickling pickled(object obj, Py_ssize_t out_of_band=*, object carrier=*)
cdef void done(Pickling pickling) noexcept
cdef object loads
