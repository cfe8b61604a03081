# SPDX-License-Identifier: MIT
from mpfast.tasks.desk cimport Desk, Job


cdef class Places(Job):
    cdef Py_ssize_t waiters        # calls that may wait beside those that run
    cdef Py_ssize_t calls          # calls without an outcome
    cdef bint raises               # a call for which there is no place raises

    cdef bint full(self)
    cdef int take(self) except -1
    cdef int give(self) except -1
