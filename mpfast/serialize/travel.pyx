# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Descriptors that travel: a socket, a connection or a tensor in a pickle, without a visit to the resource sharer.

multiprocessing pickles a descriptor as a ticket. The receiver shows it to the resource sharer, a thread of the sender:
one connection and two HMACs for each. Here the ticket has company, the place of the descriptor in the sender's table. If
the kernel permits it, the receiver takes the descriptor from there (core/wire/travel.h), and the ticket is not needed.

The copy that the sender keeps is the resource sharer's, so it lives as long as with multiprocessing: until it is taken
in one way or the other. The bell tells the sender that it was taken. A thread attends to it, and so does each pickling.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport ESRCH
from libc.stdint cimport uint64_t
from mpfast.core.base.descriptor cimport descriptors_above
from mpfast.core.base.posix cimport O_CLOEXEC, O_NONBLOCK, POLLIN, c_close, c_poll, c_read, getpid, pipe2, pollfd
from mpfast.core.wire.travel cimport *

import contextlib
import os
import signal
import threading
from multiprocessing.resource_sharer import DupFd, _resource_sharer

cdef enum:
    TOGETHER = 20   # ms for which the thread lets the bell ring on before it listens: it wakes for many at once
    PATIENCE = 1000 # ms after which the thread ends if nothing is under way
    AT_ONCE = 256   # keys that are read by one call


cdef class Doorbell:
    """A pipe of this process, into which the receivers write the keys of what they took."""
    cdef travel place  # all of a message's but the descriptor itself
    cdef bint attended

    cdef bint open(self) noexcept:
        cdef int ends[2]
        if pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 or descriptors_above(ends) < 0:
            return False
        self.place.pid = getpid()
        self.place.fd = [-1, ends[0], ends[1]]
        for i in range(TRAVEL_BELL_READER, TRAVEL_PLACES):
            travel_look(self.place.fd[i], &self.place.file[i])
        return True

    cdef bint has(self, int i) noexcept nogil:
        """Did the program leave this end alone? It may have closed it, and have got its number for a file of its own."""
        cdef travel_file found
        return travel_look(self.place.fd[i], &found) == 0 and travel_same(&found, &self.place.file[i])

    cdef void close(self) noexcept:
        """A thread that is about to listen() must not read from another file that has got the number."""
        for i in range(TRAVEL_BELL_READER, TRAVEL_PLACES):
            if self.has(i):
                c_close(self.place.fd[i])
            self.place.fd[i] = -1

    cdef int listen(self) except -1:
        """Closes the copies of what was taken since the last time."""
        cdef uint64_t keys[AT_ONCE]
        cdef Py_ssize_t i, n = sizeof(keys)
        while n == sizeof(keys):
            n = c_read(self.place.fd[TRAVEL_BELL_READER], keys, sizeof(keys))
            for i in range(n // <Py_ssize_t>sizeof(uint64_t)):
                let_go(keys[i])
        return 0


cdef Doorbell _bell = None


cdef int let_go(uint64_t key) except -1:
    taken = _resource_sharer._cache.pop(key, None)
    if taken is not None:
        with contextlib.suppress(OSError):
            taken[1]()
    return 0


cdef Doorbell bell():
    """This process's bell. None if there is no descriptor left for it. Nothing here lets another thread run."""
    global _bell
    if _bell is not None and (_bell.place.pid != getpid() or not _bell.has(TRAVEL_BELL_READER)):
        forget()
    if _bell is None:
        made = Doorbell.__new__(Doorbell)
        if not (<Doorbell>made).open():
            return None
        _bell = made
    return _bell


def forget():
    """Called in a forked child. The bell is its parent's, and so is the thread."""
    global _bell
    old, _bell = _bell, None
    if old is not None:
        (<Doorbell>old).close()


cdef int attended(Doorbell ours) except -1:
    """Without a thread the bell is heard at the next pickling, so it is no error if none can be started."""
    if not ours.attended:
        ours.attended = True
        try:
            threading.Thread(target=attend, args=(ours,), name="mpfast-travel", daemon=True).start()
        except RuntimeError:
            ours.attended = False
    return 0


def attend(Doorbell ours):
    """The thread. It ends when the resource sharer has nothing left that could be taken."""
    global _bell
    cdef pollfd p
    cdef int rung
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    p.fd, p.events = ours.place.fd[TRAVEL_BELL_READER], POLLIN
    while True:
        with nogil:
            rung = c_poll(&p, 1, PATIENCE)
            if rung > 0:
                c_poll(NULL, 0, TOGETHER)
        whole = ours.has(TRAVEL_BELL_READER)
        if rung > 0 and whole:
            ours.listen()
        elif not whole or not _resource_sharer._cache:
            if _bell is ours:
                _bell = None
            ours.close()
            return


cdef int copy_of(shared) except? -1:
    """The descriptor that the resource sharer keeps for this ticket. -1 if the ticket is another process's."""
    address, key = shared._id
    if address != _resource_sharer._address:
        return -1
    close = _resource_sharer._cache[key][1]
    if close.__code__.co_freevars != ("new_fd",):
        return -1
    return close.__closure__[0].cell_contents


def reduce(shared):
    """How a multiprocessing.resource_sharer.DupFd is pickled for a process that has mpfast."""
    cdef Doorbell ours
    cdef travel_file file
    cdef travel t
    cdef int fd
    try:
        fd = copy_of(shared)
    except (AttributeError, LookupError, TypeError, ValueError):
        fd = -1
    if fd < 0 or travel_look(fd, &file) < 0 or (ours := bell()) is None:
        return shared.__reduce_ex__(5)
    t = ours.place
    t.key, t.fd[TRAVEL_GOODS], t.file[TRAVEL_GOODS] = shared._id[1], fd, file
    ours.listen()
    attended(ours)
    return Traveller, (shared._id, PyBytes_FromStringAndSize(<char *>&t, sizeof(t)))


def take(bytes place):
    """The descriptor, taken from its sender, or -errno."""
    cdef travel t
    cdef int fd
    if PyBytes_GET_SIZE(place) != sizeof(t):
        return -ESRCH
    t = (<travel *>PyBytes_AS_STRING(place))[0]
    with nogil:
        fd = travel_take(&t)
    return fd


class Traveller(DupFd):
    """A descriptor that has arrived in another process. It may be pickled for the next one as it is."""

    def __init__(self, ticket, place):
        self._id, self._place = ticket, place

    def __reduce__(self):
        return Traveller, (self._id, self._place)

    def detach(self):
        """Returns the descriptor, which is the caller's from then on. To be called once."""
        fd = take(self._place)
        if fd >= 0:
            return fd
        try:
            return super().detach()
        except OSError as error:
            if fd != -ESRCH or error.errno is None:
                raise
            raise OSError(error.errno, "the process that sent this descriptor ended before it was received") from error


os.register_at_fork(after_in_child=forget)
