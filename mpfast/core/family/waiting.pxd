# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t

cdef extern from "core/family/waiting.h":
    const int64_t BACKSTOP_FIRST
    const int64_t BACKSTOP_OWNED
    const int64_t BACKSTOP_IDLE
    struct waiting:
        pass
    void waiting_begin(waiting *w, int64_t deadline, int64_t longest) nogil
    void waiting_disown(waiting *w) nogil
    void waiting_end(waiting *w) nogil

cdef extern from "core/base/spin.h":
    struct spin_history:
        pass
