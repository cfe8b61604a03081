# SPDX-License-Identifier: MIT
from mpfast.core.queue.queue cimport queue, queue_end
from mpfast.core.family.waiting cimport spin_history, waiting

cdef extern from "core/life/tend.h" nogil:
    int queue_wait(queue *q, queue_end end, waiting *w, spin_history *h)
