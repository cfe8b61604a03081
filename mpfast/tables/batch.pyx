# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Many values on their way into a shared Dict or List, or out of it, in memory of this process."""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint64_t
from mpfast.core.tables.dict cimport table_key_t
from mpfast.core.tables.table cimport copy_free, copy_next, table_value
from mpfast.tables.stored cimport value_dump_apart


cdef class Batch:
    """Values that are written already, for one change. With keyed=True, each has a key."""

    def __cinit__(self, bint keyed=False):
        self.keyed, self.kept = keyed, []

    def __dealloc__(self):
        PyMem_Free(self.values)
        PyMem_Free(self.keys)

    cdef int grow(self) except -1:
        cdef uint64_t room = self.room * 2 + 8
        cdef void *moved = PyMem_Realloc(self.values, room * sizeof(table_value))
        if moved == NULL:
            raise MemoryError
        self.values = <table_value *>moved
        if self.keyed:
            moved = PyMem_Realloc(self.keys, room * sizeof(table_key_t))
            if moved == NULL:
                raise MemoryError
            self.keys = <table_key_t *>moved
        self.room = room
        return 0

    cdef int add(self, object value) except -1:
        """Writes one more value. Raises what pickling it raises."""
        cdef table_value v
        kept = value_dump_apart(value, &v)
        if kept is not None:
            self.kept.append(kept)
        return self.add_stored(&v)

    cdef int add_stored(self, const table_value *v) except -1:
        """One more value, the bytes of which live long enough."""
        if self.count == self.room:
            self.grow()
        self.values[self.count] = v[0]
        self.bytes += sizeof(table_value) + v.size
        self.count += 1
        return 0


cdef class Rows:
    """What was copied out of a table at one instant."""

    cdef Batch batch(self):
        """All cells, as values. They live as long as these rows."""
        cdef Batch batch = Batch.__new__(Batch)
        cdef table_value v
        while copy_next(&self.rows, &v):
            batch.add_stored(&v)
        return batch

    def __dealloc__(self):
        copy_free(&self.rows)
