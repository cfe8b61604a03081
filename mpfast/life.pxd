# SPDX-License-Identifier: MIT
from mpfast.core.child cimport sigset_t

cdef flush_streams()
cdef live(process_obj, int parent, sigset_t *before)
