# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""List, a list in shared memory."""

from cpython.number cimport PyNumber_AsSsize_t
from libc.errno cimport EAGAIN, EMSGSIZE
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from mpfast.channel.payload cimport payload
from mpfast.core.family.slots cimport SLOT_LIST
from mpfast.core.tables.list cimport *
from mpfast.core.tables.table cimport *
from mpfast.family.naming cimport name_type
from mpfast.tables.batch cimport LARGE, Batch, Rows
from mpfast.tables.hold cimport SharedTable, WritersLock, leave
from mpfast.tables.slices cimport *
from mpfast.tables.stored cimport SMALL_ROOM, room_load, room_more, value_dump, value_load

import sys
import types

cdef extern from "Python.h":
    bint PyIndex_Check(object)
    int PySlice_Unpack(object slice, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1

cdef enum:
    SORT_TRIES = 3  # after which the other writers have to wait for a sort

cdef Py_ssize_t index_of(object i) except? -1:
    if not PyIndex_Check(i):
        raise TypeError(f"list indices must be integers or slices, not {type(i).__name__}")
    return PyNumber_AsSsize_t(i, IndexError)


cdef int unpack(object i, span *s) except -1:
    return PySlice_Unpack(i, &s.start, &s.stop, &s.step)


cdef object value_at(Batch batch, uint64_t i, object source):
    cdef table_value *v = &batch.values[i]
    return value_load(v.kind, v.data, v.size, v.number, source)


cdef list plain(object iterable):
    """The items, those of a List as they were at one instant."""
    return List.copy(iterable) if isinstance(iterable, List) else list(iterable)


cdef Batch batch_of(object iterable):
    """The items, written. Raises what pickling one of them raises."""
    cdef Batch batch = Batch.__new__(Batch)
    for value in plain(iterable):
        batch.add(value)
    return batch


cdef class List(SharedTable):
    """List(iterable=(), *, on_owner_death='raise'): a list that lies in shared memory.

    An item is anything that can be pickled, and what one gets is a copy of it. A reader takes no lock, and writes nothing
    that another process could wait for. Writers take a lock for the length of one change, and each method makes one change
    at most. A process that is killed in the middle of a change leaves the list as it was, or changed. on_owner_death, the
    exceptions, and which processes may use it are as for Dict.
    """

    def __init__(self, iterable=(), *, str on_owner_death="raise"):
        cdef WritersLock lock
        cdef Batch batch = batch_of(iterable)
        if self.lock is not None:
            raise RuntimeError(f"{type(self).__name__}.__init__() was called a second time")
        lock = WritersLock.__new__(WritersLock)
        lock.make(SLOT_LIST, TABLE_LIST, on_owner_death)
        self.lock = lock
        if batch.count:
            self.add_all(batch)

    __class_getitem__ = classmethod(types.GenericAlias)

    # Reading ---------------------------------------------------------------------------------------------------------

    cdef object item(self, Py_ssize_t i):
        cdef WritersLock lock = self.ready()
        cdef char small[SMALL_ROOM]
        cdef table_room r
        cdef int entered
        cdef int rc
        kept = None
        r.data, r.room = small, SMALL_ROOM
        while True:
            if r.room < LARGE:
                rc = list_get(&lock.table, i, &r)
            else:
                with nogil:
                    rc = list_get(&lock.table, i, &r)
            if rc == -EAGAIN:
                entered = lock.begin()
                rc = list_get(&lock.table, i, &r)
                leave(lock, entered)
            if rc != -EMSGSIZE:
                break
            kept = room_more(&r)
        if rc == 0:
            raise IndexError("list index out of range")
        if rc < 0:
            lock.fails(rc, "cannot read")
        return room_load(&r, kept, self)

    cdef Rows rows(self, int64_t start, int64_t stop):
        """Some of it, as it was at one instant."""
        cdef WritersLock lock = self.ready()
        cdef Rows rows = Rows.__new__(Rows)
        cdef int entered
        cdef int rc
        with nogil:
            rc = list_copy(&lock.table, start, stop, &rows.rows)
        if rc == -EAGAIN:
            entered = lock.begin()
            with nogil:
                rc = list_copy(&lock.table, start, stop, &rows.rows)
                leave(lock, entered)
        if rc < 0:
            lock.fails(rc, "cannot read")
        return rows

    cdef list part(self, int64_t start, int64_t stop):
        cdef Rows rows = self.rows(start, stop)
        cdef table_value v
        found = []
        while copy_next(&rows.rows, &v):
            found.append(value_load(v.kind, v.data, v.size, v.number, self))
        return found

    def __getitem__(self, i):
        cdef Rows rows
        cdef Batch batch
        cdef span s
        if not isinstance(i, slice):
            return self.item(index_of(i))
        unpack(i, &s)
        if s.step == 1:
            return self.part(s.start, s.stop)
        rows = self.rows(0, INT64_MAX)
        batch = rows.batch()
        adjust(&s, batch.count)
        return [value_at(batch, s.start + k * s.step, self) for k in range(s.length)]

    def __len__(self):
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef int64_t length = list_length(&lock.table)
        if length == -EAGAIN:
            entered = lock.begin()
            length = list_length(&lock.table)
            leave(lock, entered)
        if length < 0:
            lock.fails(<int>length, "cannot read")
        return length

    def copy(self):
        """A list of this process, with what was here at one instant."""
        return self.part(0, INT64_MAX)

    def _getvalue(self):
        """copy(), under the name that proxies have for it."""
        return self.part(0, INT64_MAX)

    def __iter__(self):
        return iter(self.part(0, INT64_MAX))

    def __reversed__(self):
        return reversed(self.part(0, INT64_MAX))

    def __contains__(self, value):
        return value in self.part(0, INT64_MAX)

    def index(self, value, start=0, stop=sys.maxsize):
        """The index of the first item that is equal to the value. ValueError if there is none."""
        return self.part(0, INT64_MAX).index(value, start, stop)

    def count(self, value):
        """How many items are equal to the value."""
        return self.part(0, INT64_MAX).count(value)

    def __eq__(self, other):
        return List.copy(self) == plain(other) if isinstance(other, (List, list)) else NotImplemented

    def __add__(self, other):
        return List.copy(self) + plain(other) if isinstance(other, (List, list)) else NotImplemented

    def __radd__(self, other):
        return plain(other) + List.copy(self) if isinstance(other, (List, list)) else NotImplemented

    def __mul__(self, n):
        return List.copy(self) * n

    def __rmul__(self, n):
        return List.copy(self) * n

    def __repr__(self):
        return f"{type(self).__name__}({self})"

    def __str__(self):
        try:
            return repr(List.copy(self))
        except (OSError, RuntimeError) as error:
            return f"<{error}>"

    # Writing ---------------------------------------------------------------------------------------------------------

    cdef int done(self, int rc, str out_of_range=None) except -1:
        """What came of a change."""
        if rc < 0:
            self.lock.fails(rc, "cannot change")
        if rc == 0 and out_of_range is not None:
            raise IndexError(out_of_range)
        return rc

    cdef int add_all(self, Batch batch) except -1:
        """One change, during which other threads run if it is large."""
        cdef WritersLock lock = self.ready()
        cdef int entered = lock.begin()
        cdef int rc
        if batch.bytes < LARGE:
            rc = list_extend(&lock.table, batch.values, batch.count)
            leave(lock, entered)
        else:
            with nogil:
                rc = list_extend(&lock.table, batch.values, batch.count)
                leave(lock, entered)
        return self.done(rc)

    def append(self, value):
        """Adds an item at the end."""
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef table_value v
        cdef payload p
        cdef int rc
        kept = value_dump(value, &v, &p)
        entered = lock.begin()
        if v.size < LARGE:
            rc = list_append(&lock.table, &v)
            leave(lock, entered)
        else:
            with nogil:
                rc = list_append(&lock.table, &v)
                leave(lock, entered)
        if rc < 0:
            self.done(rc)

    def extend(self, iterable):
        """Adds all items of an iterable at the end, in one change."""
        self.ready()
        cdef Batch batch = batch_of(iterable)
        if batch.count:
            self.add_all(batch)

    def __iadd__(self, other):
        self.extend(other)
        return self

    def __imul__(self, n):
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef Py_ssize_t times
        cdef int rc = 0
        if not PyIndex_Check(n):
            return NotImplemented
        times = PyNumber_AsSsize_t(n, OverflowError)
        entered = lock.begin()
        with nogil:
            if times <= 0:
                rc = list_splice(&lock.table, 0, MOST, NULL, 0)
            elif times > 1:
                rc = repeat(&lock.table, times - 1)
            leave(lock, entered)
        self.done(rc)
        return self

    def __setitem__(self, i, value):
        cdef WritersLock lock = self.ready()
        cdef Py_ssize_t at
        cdef int entered
        cdef table_value v
        cdef payload p
        cdef int rc
        if isinstance(i, slice):
            self.set_slice(i, value)
            return
        at = index_of(i)
        kept = value_dump(value, &v, &p)
        entered = lock.begin()
        if v.size < LARGE:
            rc = list_set(&lock.table, at, &v)
            leave(lock, entered)
        else:
            with nogil:
                rc = list_set(&lock.table, at, &v)
                leave(lock, entered)
        if rc != 1:
            self.done(rc, "list assignment index out of range")

    cdef int set_slice(self, object i, object values) except -1:
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef Batch batch
        cdef span s
        cdef int rc
        unpack(i, &s)
        try:
            batch = batch_of(values)
        except TypeError:
            iter(values)
            raise
        if s.step == 1:
            return self.splice(&s, batch)
        entered = lock.begin()
        with nogil:
            rc = rewrite(&lock.table, &s, batch.values, batch.count)
            leave(lock, entered)
        if self.done(rc) == 0:
            raise ValueError(f"attempt to assign sequence of size {batch.count} to extended slice of size {s.length}")
        return 0

    cdef int splice(self, span *s, Batch batch) except -1:
        """l[start:stop] = the values."""
        cdef WritersLock lock = self.ready()
        cdef int entered = lock.begin()
        cdef int64_t length
        cdef int rc
        with nogil:
            length = list_length(&lock.table)
            rc = <int>length
            if length >= 0:
                adjust(s, length)
                rc = list_splice(&lock.table, s.start, s.stop - s.start, batch.values, batch.count)
            leave(lock, entered)
        return self.done(rc)

    def __delitem__(self, i):
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef int64_t length
        cdef Py_ssize_t at
        cdef span s
        cdef int rc
        if isinstance(i, slice):
            self.delete_slice(i)
            return
        at = index_of(i)
        entered = lock.begin()
        with nogil:
            length = list_length(&lock.table)
            at = at + length if at < 0 else at
            rc = <int>length if length < 0 else 0
            if 0 <= at < length:
                rc = list_splice(&lock.table, at, 1, NULL, 0)
                rc = 1 if rc == 0 else rc
            leave(lock, entered)
        self.done(rc, "list assignment index out of range")

    cdef int delete_slice(self, object i) except -1:
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef span s
        cdef int rc
        unpack(i, &s)
        if s.step == 1:
            return self.splice(&s, Batch.__new__(Batch))
        entered = lock.begin()
        with nogil:
            rc = rewrite(&lock.table, &s, NULL, DELETE)
            leave(lock, entered)
        return self.done(rc)

    def insert(self, i, value):
        """Puts an item before the one that has this index."""
        cdef span s
        s.start = s.stop = index_of(i)
        s.step = 1
        self.splice(&s, batch_of((value,)))

    def pop(self, i=-1):
        """Takes an item out and returns it. IndexError if there is no such item.

        An item that cannot be unpickled is put back, and the exception is raised.
        """
        cdef WritersLock lock = self.ready()
        cdef Py_ssize_t at = index_of(i)
        cdef char small[SMALL_ROOM]
        cdef table_room r
        cdef int entered
        cdef int rc
        kept = None
        r.data, r.room = small, SMALL_ROOM
        while True:
            entered = lock.begin()
            rc = list_pop(&lock.table, at, &r)
            leave(lock, entered)
            if rc != -EMSGSIZE:
                break
            kept = room_more(&r)
        if rc < 1:
            self.done(rc, "pop index out of range" if len(self) else "pop from empty list")
        try:
            return room_load(&r, kept, self)
        except:
            self.put_back(at, &r)
            raise

    cdef int put_back(self, Py_ssize_t at, const table_room *r) except -1:
        cdef Batch batch = Batch.__new__(Batch)
        cdef table_value v
        cdef span s
        v.kind, v.size, v.data, v.number = r.kind, r.size, r.data, r.number
        batch.add_stored(&v)
        s.start = s.stop = at if at >= 0 else len(self) + at + 1
        s.step = 1
        return self.splice(&s, batch)

    def remove(self, value):
        """Takes the first item out that is equal to the value. ValueError if there is none."""
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef Batch batch
        cdef Rows rows
        cdef uint64_t at
        cdef int rc = 0
        while rc == 0:
            rows = self.rows(0, INT64_MAX)
            batch = rows.batch()
            at = 0
            while at < batch.count and not value_at(batch, at, self) == value:
                at += 1
            if at == batch.count:
                raise ValueError("list.remove(x): x not in list")
            entered = lock.begin()
            with nogil:
                rc = unchanged(&lock.table, batch.values, at + 1)
                if rc == 1:
                    rc = list_splice(&lock.table, at, 1, NULL, 0)
                    rc = 1 if rc == 0 else rc
                leave(lock, entered)
            self.done(rc)

    def clear(self):
        """Takes all items out, in one change."""
        cdef WritersLock lock = self.ready()
        cdef int entered = lock.begin()
        cdef int rc
        with nogil:
            rc = list_splice(&lock.table, 0, MOST, NULL, 0)
            leave(lock, entered)
        self.done(rc)

    def reverse(self):
        """Reverses the order of the items, in one change."""
        cdef WritersLock lock = self.ready()
        cdef int entered = lock.begin()
        cdef int rc
        with nogil:
            rc = list_reverse(&lock.table)
            leave(lock, entered)
        self.done(rc)

    def sort(self, *, key=None, reverse=False):
        """Sorts the items as list.sort() does, in one change.

        They are compared without the lock, and in vain if the list changes meanwhile. After a few times the other writers
        have to wait. ValueError says that the key function, or a comparison, changed the list.
        """
        for _ in range(SORT_TRIES):
            if self.sorted(key, reverse):
                return
        with self:
            if not self.sorted(key, reverse):
                raise ValueError("list modified during sort")

    cdef bint sorted(self, object key, object reverse) except -1:
        cdef WritersLock lock = self.ready()
        cdef Rows rows = self.rows(0, INT64_MAX)
        cdef Batch batch = rows.batch(), then = Batch.__new__(Batch)
        cdef int entered
        cdef uint64_t i
        cdef int rc
        items = [value_at(batch, i, self) for i in range(batch.count)]
        if key is not None:
            items = [key(item) for item in items]
        for i in sorted(range(batch.count), key=items.__getitem__, reverse=reverse):
            then.add_stored(&batch.values[i])
        entered = lock.begin()
        with nogil:
            rc = unchanged(&lock.table, batch.values, batch.count)
            if rc == 1 and (list_length(&lock.table) != <int64_t>batch.count):
                rc = 0
            if rc == 1:
                rc = list_splice(&lock.table, 0, batch.count, then.values, then.count)
                rc = 1 if rc == 0 else rc
            leave(lock, entered)
        return self.done(rc)


name_type(List, "mpfast.shared.List")
