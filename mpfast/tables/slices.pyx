# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Changes of a List that look at many of its items. All of this is C, as the caller holds the lock.

Where nothing else is said, a function returns 1, 0 or a status of the core's.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset
from mpfast.core.tables.list cimport *
from mpfast.core.tables.table cimport *

cdef extern from "Python.h":
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t length, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t step) nogil


cdef void adjust(span *s, int64_t length) noexcept nogil:
    """Makes the indices those of a list of this length."""
    s.length = PySlice_AdjustIndices(length, &s.start, &s.stop, s.step)
    if s.step == 1 and s.stop < s.start:
        s.stop = s.start


cdef bint same(const table_value *a, const table_value *b) noexcept nogil:
    if a.kind != b.kind or a.size != b.size:
        return False
    return a.number == b.number if a.kind >= TABLE_KINDS else memcmp(a.data, b.data, a.size) == 0


cdef int unchanged(table *t, const table_value *values, uint64_t n) noexcept nogil:
    """Are these the first n items?"""
    cdef table_copy rows
    cdef table_value v
    cdef uint64_t i = 0
    cdef int rc
    memset(&rows, 0, sizeof(rows))
    rc = list_copy(t, 0, n, &rows)
    if rc == 0:
        rc = rows.count == n
        while rc == 1 and copy_next(&rows, &v):
            rc = same(&v, &values[i])
            i += 1
    copy_free(&rows)
    return rc


cdef int take_all(table *t, table_copy *rows, table_value **all) noexcept nogil:
    """All items. The caller gives both back, whatever comes of it."""
    cdef uint64_t i = 0
    cdef int rc
    memset(rows, 0, sizeof(table_copy))
    all[0] = NULL
    rc = list_copy(t, 0, INT64_MAX, rows)
    if rc < 0:
        return rc
    all[0] = <table_value *>malloc(rows.count * sizeof(table_value) + 1)
    if all[0] == NULL:
        return -ENOMEM
    while i < rows.count and copy_next(rows, &all[0][i]):
        i += 1
    return 1


cdef int rewrite(table *t, span *s, const table_value *values, int64_t n) noexcept nogil:
    """l[start:stop:step] = values, in one change. n == DELETE: del l[start:stop:step]. 0: the slice has not n items."""
    cdef table_copy rows
    cdef table_value *all
    cdef uint64_t left
    cdef int64_t j
    cdef int rc = take_all(t, &rows, &all)
    if rc == 1:
        left = rows.count
        adjust(s, left)
        if n == DELETE:
            left = cut(all, left, s)
        elif s.length != n:
            rc = 0
        else:
            for j in range(n):
                all[s.start + j * s.step] = values[j]
        if rc == 1 and (rc := list_splice(t, 0, rows.count, all, left)) == 0:
            rc = 1
    free(all)
    copy_free(&rows)
    return rc


cdef uint64_t cut(table_value *all, uint64_t count, const span *s) noexcept nogil:
    """Takes the items of the slice out. Returns how many are left."""
    cdef uint64_t i, left = 0
    cdef Py_ssize_t first = s.start if s.step > 0 else s.start + (s.length - 1) * s.step
    cdef Py_ssize_t step = s.step if s.step > 0 else -s.step, gone = 0
    for i in range(count):
        if gone < s.length and <Py_ssize_t>i == first + gone * step:
            gone += 1
            continue
        all[left] = all[i]
        left += 1
    return left


cdef int repeat(table *t, uint64_t times) noexcept nogil:
    """Adds all items again, so many times."""
    cdef table_copy rows
    cdef table_value *all
    cdef table_value *more = NULL
    cdef uint64_t i
    cdef int rc = take_all(t, &rows, &all)
    if rc == 1 and rows.count > 0:
        if times < <uint64_t>MOST // rows.count:
            more = <table_value *>malloc(rows.count * times * sizeof(table_value))
        if more == NULL:
            rc = -ENOMEM
        else:
            for i in range(rows.count * times):
                more[i] = all[i % rows.count]
            rc = list_extend(t, more, rows.count * times)
    free(more)
    free(all)
    copy_free(&rows)
    return rc
