# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Ring: a queue whose blocks are a ledger. A pool has one for its tasks and one for its results.

What a killed worker had in a ring is marked as lost instead of being freed, so that the pool finds it.
"""

from mpfast.channel.channel cimport Channel
from mpfast.core.family.slots cimport SLOT_LARGE, SLOT_QUEUE
from mpfast.core.queue.queue cimport queue_header
from mpfast.core.tasks.workers cimport ring_init


cdef class Ring(Channel):
    """A new ring. The pool's process makes it, and its workers inherit or unpickle it."""

    def __init__(self):
        self.claim(SLOT_LARGE, SLOT_QUEUE)
        ring_init(<queue_header *>self.cell, 0)
        self.q()
