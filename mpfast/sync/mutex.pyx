# SPDX-License-Identifier: MIT
# cython: language_level=3, always_allow_keywords=False, binding=False, embedsignature=True, embedsignature.format=clinic
"""Lock and RLock over a family's slots.

All methods may be called from any thread and any process of the family. A try holds the GIL. A wait releases it and is
interrupted by signals. A lock whose holder was killed raises LockOwnerDied within 200 ms instead of blocking for ever.
"""

from libc.errno cimport EINTR, ETIMEDOUT
from libc.stdint cimport int64_t, uint32_t
from mpfast.core.base.atomic cimport load32, load64
from mpfast.core.life.reap cimport reap_owner
from mpfast.core.locks.lock cimport *
from mpfast.core.locks.section cimport section_inherit, section_wait
from mpfast.core.family.slots cimport SLOT_LOCK, SLOT_RLOCK, SLOT_SMALL
from mpfast.core.family.waiting cimport BACKSTOP_OWNED, waiting, waiting_begin, waiting_end
from mpfast.sync.fastcall cimport *
from mpfast.family.family cimport Handle, me, reaped_here, serve_signals
from mpfast.family.naming cimport name_type
from mpfast.family.timeouts cimport NEVER, deadline_of, policy_of

import sys
import threading
from multiprocessing import process as _process

from ..errors import LockOwnerDied

_RECURSIVE_MUTEX, _SEMAPHORE = 0, 1
_POLICIES = {"raise": DEATH_RAISE, "release": DEATH_RELEASE, "wait": DEATH_WAIT}


def _owner_name():
    """The calling thread, as multiprocessing's reprs name an owner."""
    name = _process.current_process().name
    thread = threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


cdef class Mutex(Handle):
    """The base of Lock and RLock."""

    cdef int enter(self, uint32_t identity, int64_t deadline) except -1:
        """Waits for the lock. 1 if acquired, 0 if not in time."""
        cdef waiting w
        cdef int rc
        waiting_begin(&w, deadline, BACKSTOP_OWNED)
        try:
            while True:
                with nogil:
                    rc = lock_wait(self.family, self.slot, identity, &w, &self.history)
                if rc == -EINTR:
                    serve_signals(self, &identity, &w)
                elif rc != -EOWNERDEAD or self.inherit(identity):
                    break
        finally:
            waiting_end(&w)
        return rc != -ETIMEDOUT

    cdef int contend(self, uint32_t identity, block, timeout) except -1:
        """Acquires a lock that was not free at the first attempt."""
        cdef int64_t deadline = deadline_of(block, timeout)
        if deadline != 0 and self.enter(identity, deadline):
            return 1
        if lock_poll_owner(self.family, <lock *>self.cell, &self.suspicion) == -EOWNERDEAD:
            return self.inherit(identity)
        return 0

    cdef int inherit(self, uint32_t identity) except -1:
        """The owner was killed. 1: it left nothing half done, and the lock is ours. 0: the lock is another thread's."""
        cdef lock *l = <lock *>self.cell
        cdef uint32_t word
        reap_owner(self.family, load32(&l.word), reaped_here())
        word = lock_whole(l)
        if word != 0:
            return lock_take_over(self.family, l, identity, word)
        if load32(&l.word) & LOCK_DEAD:
            raise LockOwnerDied(load32(&l.dead_pid), load32(&l.dead_tid), self.name)
        return 0

    def recover(self):
        """Takes over the lock of a killed holder, so that the caller can mend what it guards. Does not block.

        Returns True for exactly one caller, and that caller then holds the lock (an RLock once). Returns False if the
        lock is not abandoned.
        """
        return bool(lock_recover(self.family, <lock *>self.cell, me(self)))

    def locked(self):
        """Is the lock held by any thread? Does not block."""
        me(self)
        return load32(&(<lock *>self.cell).word) != 0

    cdef int await_section(self, uint32_t identity) except -1:
        """Takes the busy lock for a section in C, which section_leave() ends. Serves signals while it waits."""
        cdef waiting w
        cdef int rc
        waiting_begin(&w, NEVER, BACKSTOP_OWNED)
        try:
            while True:
                with nogil:
                    rc = section_wait(self.family, self.slot, identity, &w, &self.history)
                if rc == -EINTR:
                    serve_signals(self, &identity, &w)
                elif rc == 0 or self.inherit_section(identity):
                    return 0
        finally:
            waiting_end(&w)

    cdef int inherit_section(self, uint32_t identity) except -1:
        """The owner was killed. 1: the lock is ours. 0: another thread's. LockOwnerDied if it was in a `with` block."""
        reap_owner(self.family, load32(&(<lock *>self.cell).word), reaped_here())
        if section_inherit(<lock *>self.cell, identity):
            return 1
        if not self.inherit(identity):
            return 0
        self.give()  # meanwhile it could be had after all, but under a name
        return 0

    cdef int take(self) except -1:
        """acquire(), for `with`."""
        raise NotImplementedError

    cdef int give(self) except -1:
        """release(), for `with`."""
        raise NotImplementedError

    def __enter__(self):
        self.take()
        return True

    def __exit__(self, kind=None, value=None, traceback=None):
        self.give()

    SEM_VALUE_MAX = 2**31 - 1

    @property
    def _semlock(self):
        return self

    @property
    def maxvalue(self):
        return 1

    def _is_mine(self):
        return bool(lock_mine(<lock *>self.cell, me(self)))

    def _is_zero(self):
        return self.locked()

    def _get_value(self):
        return int(not self.locked())

    get_value = _get_value

    cdef str owner(self):
        cdef uint32_t identity = me(self)
        cdef uint32_t owner = LOCK_OWNER(load32(&(<lock *>self.cell).word))
        if owner == 0:
            return "None"
        if lock_mine(<lock *>self.cell, identity):
            return _owner_name()
        return "SomeOtherThread" if owner == identity else "SomeOtherProcess"


cdef extern from *:
    """
    FASTCALL_DEFINE(fastcall_lock)
    FASTCALL_DEFINE(fastcall_rlock)
    """
    fastcall_type fastcall_lock, fastcall_rlock
    PyMethodDef *fastcall_lock_methods
    PyMethodDef *fastcall_rlock_methods


# When this module is imported, fastcall.h replaces acquire, release, __enter__ and __exit__ of both classes below by
# functions without an argument tuple. Those fall back on the methods here, which are also the documentation.
cdef class Lock(Mutex):
    """Lock(*, ctx=None, on_owner_death='raise'): mutual exclusion between processes, not reentrant.

    Any thread of any process may release it. on_owner_death says what happens when the process that holds it is killed.
    'raise' raises LockOwnerDied in every process that acquires it, 'release' frees it silently, and 'wait' waits for
    ever as multiprocessing does. It is a mutex after Drepper, "Futexes are tricky", with a word that names the owner.
    """

    def __init__(self, *, ctx=None, str on_owner_death="raise"):
        cdef int policy = policy_of(on_owner_death, _POLICIES)
        self.claim(SLOT_SMALL, SLOT_LOCK)
        (<lock *>self.cell).policy = policy

    def acquire(self, block=True, timeout=None):
        """Takes the lock. Blocks until it is free, at most `timeout` seconds (None: for ever, negative: as 0).

        Returns True, or False if block is false or the time is up and another thread has it.
        Raises LockOwnerDied if the holder was killed.
        """
        cdef uint32_t identity = me(self)
        if timeout is None and lock_try(<lock *>self.cell, identity):
            return True
        return self.acquire_slowly(identity, block, timeout)

    cdef acquire_slowly(self, uint32_t identity, block, timeout):
        if timeout is not None:
            deadline_of(False, timeout)  # a wrong type is an error even if there is nothing to wait for
            if lock_try(<lock *>self.cell, identity):
                return True
        return bool(self.contend(identity, block, timeout))

    def release(self):
        """Frees the lock and wakes one waiter. ValueError if no thread holds it."""
        self.give()

    cdef int take(self) except -1:
        cdef uint32_t identity = me(self)
        if not lock_try(<lock *>self.cell, identity):
            self.contend(identity, True, None)
        return 1

    cdef int give(self) except -1:
        cdef uint32_t identity = me(self)
        cdef lock *l = <lock *>self.cell
        if load32(&l.word) & LOCK_DEAD:
            lock_recover(self.family, l, identity)  # conditions on the lock must hear of the death
        if lock_release(self.family, l) == 0:
            raise ValueError("semaphore or lock released too many times")
        return 0

    @property
    def kind(self):
        return _SEMAPHORE

    def _count(self):
        cdef uint32_t identity = me(self)
        return int(LOCK_OWNER(load32(&(<lock *>self.cell).word)) == identity)

    def __repr__(self):
        try:
            owner = self.owner()
        except Exception:
            owner = "unknown"
        return f"<{type(self).__name__}(owner={owner})>"


cdef class RLock(Mutex):
    """RLock(*, ctx=None, on_owner_death='raise'): a lock that its holder, one thread, may acquire again.

    Only that thread may release it, once for each acquire. on_owner_death is as for Lock.
    """

    def __init__(self, *, ctx=None, str on_owner_death="raise"):
        cdef int policy = policy_of(on_owner_death, _POLICIES)
        self.claim(SLOT_SMALL, SLOT_RLOCK)
        (<lock *>self.cell).policy = policy

    cdef int enter_first(self, uint32_t identity, block, timeout) except -1:
        if not lock_try(<lock *>self.cell, identity) and not self.contend(identity, block, timeout):
            return 0
        rlock_set_depth(<lock *>self.cell, 1)
        return 1

    def acquire(self, block=True, timeout=None):
        """Takes the lock, or holds it once more. Blocks, returns and raises as Lock.acquire()."""
        cdef uint32_t identity = me(self)
        if timeout is not None:
            deadline_of(False, timeout)
        if rlock_reenter(<lock *>self.cell, identity):
            return True
        return bool(self.enter_first(identity, block, timeout))

    def release(self):
        """Undoes one acquire of the calling thread. The last frees the lock. AssertionError if it is not the holder."""
        self.give()

    cdef int take(self) except -1:
        cdef uint32_t identity = me(self)
        if not rlock_reenter(<lock *>self.cell, identity):
            self.enter_first(identity, True, None)
        return 1

    cdef int give(self) except -1:
        if rlock_release(self.family, <lock *>self.cell, me(self)) < 0:
            raise AssertionError("attempt to release recursive lock not owned by thread")
        return 0

    @property
    def kind(self):
        return _RECURSIVE_MUTEX

    def _count(self):
        cdef uint32_t identity = me(self)
        cdef lock *l = <lock *>self.cell
        return rlock_depth(l) if LOCK_OWNER(load32(&l.word)) == identity else 0

    def __repr__(self):
        try:
            owner = self.owner()
            count = {"None": 0, "SomeOtherThread": "nonzero", "SomeOtherProcess": "nonzero"}.get(owner, self._count())
        except Exception:
            owner, count = "unknown", "unknown"
        return f"<{type(self).__name__}({owner}, {count})>"


cdef object _enter_lock(object self):
    Lock.take(<Lock>self)
    return True


cdef object _release_lock(object self):
    Lock.give(<Lock>self)


cdef object _exit_lock(object self):
    me(<Lock>self)
    if not load32(&(<lock *>(<Lock>self).cell).word) & LOCK_DEAD:  # else wait() left without it: see _lost()
        Lock.give(<Lock>self)


cdef object _raised_lock(object self):
    if not _lost():
        Lock.give(<Lock>self)


cdef bint _lost() except -1:
    """Does LockOwnerDied leave a with block? Then the lock is not ours to release. wait() could not take it back."""
    return isinstance(sys.exc_info()[1], LockOwnerDied)


cdef object _enter_rlock(object self):
    RLock.take(<RLock>self)
    return True


cdef object _exit_rlock(object self):
    RLock.give(<RLock>self)


cdef object _raised_rlock(object self):
    if not _lost():
        RLock.give(<RLock>self)


fastcall_install(Lock, &fastcall_lock, fastcall_lock_methods, _enter_lock, _release_lock, _exit_lock, _raised_lock)
fastcall_install(RLock, &fastcall_rlock, fastcall_rlock_methods, _enter_rlock, _exit_rlock, _exit_rlock, _raised_rlock)
name_type(Lock, "mpfast.synchronize.Lock")
name_type(RLock, "mpfast.synchronize.RLock")
