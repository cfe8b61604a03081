# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t, uint64_t
from mpfast.core.family.family cimport family
from posix.types cimport pid_t

cdef extern from "core/family/participant.h":
    enum participant_kind:
        PARTICIPANT_FREE
        PARTICIPANT_LEFT
    participant_kind state_kind(uint64_t state) nogil
    uint32_t state_generation(uint64_t state) nogil
    pid_t state_pid(uint64_t state) nogil
    uint32_t identity_index(uint32_t word) nogil
    uint32_t identity_generation(uint32_t word) nogil
    void participant_leave(family *f) nogil
