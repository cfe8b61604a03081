# SPDX-License-Identifier: MIT
from mpfast.tasks.desk cimport Sleeper
from mpfast.tasks.maps cimport Fed


cdef class Stream(Fed):
    cdef object elements           # a range, or a deque of what is not dealt yet
    cdef bint unordered
    cdef bint ended                # no more elements will come
    cdef dict found                # by index, what has come and is not yielded
    cdef object arrived            # the same without order
    cdef set known                 # without order, the indexes that have an outcome
    cdef Py_ssize_t yielded
    cdef Py_ssize_t room           # elements that may be ahead of what is yielded. 0: any number
    cdef Sleeper reader            # that thread, while it waits for room
    cdef object progress           # what is told how far it has got, or None

    cdef bint has_next(self)
    cdef int wake(self) except -1
    cdef int wake_reader(self) except -1
    cdef object pop(self)
    cdef int push_back(self, tuple found) except -1
    cdef Py_ssize_t ahead(self)


cdef class IMapIterator(Stream):
    cdef dict __dict__
    cdef object __weakref__


cdef class IMapUnorderedIterator(IMapIterator):
    pass
