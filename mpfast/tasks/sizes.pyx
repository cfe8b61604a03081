# SPDX-License-Identifier: MIT
# cython: language_level=3
"""How many elements of a job are dealt together, and how many are out at once."""

from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport MICROSECOND

cdef int64_t WORK = 200 * MICROSECOND  # what a group is to take
cdef Py_ssize_t MOST = 4096
cdef int64_t PICKLING = 8              # a group takes at least so many times as long as pickling it


cdef Py_ssize_t first_groups(int workers) noexcept:
    """How many single elements are dealt before it is known how long one takes."""
    return 4 * workers


cdef Py_ssize_t group_size(int64_t per, int64_t pickling, Py_ssize_t left, int workers, Py_ssize_t most) noexcept:
    """How many elements a group has.

    per: nanoseconds an element takes. pickling: nanoseconds that pickling a group took. left: elements that are not
    dealt yet. most: an upper limit.
    """
    cdef int64_t cost = per if per > 0 else 1
    cdef int64_t size = max(WORK // cost, PICKLING * pickling // cost)
    size = min(size, left // (2 * workers), MOST, most)
    return <Py_ssize_t>max(size, 1)


cdef Py_ssize_t window(Py_ssize_t size, int workers) noexcept:
    """How many elements may be out, dealt in groups of this size."""
    return 3 * workers * size
