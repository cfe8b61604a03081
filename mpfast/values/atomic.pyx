# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Atomic, a number that processes change without a lock."""

from libc.stdint cimport uint64_t
from mpfast.core.values.number cimport *
from mpfast.family.naming cimport name_type
from mpfast.values.memory cimport SharedBytes, data_of, look_up, new_memory
from mpfast.values.numbers cimport *

import ctypes
from multiprocessing import context as _context

from .memory import type_of
from .wrappers import SynchronizedBase


cdef class Atomic:
    """Atomic(typecode_or_type, value=0): a number in shared memory, each operation of which is one step for all others.

    There is no lock. No operation blocks, and a process that is killed anywhere in one harms nobody. All threads of all
    processes see the operations of an Atomic in one order. `a.value += 1` is two operations, of which another process
    can come between. Use a.fetch_add(1). It can be handed to a child while that one is being started, and a forked child
    has it. Integers wrap as those of ctypes do. TypeError if it is no type of an integer or float.
    """
    cdef SharedBytes memory
    cdef char *data
    cdef object type
    cdef number_type item
    cdef object __weakref__

    def __init__(self, typecode_or_type, value=0):
        type_ = type_of(typecode_or_type)
        self.look(type_, typecode_or_type)
        self.memory = new_memory(self.item.size)
        self.data = self.memory.data
        number_store(self.data, self.item.size, operand_of(value, &self.item))

    cdef int look(self, type_, named) except -1:
        if not look_up(type_, &self.item):
            raise TypeError(f"an Atomic is an integer or a float, and {named!r} is the type of neither")
        self.type = type_
        return 0

    @staticmethod
    def at(obj, index=None):
        """An Atomic over a number that lies in shared memory already, a RawValue or an item of a RawArray.

        It keeps the memory. An object with a lock is refused with TypeError, because who has its lock relies on it. Use
        `Atomic.at(v.get_obj())` if nobody does.
        """
        cdef Atomic self = Atomic.__new__(Atomic)
        cdef Py_ssize_t at = 0
        if isinstance(obj, SynchronizedBase):
            raise TypeError(f"{obj!r} has a lock, which an Atomic does not take: give its get_obj()")
        self.data = data_of(obj)
        if self.data == NULL:
            raise TypeError(f"{obj!r} is not in shared memory of mpfast's")
        if index is None:
            self.look(type(obj), type(obj))
        elif not isinstance(obj, ctypes.Array):
            raise TypeError(f"{obj!r} is no array, so it has no item {index!r}")
        else:
            self.look(type(obj)._type_, type(obj)._type_)
            at = range(len(obj))[index]
        self.data += at * self.item.size
        if <uint64_t>self.data % self.item.size != 0:
            raise ValueError(f"{obj!r} is not aligned, so that no single instruction can change it")
        self.memory = obj._wrapper
        return self

    @property
    def value(self):
        """The number. To read it is one load, and to write it one store."""
        return self.read()

    @value.setter
    def value(self, value):
        self.write(value)

    def load(self):
        """Returns the number."""
        return self.read()

    def store(self, value):
        """Stores a number."""
        self.write(value)

    cdef object read(self):
        self.ready()
        return number_object(number_load(self.data, self.item.size), &self.item)

    cdef int write(self, value) except -1:
        self.ready()
        number_store(self.data, self.item.size, operand_of(value, &self.item))
        return 0

    cdef inline int ready(self) except -1:
        if self.data == NULL:
            raise RuntimeError("Atomic.__init__() was not called")
        return 0

    def fetch_add(self, n=1):
        """Adds n. Returns the old number."""
        self.ready()
        cdef uint64_t bits = operand_of(n, &self.item)
        if self.item.kind == NUMBER_FLOAT:
            return self.add(number_double(bits, self.item.size))
        return number_object(number_add(self.data, self.item.size, bits), &self.item)

    def fetch_sub(self, n=1):
        """Subtracts n. Returns the old number."""
        self.ready()
        cdef uint64_t bits = operand_of(n, &self.item)
        if self.item.kind == NUMBER_FLOAT:
            return self.add(-number_double(bits, self.item.size))
        return number_object(number_add(self.data, self.item.size, 0 - bits), &self.item)

    cdef object add(self, double n):
        return number_object(number_add_double(self.data, self.item.size, n), &self.item)

    def fetch_and(self, n):
        """Stores number & n. Returns the old number. Of integers only."""
        self.integer("fetch_and")
        return number_object(number_and(self.data, self.item.size, operand_of(n, &self.item)), &self.item)

    def fetch_or(self, n):
        """Stores number | n. Returns the old number. Of integers only."""
        self.integer("fetch_or")
        return number_object(number_or(self.data, self.item.size, operand_of(n, &self.item)), &self.item)

    def fetch_xor(self, n):
        """Stores number ^ n. Returns the old number. Of integers only."""
        self.integer("fetch_xor")
        return number_object(number_xor(self.data, self.item.size, operand_of(n, &self.item)), &self.item)

    cdef inline int integer(self, str operation) except -1:
        self.ready()
        return must_have(&self.item, operation, True)

    def exchange(self, value):
        """Stores a number. Returns the old one."""
        self.ready()
        return number_object(number_swap(self.data, self.item.size, operand_of(value, &self.item)), &self.item)

    def compare_exchange(self, expected, desired):
        """Stores `desired` if the number is `expected`. Returns whether it was.

        Floats are compared bit by bit. So a NaN is equal to itself, and 0.0 is not equal to -0.0.
        """
        self.ready()
        cdef uint64_t wanted = operand_of(expected, &self.item), then = operand_of(desired, &self.item)
        return number_cas(self.data, self.item.size, wanted, then)

    def __reduce__(self):
        self.ready()
        _context.assert_spawning(self)
        return _rebuild_atomic, (self.memory, self.type, self.data - self.memory.data)

    def __repr__(self):
        self.ready()
        return f"Atomic({chr(self.item.format[0])!r}, {self.load()!r})"


def _rebuild_atomic(SharedBytes memory not None, type, Py_ssize_t at):
    cdef Atomic self = Atomic.__new__(Atomic)
    self.look(type, type)
    if at < 0 or at + self.item.size > memory.size:
        raise ValueError(f"damaged Atomic: byte {at} of {memory.size}")
    self.memory = memory
    self.data = memory.data + at
    return self


name_type(Atomic, "mpfast.Atomic")
