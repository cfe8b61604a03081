# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport shared32, shared64

cdef extern from "core/tasks/group.h" nogil:
    enum:
        GROUP_GIVEN_UP
    enum condemned:
        CONDEMNED_LATE
        CONDEMNED_RUNNING
    uint32_t group_next(uint64_t word)
    uint32_t group_end(uint64_t word)
    int64_t group_claim(shared64 *group)
    bint group_recall(shared64 *group, uint32_t *start, uint32_t *to)
    condemned group_condemn(shared64 *group, uint32_t element, uint32_t *start, uint32_t *to)
    bint group_left(const shared64 *group, uint32_t *start, uint32_t *to)
    void result_count(shared32 *count, uint32_t n)
    uint32_t result_counted(const shared32 *count)
