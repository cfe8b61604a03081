# SPDX-License-Identifier: MIT
# cython: language_level=3
"""What a value becomes in shared memory, and back.

None, bools and small ints are a number. Bytes, ASCII strings, ints, floats and small containers of plain values are
stored as they are (tree.h). Everything else is a pickle, beside which large buffers lie at multiples of 64 bytes:

    count, length of each buffer, length of the pickle (8 bytes each); pickle; buffer; buffer; ...

What is received belongs to the receiver. Large buffers are copied into fresh memory. If the queue was made with
zero_copy, they are seen through views instead, which keep the message's memory until they are collected.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_READ, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_FromDouble
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy
from mpfast.core.base.hugemem cimport hugemem_advise, hugemem_map, hugemem_unmap
from mpfast.serialize.pickling cimport Pickling, Place, done, loads, pickled, pickled_by, replaced
from mpfast.serialize.tree cimport tree_dump, tree_load

from ..errors import CorruptedQueueError

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void *PyUnicode_DATA(object)
    object PyUnicode_DecodeASCII(const char *data, Py_ssize_t size, const char *errors)
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1

cdef size_t NOGIL = 65536   # bytes from which other threads may run during a copy
cdef size_t INLINE = 4096   # bytes up to which a pickle is copied before it is loaded
cdef size_t ALIGNMENT = 64
cdef int64_t LIMIT = 1 << 31
cdef int64_t NONE, FALSE, TRUE
NONE, FALSE, TRUE = LIMIT, LIMIT + 1, LIMIT + 2
cdef Place place = Place()
pickler_names = place.add  # of the modules that have a `_ForkingPickler` for queues


cdef inline size_t aligned(size_t size) noexcept:
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1)


cdef void copy(void *to, const void *source, size_t size) noexcept:
    if size < NOGIL:
        memcpy(to, source, size)
    else:
        with nogil:
            memcpy(to, source, size)


cdef bint payload_immediate(object obj, int64_t *value):
    """Is the object one of those that a slot of the queue can hold? 33 bits of value do."""
    cdef int overflow = 0
    cdef long long number
    if obj is None:
        value[0] = NONE
    elif type(obj) is int:
        number = PyLong_AsLongLongAndOverflow(obj, &overflow)
        if overflow or not -LIMIT <= number < LIMIT:
            return False
        value[0] = number
    elif type(obj) is bool:
        value[0] = TRUE if obj is True else FALSE
    else:
        return False
    value[0] += LIMIT
    return True


cdef object payload_from_immediate(int64_t value):
    value -= LIMIT
    if value < LIMIT:
        return value
    return None if value == NONE else value == TRUE


cdef Pickling payload_measure(object obj, payload *p):
    """What storing the object takes. The pickling, if it takes one, is for payload_store() and done()."""
    cdef int overflow = 0
    if type(obj) is bytes:
        p.kind, p.data, p.size = PAYLOAD_BYTES, PyBytes_AS_STRING(obj), PyBytes_GET_SIZE(obj)
        return None
    if type(obj) is str and PyUnicode_IS_COMPACT_ASCII(obj):
        p.kind, p.data, p.size = PAYLOAD_ASCII, <const char *>PyUnicode_DATA(obj), PyUnicode_GET_LENGTH(obj)
        return None
    if type(obj) is float:
        p.kind, p.data, p.size = PAYLOAD_FLOAT, <const char *>&p.number, sizeof(double)
        p.number = PyFloat_AS_DOUBLE(obj)
        return None
    if type(obj) is int:
        p.integer = PyLong_AsLongLongAndOverflow(obj, &overflow)
        if not overflow:
            p.kind, p.data, p.size = PAYLOAD_INT, <const char *>&p.integer, sizeof(int64_t)
            return None
    if type(obj) is dict or type(obj) is tuple or type(obj) is list:
        p.size = tree_dump(obj, p.tree)
        if p.size > 0:
            p.kind, p.data = PAYLOAD_TREE, p.tree
            return None
    return measured(pickled(obj), p)


cdef Pickling payload_measure_by(object pickler, object obj, payload *p):
    """As payload_measure(), if a program has replaced multiprocessing's pickler. That one sees every object."""
    return measured(pickled_by(pickler, obj), p)


cdef Pickling measured(Pickling pickling, payload *p):
    p.kind = PAYLOAD_BUFFERS if pickling.buffers else PAYLOAD_PICKLE
    p.data = NULL
    p.size = extent(pickling)
    return pickling


cdef size_t length_of(part) except? 0:
    cdef Py_buffer view
    if type(part) is bytes:
        return PyBytes_GET_SIZE(part)
    PyObject_GetBuffer(part, &view, PyBUF_ANY_CONTIGUOUS)
    length = view.len
    PyBuffer_Release(&view)
    return length


cdef size_t extent(Pickling pickling) except 0:
    cdef size_t size = 0
    for part in pickling.stream:
        size += length_of(part)
    if pickling.buffers:
        size += (2 + <size_t>len(pickling.buffers)) * sizeof(uint64_t)
        for part in pickling.buffers:
            size = aligned(size) + length_of(part)
    return size


cdef char *append(char *where, part) except NULL:
    cdef Py_buffer view
    PyObject_GetBuffer(part, &view, PyBUF_ANY_CONTIGUOUS)
    copy(where, view.buf, view.len)
    where += view.len
    PyBuffer_Release(&view)
    return where


cdef int payload_store(const payload *p, Pickling pickling, char *where) except -1:
    """Writes what was measured."""
    cdef char *at = where
    if pickling is None:
        copy(where, p.data, p.size)
        return 0
    if p.kind == PAYLOAD_BUFFERS:
        at = store_lengths(pickling, where)
    for part in pickling.stream:
        at = append(at, part)
    for part in pickling.buffers:
        at = append(where + aligned(at - where), part)
    if <size_t>(at - where) != p.size:
        raise RuntimeError("a buffer changed its size while it was stored")
    return 0


cdef char *store_lengths(Pickling pickling, char *where) except NULL:
    cdef uint64_t *table = <uint64_t *>where
    cdef uint64_t total = 0
    table[0] = len(pickling.buffers)
    for i, part in enumerate(pickling.buffers, 1):
        table[i] = length_of(part)
    for part in pickling.stream:
        total += length_of(part)
    table[table[0] + 1] = total
    return <char *>&table[table[0] + 2]


cdef class Mapping:
    """Memory from the system, which is used for one buffer after the other."""
    cdef char *start
    cdef size_t size

    def __dealloc__(self):
        if self.start != NULL:
            hugemem_unmap(self.start, self.size)


cdef size_t MAPPED = 256 << 10   # bytes from which a buffer that is received has memory from the system,
cdef size_t KEPT = 8 << 20       # and up to which it is kept for another, as new memory costs more than the copy
cdef Py_ssize_t SPARE = 4
cdef list _spare = []


cdef Mapping mapping_for(size_t size):
    """One that is large enough, and not much too large."""
    cdef Mapping found
    for _ in range(len(_spare)):
        try:
            found = _spare.pop(0)
        except IndexError:
            break
        if size <= found.size <= size + size // 4:
            return found
        _spare.append(found)
    found = Mapping.__new__(Mapping)
    found.start = <char *>hugemem_map(size)
    if found.start == NULL:
        raise MemoryError(f"no memory for a buffer of {size} bytes from shared memory")
    found.size = size
    return found


@cython.no_gc_clear
cdef class Memory:
    """A large buffer that was received."""
    cdef Mapping mapping
    cdef size_t size

    def __dealloc__(self):
        if self.mapping is not None and self.mapping.size <= KEPT:
            _spare.append(self.mapping)
            if len(_spare) > SPARE:
                del _spare[0]

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.mapping.start, self.size, False, flags)


cdef object memory(const char *data, size_t size):
    """A copy of a buffer, this process's own."""
    cdef Memory large
    if size < MAPPED:
        return memoryview(PyByteArray_FromStringAndSize(data, size))
    large = Memory.__new__(Memory)
    large.mapping, large.size = mapping_for(size), size
    copy(large.mapping.start, data, size)
    return memoryview(large)


@cython.no_gc_clear
cdef class View:
    """A buffer inside a message that stays in shared memory."""
    cdef object pin  # keeps the message
    cdef char *start
    cdef size_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.size, False, flags)


cdef object seen_through(object pin, const char *data, size_t size):
    cdef View view = View.__new__(View)
    view.pin, view.start, view.size = pin, <char *>data, size
    return memoryview(view)


cdef object payload_load(int kind, const char *data, size_t size, object pin, object source):
    """The object of a message from `source`, a queue or what is like one. The views of its buffers keep `pin`.

    If that is None, buffers are copied. Raises CorruptedQueueError, or the source's own, if the message is damaged, and
    what unpickling raises.
    """
    if kind == PAYLOAD_PICKLE:
        return load_pickle(data, size, None)
    if kind == PAYLOAD_TREE:
        return load_tree(data, size, source)
    if kind == PAYLOAD_BYTES:
        obj = PyBytes_FromStringAndSize(NULL, size)
        hugemem_advise(PyBytes_AS_STRING(obj), size)
        copy(PyBytes_AS_STRING(obj), data, size)
        return obj
    if kind == PAYLOAD_ASCII:
        return PyUnicode_DecodeASCII(data, size, NULL)
    if kind == PAYLOAD_FLOAT and size == sizeof(double):
        return PyFloat_FromDouble((<const double *>data)[0])
    if kind == PAYLOAD_INT and size == sizeof(int64_t):
        return (<const int64_t *>data)[0]
    if kind == PAYLOAD_BUFFERS:
        return load_with_buffers(data, size, pin, source)
    raise damaged(source, f"a message of unknown kind {kind} and {size} bytes")


cdef damaged(source, str what):
    """An error of the kind that the source names, if it is no queue."""
    return getattr(source, "_corrupted", CorruptedQueueError)(f"cannot get from {source.name}: {what}")


cdef object load_tree(const char *data, size_t size, object source):
    cdef PyObject *obj = tree_load(data, size)
    if obj == NULL:
        raise damaged(source, "a message that is damaged")
    value = <object>obj
    Py_DECREF(value)
    return value


cdef object load_pickle(const char *data, size_t size, list buffers):
    pickler = replaced(place) if buffers is None else None
    if pickler is not None:
        return pickler.loads(PyBytes_FromStringAndSize(data, size))
    if size <= INLINE:
        view = PyBytes_FromStringAndSize(data, size)
    else:
        view = PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ)
    if buffers is None:
        return loads(view)
    return loads(view, buffers=buffers)


cdef object load_with_buffers(const char *data, size_t size, object pin, object source):
    cdef const uint64_t *table = <const uint64_t *>data
    cdef size_t words = size // sizeof(uint64_t), count, at, length, stream
    if words < 2 or table[0] > words - 2:
        raise damaged(source, "a message whose buffers are damaged")
    count = table[0]
    stream = (count + 2) * sizeof(uint64_t)
    at = stream + table[count + 1]
    if at < stream or at > size:
        raise damaged(source, "a message whose buffers are damaged")
    buffers = []
    for i in range(count):
        at, length = aligned(at), table[i + 1]
        if at > size or length > size - at:
            raise damaged(source, "a message whose buffers are damaged")
        buffers.append(memory(data + at, length) if pin is None else seen_through(pin, data + at, length))
        at += length
    return load_pickle(data + stream, table[count + 1], buffers)
