# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""One end of a pipe or socket. Its descriptor, the turns to use it, and what is known of the other end.

Methods may be called from any thread. One at a time reads, one writes, and the others wait for their turn. A call first
tries with the GIL held, then spins or sleeps without it (core/wire/wire.h), and is interrupted by signals.
receiving.pyx and sending.pyx add the messages.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp
from mpfast.core.base.atomic cimport load32
from mpfast.core.base.clock cimport NEVER, clock_deadline
from mpfast.core.base.posix cimport c_close
from mpfast.core.wire.turn cimport *
from mpfast.core.wire.wire cimport *
from mpfast.errors cimport raise_call, raise_errno
from mpfast.serialize.pickling cimport Place

import os

cdef Place place = Place()
pickler_names = place.add  # of the modules that have a `_ForkingPickler` for connections
cdef dict _closing = {}  # by id. Closed, but a call still uses the descriptor

cdef enum:
    KNOWN   # it is known whether the other end is one of ours. This is 0
    FRESH   # nothing was said yet
    MARKED  # our challenge had a long header
    ASKED   # we have got such a challenge


cdef class Wire:
    """One end of a connection."""

    def __cinit__(self, *args, **keywords):
        self.fd = self.open_fd = -1

    def __init__(self, handle, readable=True, writable=True):
        handle = handle.__index__()
        if handle < 0:
            raise ValueError("invalid handle")
        if not readable and not writable:
            raise ValueError("at least one of `readable` and `writable` must be True")
        self.place(handle, readable, writable)

    cdef place(self, int fd, bint readable, bint writable):
        self.fd = self.open_fd = fd
        self.reads, self.writes = readable, writable
        self.kind = wire_kind_of(fd)

    def __del__(self):
        self.shut()

    def __dealloc__(self):
        if self.open_fd >= 0:
            c_close(self.open_fd)

    def close(self):
        """Closes the connection. A call that another thread has begun may still finish. Does not block."""
        self.shut()

    cdef int shut(self) except -1:
        if self.fd >= 0:
            self.fd = -1
            try:
                for watch in tuple(self._watching or ()):
                    watch.closed()
            finally:
                if users_count(&self.users) > 0:
                    _closing[id(self)] = self
                self.release()
            return 0
        return self.release()

    cdef int release(self) except -1:
        """Closes the descriptor if it is to be closed and no call uses it."""
        cdef int fd = self.open_fd, rc
        if users_count(&self.users) > 0 or self.fd >= 0 or fd < 0:
            return 0
        self.open_fd = -1
        _closing.pop(id(self), None)
        with nogil:
            rc = -errno if c_close(fd) < 0 else 0
        return raise_errno(rc) if rc < 0 and rc != -EINTR else 0

    def fileno(self):
        """The connection's descriptor."""
        if self.fd < 0:
            raise OSError("handle is closed")
        if self.paired and not self.exposed and self.reads:
            wire_expose(self.fd, self.kind)
            self.exposed = True
        return self.fd

    @property
    def _handle(self):
        return None if self.fd < 0 else self.fileno()

    @_handle.setter
    def _handle(self, handle):
        self.fd = self.open_fd = -1 if handle is None else handle

    @property
    def closed(self):
        """True if the connection is closed."""
        return self.fd < 0

    @property
    def readable(self):
        """True if the connection is readable."""
        return self.reads

    @property
    def writable(self):
        """True if the connection is writable."""
        return self.writes

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, exc_tb):
        self.close()

    def _facts(self):
        """What a copy in another process must know. The descriptor, which stays ours too, and what we know."""
        if self.fd < 0:
            raise OSError("handle is closed")
        known = self.sends_buffers, self.takes_buffers, self.paired, self.exposed, self.torn
        return self.fd, self.reads, self.writes, known

    def _know(self, sends_buffers, takes_buffers, paired=False, exposed=False, torn=False):
        self.sends_buffers, self.takes_buffers = sends_buffers, takes_buffers
        self.paired, self.exposed, self.torn = paired, exposed, torn

    def _watchers(self):
        """The set of the event loops in which a coroutine waits."""
        if self._watching is None:
            self._watching = set()
        return self._watching

    def _lines_by_loop(self, make):
        """The waiters in each event loop. make() makes it empty. Two threads get the same."""
        if self._lines is None:
            made = make()
            if self._lines is None:
                self._lines = made
        return self._lines

    def _greet(self):
        """It is new. Whether the other end is one of ours will show."""
        self.greeting = FRESH

    cdef int check_read(self) except -1:
        if self.fd < 0:
            raise OSError("handle is closed")
        if not self.reads:
            raise OSError("connection is write-only")
        return 0

    cdef int check_write(self) except -1:
        if self.fd < 0:
            raise OSError("handle is closed")
        if not self.writes:
            raise OSError("connection is read-only")
        if self.torn:
            raise OSError("a message was interrupted in the middle: no other can follow it")
        return 0

    cdef int orphaned(self, turn *t) except -1:
        """A thread of our parent's was in the middle of a message when we were forked. It goes on in the parent."""
        return 0

    cdef bint begin_now(self, turn *t) except -1:
        """As begin(), if no other thread has the turn."""
        if turn_taken(t) and not turn_mine(t):
            return False
        self.begin(t)
        return True

    cdef int begin(self, turn *t) except -1:
        """Takes the turn to read or to write. It is given back with end()."""
        cdef uint32_t seen
        cdef int rc
        if turn_orphaned(t):
            self.orphaned(t)
        while turn_taken(t):
            if turn_mine(t):
                raise RuntimeError("reentrant call: this thread is reading from or writing to the connection already")
            seen = load32(&t.given)
            t.waiters += 1
            with nogil:
                rc = turn_wait(t, seen)
            t.waiters -= 1
            if rc == -EINTR:
                PyErr_CheckSignals()
        turn_take(t)
        users_enter(&self.users)
        return 0

    cdef int end(self, turn *t) except -1:
        turn_give(t)
        users_leave(&self.users)
        if self.fd < 0:
            self.release()
        return 0

    def _watch(self):
        """The descriptor, which stays open until _unwatch()."""
        if self.fd < 0:
            raise OSError("handle is closed")
        users_enter(&self.users)
        return self.fd

    def _unwatch(self):
        users_leave(&self.users)
        if self.fd < 0:
            self.release()

    def poll(self, timeout=0.0):
        """Is there anything to receive, or the end? Waits for it up to `timeout` seconds (None: for ever)."""
        cdef int64_t deadline
        cdef int rc
        self.check_read()
        deadline = NEVER if timeout is None else clock_deadline(timeout)
        if deadline == 0:
            rc = wire_poll(self.fd, WIRE_READABLE, 0)
        else:
            users_enter(&self.users)
            try:
                while True:
                    with nogil:
                        rc = wire_poll(self.open_fd, WIRE_READABLE, deadline)
                    if rc != -EINTR:
                        break
                    PyErr_CheckSignals()
            finally:
                users_leave(&self.users)
                if self.fd < 0:
                    self.release()
        if rc < 0 and rc != -EINTR:
            raise_errno(rc)
        return rc > 0

    # Is the other end one of ours? ----------------------------------------------------------------------------------
    #
    # multiprocessing's handshake goes on the wire as it is, but our ends give its first message and the answer a long
    # header. That is legal for any length, and only mpfast does it. So both ends know each other by the time that each
    # has proved that it has the key. Other ends do not notice.

    cdef int met(self, message, bint longer) except -1:
        """The first message has come, with a short or a long header."""
        marked = longer and len(message) <= 256
        if self.greeting == MARKED and marked:
            self.sends_buffers = self.takes_buffers = True
        asked = self.greeting == FRESH and marked and message.startswith(b"#CHALLENGE#")
        self.greeting = ASKED if asked else KNOWN
        return 0

    cdef bint greet(self, const char *data, size_t size):
        """Shall this message, the first that we send, have a long header?"""
        cdef int before = self.greeting
        self.greeting = KNOWN
        if before == ASKED:
            self.sends_buffers = self.takes_buffers = True
            return True
        if before == FRESH and size > 11 and memcmp(data, b"#CHALLENGE#", 11) == 0:
            self.greeting = MARKED
            return True
        return False


def pair(cls, duplex):
    """The two ends of a new pipe, as objects of this class. [0] is the one that reads."""
    cdef int fds[2]
    cdef Wire one = cls.__new__(cls), other = cls.__new__(cls)
    cdef int rc = wire_pair(duplex, fds)
    if rc < 0:
        raise_call(rc, "socketpair" if duplex else "pipe2")
    one.place(fds[0], True, duplex)
    other.place(fds[1], duplex, True)
    one._know(True, True, True)
    other._know(True, True, True)
    return one, other


def _after_fork():
    """Called in a forked child. The calls of the parent's other threads do not end here."""
    for wire in tuple(_closing.values()):
        (<Wire>wire).release()


os.register_at_fork(after_in_child=_after_fork)
