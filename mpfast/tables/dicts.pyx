# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Dict, a dict in shared memory."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EMSGSIZE, ERANGE
from libc.stdint cimport int64_t, uint64_t
from mpfast.channel.payload cimport payload
from mpfast.core.family.slots cimport SLOT_DICT
from mpfast.core.tables.dict cimport *
from mpfast.core.tables.table cimport *
from mpfast.family.naming cimport name_type
from mpfast.tables.batch cimport LARGE, Batch, Rows
from mpfast.tables.hold cimport SharedTable, WritersLock, leave
from mpfast.tables.keys cimport key_bytes, key_dump, key_load
from mpfast.tables.stored cimport SMALL_ROOM, room_load, room_more, value_dump, value_load

import types
from collections.abc import Mapping

from .missing import MISSING

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1

cdef object _nothing = object()

cdef enum operation:
    GET
    CONTAINS
    SET
    SET_DEFAULT
    DELETE
    POP
    CLEAR


cdef int run(table *t, operation what, const table_key_t *k, const table_value *v, table_room *r) noexcept nogil:
    if what == GET:
        return dict_get(t, k, r)
    if what == CONTAINS:
        return dict_contains(t, k)
    if what == SET:
        return dict_set(t, k, v)
    if what == SET_DEFAULT:
        return dict_set_default(t, k, v, r)
    if what == DELETE:
        return dict_delete(t, k)
    if what == POP:
        return dict_pop(t, k, r)
    return dict_clear(t)


cdef int locked(WritersLock lock, operation what, const table_key_t *k, const table_value *v, table_room *r) except? -1:
    """Does it under the lock. Returns the core's status. Other threads run meanwhile if there is much to copy."""
    cdef int rc
    cdef int entered = lock.begin()
    if what == CLEAR or v != NULL and v.size >= LARGE or r != NULL and r.room >= LARGE:
        with nogil:
            rc = run(&lock.table, what, k, v, r)
            leave(lock, entered)
    else:
        rc = run(&lock.table, what, k, v, r)
        leave(lock, entered)
    return rc


cdef int changed(WritersLock lock, operation what, const table_key_t *k, const table_value *v) except -1:
    """As locked(), for what gives nothing out. Raises if it was not done."""
    cdef int rc = locked(lock, what, k, v, NULL)
    if rc < 0:
        lock.fails(rc, "cannot change")
    return rc


cdef object obtain(WritersLock lock, operation what, const table_key_t *k, const table_value *v, table_room *r, int *rc):
    """Has a value copied to the room, or to the bytes that this returns. *rc is the core's status, 1 or 0."""
    kept = None
    while True:
        if what == GET and r.room < LARGE:
            rc[0] = dict_get(&lock.table, k, r)
        elif what == GET:
            with nogil:
                rc[0] = dict_get(&lock.table, k, r)
        if what != GET or rc[0] == -EAGAIN:
            rc[0] = locked(lock, what, k, v, r)
        if rc[0] >= 0:
            return kept
        if rc[0] != -EMSGSIZE:
            lock.fails(rc[0], "cannot read" if what == GET else "cannot change")
        kept = room_more(r)


cdef int exchange(WritersLock lock, const table_key_t *k, const table_value *old, const table_value *new) except -1:
    cdef int rc
    cdef int entered = lock.begin()
    with nogil:
        rc = dict_compare_exchange(&lock.table, k, old, new)
        leave(lock, entered)
    if rc < 0:
        lock.fails(rc, "cannot change")
    return rc


cdef class Dict(SharedTable):
    """Dict(*args, on_owner_death='raise', **kwargs): a dict that lies in shared memory. The other arguments are dict's.

    Keys are None, bools, ints, floats, strings, bytes, and tuples of such. A value is anything that can be pickled, and
    what one gets is a copy of it. A reader takes no lock, and writes nothing that another process could wait for. Writers
    take a lock for the length of one change. A process that is killed in the middle of a change leaves the dict as it was,
    or changed. Any thread of any process may use it that inherited it, or that got it while it was being started.

    on_owner_death says what happens when a process is killed in a `with` block of the dict. 'raise' raises LockOwnerDied
    in every process that writes, until one calls recover(). 'release' lets the next writer in. OSError (ENOSPC) says that
    the memory, or the table of the family's objects, is full, and CorruptedSharedError that the memory is damaged.
    """

    def __init__(self, *args, str on_owner_death="raise", **kwargs):
        cdef WritersLock lock
        content = plain(args, kwargs) if args or kwargs else None
        if self.lock is not None:
            raise RuntimeError(f"{type(self).__name__}.__init__() was called a second time")
        lock = WritersLock.__new__(WritersLock)
        lock.make(SLOT_DICT, TABLE_DICT, on_owner_death)
        self.lock = lock
        if content:
            self.store(content)

    __class_getitem__ = classmethod(types.GenericAlias)

    @classmethod
    def fromkeys(cls, iterable, value=None):
        """A new Dict with these keys, each with the value."""
        return cls(dict.fromkeys(iterable, value))

    # Reading ---------------------------------------------------------------------------------------------------------

    cdef object fetch(self, object key, operation what, object default):
        """The value of a key, for GET and POP."""
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef char small[SMALL_ROOM]
        cdef table_room r
        cdef table_key_t k
        cdef int rc
        kept_key = key_dump(key, &bytes_of)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        r.data, r.room = small, SMALL_ROOM
        kept = obtain(lock, what, &k, NULL, &r, &rc)
        if rc == 0:
            return default
        return room_load(&r, kept, self) if what == GET else self.popped(&k, &r, kept)

    cdef object popped(self, const table_key_t *k, const table_room *r, object kept):
        """The value that was taken out. It is put back if it cannot be unpickled."""
        cdef char small[8]
        cdef table_room there
        cdef table_value v
        try:
            return room_load(r, kept, self)
        except:
            v.kind, v.size, v.data, v.number = r.kind, r.size, r.data, r.number
            there.data, there.room = small, sizeof(small)
            locked(self.lock, SET_DEFAULT, k, &v, &there)
            raise

    def __getitem__(self, key):
        found = self.fetch(key, GET, _nothing)
        if found is _nothing:
            raise KeyError(key)
        return found

    def get(self, key, default=None):
        """The value of the key, or `default`."""
        return self.fetch(key, GET, default)

    def __contains__(self, key):
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef table_key_t k
        cdef int rc
        kept = key_dump(key, &bytes_of)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        rc = dict_contains(&lock.table, &k)
        if rc == -EAGAIN:
            rc = locked(lock, CONTAINS, &k, NULL, NULL)
        if rc < 0:
            lock.fails(rc, "cannot read")
        return rc == 1

    def __len__(self):
        cdef WritersLock lock = self.ready()
        cdef int entered
        cdef int64_t length = dict_length(&lock.table)
        if length == -EAGAIN:
            entered = lock.begin()
            length = dict_length(&lock.table)
            leave(lock, entered)
        if length < 0:
            lock.fails(<int>length, "cannot read")
        return length

    cdef Rows rows(self, unsigned what):
        """All of it, as it was at one instant."""
        cdef WritersLock lock = self.ready()
        cdef Rows rows = Rows.__new__(Rows)
        cdef int entered
        cdef int rc
        with nogil:
            rc = dict_copy(&lock.table, what, &rows.rows)
        if rc == -EAGAIN:
            entered = lock.begin()
            with nogil:
                rc = dict_copy(&lock.table, what, &rows.rows)
                leave(lock, entered)
        if rc < 0:
            lock.fails(rc, "cannot read")
        return rows

    def keys(self):
        """A list of the keys, in order of insertion, as they were at one instant."""
        cdef Rows rows = self.rows(TABLE_KEYS)
        cdef table_value k
        keys = []
        while copy_next(&rows.rows, &k):
            keys.append(self.key(&k))
        return keys

    cdef object key(self, const table_value *k):
        try:
            return key_load(<const char *>k.data, k.size)
        except ValueError:
            raise self._corrupted(f"cannot read {self.name}: a key is damaged") from None

    def values(self):
        """A list of the values, in order of insertion, as they were at one instant."""
        cdef Rows rows = self.rows(TABLE_VALUES)
        cdef table_value v
        values = []
        while copy_next(&rows.rows, &v):
            values.append(value_load(v.kind, v.data, v.size, v.number, self))
        return values

    def items(self):
        """A list of keys and values, in order of insertion, as they were at one instant."""
        cdef Rows rows = self.rows(TABLE_KEYS | TABLE_VALUES)
        cdef table_value k, v
        items = []
        while copy_next(&rows.rows, &k) and copy_next(&rows.rows, &v):
            items.append((self.key(&k), value_load(v.kind, v.data, v.size, v.number, self)))
        return items

    def copy(self):
        """A dict of this process, with what was here at one instant."""
        cdef Rows rows = self.rows(TABLE_KEYS | TABLE_VALUES)
        cdef table_value k, v
        cdef dict found = {}
        while copy_next(&rows.rows, &k) and copy_next(&rows.rows, &v):
            found[self.key(&k)] = value_load(v.kind, v.data, v.size, v.number, self)
        return found

    def _getvalue(self):
        """copy(), under the name that proxies have for it."""
        return Dict.copy(self)

    def __iter__(self):
        return iter(self.keys())

    def __reversed__(self):
        return reversed(self.keys())

    def __eq__(self, other):
        if isinstance(other, Dict):
            return Dict.copy(self) == Dict.copy(other)
        if isinstance(other, dict):
            return Dict.copy(self) == other
        if isinstance(other, Mapping):
            return Dict.copy(self) == dict(other.items())
        return NotImplemented

    def __or__(self, other):
        return Dict.copy(self) | plain((other,), {}) if isinstance(other, (Dict, Mapping)) else NotImplemented

    def __ror__(self, other):
        return plain((other,), {}) | Dict.copy(self) if isinstance(other, (Dict, Mapping)) else NotImplemented

    def __repr__(self):
        return f"{type(self).__name__}({self})"

    def __str__(self):
        try:
            return repr(Dict.copy(self))
        except (OSError, RuntimeError) as error:
            return f"<{error}>"

    # Writing ---------------------------------------------------------------------------------------------------------

    def __setitem__(self, key, value):
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef table_value v
        cdef table_key_t k
        cdef payload p
        kept_key = key_dump(key, &bytes_of)
        kept = value_dump(value, &v, &p)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        changed(lock, SET, &k, &v)

    def __delitem__(self, key):
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef table_key_t k
        kept_key = key_dump(key, &bytes_of)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        if not changed(lock, DELETE, &k, NULL):
            raise KeyError(key)

    def pop(self, key, *default):
        """Takes the key out and returns its value, or `default`. KeyError if there is neither.

        A value that cannot be unpickled stays, and the exception is raised.
        """
        if len(default) > 1:
            raise TypeError(f"pop expected at most 2 arguments, got {1 + len(default)}")
        found = self.fetch(key, POP, _nothing)
        if found is not _nothing:
            return found
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self):
        """Takes the key out that was inserted last, and returns it with its value. KeyError if there is none."""
        cdef WritersLock lock = self.ready()
        cdef char small_key[SMALL_ROOM]
        cdef char small[SMALL_ROOM]
        cdef table_room key_room, r
        cdef table_value key
        cdef table_key_t k
        cdef int entered
        cdef int rc
        kept_key = kept = None
        key_room.data, key_room.room = small_key, SMALL_ROOM
        r.data, r.room = small, SMALL_ROOM
        while True:
            entered = lock.begin()
            rc = dict_pop_last(&lock.table, &key_room, &r)
            leave(lock, entered)
            if rc != -EMSGSIZE:
                break
            if key_room.size > key_room.room:
                kept_key = room_more(&key_room)
            if r.size > r.room:
                kept = room_more(&r)
        if rc < 0:
            lock.fails(rc, "cannot change")
        if rc == 0:
            raise KeyError("popitem(): dictionary is empty")
        k = table_key(&lock.table, <const char *>key_room.data, key_room.size)
        key.data, key.size = key_room.data, key_room.size
        return self.key(&key), self.popped(&k, &r, kept)

    def setdefault(self, key, default=None):
        """The value of the key. If there is none, `default` is stored and returned."""
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef char small[SMALL_ROOM]
        cdef table_room r
        cdef table_value v
        cdef table_key_t k
        cdef payload p
        cdef int rc
        found = self.fetch(key, GET, _nothing)
        if found is not _nothing:
            return found
        kept_key = key_dump(key, &bytes_of)
        kept_value = value_dump(default, &v, &p)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        r.data, r.room = small, SMALL_ROOM
        kept = obtain(lock, SET_DEFAULT, &k, &v, &r, &rc)
        return room_load(&r, kept, self) if rc == 1 else default

    def update(self, *args, **kwargs):
        """Stores all that dict(*args, **kwargs) has, under one holding of the lock. Each key is a change of its own.

        If a key or value is refused, nothing is stored.
        """
        content = plain(args, kwargs)
        if content:
            self.store(content)

    cdef int store(self, dict content) except -1:
        cdef WritersLock lock = self.ready()
        cdef Batch batch = Batch.__new__(Batch, True)
        cdef key_bytes bytes_of
        cdef int entered
        cdef uint64_t i
        cdef int rc = 0
        for key, value in content.items():
            kept = key_dump(key, &bytes_of)
            if kept is None:
                kept = PyBytes_FromStringAndSize(bytes_of.data, bytes_of.size)
            batch.kept.append(kept)
            batch.add(value)
            batch.keys[batch.count - 1] = table_key(&lock.table, PyBytes_AS_STRING(kept), bytes_of.size)
        entered = lock.begin()
        with nogil:
            for i in range(batch.count):
                rc = dict_set(&lock.table, &batch.keys[i], &batch.values[i])
                if rc < 0:
                    break
            leave(lock, entered)
        if rc < 0:
            lock.fails(rc, "cannot change")
        return 0

    def __ior__(self, other):
        self.update(other)
        return self

    def clear(self):
        """Takes all keys out, in one change."""
        changed(self.ready(), CLEAR, NULL, NULL)

    def add(self, key, n=1):
        """Adds n to the value of the key, or to 0 if there is none. Returns the sum. No other writer comes between."""
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef table_key_t k
        cdef int entered
        cdef int64_t number, total = 0
        cdef int overflow = 0, rc
        if type(n) is int:
            number = PyLong_AsLongLongAndOverflow(n, &overflow)
            if not overflow:
                kept = key_dump(key, &bytes_of)
                k = table_key(&lock.table, bytes_of.data, bytes_of.size)
                entered = lock.begin()
                rc = dict_add(&lock.table, &k, number, &total)
                leave(lock, entered)
                if rc == 0:
                    return total
                if rc != -ERANGE:
                    lock.fails(rc, "cannot change")
        return self.add_slowly(key, n)

    cdef object add_slowly(self, object key, object n):
        """The sum is made without the lock. It is stored if the value is still what it was."""
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef char small[SMALL_ROOM]
        cdef table_value before, after
        cdef table_room r
        cdef table_key_t k
        cdef payload p
        cdef int rc
        kept_key = key_dump(key, &bytes_of)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        while True:
            r.data, r.room = small, SMALL_ROOM
            kept = obtain(lock, GET, &k, NULL, &r, &rc)
            total = n if rc == 0 else room_load(&r, kept, self) + n
            kept_new = value_dump(total, &after, &p)
            before.kind, before.data, before.size, before.number = r.kind, r.data, r.size, r.number
            if exchange(lock, &k, NULL if rc == 0 else &before, &after):
                return total

    def compare_exchange(self, key, old, new):
        """Stores `new` if the value is `old`. Returns whether it was. MISSING stands for no value on both sides.

        The stored forms are compared, as pickling makes them. So 1, 1.0 and True are three values, and what is pickled
        differently each time, a set of strings for example, may not be found equal.
        """
        cdef WritersLock lock = self.ready()
        cdef key_bytes bytes_of
        cdef table_value before, after
        cdef table_key_t k
        cdef payload p, q
        kept_key = key_dump(key, &bytes_of)
        kept_old = None if old is MISSING else value_dump(old, &before, &p)
        kept_new = None if new is MISSING else value_dump(new, &after, &q)
        k = table_key(&lock.table, bytes_of.data, bytes_of.size)
        return bool(exchange(lock, &k, NULL if old is MISSING else &before, NULL if new is MISSING else &after))


cdef dict plain(tuple args, dict kwargs):
    """dict(*args, **kwargs), with a Dict as it was at one instant."""
    if len(args) == 1 and isinstance(args[0], Dict):
        args = (Dict.copy(args[0]),)
    return dict(*args, **kwargs)


name_type(Dict, "mpfast.shared.Dict")
