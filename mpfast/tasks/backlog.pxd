# SPDX-License-Identifier: MIT

cdef class Backlog:
    cdef object plain      # a deque of Jobs without a priority, or with 0
    cdef list ranks        # a heap of the others
