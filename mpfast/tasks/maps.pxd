# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.tasks.desk cimport Many
from mpfast.tasks.parcel cimport Cells, Function


cdef bint is_plain_range(elements)


cdef class Fed(Many):
    cdef object func
    cdef Function function
    cdef uint32_t flags
    cdef Py_ssize_t at             # elements that were dealt
    cdef Py_ssize_t end            # elements that may be dealt
    cdef Py_ssize_t chunksize      # 0: as it fits
    cdef Py_ssize_t most           # elements in a group
    cdef int64_t pickling          # nanoseconds for a group
    cdef Cells cells
    cdef bint feeding
    cdef bint abandoned            # the rest is not wanted, and is let go when no element is being dealt

    cdef Py_ssize_t size_now(self)
    cdef Py_ssize_t out(self)
    cdef object next_elements(self, Py_ssize_t n)
    cdef int deal(self, Py_ssize_t n) except -1
    cdef int deal_cells(self, tuple elements) except -1
    cdef bint give_back(self, object elements, Py_ssize_t dealt)
    cdef int was_dealt(self, uint64_t name, Py_ssize_t first, Py_ssize_t n) except -1
    cdef int failed_to_deal(self, Py_ssize_t first, Py_ssize_t n, object error) except -1


cdef class MapResult(Fed):
    cdef dict __dict__             # programs may set attributes
    cdef object __weakref__
    cdef object elements
    cdef list values
    cdef readonly bint _success
    cdef readonly object _value
    cdef readonly object _callback
    cdef readonly object _error_callback
