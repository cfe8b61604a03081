# SPDX-License-Identifier: MIT
# cython: language_level=3, always_allow_keywords=False, binding=False, embedsignature=True, embedsignature.format=clinic
"""Condition and Barrier over a family's slots.

All methods may be called from any thread and any process of the family. Waits release the GIL and are interrupted by
signals. No call waits for a process that was killed. notify() does not block, and skips killed waiters.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, EPIPE, ETIMEDOUT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport load32, load64
from mpfast.core.locks.barrier cimport *
from mpfast.core.base.clock cimport NEVER, clock_now
from mpfast.core.locks.condition cimport *
from mpfast.core.family.family cimport family
from mpfast.core.locks.lock cimport DEATH_RAISE, DEATH_WAIT, lock, lock_leave_wakes, lock_mine, lock_release, lock_suspect, lock_try
from mpfast.core.locks.lock cimport rlock_depth, rlock_set_depth
from mpfast.core.family.slots cimport SLOT_BARRIER, SLOT_CONDITION, SLOT_LARGE, SLOT_RLOCK, SLOT_SMALL
from mpfast.core.family.waiting cimport BACKSTOP_OWNED, waiting, waiting_begin, waiting_end
from mpfast.family.family cimport Handle, me, serve_signals
from mpfast.family.naming cimport name_type
from mpfast.family.timeouts cimport deadline_of, policy_of
from mpfast.sync.mutex cimport Mutex

import threading

from ..errors import LockOwnerDied
from .mutex import RLock

_POLICIES = {"raise": DEATH_RAISE, "wait": DEATH_WAIT}
_ALL = 2**62


cdef class Condition(Handle):
    """Condition(lock=None, *, ctx=None): waiting, under a lock, for something to become true.

    `lock` is a Lock or RLock (None: a new RLock), or anything with multiprocessing's lock interface. Waiters take
    tickets. They are notified in the order in which they began to wait, exactly as many as notify() says. A notify is
    never spent on a waiter that was killed or has given up.
    """
    cdef readonly object _lock
    cdef Mutex mutex  # _lock if it is ours, else None

    def __init__(self, lock=None, *, ctx=None):
        self.claim(SLOT_LARGE, SLOT_CONDITION)
        self.guard(lock or RLock())

    cdef guard(self, lock):
        lock.acquire, lock.release  # anything else has no business here
        self._lock = lock
        self.mutex = lock if isinstance(lock, Mutex) else None

    def __reduce__(self):
        rebuild, arguments, state = super().__reduce__()
        return _rebuild, (rebuild, arguments, self._lock), state

    def acquire(self, *args, **kwargs):
        """Takes the lock, as the lock's acquire()."""
        return self._lock.acquire(*args, **kwargs)

    def release(self):
        """Frees the lock, as the lock's release()."""
        self._lock.release()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, kind=None, value=None, traceback=None):
        return self._lock.__exit__(kind, value, traceback)

    @property
    def _sleeping_count(self):
        raise NotImplementedError("mpfast's conditions have no semaphores")

    cdef bint owned(self) except -1:
        if self.mutex is not None:
            return lock_mine(<lock *>self.mutex.cell, me(self.mutex))
        return self._lock._semlock._is_mine()

    cdef int settle(self) except -1:
        """Called with the lock held, before tickets are taken or notified."""
        if self.mutex is not None:
            condition_settle(<condition *>self.cell, load32(&(<lock *>self.mutex.cell).deaths))
        return 0

    cdef uint32_t let_go(self) except? 0:
        """Frees the lock, whatever its depth, and returns the depth."""
        cdef uint32_t depth, i
        cdef lock *l
        if self.mutex is None:
            depth = self._lock._semlock._count()
            for i in range(depth):
                self._lock.release()
            return depth
        l = <lock *>self.mutex.cell
        depth = rlock_depth(l)
        if self.mutex.kind == SLOT_RLOCK:
            rlock_set_depth(l, 0)
        lock_release(self.mutex.family, l)
        return depth

    cdef int take_once(self) except -1:
        if self.mutex is None:
            self._lock.acquire()
            return 0
        cdef uint32_t identity = me(self.mutex)
        if not lock_try(<lock *>self.mutex.cell, identity):
            self.mutex.enter(identity, NEVER)
        return 0

    cdef take_back(self, uint32_t depth):
        """Takes the lock again to the depth it had. What a signal handler raises meanwhile is returned, as Java's await
        does. An exception must not leave a with block that would then free another thread's lock."""
        cdef uint32_t taken = 0
        raised = None
        if self.mutex is None:
            for taken in range(depth):
                self.take_once()
            return None
        while True:
            try:
                self.take_once()
                break
            except LockOwnerDied as error:
                raise error from raised
            except BaseException as error:
                raised = raised or error
        if self.mutex.kind == SLOT_RLOCK:
            rlock_set_depth(<lock *>self.mutex.cell, depth)
        return raised

    cdef int sleep(self, uint32_t identity, uint32_t ticket, int64_t deadline) except -1:
        """Waits for the ticket to be notified, and returns 1. Returns 0 if the time is up, or if a holder of the lock
        was killed. It may have been about to notify. The waiter learns of the death when it takes the lock back."""
        cdef waiting w
        cdef int rc
        cdef lock *l = NULL if self.mutex is None else <lock *>self.mutex.cell
        waiting_begin(&w, deadline, BACKSTOP_OWNED)  # a notifier may die before the release that wakes us
        try:
            while True:
                with nogil:
                    rc = condition_sleep(self.family, self.slot, identity, ticket, &w, &self.history)
                if rc != -EINTR:
                    return rc == 0
                serve_signals(self, &identity, &w)
                if l != NULL and lock_suspect(self.mutex.family, l, &w):
                    return 0
        finally:
            waiting_end(&w)

    def wait(self, timeout=None):
        """Frees the lock, blocks until notified, at most `timeout` seconds (None: for ever), and takes the lock again.

        Returns True if notified, False if the time is up. AssertionError if the calling thread does not hold the lock.
        Raises LockOwnerDied, without the lock, if a holder was killed meanwhile. See recover().
        """
        cdef uint32_t identity = me(self)
        if not self.owned():
            raise AssertionError("must acquire() condition before using wait()")
        cdef int64_t deadline = deadline_of(True, timeout)
        cdef condition *c = <condition *>self.cell
        self.settle()
        cdef uint32_t ticket = condition_take(c, identity)
        try:
            depth = self.let_go()
        except BaseException:
            condition_cancel(c, ticket)
            raise
        raised = None
        try:
            self.sleep(identity, ticket, deadline)
        except BaseException as error:
            raised = error
        raised = self.take_back(depth) or raised
        self.settle()  # if it was recovered since, this ticket counts as notified too
        try:
            PyErr_CheckSignals()  # a signal that came with the notify. Raised later, it would lose the notify
        except BaseException as error:
            raised = raised or error
        cdef bint ours = me(self) == identity  # else a signal handler has forked, and the ticket is the parent's
        cdef bint notified = ours and condition_cancel(c, ticket)
        if raised is not None:
            if notified:
                self.wake(1)  # it will not act on the notify, so the next one must
            raise raised
        return bool(notified)

    def wait_for(self, predicate, timeout=None):
        """Waits until predicate() is true, at most `timeout` seconds. Returns its last value. Call it with the lock held."""
        cdef int64_t deadline = 0
        result = predicate()
        if not result:
            deadline = deadline_of(True, timeout)
        while not result:
            if timeout is None:
                self.wait()
            elif deadline <= clock_now():
                break
            else:
                self.wait((deadline - clock_now()) / 1e9)
            result = predicate()
        return result

    cdef int wake(self, uint64_t n) except -1:
        cdef condition *c = <condition *>self.cell
        cdef uint32_t identity = me(self)
        self.settle()
        cdef uint32_t bits = condition_notify(self.family, c, n, identity)
        if bits == 0:
            return 0
        if self.mutex is not None and self.mutex.family == self.family:
            lock_leave_wakes(self.family, <lock *>self.mutex.cell, self.slot, bits)
        else:
            condition_wake(c, bits)
        return 0

    def notify(self, n=1):
        """Wakes n waiters, the longest waiting first. They run when the caller frees the lock. Does not block.

        AssertionError if the calling thread does not hold the lock.
        """
        if not self.owned():
            raise AssertionError("lock is not owned")
        if n > 0:
            self.wake(min(n, _ALL))

    def notify_all(self):
        """Wakes all waiters, as notify()."""
        self.notify(n=_ALL)

    def recover(self):
        """Takes over the lock of a killed holder, as Lock.recover(). Wakes all waiters, so that they check again."""
        if not self._lock.recover():
            return False
        self.wake(_ALL)
        return True

    def __repr__(self):
        try:
            waiters = condition_waiters(self.family, <condition *>self.cell) if me(self) else 0
        except Exception:
            waiters = "unknown"
        return f"<{type(self).__name__}({self._lock}, {waiters})>"


def _rebuild(rebuild, arguments, lock):
    cdef Condition self = rebuild(*arguments)
    self.guard(lock)
    return self


cdef class Barrier(Handle):
    """Barrier(parties, action=None, timeout=None, *, ctx=None, on_owner_death='raise'): waits until all have come.

    One word holds the whole state, so there is no draining phase. on_owner_death says what happens if a process that
    took part in this or the last round is killed before it comes again. 'raise' breaks the barrier, 'wait' waits for
    ever as multiprocessing does.
    """
    cdef readonly object _action
    cdef readonly object _timeout

    def __init__(self, parties, action=None, timeout=None, *, ctx=None, str on_owner_death="raise"):
        cdef int policy = policy_of(on_owner_death, _POLICIES)
        cdef int number = parties
        if number < 1:
            raise ValueError("parties must be > 0")
        self.claim(SLOT_SMALL if number <= <int>BARRIER_SMALL else SLOT_LARGE, SLOT_BARRIER)
        (<barrier *>self.cell).parties = number
        (<barrier *>self.cell).policy = policy
        self._action = action
        self._timeout = timeout

    def __reduce__(self):
        rebuild, arguments, state = super().__reduce__()
        return _rebuild_barrier, (rebuild, arguments, self._action, self._timeout), state

    cdef broken_error(self):
        pid = load32(&(<barrier *>self.cell).broken_pid)
        return threading.BrokenBarrierError(f"process {pid} was killed before it came") if pid \
            else threading.BrokenBarrierError()

    cdef int decided(self, uint32_t identity, uint32_t round, int64_t deadline) except? -1:
        """Waits until the round is decided. Returns 0, -EPIPE or -ETIMEDOUT."""
        cdef waiting w
        cdef int rc
        waiting_begin(&w, deadline, BACKSTOP_OWNED)
        try:
            while True:
                with nogil:
                    rc = barrier_wait(self.family, self.slot, identity, round, &w, &self.history)
                if rc != -EINTR:
                    return rc
                serve_signals(self, &identity, &w)
        finally:
            waiting_end(&w)

    cdef int arrive(self, uint32_t identity, int64_t deadline, uint32_t *round, uint32_t *index) except -1:
        cdef int rc
        while True:
            rc = barrier_arrive(<barrier *>self.cell, identity, self._action is not None, round, index)
            if rc == -EPIPE:
                raise self.broken_error()
            if rc != ARRIVED_TOO_EARLY:
                return rc
            self.decided(identity, round[0], NEVER)

    cdef int act(self, uint32_t round) except -1:
        """Runs the action for all."""
        if self._action is None:
            return 0
        try:
            self._action()
        except BaseException:
            barrier_break(<barrier *>self.cell, round, 0)
            raise
        if not barrier_complete(<barrier *>self.cell, round):
            raise self.broken_error()
        return 0

    def wait(self, timeout=None):
        """Blocks until as many have come as the barrier has parties, at most `timeout` seconds (None: the barrier's).

        Returns the order of arrival, 0 to parties - 1. The last one runs the action first. Raises
        threading.BrokenBarrierError if the barrier is or gets broken, or is reset. A timeout breaks the barrier.
        """
        cdef uint32_t identity = me(self), round = 0, index = 0
        cdef int rc
        cdef int64_t deadline = deadline_of(True, self._timeout if timeout is None else timeout)
        if self.arrive(identity, deadline, &round, &index) == ARRIVED_LAST:
            self.act(round)
            return index
        try:
            rc = self.decided(identity, round, deadline)
        except BaseException:
            if load32(self.identity) == identity:  # else a signal handler has forked, and it is the parent that came
                barrier_withdraw(<barrier *>self.cell, identity, round)
            raise
        if rc == -ETIMEDOUT:
            barrier_break(<barrier *>self.cell, round, 0)
            rc = self.decided(identity, round, NEVER)  # another thread may have completed it meanwhile
        if rc == -EPIPE:
            raise self.broken_error()
        return index

    def reset(self):
        """Makes the barrier as new. Every waiter gets a BrokenBarrierError."""
        me(self)
        barrier_reset(<barrier *>self.cell)

    def abort(self):
        """Breaks the barrier until the next reset()."""
        me(self)
        barrier_break(<barrier *>self.cell, BARRIER_ANY_ROUND, 0)

    @property
    def parties(self):
        """How many must come."""
        me(self)
        return (<barrier *>self.cell).parties

    @property
    def n_waiting(self):
        """How many are waiting now."""
        me(self)
        cdef uint64_t word = load64(&(<barrier *>self.cell).word)
        return 0 if word & (BARRIER_BROKEN | BARRIER_ACTING) else barrier_count(word)

    @property
    def broken(self):
        """Is the barrier broken?"""
        me(self)
        return bool(load64(&(<barrier *>self.cell).word) & BARRIER_BROKEN)

    def __repr__(self):
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.broken:
            return f"<{name} at {id(self):#x}: broken>"
        return f"<{name} at {id(self):#x}: waiters={self.n_waiting}/{self.parties}>"


def _rebuild_barrier(rebuild, arguments, action, timeout):
    cdef Barrier self = rebuild(*arguments)
    self._action = action
    self._timeout = timeout
    return self


name_type(Condition, "mpfast.synchronize.Condition")
name_type(Barrier, "mpfast.synchronize.Barrier")
