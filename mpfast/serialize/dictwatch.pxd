# SPDX-License-Identifier: MIT
from libc.stdint cimport uint64_t

cdef extern from "serialize/dictwatch.h":
    void dictwatch_begin(object first, object second)
    uint64_t dictwatch_state(object first, object second)  # never 0
