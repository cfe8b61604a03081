# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t
from mpfast.core.family.family cimport family
from mpfast.core.family.slots cimport slot_class, slot_kind_t

cdef extern from "core/life/handle.h":
    void handle_remove(family *f, uint32_t slot) nogil
    int64_t handle_claim(family *f, slot_class which, slot_kind_t kind) nogil
    int handle_attach(family *f, uint32_t slot, slot_kind_t kind, uint32_t generation) nogil
    int handle_adopt(family *f, uint32_t slot, slot_kind_t kind, uint32_t generation, uint32_t giver) nogil
