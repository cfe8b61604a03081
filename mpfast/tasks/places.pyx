# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Places: how many calls may wait for a worker, if that is limited."""

from mpfast.core.base.clock cimport NEVER
from mpfast.tasks.desk cimport Desk, Job

from queue import Full


cdef class Places(Job):
    """What a caller waits for before it makes a call. There is one object a pool, which is no job of the pool's."""

    cdef bint full(self):
        """Has the pool as many calls as it may have? It may have a running one for each worker besides."""
        return self.calls >= self.waiters + <Py_ssize_t>self.desk.crew.size

    cdef bint satisfied(self):
        return not self.full() or self.desk.stopped or self.desk.closed or self.desk.broken is not None

    cdef int take(self) except -1:
        """Takes a place. Waits until there is one, or raises Full."""
        while self.must_wait():
            self.desk.wait_for(self, NEVER)
        self.calls += 1
        return 0

    cdef int give(self) except -1:
        """A call has an outcome."""
        self.calls -= 1
        return self.wake()

    def must_wait(self):
        """Has a call to wait now? Raises Full if it may not."""
        self.desk.check()
        if self.satisfied():
            return False
        if self.raises:
            raise Full(f"{self.waiters} calls wait already")
        return True


def check_places(backlog, on_full):
    """Raises TypeError or ValueError for what is no number of calls, or nothing that can be done without a place."""
    if backlog is not None and not isinstance(backlog, int):
        raise TypeError(f"backlog must be an integer or None, not {backlog!r}")
    if backlog is not None and backlog < 0:
        raise ValueError(f"backlog must be at least 0, not {backlog!r}")
    if on_full not in ("wait", "raise"):
        raise ValueError(f"on_full must be 'wait' or 'raise', not {on_full!r}")


def set_places(Desk desk, backlog, on_full):
    """Limits how many calls may wait. None: any number."""
    cdef Places places
    if backlog is not None:
        places = Places.__new__(Places)
        places.desk, places.waiters, places.raises = desk, min(backlog, 1 << 40), on_full == "raise"
        desk.places = places
