# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Values and Arrays with a lock.

A number of a type that numbers.pxd knows is read and written in C, in a *section* of its lock (core/locks/section.h).
The object of ctypes is made when it is asked for. All else goes through that object, while the lock is held.
"""

from cpython.buffer cimport PyBuffer_FillInfo, PyBUF_FORMAT, PyObject_GetBuffer
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from mpfast.core.locks.lock cimport lock
from mpfast.core.locks.section cimport *
from mpfast.core.values.beside cimport BESIDE_AT, BESIDE_SIZE
from mpfast.core.values.number cimport *
from mpfast.family.family cimport me
from mpfast.family.naming cimport name_type
from mpfast.sync.mutex cimport Mutex
from mpfast.values.memory cimport SharedBytes, data_of, fill, look_up, memory_beside, new_object
from mpfast.values.numbers cimport *

import ctypes
import weakref
from multiprocessing import context as _context

from ..family.claims import claimed
from ..sync.mutex import RLock
from .memory import raw_value, type_of

cdef extern from "Python.h":
    Py_ssize_t PyLong_AsSsize_t(object i) noexcept  # with an error set, which Cython's own would raise

_classes = weakref.WeakKeyDictionary()  # of structures


cdef class SynchronizedBase:
    """An object of ctypes with a lock. acquire() and release() are the lock's, and so is `with`."""
    cdef object obj      # None: not made yet
    cdef object lock
    cdef object taking   # lock.acquire, once it was asked for
    cdef object giving
    cdef Mutex mutex     # the lock, if it is one of ours
    cdef SharedBytes beside   # of the object that is not made yet
    cdef object type     # and its type
    cdef char *data      # of numbers that are read and written here
    cdef number_type item
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, obj, lock=None, ctx=None):
        self.set_lock(lock or (RLock() if ctx is None else ctx.RLock()))
        self.set_object(obj)

    cdef set_lock(self, lock):
        self.lock = lock
        self.taking = self.giving = None
        self.mutex = lock if type(lock) is RLock else None

    cdef set_object(self, obj):
        self.obj = obj
        self.data = NULL
        self.item.kind = NUMBER_NONE
        self.look()

    cdef int look(self) except -1:
        """Finds out whether the object's numbers can be read and written here."""
        return 0

    @property
    def _obj(self):
        if self.obj is None and self.type is not None:
            self.obj = new_object(self.type, self.memory())
        return self.obj

    @_obj.setter
    def _obj(self, obj):
        self.type = None
        self.set_object(obj)

    cdef SharedBytes memory(self):
        return memory_beside(self.mutex, ctypes.sizeof(self.type))

    @property
    def _lock(self):
        return self.lock

    @_lock.setter
    def _lock(self, lock):
        self.part()
        self.set_lock(lock)

    cdef int part(self) except -1:
        """Another lock comes: the object must not lie behind this one without holding it."""
        self._obj
        return 0

    @property
    def acquire(self):
        """The lock's acquire()."""
        if self.taking is None:
            self.taking = self.lock.acquire
        return self.taking

    @acquire.setter
    def acquire(self, function):
        self.part()
        self.taking, self.mutex = function, None

    @property
    def release(self):
        """The lock's release()."""
        if self.giving is None:
            self.giving = self.lock.release
        return self.giving

    @release.setter
    def release(self, function):
        self.part()
        self.giving, self.mutex = function, None

    def get_obj(self):
        """The object of ctypes. To use it does not take the lock."""
        return self.obj if self.obj is not None else self._obj

    def get_lock(self):
        """The lock."""
        return self.lock

    def __enter__(self):
        if self.mutex is None:
            return self.lock.__enter__()
        self.mutex.take()
        return True

    def __exit__(self, *args):
        if self.mutex is None or len(args) != 3 or args[0] is not None:
            return self.lock.__exit__(*args)
        self.mutex.give()

    @property
    def __class__(self):
        """For isinstance(). See claims.py."""
        return claimed(type(self))

    def __reduce__(self):
        _context.assert_spawning(self)
        return synchronized, (self._obj, self.lock)

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj}>"

    cdef int enter(self) except -1:
        """Takes the lock for some instructions that run no other code. Give the result to leave()."""
        cdef uint32_t identity = me(self.mutex)
        cdef int entered = section_enter(<lock *>self.mutex.cell, identity)
        if entered == SECTION_BUSY:
            self.mutex.await_section(identity)
            return SECTION_TAKEN
        return entered

    cdef inline int leave(self, int entered) except -1:
        if entered == SECTION_TAKEN:
            section_leave(self.mutex.family, <lock *>self.mutex.cell)
        return 0

    cdef int take(self) except -1:
        """The lock, for what runs other code."""
        if self.mutex is not None:
            self.mutex.take()
        else:
            self.acquire()
        return 0

    cdef int give(self) except -1:
        if self.mutex is not None:
            self.mutex.give()
        else:
            self.release()
        return 0

    cdef int begin(self) except -1:
        """As enter(), also with a lock that is not ours. Give the result to end()."""
        if self.mutex is not None:
            return self.enter()
        self.acquire()
        return SECTION_BUSY

    cdef int end(self, int entered) except -1:
        if entered == SECTION_BUSY:
            self.release()
        return self.leave(entered)


cdef class Synchronized(SynchronizedBase):
    """A Value with a lock. `value` is read and written while the lock is held.

    The other methods change the value while the lock is held, all at once, and say what it was before. They block while
    another thread holds the lock, and raise LockOwnerDied if a process was killed in a `with` block of it. Only the
    exact numbers of ctypes have them. Integers wrap.
    """

    cdef int look(self) except -1:
        if self.obj is not None and look_up(type(self.obj), &self.item):
            self.data = data_of(self.obj)
        return 0

    cdef char *place(self) except NULL:
        """Where the number lies. An object of ctypes in other memory may move."""
        return self.data if self.data != NULL else <char *><uintptr_t>ctypes.addressof(self.obj)

    @property
    def value(self):
        """The value. To read and to write it takes the lock."""
        cdef int entered
        cdef uint64_t bits
        if self.data == NULL or self.mutex is None:
            return self.by_object(None, False)
        entered = self.enter()
        bits = number_read(self.data, self.item.size)
        self.leave(entered)
        return number_object(bits, &self.item)

    @value.setter
    def value(self, value):
        cdef int entered
        cdef uint64_t bits
        if self.data == NULL or self.mutex is None or not number_plain(value, &self.item):
            self.by_object(value, True)
            return
        bits = number_of(value, &self.item)
        entered = self.enter()
        number_write(self.data, self.item.size, bits)
        self.leave(entered)

    @value.deleter
    def value(self):
        raise AttributeError(f"property 'value' of '{type(self).__name__}' object has no deleter")

    cdef object by_object(self, value, bint writing):
        obj = self._obj
        self.take()
        try:
            if not writing:
                return obj.value
            obj.value = value
        finally:
            self.give()

    cdef object change(self, operand, number_change change):
        cdef char *data = self.place()
        cdef uint64_t old, n = operand_of(operand, &self.item)
        cdef int entered = self.begin()
        old = number_read(data, self.item.size)
        number_write(data, self.item.size, changed(old, n, &self.item, change))
        self.end(entered)
        return number_object(old, &self.item)

    def fetch_add(self, n=1):
        """Adds n. Returns the old value."""
        must_have(&self.item, "fetch_add", False)
        return self.change(n, CHANGE_ADD)

    def fetch_sub(self, n=1):
        """Subtracts n. Returns the old value."""
        must_have(&self.item, "fetch_sub", False)
        return self.change(n, CHANGE_SUB)

    def fetch_and(self, n):
        """Stores value & n. Returns the old value. Of integers only."""
        must_have(&self.item, "fetch_and", True)
        return self.change(n, CHANGE_AND)

    def fetch_or(self, n):
        """Stores value | n. Returns the old value. Of integers only."""
        must_have(&self.item, "fetch_or", True)
        return self.change(n, CHANGE_OR)

    def fetch_xor(self, n):
        """Stores value ^ n. Returns the old value. Of integers only."""
        must_have(&self.item, "fetch_xor", True)
        return self.change(n, CHANGE_XOR)

    def exchange(self, value):
        """Stores the value. Returns the old one."""
        must_have(&self.item, "exchange", False)
        return self.change(value, CHANGE_SET)

    def compare_exchange(self, expected, desired):
        """Stores `desired` if the value is `expected`. Returns whether it was. Floats are compared bit by bit."""
        must_have(&self.item, "compare_exchange", False)
        cdef char *data = self.place()
        cdef uint64_t wanted = operand_of(expected, &self.item), then = operand_of(desired, &self.item)
        cdef int entered = self.begin()
        cdef bint same = number_read(data, self.item.size) == wanted
        if same:
            number_write(data, self.item.size, then)
        self.end(entered)
        return same

    def __reduce__(self):
        if self.type is None:
            return SynchronizedBase.__reduce__(self)
        _context.assert_spawning(self)
        return _rebuild_beside, (self.type, self.lock)


cdef object beside(object type, Mutex lock):
    """A number behind a lock that is its own."""
    cdef Synchronized value = Synchronized.__new__(Synchronized)
    look_up(type, &value.item)
    value.type = type
    value.lock = value.mutex = lock
    value.data = <char *>lock.cell + BESIDE_AT
    return value


def _rebuild_beside(type, Mutex lock not None):
    return beside(type, lock)


cdef class SynchronizedArray(SynchronizedBase):
    """An Array with a lock. Items are read and written while the lock is held.

    Its buffer, that of memoryview(a) and numpy.asarray(a), is the shared memory itself. Views of it do not take the lock.
    """
    cdef Py_ssize_t length

    cdef int look(self) except -1:
        cls = type(self.obj)
        self.length = -1
        if not isinstance(self.obj, ctypes.Array):
            return 0
        if look_up(cls._type_, &self.item) and cls is cls._type_ * cls._length_:
            self.data = data_of(self.obj)
        if self.data != NULL:
            self.length = cls._length_
        return 0

    cdef Py_ssize_t index(self, i) noexcept:
        """Which item of our memory it is. -1: ctypes has to say what it means."""
        cdef Py_ssize_t k
        if self.data == NULL or self.mutex is None or not PyLong_CheckExact(i):
            return -1
        k = PyLong_AsSsize_t(i)
        if k == -1 and PyErr_Occurred():
            PyErr_Clear()
            return -1
        if k < 0:
            k += self.length
        return k if k < self.length else -1

    def __len__(self):
        return self.length if self.length >= 0 else len(self.obj)

    def __getitem__(self, i):
        cdef int entered
        cdef uint64_t bits
        cdef Py_ssize_t k = self.index(i)
        if k >= 0:
            entered = self.enter()
            bits = number_read(self.data + k * self.item.size, self.item.size)
            self.leave(entered)
            return number_object(bits, &self.item)
        with self:
            return self._obj[i]

    def __setitem__(self, i, value):
        cdef int entered
        cdef uint64_t bits
        cdef Py_ssize_t k = self.index(i)
        if k >= 0 and number_plain(value, &self.item):
            bits = number_of(value, &self.item)
            entered = self.enter()
            number_write(self.data + k * self.item.size, self.item.size, bits)
            self.leave(entered)
            return
        with self:
            if not self.fill(i, value):
                self._obj[i] = value

    cdef bint fill(self, i, value) except -1:
        """a[i:j] = a buffer of the same format. The lock is held."""
        if self.data == NULL or type(i) is not slice:
            return False
        start, stop, step = i.indices(self.length)
        if step != 1 or stop <= start:
            return False
        return fill(type(self.obj)._type_, self.data + <Py_ssize_t>start * self.item.size, stop - start, value)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.data == NULL:
            PyObject_GetBuffer(self._obj, view, flags)
            return
        PyBuffer_FillInfo(view, self, self.data, self.length * self.item.size, 0, flags)
        view.itemsize = self.item.size
        if flags & PyBUF_FORMAT:
            view.format = self.item.format
        if view.shape != NULL:
            view.shape = &self.length

    def numpy(self, dtype=None):
        """A numpy array over the shared memory, which it keeps. It does not take the lock.

        dtype: of its items. None: that of the Array's.
        """
        import numpy

        kind = numpy.dtype(type(self._obj)._type_ if dtype is None else dtype)
        size = ctypes.sizeof(self._obj)
        if size % kind.itemsize:
            raise ValueError(f"{size} bytes are no whole number of items of {kind}")
        return numpy.ndarray(size // kind.itemsize, kind, memoryview(self._obj).cast("B"))


cdef class SynchronizedString(SynchronizedArray):
    """An Array of characters with a lock. `value` and `raw` are read and written while the lock is held."""

    cdef object text(self, str name):
        self.take()
        try:
            return getattr(self.obj, name)
        finally:
            self.give()

    cdef int set_text(self, str name, value) except -1:
        self.take()
        try:
            setattr(self.obj, name, value)
        finally:
            self.give()
        return 0

    @property
    def value(self):
        """The bytes up to the first zero."""
        return self.text("value")

    @value.setter
    def value(self, value):
        self.set_text("value", value)

    @property
    def raw(self):
        """All bytes."""
        return self.text("raw")

    @raw.setter
    def raw(self, value):
        self.set_text("raw", value)


def _field(name):
    """A property of a structure, under the lock."""
    def get(self):
        self.acquire()
        try:
            return getattr(self._obj, name)
        finally:
            self.release()

    def put(self, value):
        self.acquire()
        try:
            setattr(self._obj, name, value)
        finally:
            self.release()

    return property(get, put)


def _class_of(cls):
    """The class that wraps structures or unions of this class."""
    found = _classes.get(cls)
    if found is None:
        fields = {field[0]: _field(field[0]) for field in cls._fields_}
        fields["__module__"] = "multiprocessing.sharedctypes"
        found = _classes[cls] = type(f"Synchronized{cls.__name__}", (SynchronizedBase,), fields)
    return found


def synchronized(obj, lock=None, ctx=None):
    """Gives an object of ctypes a lock (None: a new RLock of `ctx`). Does not block."""
    assert not isinstance(obj, SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return (SynchronizedString if obj._type_ is ctypes.c_char else SynchronizedArray)(obj, lock, ctx)
    return _class_of(type(obj))(obj, lock, ctx)


def new_value(typecode_or_type, tuple args, lock):
    """A Value with a lock that is its own and that no process waits for."""
    cdef number_type t
    type_ = type_of(typecode_or_type)
    if type(lock) is not RLock or ctypes.sizeof(type_) > BESIDE_SIZE:
        return synchronized(raw_value(type_, *args), lock)
    if not look_up(type_, &t) or len(args) > 1 or args and not number_plain(args[0], &t):
        obj = new_object(type_, memory_beside(lock, ctypes.sizeof(type_)))
        obj.__init__(*args)
        return synchronized(obj, lock)
    value = beside(type_, lock)
    if args:
        number_write((<Synchronized>value).data, t.size, number_of(args[0], &t))
    return value


name_type(SynchronizedBase, "mpfast.sharedctypes.SynchronizedBase")
name_type(Synchronized, "mpfast.sharedctypes.Synchronized")
name_type(SynchronizedArray, "mpfast.sharedctypes.SynchronizedArray")
name_type(SynchronizedString, "mpfast.sharedctypes.SynchronizedString")
