# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Ring: the messages between a proxy and its server through shared memory, if both are of one family.

It is two queues, one for each direction, which the client makes and the server takes over (handle_adopt). The socket of
their connection stays open beside them. A peer that has died is heard of there. A queue itself never ends, so a wait is
cut into slices, and after each of them the waiter looks at the socket.
"""

from libc.stdint cimport int64_t
from mpfast.channel.channel cimport NOTHING, Channel
from mpfast.channel.payload cimport payload, payload_immediate, payload_measure
from mpfast.core.base.clock cimport MILLISECOND, NEVER, SECOND, clock_now
from mpfast.core.family.slots cimport SLOT_QUEUE, SLOT_SMALL, SLOT_VALUE
from mpfast.family.family cimport Handle, adopt, offer
from mpfast.serialize.pickling cimport Pickling

cdef int64_t SLICE = 100 * MILLISECOND   # a client hears of its server's death within 200 ms
cdef int64_t IDLE = SECOND               # a server has time to hear of a client's


cdef class Pass(Handle):
    """Whoever gets one when it is started is in the family. It is good for nothing else."""

    def __init__(self):
        self.claim(SLOT_SMALL, SLOT_VALUE)


cdef class RingEnd:
    """One end. `gone(fd)` says whether the other end of the socket is closed. Any one thread may use it at a time."""
    cdef Channel out
    cdef Channel into
    cdef int64_t slice
    cdef int fd
    cdef object gone

    def send(self, obj):
        """Sends an object. Raises what pickling it raises, and then nothing was sent."""
        cdef Pickling pickling
        cdef payload p
        cdef int64_t value
        if payload_immediate(obj, &value):
            self.out.put_value(value, NEVER)
            return
        pickling = payload_measure(obj, &p)
        self.out.put_payload(&p, pickling, NEVER)

    def recv(self):
        """The next object. EOFError if the other end is gone."""
        cdef bint last = False
        while True:
            item = self.into.take(clock_now() + self.slice)
            if item is None or (item is NOTHING and last):
                raise EOFError
            if item is not NOTHING:
                return item
            last = self.gone(self.fd)  # what it had sent before is there by now

    def poll(self, double seconds):
        """Is there something to receive within so many seconds?"""
        return self.into.poll(clock_now() + <int64_t>(seconds * 1e9))

    def end(self):
        """Says that nothing comes any more. Messages are tuples, so None is free for that."""
        self.send(None)


def propose():
    """Makes the two queues of a ring. Returns the client's half, and what the server's process needs to have it."""
    cdef RingEnd ring = RingEnd.__new__(RingEnd)
    ring.out, ring.into, ring.slice = Channel(0, 0), Channel(0, 0), SLICE
    return ring, (offer(ring.out), offer(ring.into))


def accept(offers, int fd, gone):
    """The server's end. ValueError if this process is not of the client's family, or if that one is gone."""
    cdef RingEnd ring = RingEnd.__new__(RingEnd)
    there, back = offers
    ring.into, ring.out = adopt(Channel, SLOT_QUEUE, there), adopt(Channel, SLOT_QUEUE, back)
    return opened(ring, fd, gone, IDLE)


def opened(RingEnd ring not None, int fd, gone, int64_t slice=SLICE):
    """The ring, once its server has it, with the socket to look at."""
    ring.fd, ring.gone, ring.slice = fd, gone, slice
    return ring
