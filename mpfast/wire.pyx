# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Messages over a pipe or socket: what Connection is made of.

Methods may be called from any thread; one at a time reads, one writes, the others wait for their turn. A call first
tries with the interpreter's lock in hand, then spins or sleeps without it (core/wire.h), and is interrupted by signals.
"""

from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_ND, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from mpfast.core.atomic cimport load32
from mpfast.core.clock cimport NEVER, clock_deadline
from mpfast.core.framing cimport *
from mpfast.core.hugemem cimport hugemem_advise
from mpfast.core.turn cimport *
from mpfast.core.wire cimport *
from mpfast.pickling cimport IN_BAND, done as give_back, loads, pickled

import os
from multiprocessing.context import BufferTooShort
from multiprocessing.reduction import ForkingPickler

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "Python.h":
    const size_t PY_SSIZE_T_MAX

cdef size_t NOGIL = 65536  # bytes from which other threads may run meanwhile
cdef Py_ssize_t OUT_OF_BAND = 32768  # bytes from which a buffer travels beside the pickle
cdef enum:
    TRY    # with the interpreter's lock in hand; large messages are not touched
    STEP   # never waits
    BLOCK
cdef enum:
    KNOWN   # whether the other end is one of ours; this is 0
    FRESH   # nothing was said yet
    MARKED  # our challenge had a long header
    ASKED   # we have got such a challenge
cdef object NOT_YET = object()
not_yet = NOT_YET


cdef int fail(int rc) except -1:
    raise OSError(-rc, os.strerror(-rc))


cdef class Outgoing:
    """A message on its way out: pointers to its parts, and how much of it has been written."""

    def __dealloc__(self):
        for i in range(self.viewed):
            PyBuffer_Release(&self.views[i])
        PyMem_Free(self.views)
        PyMem_Free(self.parts)
        PyMem_Free(self.table)

    cdef int add(self, thing) except -1:
        cdef Py_buffer *view
        cdef iovec *part = &self.parts[self.count]
        if type(thing) is bytes:
            part.iov_base, part.iov_len = PyBytes_AS_STRING(thing), PyBytes_GET_SIZE(thing)
        else:
            view = &self.views[self.viewed]
            PyObject_GetBuffer(thing, view, PyBUF_ANY_CONTIGUOUS)
            self.viewed += 1
            part.iov_base, part.iov_len = view.buf, view.len
        self.count += 1
        return 0


cdef Outgoing outgoing(Pickling pickling):
    """The message of a pickle. It keeps the pickler until it is dropped."""
    cdef Outgoing out = Outgoing.__new__(Outgoing)
    cdef size_t count = len(pickling.buffers), total = 0
    cdef size_t size = len(pickling.stream) + count + 2
    cdef int i
    out.pickling = pickling
    out.parts = <iovec *>PyMem_Calloc(size, sizeof(iovec))
    out.views = <Py_buffer *>PyMem_Calloc(size, sizeof(Py_buffer))
    out.table = <uint8_t *>PyMem_Calloc(count + 1, 8)
    if out.parts == NULL or out.views == NULL or out.table == NULL:
        raise MemoryError
    out.count = 2
    for part in pickling.stream:
        out.add(part)
    for i in range(2, out.count):
        total += out.parts[i].iov_len
    first_buffer = out.count
    for part in pickling.buffers:
        out.add(part)
        frame_put_entry(out.table, out.count - 1 - first_buffer, out.parts[out.count - 1].iov_len)
    out.parts[0].iov_base = out.head
    out.parts[1].iov_base = out.table
    out.parts[1].iov_len = 8 * count
    if count:
        out.parts[0].iov_len = frame_buffers_header(out.head, total, <uint32_t>count)
    else:
        out.parts[0].iov_len = frame_header(out.head, total, False)
    return out


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
        if self.fd >= 0:
            close(self.fd)

    # The descriptor -------------------------------------------------------------------------------------------------

    def close(self):
        """Closes the connection. What another thread has begun, it may finish."""
        self.shut()

    cdef int shut(self) except -1:
        if self.fd < 0:
            return 0
        self.fd = -1
        if self._watching:
            for watch in tuple(self._watching):
                watch.closed()
        return self.release()

    cdef int release(self) except -1:
        """Closes the descriptor if it is to be closed and nobody uses it."""
        cdef int fd = self.open_fd, rc
        if users_count(&self.users) > 0 or self.fd >= 0 or fd < 0:
            return 0
        self.open_fd = -1
        with nogil:
            rc = -errno if close(fd) < 0 else 0
        return fail(rc) if rc < 0 and rc != -EINTR else 0

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
        """What a copy in another process must know: the descriptor, without taking it from us, and what we know."""
        if self.fd < 0:
            raise OSError("handle is closed")
        return self.fd, self.reads, self.writes, (self.sends_buffers, self.takes_buffers, self.paired, self.exposed)

    def _know(self, sends_buffers, takes_buffers, paired=False, exposed=False):
        self.sends_buffers, self.takes_buffers = sends_buffers, takes_buffers
        self.paired, self.exposed = paired, exposed

    def _greet(self):
        """It is new: who is at the other end will show."""
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

    cdef int begin(self, turn *t) except -1:
        """Takes the turn to read or to write; to be given back with end()."""
        cdef uint32_t seen
        cdef int rc
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

    # Receiving ------------------------------------------------------------------------------------------------------

    cdef int pull(self, uint8_t *to, size_t size, size_t *done, size_t start, int mode) except -1:
        """Fills `to` from *done on: 1 full, 0 not yet. The piece of the message begins at `start`."""
        cdef int rc
        if mode == TRY:
            rc = wire_fill_now(self.open_fd, self.kind, to, size, done)
        elif mode == STEP:
            with nogil:
                rc = wire_fill_now(self.open_fd, self.kind, to, size, done)
        else:
            with nogil:
                rc = wire_fill(self.open_fd, self.kind, to, size, done, &self.history)
        while rc < 0 and mode == BLOCK:
            if rc == -EAGAIN:
                if self.frame.got == 0:
                    fail(rc)
                with nogil:
                    rc = wire_poll(self.open_fd, WIRE_READABLE, NEVER)
            elif rc != -EINTR:
                break
            PyErr_CheckSignals()
            if self.fd < 0:
                raise OSError("handle is closed")
            with nogil:
                rc = wire_fill(self.open_fd, self.kind, to, size, done, &self.history)
        if rc == 0:
            self.ended(done[0] == start)
        if rc < 0 and rc != -EAGAIN and rc != -EINTR:
            fail(rc)
        return rc > 0

    cdef int ended(self, bint between) except -1:
        between = between and frame_kind(&self.frame) != FRAME_BUFFERS or self.frame.got == 0
        self.forget()
        if between:
            raise EOFError
        raise OSError("got end of file during message")

    cdef forget(self):
        self.frame.got = 0
        self.table = self.part = self.parts = None
        self.done = 0

    cdef int bad_length(self) except -1:
        """Nothing that follows can be told apart."""
        self.forget()
        if self.writes:
            self.reads = False
        else:
            self.close()
        raise OSError("bad message length")

    cdef bint header(self, int mode) except -1:
        """Is the header of the message here?"""
        cdef int need
        while True:
            need = frame_need(&self.frame)
            if need < 0:
                self.bad_length()
            if self.frame.got == <size_t>need:
                return True
            if not self.pull(self.frame.head, need, &self.frame.got, 4 if self.frame.got >= 4 else 0, mode):
                return False

    cdef object take(self, int mode, limit):
        """The next message: bytes, or a list of a pickle and its buffers; None if it is not all there."""
        cdef uint64_t size
        if not self.header(mode):
            return None
        if frame_kind(&self.frame) == FRAME_BUFFERS:
            return self.take_buffers(mode, limit)
        size = frame_length(&self.frame)
        if limit is not None and size > limit:
            self.bad_length()
        if mode == TRY and size >= NOGIL:
            return None
        if self.part is None:
            self.allocate(size, True)
        if not self.pull(<uint8_t *>PyBytes_AS_STRING(self.part), size, &self.done, 0, mode):
            return None
        message = self.part
        if self.greeting != KNOWN:
            self.met(message)
        self.part = None
        self.done = self.frame.got = 0
        return message

    cdef int allocate(self, size_t size, bint plain) except -1:
        if size > PY_SSIZE_T_MAX - 64:
            self.bad_length()
        if plain:
            self.part = PyBytes_FromStringAndSize(NULL, size)
            hugemem_advise(PyBytes_AS_STRING(self.part), size)
        else:
            self.part = PyByteArray_FromStringAndSize(NULL, size)
            hugemem_advise(PyByteArray_AS_STRING(self.part), size)
        self.done = 0
        return 0

    cdef object take_buffers(self, int mode, limit):
        """Each piece gets its memory when those before it have come: what is only announced costs nothing."""
        cdef uint32_t count = frame_count(&self.frame), at
        cdef uint64_t size
        cdef uint8_t *to
        if not self.takes_buffers or count > FRAME_BUFFERS_MAX or limit is not None and frame_length(&self.frame) > limit:
            self.bad_length()
        if mode == TRY:
            return None
        if self.parts is None:
            if self.part is None:
                self.allocate(<size_t>count * 8, True)
            if not self.pull(<uint8_t *>PyBytes_AS_STRING(self.part), <size_t>count * 8, &self.done, 1, mode):
                return None
            self.table, self.part, self.parts = self.part, None, []
            if limit is not None and self.announced(count) > limit:
                self.bad_length()
        while len(self.parts) <= count:
            at = len(self.parts)
            size = frame_length(&self.frame)
            if at > 0:
                size = frame_entry(<uint8_t *>PyBytes_AS_STRING(self.table), at - 1)
            if self.part is None:
                self.allocate(size, at == 0)
            to = <uint8_t *>(PyBytes_AS_STRING(self.part) if at == 0 else PyByteArray_AS_STRING(self.part))
            if not self.pull(to, size, &self.done, 1, mode):
                return None
            self.parts.append(self.part)
            self.part = None
        parts = self.parts
        self.forget()
        return parts

    cdef object announced(self, uint32_t count):
        """The bytes of a message with buffers, without the header."""
        lengths = [frame_entry(<uint8_t *>PyBytes_AS_STRING(self.table), i) for i in range(count)]
        return sum(lengths, frame_length(&self.frame))

    cdef object message(self, limit):
        self.check_read()
        self.begin(&self.reading)
        try:
            self.check_read()
            message = self.take(TRY, limit)
            if message is None:
                message = self.take(BLOCK, limit)
        finally:
            self.end(&self.reading)
        return message

    def recv(self):
        """Receives an object; blocks until there is one. EOFError if the other end was closed and nothing is left."""
        message = self.message(None)
        if type(message) is bytes:
            return loads(message)
        return loads(message[0], buffers=message[1:])

    def recv_bytes(self, maxlength=None):
        """Receives a message as bytes; blocks until there is one.

        OSError if it is longer than maxlength; the connection is of no use for receiving then.
        """
        self.check_read()
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        return as_bytes(self.message(maxlength))

    def recv_bytes_into(self, buf, offset=0):
        """Receives a message into a writable buffer, from the byte `offset` on, and returns its length.

        BufferTooShort, with the message, if it does not fit.
        """
        cdef Py_buffer view
        self.check_read()
        PyObject_GetBuffer(buf, &view, PyBUF_ND)
        try:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > view.len:
                raise ValueError("offset too large")
            if view.readonly:
                raise TypeError(f"a read-write bytes-like object is required, not '{type(buf).__name__}'")
            return self.receive_into(<uint8_t *>view.buf + <size_t>offset, view.len - <size_t>offset)
        finally:
            PyBuffer_Release(&view)

    cdef size_t receive_into(self, uint8_t *to, size_t room) except? 0:
        cdef size_t size, done = 0
        self.begin(&self.reading)
        try:
            self.check_read()
            if not self.header(TRY):
                self.header(BLOCK)
            size = frame_length(&self.frame)
            if self.part is None and frame_kind(&self.frame) != FRAME_BUFFERS and size <= room:
                try:
                    if size >= NOGIL or not self.pull(to, size, &done, 0, TRY):
                        self.pull(to, size, &done, 0, BLOCK)
                except BaseException:
                    if self.frame.got > 0 and done > 0:  # interrupted: what has come belongs to the next call
                        self.allocate(size, True)
                        memcpy(PyBytes_AS_STRING(self.part), to, done)
                        self.done = done
                    raise
                self.greeting = KNOWN
                self.frame.got = 0
                return size
            message = as_bytes(self.take(BLOCK, None))
        finally:
            self.end(&self.reading)
        size = PyBytes_GET_SIZE(message)
        if size > room:
            raise BufferTooShort(message)
        memcpy(to, PyBytes_AS_STRING(message), size)
        return size

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
            fail(rc)
        return rc > 0

    # Who is there? --------------------------------------------------------------------------------------------------
    #
    # multiprocessing's handshake goes on the wire as it is, but our ends give its first message and the answer a long
    # header, which is legal for any length and which nobody else does. So both ends know each other by the time that
    # each has proved that it has the key; and no stranger notices.

    cdef int met(self, message) except -1:
        """The first message has come."""
        marked = frame_kind(&self.frame) == FRAME_LONG and len(message) <= 256
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

    # Sending --------------------------------------------------------------------------------------------------------

    cdef int served(self, bint begun) except -1:
        """Serves signals between two attempts to write."""
        try:
            PyErr_CheckSignals()
            if self.fd < 0:
                raise OSError("handle is closed")
        except BaseException:
            self.torn = begun
            raise
        return 0

    cdef int push(self, iovec *parts, int count, int *first, bint *begun, int mode) except -1:
        """Writes what is left of the parts: 1 all of it, 0 there is no room (unless mode is BLOCK)."""
        cdef ssize_t n
        while first[0] < count:
            some = min(count - first[0], WIRE_VECTORS)
            if mode == TRY:
                n = wire_write_now(self.open_fd, self.kind, parts + first[0], some)
            elif mode == STEP:
                with nogil:
                    n = wire_write_now(self.open_fd, self.kind, parts + first[0], some)
            else:
                with nogil:
                    n = wire_write(self.open_fd, parts + first[0], some)
            if n >= 0:
                first[0] = wire_advance(parts, first[0], count, n)
                begun[0] = True
                if first[0] == count:
                    return 1
            elif n == -EAGAIN and (mode != BLOCK or begun[0]):
                if mode != BLOCK:
                    return 0
                with nogil:
                    wire_poll(self.open_fd, WIRE_WRITABLE, NEVER)
            elif n != -EINTR:
                fail(<int>n)
            if mode != TRY:
                self.served(begun[0])
        return 1

    cdef int transmit(self, const char *data, size_t size, bint longer) except -1:
        cdef uint8_t head[FRAME_HEADER]
        cdef iovec parts[2]
        cdef int first = 0
        cdef bint begun = False
        parts[0].iov_base, parts[0].iov_len = head, frame_header(head, size, longer)
        parts[1].iov_base, parts[1].iov_len = <void *>data, size
        self.begin(&self.writing)
        try:
            self.check_write()
            if size >= NOGIL or not self.push(parts, 2, &first, &begun, TRY):
                self.push(parts, 2, &first, &begun, BLOCK)
        finally:
            self.end(&self.writing)
        return 0

    cdef Pickling pickle(self, obj):
        cdef Pickling pickling
        if not self.sends_buffers:
            return pickled(obj, IN_BAND)
        pickling = pickled(obj, OUT_OF_BAND)
        if pickling.buffers and (self.paired and wire_exposed(self.fd, self.kind)
                                 or len(pickling.buffers) > FRAME_BUFFERS_MAX):
            self.sends_buffers = not self.paired
            give_back(pickling)
            return pickled(obj, IN_BAND)
        return pickling

    def send(self, obj):
        """Sends an object. Blocks while there is no room; BrokenPipeError if nobody can receive it any more."""
        cdef Pickling pickling
        cdef Outgoing out
        self.check_write()
        pickling = self.pickle(obj)
        self.greeting = KNOWN
        if len(pickling.stream) == 1 and not pickling.buffers and type(pickling.stream[0]) is bytes:
            data = pickling.stream[0]
            self.transmit(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), False)
            give_back(pickling)
            return
        out = outgoing(pickling)
        self.begin(&self.writing)
        try:
            self.check_write()
            self.push(out.parts, out.count, &out.first, &out.begun, BLOCK)
        finally:
            self.end(&self.writing)
        del out
        give_back(pickling)

    def send_bytes(self, buf, offset=0, size=None):
        """Sends `size` bytes (None: all) of a bytes-like object, from `offset` on, as one message. Blocks as send()."""
        self.check_write()
        if type(buf) is bytes and size is None and offset == 0:
            longer = self.greeting != KNOWN and self.greet(PyBytes_AS_STRING(buf), PyBytes_GET_SIZE(buf))
            self.transmit(PyBytes_AS_STRING(buf), PyBytes_GET_SIZE(buf), longer)
        else:
            self.send_buffer(buf, offset, size)

    cdef int send_buffer(self, buf, offset, size) except -1:
        cdef Py_buffer *view
        whole = PyMemoryView_FromObject(buf)
        view = PyMemoryView_GET_BUFFER(whole)
        if not PyBuffer_IsContiguous(view, b"C"):
            raise TypeError("memoryview: casts are restricted to C-contiguous views")
        if offset < 0:
            raise ValueError("offset is negative")
        if view.len < offset:
            raise ValueError("buffer length < offset")
        if size is None:
            size = view.len - offset
        elif size < 0:
            raise ValueError("size is negative")
        elif offset + size > view.len:
            raise ValueError("buffer length < offset + size")
        longer = self.greeting != KNOWN and self.greet(<char *>view.buf + <size_t>offset, size)
        return self.transmit(<char *>view.buf + <size_t>offset, size, longer)

    # For event loops ------------------------------------------------------------------------------------------------

    def _pull(self):
        """Takes the next message, as recv() would, or returns not_yet. Never waits, but for another thread's turn."""
        self.check_read()
        self.begin(&self.reading)
        try:
            self.check_read()
            message = self.take(STEP, None)
        finally:
            self.end(&self.reading)
        return NOT_YET if message is None else message

    def _prepare(self, obj):
        """The message of an object, for _push()."""
        self.check_write()
        return outgoing(self.pickle(obj))

    def _push(self, Outgoing out):
        """Writes as much as there is room for. True if that was all of it."""
        self.check_write()
        self.begin(&self.writing)
        try:
            self.check_write()
            return bool(self.push(out.parts, out.count, &out.first, &out.begun, STEP))
        finally:
            self.end(&self.writing)


cdef bytes as_bytes(message):
    """A message as its sender would have sent it to a stranger."""
    if type(message) is bytes:
        return message
    return bytes(ForkingPickler.dumps(loads(message[0], buffers=message[1:])))


def load(message):
    """The object of what _pull() returned."""
    if type(message) is bytes:
        return loads(message)
    return loads(message[0], buffers=message[1:])


def begun(Outgoing out):
    """Has any of the message been written?"""
    return out.begun


def pair(cls, duplex):
    """The two ends of a new pipe, as objects of this class; [0] is the one that reads."""
    cdef int fds[2]
    cdef Wire one = cls.__new__(cls), other = cls.__new__(cls)
    cdef int rc = wire_pair(duplex, fds)
    if rc < 0:
        fail(rc)
    one.place(fds[0], True, duplex)
    other.place(fds[1], duplex, True)
    for wire in (one, other):
        wire._know(True, True, True)
    return one, other
