# SPDX-License-Identifier: MIT
# cython: language_level=3
"""What a task block holds: a function and a group of elements.

The pool's process writes it with deal_...(), and a worker reads it with Opened. In what form the elements lie depends on
what the caller asked for. With chunksize=1 each is a payload of its own, so that it is loaded once, by the worker that
runs it. A chunk of more is one pickle as in multiprocessing, so that objects that are in it twice stay identical.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from mpfast.channel.payload cimport (
    payload, payload_from_immediate, payload_immediate, payload_load, payload_measure,
    payload_measure_by, payload_store, place,
)
from mpfast.core.store.item cimport NO_BLOCK, store_item
from mpfast.core.tasks.layout cimport task
from mpfast.core.tasks.tasks cimport task_deal, task_free, task_of, task_prepare
from mpfast.serialize.pickling cimport Pickling, done, replaced
from mpfast.tasks.rings cimport Ring

import sys
import types

from .by_value import REFUSALS, instead

cdef size_t LARGE = 65536        # bytes from which other threads may run while memory is brought in
cdef size_t SCRATCH = 32768      # bytes of elements that are dealt together
cdef tuple PROTOCOLS = (b"\x80\x04", b"\x80\x05")  # how pickles begin in which a name may have dots


cdef inline parcel *parcel_of(task *t) noexcept:
    return <parcel *>&t[1]


cdef inline size_t elements_at(const task *t) noexcept:
    """Where the elements begin, from the task's header on."""
    return sizeof(task) + sizeof(parcel) + rounded(t.function)


cdef Pickling measured(object value, payload *p):
    """As payload_measure(), or by the pickler that a program has put in multiprocessing's place."""
    pickler = replaced(place)
    if pickler is None:
        return payload_measure(value, p)
    return payload_measure_by(pickler, value, p)


cdef Pickling measured_task(object value, payload *p, bint *by_value=NULL):
    """The same for what goes to a worker. What has no name is sent by value, if cloudpickle is installed."""
    try:
        return measured(value, p)
    except REFUSALS as error:
        if replaced(place) is not None:
            raise
        if by_value != NULL:
            by_value[0] = True
        return measured(instead(value, error), p)


cdef bint is_named(object call):
    """Is this function pickled as the name of a global?"""
    cls = type(call)
    return cls is types.FunctionType or cls is type or \
        cls is types.BuiltinFunctionType and type(call.__self__) is types.ModuleType


cdef class Function:
    """A function, ready to be dealt with elements."""


cdef Function function_of(object call):
    """Pickles it. Raises what pickling raises."""
    cdef payload p
    cdef Function made = Function.__new__(Function)
    cdef bint by_value = False
    cdef Pickling pickling = measured_task(call, &p, &by_value)
    try:
        if p.size > 0x7FFFFFFF:
            raise OverflowError(f"a function of {p.size} bytes is too large")
        made.stored = PyBytes_FromStringAndSize(NULL, p.size)
        payload_store(&p, pickling, PyBytes_AS_STRING(made.stored))
    finally:
        if pickling is not None:
            done(pickling)
    made.call, made.kind, made.named = call, p.kind, is_named(call) and not by_value
    if made.named:
        made.stored = shortened(call, made.stored)
    return made


cdef bytes shortened(object call, bytes stored):
    """A pickle of the same global that is shorter by half, so that small calls fit into small blocks.

    What is not the pickle of a plain global, byte for byte, stays as it is.
    """
    cdef bytes module, name, usual
    try:
        module, name = call.__module__.encode(), call.__qualname__.encode()
    except (AttributeError, UnicodeEncodeError):
        return stored
    if max(len(module), len(name)) > 255 or b"\n" in module or b"\n" in name:
        return stored
    usual = b"\x8c%c%b\x94\x8c%c%b\x94\x93\x94." % (len(module), module, len(name), name)
    if stored != b"%b\x95%b%b" % (stored[:2], len(usual).to_bytes(8, "little"), usual) or stored[:2] not in PROTOCOLS:
        return stored
    return b"\x80\x04c%b\n%b\n." % (module, name)


cdef int prepare(Ring ring, size_t size, store_item *item) except -1:
    cdef int rc
    item.block = NO_BLOCK
    if size < LARGE:
        rc = task_prepare(ring.view, size, item)
    else:
        ring.large = True
        with nogil:
            rc = task_prepare(ring.view, size, item)
    if rc < 0:
        item.block = NO_BLOCK
        ring.fails(rc, f"no memory for a task of {size} bytes in")
    return 0


cdef char *begin(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags, int form,
                 int kind, size_t size, store_item *item) except NULL:
    """Gets a task block and writes all but the elements. Returns where they go."""
    cdef size_t length = PyBytes_GET_SIZE(function.stored)
    cdef size_t at = sizeof(task) + sizeof(parcel) + rounded(length)
    cdef parcel *p
    cdef task *t
    prepare(ring, at + size - sizeof(task), item)
    t = task_of(item)
    p = parcel_of(t)
    t.job, t.first, t.count = job, first, n
    t.function, t.function_kind, t.form, t.kind = <uint32_t>length, <uint8_t>function.kind, <uint8_t>form, <uint8_t>kind
    t.flags = <uint8_t>(flags | (PARCEL_NAMED if function.named else 0))
    p.size, p.start = size, 0
    memcpy(item.data + sizeof(task) + sizeof(parcel), PyBytes_AS_STRING(function.stored), length)
    return item.data + at


cdef uint64_t put(Ring ring, store_item *item, uint32_t start, uint32_t to) except 0:
    """Deals the elements [start, to) of the block. Returns its name and 1."""
    cdef int rc
    parcel_of(task_of(item)).start = start
    rc = task_deal(ring.view, item, start, to)
    if rc < 0:
        task_free(ring.view, item)
        ring.fails(rc, "cannot put into")
    return item.block + 1


cdef uint64_t deal_payload(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags,
                           int form, object value) except 0:
    cdef store_item item
    cdef payload p
    cdef Pickling pickling = measured_task(value, &p)
    item.block = NO_BLOCK
    try:
        payload_store(&p, pickling, begin(ring, job, first, n, function, flags, form, p.kind, p.size, &item))
    except:
        if item.block != NO_BLOCK:
            task_free(ring.view, &item)
        raise
    finally:
        if pickling is not None:
            done(pickling)
    return put(ring, &item, 0, n)


cdef uint64_t deal_call(Ring ring, uint64_t job, Function function, tuple given) except 0:
    return deal_payload(ring, job, 0, 1, function, 0, FORM_CALL, given)


cdef uint64_t deal_unit(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags,
                        object elements) except 0:
    return deal_payload(ring, job, first, n, function, flags, FORM_UNIT, elements)


cdef uint64_t deal_range(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags,
                         int64_t start, int64_t step) except 0:
    cdef store_item item
    cdef int64_t *where = <int64_t *>begin(ring, job, first, n, function, flags, FORM_RANGE, 0, 16, &item)
    where[0], where[1] = start, step
    return put(ring, &item, 0, n)


cdef class Copy:
    """A copy of a task block that a worker has, to deal elements of it once more in blocks of their own."""

    def __dealloc__(self):
        free(self.data)

    @staticmethod
    cdef Copy of(task *t):
        """The worker may free the block meanwhile. Then its group word says so when the copy is there."""
        cdef Copy copy = Copy.__new__(Copy)
        copy.size = elements_at(t) + parcel_of(t).size
        copy.data = <char *>malloc(copy.size)
        if copy.data == NULL:
            raise MemoryError(f"no memory for {copy.size} bytes of tasks")
        memcpy(copy.data, t, copy.size)
        return copy

    cdef uint64_t deal(self, Ring ring, uint32_t start, uint32_t to) except 0:
        """Deals the elements [start, to) of the payload. Returns the name of their block and 1."""
        cdef store_item item
        prepare(ring, self.size - sizeof(task), &item)
        memcpy(item.data, self.data, self.size)
        return put(ring, &item, start, to)


cdef class Cells:
    """A group of elements, each a payload of its own, before it is dealt."""

    def __cinit__(self, Ring ring):
        self.ring = ring

    def __dealloc__(self):
        free(self.scratch)

    cdef int begin(self, uint32_t most) except -1:
        """Begins a group of at most so many elements."""
        self.most, self.count = most, 0
        self.used = most * sizeof(cell)
        return self.grow(0)

    cdef int grow(self, size_t size) except -1:
        cdef size_t room = self.used + size
        cdef char *scratch
        if room > self.room or self.scratch == NULL:
            room += room // 2 + 64
            scratch = <char *>realloc(self.scratch, room)
            if scratch == NULL:
                raise MemoryError(f"no memory for {room} bytes of tasks")
            self.scratch, self.room = scratch, room
        return 0

    cdef added add(self, object value) except *:
        """Adds an element, unless it is so large that it is not to be copied twice."""
        cdef int64_t number = 0
        cdef cell c
        if payload_immediate(value, &number):
            c = cell_of(CELL_NOW, 0, <uint64_t>number)
        else:
            self.pickling = measured_task(value, &self.p)
            if self.p.size >= SCRATCH:
                return ADDED_APART
            try:
                self.grow(self.p.size)
                payload_store(&self.p, self.pickling, self.scratch + self.used)
            finally:
                self.let_go()
            c = cell_of(self.p.kind, self.p.size, self.used)
            self.used += rounded(self.p.size)
            if self.used > self.room:
                self.grow(0)
        (<cell *>self.scratch)[self.count] = c
        self.count += 1
        if self.count < self.most and self.used - self.most * sizeof(cell) < SCRATCH:
            return ADDED_MORE
        return ADDED_LAST

    def let_go(self):
        """The pickle of the last element is not needed any more."""
        if self.pickling is not None:
            done(self.pickling)
            self.pickling = None

    cdef uint64_t deal_apart(self, uint64_t job, Py_ssize_t index, Function function, uint32_t flags) except 0:
        """Deals the element that add() has only measured, alone. Its object must still be there."""
        cdef store_item item
        cdef char *where
        item.block = NO_BLOCK
        try:
            where = begin(self.ring, job, index, 1, function, flags, FORM_CELLS, 0, sizeof(cell) + self.p.size, &item)
            (<cell *>where)[0] = cell_of(self.p.kind, self.p.size, sizeof(cell))
            payload_store(&self.p, self.pickling, where + sizeof(cell))
        except:
            if item.block != NO_BLOCK:
                task_free(self.ring.view, &item)
            raise
        finally:
            self.let_go()
        return put(self.ring, &item, 0, 1)

    cdef uint64_t deal(self, uint64_t job, Py_ssize_t first, Function function, uint32_t flags) except 0:
        """Deals what was added, as the elements `first` and following."""
        cdef store_item item
        cdef size_t unused = (self.most - self.count) * sizeof(cell), table = self.count * sizeof(cell)
        cdef size_t rest = self.used - self.most * sizeof(cell)
        cdef char *where = begin(self.ring, job, first, self.count, function, flags, FORM_CELLS, 0, table + rest, &item)
        memcpy(where, self.scratch, table)
        memcpy(where + table, self.scratch + self.most * sizeof(cell), rest)
        for i in range(self.count):
            if not (<cell *>where)[i].kind & CELL_NOW:
                (<cell *>where)[i].value -= unused
        return put(self.ring, &item, 0, self.count)


cdef class Named:
    """A function that was loaded by its name."""

    @staticmethod
    cdef Named of(object call):
        cdef Named named = Named.__new__(Named)
        named.call, named.name = call, call.__qualname__
        named.names = getattr(sys.modules.get(call.__module__), "__dict__", None)
        return named

    cdef bint holds(self):
        """Does the name mean it still?"""
        return self.names is not None and self.names.get(self.name) is self.call


cdef class Opened:
    """A task block that a worker has taken."""

    def __cinit__(self):
        self.known = {}

    cdef open(self, Ring ring, const task *t):
        """Loads the function, and the elements if they are one payload. Raises what unpickling raises."""
        cdef const char *data = <const char *>t
        self.ring, self.t, self.p, self.loading = ring, t, parcel_of(<task *>t), False
        data += sizeof(task) + sizeof(parcel)
        self.unit = t.form == FORM_UNIT or bool(t.flags & PARCEL_CHUNK)
        self.call = self.loaded_by_name(data) if t.flags & PARCEL_NAMED else self.loaded(data)
        if t.form == FORM_UNIT or t.form == FORM_CALL:
            self.elements = payload_load(t.kind, <const char *>t + elements_at(t), self.p.size, None, ring)

    cdef object loaded(self, const char *data):
        return payload_load(self.t.function_kind, data, self.t.function, None, self.ring)

    cdef object loaded_by_name(self, const char *data):
        """What the name means now. A task may have given it to another function."""
        cdef bytes key = PyBytes_FromStringAndSize(data, self.t.function)
        cdef Named known = self.known.get(key)
        if known is None or not known.holds():
            known = Named.of(self.loaded(data))
            self.known[key] = known
        return known.call

    cdef bint is_call(self):
        """Is it a single call, and not elements?"""
        return self.t != NULL and self.t.form == FORM_CALL

    cdef object run(self, uint32_t index):
        """Calls the function for an element."""
        cdef const cell *c
        cdef const int64_t *numbers
        cdef const char *data = <const char *>self.t + elements_at(self.t)
        if self.t.form == FORM_CALL:
            args, kwds = self.elements
            self.elements = None
            return self.call(*args, **kwds)
        if self.t.form == FORM_RANGE:
            numbers = <const int64_t *>data
            element = numbers[0] + <int64_t>index * numbers[1]
        elif self.t.form == FORM_UNIT:
            element = self.elements[index]
        else:
            c = <const cell *>data + index
            if c.kind & CELL_NOW:
                element = payload_from_immediate(<int64_t>c.value)
            else:
                self.loading = True
                element = payload_load(c.kind & CELL_KIND, data + c.value, cell_size(c), None, self.ring)
                self.loading = False
        if self.t.flags & PARCEL_STAR:
            return self.call(*element)
        return self.call(element)

    cdef close(self):
        self.call = self.elements = None
        self.t = NULL
        self.p = NULL
