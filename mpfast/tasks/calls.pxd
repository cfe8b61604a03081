# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t
from mpfast.tasks.desk cimport Job


cdef class Called(Job):
    cdef object func
    cdef tuple given               # the arguments, (args, kwds), until they are dealt
    cdef uint64_t block            # the name of the task's block and 1, or 0

    cdef int leave_place(self) except -1
    cdef bint revoke(self) except -1
    cdef int arrive(self, object value, bint failed) except -1


cdef class ApplyResult(Called):
    cdef dict __dict__             # programs may set attributes
    cdef object __weakref__
    cdef readonly object _value
    cdef tuple callbacks           # the one for a value and the one for an error, or None


cdef class FutureCall(Called):
    cdef object future
    cdef object value              # for the butler to tell
