# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t

cdef extern from "core/base/filesize.h" nogil:
    bint filesize_allowed(uint64_t size)
