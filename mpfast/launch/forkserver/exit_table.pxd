# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t
from mpfast.core.child.exit_table cimport exits_table


cdef class Table:
    cdef exits_table table
    cdef int fd     # -1 if there is none of our own
    cdef int maker  # the process whose object this is. A process that it forks has a copy
    cdef bint mapped

    cpdef bint want(self, uint64_t token)
    cpdef drop(self, uint64_t token)
    cdef int wait(self, uint64_t token, int64_t deadline, int server, int *code) except -1
