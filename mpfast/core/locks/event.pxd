# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from mpfast.core.base.atomic cimport shared32
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history, waiting

cdef extern from "core/locks/event.h":
    struct event:
        shared32 word
    uint32_t EVENT_COUNT(uint32_t word) nogil
    bint event_is_set(const event *e) nogil
    void event_set(event *e, uint32_t me) nogil
    void event_clear(event *e) nogil
    int event_wait(family *f, uint32_t slot, uint32_t me, uint32_t since, waiting *w, spin_history *h) nogil
