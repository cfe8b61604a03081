# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Waiting for any of several connections, sockets and processes, by one poll(2) and no selector."""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EINTR
from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport NEVER, clock_deadline, clock_now
from mpfast.core.wire.wire cimport WIRE_READABLE, pollfd, wire_poll_all
from mpfast.errors cimport raise_errno
from mpfast.wire.wire cimport Wire


cdef enum:
    FEW = 64  # so many are looked at on the stack, and with the GIL held
    SOON = 100_000_000  # ns
    LATER = 1_000_000_000


cdef int descriptor(thing) except -1:
    """The descriptor of a thing, as selectors find it."""
    if isinstance(thing, int):
        fd = thing
    else:
        try:
            fd = int(thing.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {thing!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


cdef inline bint register(list things, pollfd *polled) except -1:
    """Fills in what poll() looks at. True: there are things other than connections and numbers, queues perhaps."""
    cdef int i, j, fd
    cdef bint others = False
    cdef set seen = set() if len(things) > FEW else None
    for i, thing in enumerate(things):
        if isinstance(thing, Wire):
            fd = (<Wire>thing).fd
            if fd < 0:
                raise OSError("handle is closed")
        else:
            fd = descriptor(thing)
            others = others or not isinstance(thing, int)
        if seen is None:
            known = False
            for j in range(i):
                known = known or polled[j].fd == fd
        else:
            known = fd in seen
            seen.add(fd)
        if known:
            raise KeyError(f"{thing!r} (FD {fd}) is already registered")
        polled[i].fd, polled[i].events, polled[i].revents = fd, WIRE_READABLE, 0
    return others


cdef inline int look(pollfd *polled, size_t count, int64_t deadline) except -1:
    cdef int rc
    if deadline == 0 and count <= FEW:
        rc = wire_poll_all(polled, count, 0)
        return rc if rc > 0 else 0
    while True:
        with nogil:
            rc = wire_poll_all(polled, count, deadline)
        if rc >= 0:
            return rc
        if rc != -EINTR:
            raise_errno(rc)
        PyErr_CheckSignals()


cdef int look_again(pollfd *polled, size_t count, int64_t deadline, list queues) except -1:
    """Also at the queues themselves, every now and then: a process that should have rung for one may have been killed."""
    cdef int64_t pause = SOON
    while True:
        until = min(deadline, clock_now() + pause)
        rc = look(polled, count, until)
        if rc > 0 or until == deadline:
            return rc
        pause = SOON if any([queue._look_again() for queue in queues]) else LATER


def wait(object_list, timeout=None):
    """Waits until something in object_list can be read, or is at its end. Returns a list of what is, in order.

    Blocks at most `timeout` seconds (None: for ever). Takes connections, sockets, sentinels of processes, descriptors
    and everything with a fileno(). ValueError for anything else, KeyError for one descriptor twice.
    """
    cdef pollfd few[FEW]
    cdef pollfd *polled = few
    cdef int64_t deadline
    cdef list things = list(object_list), queues = None
    cdef Py_ssize_t count = len(things), i
    if count > FEW:
        polled = <pollfd *>PyMem_Malloc(count * sizeof(pollfd))
        if polled == NULL:
            raise MemoryError
    try:
        if register(things, polled):
            queues = [thing for thing in things if hasattr(thing, "_look_again")]
        deadline = NEVER if timeout is None else clock_deadline(timeout)
        if (look_again(polled, count, deadline, queues) if queues else look(polled, count, deadline)) == 0:
            return []
        return [things[i] for i in range(count) if polled[i].revents != 0]
    finally:
        if polled != few:
            PyMem_Free(polled)
