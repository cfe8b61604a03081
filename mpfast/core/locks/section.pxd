# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting
from mpfast.core.locks.lock cimport lock

cdef extern from "core/locks/section.h":
    enum section:
        SECTION_BUSY
        SECTION_TAKEN
    section section_enter(lock *l, uint32_t me) nogil
    int section_wait(family *f, uint32_t slot, uint32_t me, waiting *w, spin_history *h) nogil
    bint section_inherit(lock *l, uint32_t me) nogil
    void section_leave(family *f, lock *l) nogil
