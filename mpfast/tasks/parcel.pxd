# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from mpfast.channel.payload cimport payload
from mpfast.core.tasks.layout cimport task
from mpfast.serialize.pickling cimport Pickling
from mpfast.tasks.rings cimport Ring

cdef enum:  # what is in a task block, behind its header and the function
    FORM_CALL    # one payload, (args, kwds)
    FORM_RANGE   # start and step
    FORM_CELLS   # a cell an element, then their payloads. Each is loaded by the worker that runs it
    FORM_UNIT    # one payload, a tuple of all elements

cdef enum:  # flags of a parcel
    PARCEL_STAR = 1      # function(*element)
    PARCEL_CHUNK = 4     # a chunk as the caller wants it. An element that fails stands for the rest of it
    PARCEL_NAMED = 2     # the function's pickle is the name of a global, so a worker may keep what it has loaded

cdef enum:  # of a cell, beside the kinds of payloads
    CELL_KIND = 63
    CELL_NOW = 64        # the value itself is in the cell
    CELL_ERROR = 128     # an exception
    CELL_SKIPPED = 256   # not run, because an element before it in its unit has failed

cdef struct cell:
    uint16_t kind
    uint16_t high        # the upper bits of the size
    uint32_t low
    uint64_t value       # or where the payload begins, from the first cell on


cdef inline size_t rounded(size_t size) noexcept:
    return (size + 7) & ~<size_t>7


cdef inline cell cell_of(int kind, uint64_t size, uint64_t value) noexcept:
    cdef cell c
    c.kind, c.high, c.low, c.value = <uint16_t>kind, <uint16_t>(size >> 32), <uint32_t>size, value
    return c


cdef inline uint64_t cell_size(const cell *c) noexcept:
    return <uint64_t>c.high << 32 | c.low


cdef struct parcel:      # follows the task's header. The function's payload follows, then the elements
    uint64_t size        # of the elements
    uint64_t start       # the first element of this block. Those before it are dealt in another one


cdef class Function:
    cdef readonly object call
    cdef readonly bytes stored
    cdef int kind
    cdef readonly bint named


cdef parcel *parcel_of(task *t) noexcept
cdef size_t elements_at(const task *t) noexcept
cdef Pickling measured(object value, payload *p)
cdef Function function_of(object call)
cdef uint64_t deal_call(Ring ring, uint64_t job, Function function, tuple given) except 0
cdef uint64_t deal_range(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags,
                         int64_t start, int64_t step) except 0
cdef uint64_t deal_unit(Ring ring, uint64_t job, Py_ssize_t first, uint32_t n, Function function, uint32_t flags,
                        object elements) except 0


cdef class Copy:
    cdef char *data
    cdef size_t size

    @staticmethod
    cdef Copy of(task *t)
    cdef uint64_t deal(self, Ring ring, uint32_t start, uint32_t to) except 0


cdef enum added:         # what Cells.add() returns
    ADDED_MORE           # others may follow
    ADDED_LAST           # the group has to be dealt
    ADDED_APART          # no: what was added has to be dealt, and then this element by deal_apart()


cdef class Cells:
    cdef Ring ring
    cdef char *scratch
    cdef size_t room, used
    cdef uint32_t count, most
    cdef payload p           # of the element that was measured last
    cdef Pickling pickling

    cdef int begin(self, uint32_t most) except -1
    cdef int grow(self, size_t size) except -1
    cdef added add(self, object value) except *
    cdef uint64_t deal_apart(self, uint64_t job, Py_ssize_t index, Function function, uint32_t flags) except 0
    cdef uint64_t deal(self, uint64_t job, Py_ssize_t first, Function function, uint32_t flags) except 0


cdef class Named:
    cdef object call
    cdef dict names      # of its module, or None
    cdef object name

    @staticmethod
    cdef Named of(object call)
    cdef bint holds(self)


cdef class Opened:
    cdef const task *t
    cdef const parcel *p
    cdef Ring ring
    cdef bint loading    # an element is being unpickled
    cdef bint unit       # an element that fails stands for the rest of its unit
    cdef object call
    cdef object elements
    cdef dict known

    cdef open(self, Ring ring, const task *t)
    cdef object loaded(self, const char *data)
    cdef object loaded_by_name(self, const char *data)
    cdef bint is_call(self)
    cdef object run(self, uint32_t index)
    cdef close(self)
