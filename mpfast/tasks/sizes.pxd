# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t

cdef Py_ssize_t first_groups(int workers) noexcept
cdef Py_ssize_t group_size(int64_t per, int64_t pickling, Py_ssize_t left, int workers, Py_ssize_t most) noexcept
cdef Py_ssize_t window(Py_ssize_t size, int workers) noexcept
