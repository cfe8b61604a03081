# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t

cdef extern from "core/base/clock.h":
    const int64_t NEVER
    const int64_t MICROSECOND
    const int64_t MILLISECOND
    const int64_t SECOND
    int64_t clock_now() nogil
    int64_t clock_deadline(double seconds) nogil
