# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""This process's hold of a shared Dict or List: its slot, its view of the memory, and the lock of the writers.

A change is a *section* of the lock (core/locks/section.h). It makes no Python object and destroys none. So no finalizer,
signal handler or pickling code runs in it, and all of these may use the same Dict. `with d:` takes the lock under the
thread's name.
"""

from libc.errno cimport EAGAIN, EBADF, EBADMSG, EMSGSIZE, ENOMEM, ENOSPC, ENOSYS
from libc.stdint cimport uint32_t
from mpfast.core.family.slots cimport SLOT_DICT, SLOT_LARGE, slot_kind_t
from mpfast.core.locks.lock cimport *
from mpfast.core.locks.section cimport *
from mpfast.core.tables.table cimport *
from mpfast.family.family cimport fail, me
from mpfast.family.timeouts cimport deadline_of, policy_of
from mpfast.sync.mutex cimport Mutex

from multiprocessing import context as _context

from ..errors import CorruptedSharedError

_POLICIES = {"raise": DEATH_RAISE, "release": DEATH_RELEASE}


cdef class WritersLock(Mutex):
    """The lock of a Dict's or List's writers. The thread that holds it may acquire it again. Readers do not ask for it.

    acquire(), release() and `with` are those of an RLock.
    """

    def __dealloc__(self):
        if self.opened:
            table_close(&self.table)

    cdef int make(self, slot_kind_t kind, table_form form, str policy) except -1:
        """A new one."""
        cdef int death = policy_of(policy, _POLICIES)
        try:
            self.claim(SLOT_LARGE, kind)
        except OSError as error:
            said = error.strerror.replace("WritersLock", "shared Dict" if kind == SLOT_DICT else "shared List")
            raise OSError(error.errno, said) from None
        rc = table_open(self.family, self.slot, &self.table)
        if rc == 0:
            self.opened = True
            rc = table_init(&self.table, form, death)
        if rc < 0:
            self.fails(rc, "cannot make")
        return 0

    cdef int open(self, table_form form) except -1:
        """One that was unpickled."""
        if self.opened:
            return 0
        rc = table_open(self.family, self.slot, &self.table)
        if rc == 0:
            self.opened = True
            rc = table_check(&self.table, form)
        if rc < 0:
            self.fails(rc, "cannot open")
        return 0

    cdef int fails(self, int rc, str doing) except -1:
        """Raises what the status of one of the core's functions stands for."""
        if rc == -EAGAIN:
            rc = table_damaged(&self.table)  # it came under the lock, where nothing moves
        if rc == -EBADMSG:
            raise CorruptedSharedError(f"{doing} {self.name}: its shared memory is damaged")
        if rc == -ENOSPC:
            raise OSError(ENOSPC, f"{doing} {self.name}: it has no room for more, or for a value of this size")
        if rc == -ENOMEM:
            raise MemoryError(f"{doing} {self.name}: no memory, or no room in the address space (see ulimit -v)")
        if rc == -ENOSYS:
            raise OSError(ENOSYS, f"{doing} {self.name}: this system refuses random bytes, getrandom")
        fail(rc, f"{doing} {self.name}")

    @property
    def name(self):
        """What messages call it. It is the same in each process."""
        return f"{'Dict' if self.kind == SLOT_DICT else 'List'}-{self.slot}"

    cdef int begin(self) except -1:
        """Takes the lock for some instructions in C. The result is for leave()."""
        cdef uint32_t identity = me(self)
        cdef int entered = section_enter(<lock *>self.cell, identity)
        if entered == SECTION_BUSY:
            self.await_section(identity)
            return SECTION_TAKEN
        return entered

    cdef int take(self) except -1:
        cdef uint32_t identity = me(self)
        if not rlock_reenter(<lock *>self.cell, identity):
            if not lock_try(<lock *>self.cell, identity):
                self.contend(identity, True, None)
            rlock_set_depth(<lock *>self.cell, 1)
        return 1

    cdef int give(self) except -1:
        if rlock_release(self.family, <lock *>self.cell, me(self)) < 0:
            raise AssertionError("attempt to release recursive lock not owned by thread")
        return 0

    def acquire(self, block=True, timeout=None):
        """Takes the lock, or holds it once more. Blocks until it is free, at most `timeout` seconds (None: for ever).

        Returns True, or False if block is false or the time is up and another thread has it. Raises LockOwnerDied if the
        holder was killed in a `with` block.
        """
        cdef uint32_t identity = me(self)
        if timeout is not None:
            deadline_of(False, timeout)  # a wrong type is an error even if there is nothing to wait for
        if rlock_reenter(<lock *>self.cell, identity):
            return True
        if not lock_try(<lock *>self.cell, identity) and not self.contend(identity, block, timeout):
            return False
        rlock_set_depth(<lock *>self.cell, 1)
        return True

    def release(self):
        """Undoes one acquire of the calling thread. The last frees the lock. AssertionError if it is not the holder."""
        self.give()

    def __repr__(self):
        try:
            owner = self.owner()
        except Exception:
            owner = "unknown"
        return f"<{type(self).__name__} of {self.name}, owner={owner}>"


cdef class SharedTable:
    """The base of Dict and List."""
    _corrupted = CorruptedSharedError  # what payload.pyx raises of damaged values

    cdef WritersLock ready(self):
        if self.lock is None:
            raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
        return self.lock

    @property
    def name(self):
        """What messages call it. It is the same in each process."""
        return self.ready().name

    def get_lock(self):
        """The lock of the writers, for several changes that no other writer interrupts. Readers do not wait for it."""
        return self.ready()

    def __enter__(self):
        self.ready().take()
        return self

    def __exit__(self, kind=None, value=None, traceback=None):
        self.ready().give()

    def recover(self):
        """Takes over the lock of a holder that was killed in a `with` block. Does not block.

        Returns True for exactly one caller, which then holds the lock and may mend what its program means by the
        content. It calls get_lock().release() afterwards. Returns False if the lock is not abandoned.
        """
        return self.ready().recover()

    def stats(self):
        """Returns a TableStats: how long it is, how much memory it has, and how often it was repaired. Does not block."""
        from .stats import TableStats

        cdef table_stats_t s
        table_stats(&self.ready().table, &s)
        return TableStats(s.live, s.bytes, s.idle, s.repairs)

    def __reduce__(self):
        _context.assert_spawning(self)
        return _rebuild, (type(self), self.ready()), getattr(self, "__dict__", None)


def _rebuild(cls, WritersLock lock not None):
    cdef SharedTable self = cls.__new__(cls)
    lock.open(TABLE_DICT if lock.kind == SLOT_DICT else TABLE_LIST)
    self.lock = lock
    return self
