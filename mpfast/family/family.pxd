# SPDX-License-Identifier: MIT
"""What the extensions share, the base of every object that lies in a family's slot."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint32_t
from mpfast.core.base.atomic cimport load32, shared32
from mpfast.core.family.family cimport family
from mpfast.core.life.reap cimport reaped
from mpfast.core.family.slots cimport slot_class, slot_kind_t
from mpfast.core.family.waiting cimport spin_history, waiting, waiting_disown


cdef class Handle:
    cdef family *family
    cdef void *cell              # the slot's memory
    cdef const shared32 *identity  # family.identity, or a word that is always 0 while the object has no slot
    cdef uint32_t slot
    cdef uint32_t generation
    cdef slot_kind_t kind
    cdef spin_history history
    cdef object __weakref__

    cdef int claim(self, slot_class which, slot_kind_t kind, bint descriptor=*) except -1
    cdef place(self, family *f, uint32_t slot, slot_kind_t kind)
    cdef int refuse(self) except -1


cdef inline uint32_t me(Handle self) except 0:
    """This process's identity in the object's family. Raises if it has none."""
    cdef uint32_t identity = load32(self.identity)
    if identity == 0:
        self.refuse()
    return identity


cdef inline int serve_signals(Handle self, uint32_t *identity, waiting *w) except -1:
    """Runs signal handlers in the middle of a wait. If one has forked, the child waits on under its own identity."""
    try:
        PyErr_CheckSignals()
    finally:
        if load32(self.identity) != identity[0]:
            waiting_disown(w)
    identity[0] = me(self)
    return 0

cdef int fail(int rc, str doing) except -1
cdef int refused(int rc, str doing, str service) except -1
cdef family *default_family() noexcept nogil
cdef reaped *reaped_here() noexcept nogil
cdef offer(Handle handle)
cdef adopt(cls, slot_kind_t kind, offered)
