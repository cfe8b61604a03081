# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t

cdef int64_t deadline_of(timeout) except? -1
cdef int64_t limit_of(timeout, int64_t default) except -1
cdef int retries_of(retries, int default) except -1
cdef str name_of(func)
