# SPDX-License-Identifier: MIT
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32, shared64

cdef extern from "core/tasks/layout.h" nogil:
    enum:
        POOL_WORKERS
    enum worker_state_t "worker_state":
        pass
    enum result_kind:
        RESULT_CELLS
        RESULT_START
    struct pool_header:
        pass
    struct task:
        shared64 group
        shared64 began
        shared32 taker
        uint32_t count
        uint64_t job
        uint64_t first
        uint32_t function
        uint8_t function_kind
        uint8_t form
        uint8_t kind
        uint8_t flags
    struct result:
        shared32 count
        uint32_t worker
        uint64_t job
        uint64_t first
        uint64_t elapsed
    worker_state_t worker_state(uint32_t word)
    uint32_t worker_identity(uint32_t word)
