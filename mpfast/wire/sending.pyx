# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Messages on their way out. Each takes one system call if there is room."""

from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint8_t, uint32_t
from mpfast.core.base.clock cimport NEVER
from mpfast.core.wire.framing cimport *
from mpfast.core.wire.turn cimport turn_epoch
from mpfast.core.wire.wire cimport *
from mpfast.errors cimport raise_errno
from mpfast.serialize.pickling cimport IN_BAND, Pickling, done as give_back, pickled, pickled_by, replaced
from mpfast.serialize.shortdump cimport SHORT_SIZE, short_dump, short_head
from mpfast.wire.receiving cimport Receiver
from mpfast.wire.wire cimport place

import operator

cdef enum:
    TRY    # with the GIL held
    STEP   # never waits
    BLOCK
cdef enum:
    NOGIL = 65536        # bytes from which other threads may run meanwhile
    OUT_OF_BAND = 32768  # bytes from which a buffer travels beside the pickle


cdef class Outgoing:
    """A message on its way out. Has pointers to its parts, and how much of it has been written."""

    def __dealloc__(self):
        self.release()
        PyMem_Free(self.views)
        PyMem_Free(self.parts)
        PyMem_Free(self.table)

    cdef void release(self) noexcept:
        while self.viewed > 0:
            self.viewed -= 1
            PyBuffer_Release(&self.views[self.viewed])

    cdef int finish(self) except -1:
        """All of it has been written."""
        self.release()
        if self.pickling is not None:
            give_back(self.pickling)
            self.pickling = None
        return 0

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

    cdef int fill(self) except -1:
        """Points to the header, the table of buffers, the pickle, the buffers."""
        cdef size_t total = 0, buffers = len(self.pickling.buffers)
        cdef int i
        self.count = 2
        for thing in self.pickling.stream:
            self.add(thing)
        for i in range(2, self.count):
            total += self.parts[i].iov_len
        for i, thing in enumerate(self.pickling.buffers):
            self.add(thing)
            frame_put_entry(self.table, i, self.parts[self.count - 1].iov_len)
        self.parts[0].iov_base = self.head
        self.parts[1].iov_base = self.table
        self.parts[1].iov_len = 8 * buffers
        if buffers:
            self.parts[0].iov_len = frame_buffers_header(self.head, total, <uint32_t>buffers)
        else:
            self.parts[0].iov_len = frame_header(self.head, total, False)
        return 0


cdef Outgoing outgoing(Pickling pickling):
    """The message of a pickle. It keeps the pickler until it is dropped."""
    cdef Outgoing out = Outgoing.__new__(Outgoing)
    cdef size_t buffers = len(pickling.buffers), count = len(pickling.stream) + buffers + 2
    out.pickling = pickling
    out.parts = <iovec *>PyMem_Calloc(count, sizeof(iovec))
    out.views = <Py_buffer *>PyMem_Calloc(count, sizeof(Py_buffer))
    out.table = <uint8_t *>PyMem_Calloc(buffers + 1, 8)
    if out.parts == NULL or out.views == NULL or out.table == NULL:
        raise MemoryError
    out.fill()
    return out


cdef class Sender(Receiver):
    """A connection that sends, too."""
    cdef int served(self) except -1:
        """Serves signals between two attempts to write."""
        PyErr_CheckSignals()
        if self.fd < 0:
            raise OSError("handle is closed")
        return 0

    cdef int settle(self, int mode) except -1:
        """Sends the rest of what was begun. 1 if nothing is left, 0 if there is no room (unless mode is BLOCK)."""
        cdef Outgoing out = self.unfinished
        if out is None:
            return 1
        if self.unfinished_epoch == turn_epoch:
            if not self.push(out.parts, out.count, &out.first, &out.begun, mode):
                return 0
            out.finish()
        self.unfinished = None
        return 1

    cdef int send_parts(self, iovec *parts, int count, bint large) except -1:
        """Sends a message. If it is cut off in the middle, nothing can follow."""
        cdef int first = 0
        cdef bint begun = False
        self.begin(&self.writing)
        try:
            self.check_write()
            self.settle(BLOCK)
            if large or not self.push(parts, count, &first, &begun, TRY):
                self.push(parts, count, &first, &begun, BLOCK)
        except ConnectionError:
            raise  # and so will the next
        except BaseException:
            self.torn = self.torn or begun
            raise
        finally:
            self.end(&self.writing)
        return 0

    cdef int push(self, iovec *parts, int count, int *first, bint *begun, int mode) except -1:
        """Writes what is left of the parts. 1 if that was all, 0 if there is no room (unless mode is BLOCK)."""
        cdef ssize_t n
        while True:
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
            elif n == -EAGAIN and mode != BLOCK:
                return 0
            elif n == -EAGAIN and begun[0]:
                with nogil:
                    wire_poll(self.open_fd, WIRE_WRITABLE, NEVER)
            elif n != -EINTR:
                raise_errno(<int>n)
            if mode != TRY:
                self.served()

    cdef int transmit(self, uint8_t *head, size_t headed, const char *data, size_t size, bint dotted) except -1:
        """Sends a message of a header, data and perhaps the dot that ends a pickle."""
        cdef iovec parts[3]
        parts[0].iov_base, parts[0].iov_len = head, headed
        parts[1].iov_base, parts[1].iov_len = <void *>data, size
        parts[2].iov_base, parts[2].iov_len = <void *><const char *>b".", dotted
        return self.send_parts(parts, 3, size >= NOGIL)

    cdef Pickling pickle(self, obj):
        cdef Pickling pickling
        pickler = replaced(place)
        if pickler is not None:
            return pickled_by(pickler, obj)
        if not self.sends_buffers:
            return pickled(obj, IN_BAND)
        pickling = pickled(obj, OUT_OF_BAND, self if self.paired else None)
        if pickling.buffers and (self.paired and wire_exposed(self.fd, self.kind)
                                 or len(pickling.buffers) > FRAME_BUFFERS_MAX):
            self.sends_buffers = not self.paired
            give_back(pickling)
            return pickled(obj, IN_BAND)
        return pickling

    def _exposed(self):
        """May other code read what is sent?"""
        return wire_exposed(self.fd, self.kind)

    def send(self, obj):
        """Sends an object. Blocks while there is no room. BrokenPipeError if no process can receive it any more."""
        cdef uint8_t head[FRAME_HEADER + SHORT_SIZE]
        cdef uint8_t *start
        cdef const char *data = NULL
        cdef size_t size = 0, pickled, total, headed
        cdef bint dotted
        self.check_write()
        self.greeting = 0
        if replaced(place) is not None:
            self.send_pickled(obj)
            return
        pickled = short_head(obj, head + FRAME_HEADER, &data, &size)
        dotted = pickled > 0
        if pickled == 0:
            pickled = short_dump(obj, head + FRAME_HEADER)
        if pickled == 0:
            self.send_pickled(obj)
            return
        total = pickled + size + dotted
        headed = frame_header_size(total)
        start = head + FRAME_HEADER - headed
        frame_header(start, total, False)
        self.transmit(start, headed + pickled, data, size, dotted)

    cdef int send_pickled(self, obj) except -1:
        cdef uint8_t head[FRAME_HEADER]
        cdef Outgoing out
        cdef Pickling pickling = self.pickle(obj)
        if len(pickling.stream) == 1 and not pickling.buffers and type(pickling.stream[0]) is bytes:
            data = pickling.stream[0]
            size = PyBytes_GET_SIZE(data)
            self.transmit(head, frame_header(head, size, False), PyBytes_AS_STRING(data), size, False)
            give_back(pickling)
            return 0
        out = outgoing(pickling)
        self.send_parts(out.parts, out.count, True)
        return out.finish()

    def send_bytes(self, buf, offset=0, size=None):
        """Sends `size` bytes (None: all) of a bytes-like object, from `offset` on, as one message. Blocks as send()."""
        self.check_write()
        if type(buf) is bytes and size is None and offset == 0:
            self.send_data(PyBytes_AS_STRING(buf), PyBytes_GET_SIZE(buf))
        else:
            self.send_buffer(buf, offset, size)

    cdef int send_data(self, const char *data, size_t size) except -1:
        cdef uint8_t head[FRAME_HEADER]
        cdef bint longer = self.greeting != 0 and self.greet(data, size)
        return self.transmit(head, frame_header(head, size, longer), data, size, False)

    cdef int send_buffer(self, buf, offset, size) except -1:
        cdef Py_buffer *view
        whole = PyMemoryView_FromObject(buf)
        view = PyMemoryView_GET_BUFFER(whole)
        if not PyBuffer_IsContiguous(view, b"C"):
            raise TypeError("memoryview: casts are restricted to C-contiguous views")
        offset = operator.index(offset)
        if offset < 0:
            raise ValueError("offset is negative")
        if view.len < offset:
            raise ValueError("buffer length < offset")
        size = view.len - offset if size is None else operator.index(size)
        if size < 0:
            raise ValueError("size is negative")
        elif offset + size > view.len:
            raise ValueError("buffer length < offset + size")
        return self.send_data(<char *>view.buf + <size_t>offset, size)

    def _prepare(self, obj):
        """The message of an object, for _push()."""
        self.check_write()
        self.greeting = 0
        return outgoing(self.pickle(obj))

    def _push(self, Outgoing out):
        """Writes as much as there is room for. True if that was all of it, or if others have sent the rest."""
        self.check_write()
        if not self.begin_now(&self.writing):
            return False
        try:
            self.check_write()
            return self.go_on(out)
        except BaseException as error:
            if self.unfinished is out:
                self.torn, self.unfinished = out.begun and not isinstance(error, ConnectionError), None
            raise
        finally:
            self.end(&self.writing)

    cdef bint go_on(self, Outgoing out) except -1:
        if not self.settle(STEP):
            return False
        if out.first < out.count:
            self.unfinished, self.unfinished_epoch = out, turn_epoch
            if not self.push(out.parts, out.count, &out.first, &out.begun, STEP):
                if not out.begun:
                    self.unfinished = None
                return False
            self.unfinished = None
            out.finish()
        return True


def begun(Outgoing out):
    """Has any of the message been written?"""
    return out.begun
