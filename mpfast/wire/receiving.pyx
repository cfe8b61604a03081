# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Messages that come in. They are put together from pieces, however those come, and made objects.

If a call is interrupted in the middle of a message, what has come stays with the connection. The next call goes on.
"""

from cpython.buffer cimport PyBUF_ND, PyBUF_READ, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from mpfast.core.base.clock cimport NEVER
from mpfast.core.wire.framing cimport *
from mpfast.core.base.hugemem cimport hugemem_advise
from mpfast.core.wire.turn cimport turn, turn_orphaned, turn_taken
from mpfast.core.wire.wire cimport *
from mpfast.errors cimport raise_errno
from mpfast.serialize.pickling cimport loads, replaced
from mpfast.serialize.shortload cimport short_load
from mpfast.wire.wire cimport Wire, place

import operator
from multiprocessing.context import BufferTooShort

cdef extern from "serialize/picklewalk.h" nogil:
    size_t pickle_opcode(const uint8_t *p, size_t left)

cdef extern from "Python.h":
    const size_t PY_SSIZE_T_MAX

cdef enum:
    TRY    # with the GIL held. Large messages are not touched
    STEP   # never waits
    BLOCK
cdef enum:
    NOGIL = 65536      # bytes from which other threads may run meanwhile
    SPARE = 4 << 20    # pickles of NOGIL to so many bytes are received in memory that is used again
    FRAME_SLACK = 4096 # bytes by which a pickle with its buffers in it may be shorter than what is announced
cdef enum:  # opcodes of pickle
    FRAME = 0x95
    NEXT_BUFFER = 0x97
    READONLY_BUFFER = 0x98
    STOP = 0x2e
cdef list _spare = []  # at most one bytearray
cdef object NOT_YET = object()
not_yet = NOT_YET


cdef inline uint8_t *memory(part) noexcept:
    return <uint8_t *>(PyBytes_AS_STRING(part) if type(part) is bytes else PyByteArray_AS_STRING(part))


cdef class Receiver(Wire):
    """A connection that receives."""

    cdef int pull(self, uint8_t *to, size_t size, size_t *done, size_t start, int mode) except -1:
        """Fills `to` from *done on. 1 if full, 0 if not yet. The piece of the message begins at `start`."""
        cdef int rc
        cdef bint tried = self.tried
        if done[0] == size:
            return 1
        self.tried = False
        if mode == TRY:
            rc = wire_fill_now(self.open_fd, self.kind, to, size, done)
            self.tried = rc == -EAGAIN
        elif mode == STEP:
            with nogil:
                rc = wire_fill_now(self.open_fd, self.kind, to, size, done)
        else:
            with nogil:
                rc = wire_fill(self.open_fd, self.kind, to, size, done, &self.history, tried)
            if rc < 0 or rc == WIRE_SLEEP:
                rc = self.wait_for_more(rc, to, size, done)
        if rc == 0:
            self.ended(done[0] == start)
        if rc < 0 and rc != -EAGAIN and rc != -EINTR:
            raise_errno(rc)
        return rc > 0

    cdef int wait_for_more(self, int rc, uint8_t *to, size_t size, size_t *done) except? -1:
        """Goes on after signals, asleep if nothing comes, and with O_NONBLOCK if a message has begun."""
        while rc == -EAGAIN or rc == -EINTR or rc == WIRE_SLEEP:
            if rc == -EAGAIN:
                if self.frame.got == 0:
                    return raise_errno(rc)
                with nogil:
                    wire_poll(self.open_fd, WIRE_READABLE, NEVER)
            PyErr_CheckSignals()
            if self.fd < 0:
                raise OSError("handle is closed")
            with nogil:
                if rc == WIRE_SLEEP:
                    rc = wire_fill_asleep(self.open_fd, to, size, done)
                else:
                    rc = wire_fill(self.open_fd, self.kind, to, size, done, &self.history, False)
        return rc

    cdef int orphaned(self, turn *t) except -1:
        if t == &self.reading:
            self.forget()
        return 0

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
        """Where the next message begins is not known any more."""
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

    cdef object take(self, int mode, limit, bint spare):
        """The next message. It is bytes, a spare bytearray and a length, a list (a pickle and its buffers), or None."""
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
        if self.part is None and spare and NOGIL <= size <= SPARE:
            self.part = spare_memory(size)
        elif self.part is None:
            self.allocate(size, True)
        if not self.pull(memory(self.part), size, &self.done, 0, mode):
            return None
        message = self.part
        if self.greeting != 0:
            self.met(message, frame_kind(&self.frame) == FRAME_LONG)
        self.part = None
        self.done = self.frame.got = 0
        return message if type(message) is bytes else (message, size)

    cdef int allocate(self, size_t size, bint plain) except -1:
        if size > PY_SSIZE_T_MAX - 64:
            self.bad_length()
        if plain:
            self.part = PyBytes_FromStringAndSize(NULL, size)
        else:
            self.part = PyByteArray_FromStringAndSize(NULL, size)
        hugemem_advise(memory(self.part), size)
        self.done = 0
        return 0

    cdef object take_buffers(self, int mode, limit):
        """Each piece gets its memory when those before it have come. So what is only announced costs nothing."""
        cdef uint32_t count = frame_count(&self.frame)
        cdef uint64_t size = frame_length(&self.frame)
        if not self.takes_buffers or count > FRAME_BUFFERS_MAX:
            self.bad_length()
        if limit is not None and max(size, <size_t>count * 8) > limit + FRAME_SLACK:
            self.bad_length()
        if mode == TRY or self.parts is None and not self.take_table(<size_t>count * 8, mode, limit):
            return None
        if limit is not None and self.announced() > limit + FRAME_SLACK:
            self.bad_length()
        while <uint32_t>len(self.parts) <= count:
            if self.parts:
                size = frame_entry(memory(self.table), len(self.parts) - 1)
            if self.part is None:
                self.allocate(size, not self.parts)
            if not self.pull(memory(self.part), size, &self.done, 1, mode):
                return None
            self.parts.append(self.part)
            self.part = None
        parts = self.parts
        self.forget()
        return parts

    cdef bint take_table(self, size_t size, int mode, limit) except -1:
        if self.part is None:
            self.allocate(size, True)
        if not self.pull(memory(self.part), size, &self.done, 1, mode):
            return False
        self.table, self.part, self.parts = self.part, None, []
        return True

    cdef object announced(self):
        """How long the pickle and its buffers are together."""
        cdef Py_ssize_t i
        lengths = [frame_entry(memory(self.table), i) for i in range(len(self.table) // 8)]
        return sum(lengths, frame_length(&self.frame))

    cdef object message(self, limit, bint spare):
        self.check_read()
        self.begin(&self.reading)
        try:
            self.check_read()
            message = self.take(TRY, limit, spare)
            if message is None:
                message = self.take(BLOCK, limit, spare)
            if limit is not None:
                message = as_bytes(message)
                if <size_t>len(message) > limit:
                    self.bad_length()
        finally:
            self.end(&self.reading)
        return message

    def recv(self):
        """Receives an object. Blocks until there is one. EOFError if the other end was closed and nothing is left."""
        return load(self.message(None, True))

    def recv_bytes(self, maxlength=None):
        """Receives a message as bytes. Blocks until there is one.

        OSError if it is longer than maxlength. Then the connection cannot receive any more.
        """
        self.check_read()
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        return as_bytes(self.message(maxlength, False))

    def recv_bytes_into(self, buf, offset=0):
        """Receives a message into a writable buffer, from the byte `offset` on. Returns its length. Blocks as recv().

        BufferTooShort, with the message, if it does not fit.
        """
        cdef Py_buffer view
        self.check_read()
        PyObject_GetBuffer(buf, &view, PyBUF_ND)
        try:
            offset = operator.index(offset)
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
                    self.keep(to, done, size)
                    raise
                self.greeting = 0
                self.frame.got = 0
                return size
            message = as_bytes(self.take(BLOCK, None, False))
        finally:
            self.end(&self.reading)
        size = PyBytes_GET_SIZE(message)
        if size > room:
            raise BufferTooShort(message)
        memcpy(to, PyBytes_AS_STRING(message), size)
        return size

    cdef int keep(self, const uint8_t *had, size_t done, size_t size) except -1:
        """The call was interrupted. What has come of the message belongs to the next one."""
        if self.frame.got > 0 and done > 0:
            self.allocate(size, True)
            memcpy(memory(self.part), had, done)
            self.done = done
        return 0

    def _pull(self):
        """Takes the next message, for load(), or returns not_yet. Never waits."""
        self.check_read()
        if not self.begin_now(&self.reading):
            return NOT_YET
        try:
            self.check_read()
            message = self.take(STEP, None, False)
        finally:
            self.end(&self.reading)
        return NOT_YET if message is None else message


    def _whole(self):
        """OSError if a part of a message has been received, because no other process could go on with it."""
        if turn_orphaned(&self.reading):
            self.forget()
        if self.frame.got > 0 and not turn_taken(&self.reading):
            raise OSError("a message has been received in part: the connection cannot be sent to another process now")


cdef object spare_memory(size_t size):
    """A bytearray of this size or more, to be given back by load()."""
    if _spare:
        found = _spare.pop()
        if <size_t>PyByteArray_GET_SIZE(found) >= size:
            return found
    return PyByteArray_FromStringAndSize(NULL, size)


def load(message):
    """The object of a message."""
    cdef PyObject *plain
    cdef size_t size
    pickler = replaced(place)
    if pickler is not None and type(message) is not list:
        return pickler.loads(as_bytes(message))
    if type(message) is bytes:
        plain = short_load(<const uint8_t *>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        if plain == NULL:
            return loads(message)
        obj = <object>plain
        Py_DECREF(obj)
        return obj
    if type(message) is list:
        return loads(message[0], buffers=message[1:])
    memory, size = message
    obj = loads(PyMemoryView_FromMemory(PyByteArray_AS_STRING(memory), size, PyBUF_READ))
    if not _spare:
        _spare.append(memory)
    return obj


cdef bytes as_bytes(message):
    """A message as its sender would have sent it to an end that is not ours."""
    if type(message) is bytes:
        return message
    if type(message) is tuple:
        return bytes(memoryview(message[0])[:message[1]])
    return in_band(message[0], message[1:])


cdef bytes in_band(bytes pickled, list buffers):
    """The same pickle with the buffers in it. Nothing is loaded, as the caller of recv_bytes() may not trust it."""
    try:
        return with_buffers(pickled, buffers)
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"a message that is no pickle: {error}") from None


cdef bytes with_buffers(bytes pickled, list buffers):
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(pickled)
    cdef size_t at = 0, start = 0, length, size = PyBytes_GET_SIZE(pickled)
    cdef list whole = []
    beside = iter(buffers)
    while at < size:
        length = pickle_opcode(p + at, size - at)
        if length == 0:
            raise ValueError(f"its byte {at} is no opcode, or what belongs to it is missing")
        if p[at] == FRAME:  # its length would be wrong, and no pickle needs it
            whole.append(pickled[start:at])
            start = at + length
        elif p[at] == NEXT_BUFFER:
            buffer = next(beside, None)
            if buffer is None:
                raise OSError("a message with fewer buffers than its pickle needs")
            readonly = at + 1 < size and p[at + 1] == READONLY_BUFFER
            code = b"\x8e" if readonly else b"\x96"  # BINBYTES8, BYTEARRAY8
            whole += pickled[start:at], code, len(buffer).to_bytes(8, "little"), buffer
            length += readonly
            start = at + length
        at += length
        if p[at - length] == STOP:
            break
    else:
        raise ValueError("it does not end")
    whole.append(pickled[start:])
    return b"".join(whole)
