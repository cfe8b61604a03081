# SPDX-License-Identifier: MIT
from mpfast.core.child.child cimport sigset_t

cdef flush_streams()
cdef live(process_obj, int parent, sigset_t *before)
cdef bint is_own(object function, dict names)
cdef bint is_replaced(str name)
