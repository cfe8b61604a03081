# SPDX-License-Identifier: MIT
# cython: language_level=3, always_allow_keywords=False, binding=False, embedsignature=True, embedsignature.format=clinic
"""Semaphore, BoundedSemaphore and Event over a family's slots.

All methods may be called from any thread and any process of the family. A try holds the GIL. A wait releases it and is
interrupted by signals.
"""

from libc.errno cimport EINTR
from libc.stdint cimport int64_t, uint32_t
from mpfast.core.base.atomic cimport load32
from mpfast.core.base.clock cimport clock_now
from mpfast.core.locks.event cimport *
from mpfast.core.life.reap cimport reap_holders, reaped
from mpfast.core.locks.lock cimport DEATH_RELEASE, DEATH_WAIT, thread_id
from mpfast.core.locks.semaphore cimport *
from mpfast.core.family.slots cimport SLOT_BOUNDED, SLOT_EVENT, SLOT_LARGE, SLOT_SEMAPHORE, SLOT_SMALL
from mpfast.core.family.waiting cimport BACKSTOP_FIRST, BACKSTOP_IDLE, BACKSTOP_OWNED, waiting, waiting_begin, waiting_end
from mpfast.core.family.family cimport family
from mpfast.core.family.waiting cimport spin_history
from mpfast.errors cimport raise_errno
from mpfast.family.family cimport Handle, me, serve_signals
from mpfast.family.naming cimport name_type
from mpfast.family.timeouts cimport deadline_of, policy_of
from mpfast.sync.fastcall cimport *

import errno
import operator
import warnings

SEM_VALUE_MAX = SEMAPHORE_MAX
_SEMAPHORE = 1
_POLICIES = {"release": DEATH_RELEASE, "wait": DEATH_WAIT}

ctypedef int (*wait_t)(family *, uint32_t, uint32_t, waiting *, spin_history *) noexcept nogil


cdef uint32_t _checked(value) except? 0:
    cdef int number = operator.index(value)
    if number < 0:
        raise_errno(-errno.EINVAL)
    return number


cdef extern from *:
    """
    FASTCALL_DEFINE(fastcall_counting)
    """
    fastcall_type fastcall_counting
    PyMethodDef *fastcall_counting_methods


# When this module is imported, fastcall.h replaces acquire, release, __enter__ and __exit__ of this class by functions
# without an argument tuple. Those fall back on the methods here, which are also the documentation.
cdef class _Counting(Handle):
    """The base of both semaphores. `taken` counts this object's own permits, as multiprocessing does."""
    cdef int taken
    cdef uint32_t taker    # the process that counts. A forked child begins anew
    cdef uint32_t last_tid

    cdef void took(self, uint32_t identity, int n) noexcept:
        if self.taker != identity:
            self.taker = identity
            self.taken = 0
        self.taken += n

    cdef bint attempt(self, uint32_t identity) noexcept:
        if self.kind == SLOT_BOUNDED:
            return bounded_try(<bounded *>self.cell, identity)
        return semaphore_try(<semaphore *>self.cell, 0)

    cdef int enter(self, uint32_t identity, int64_t deadline) except -1:
        cdef waiting w
        cdef int rc
        cdef wait_t wait = <wait_t>bounded_wait if self.kind == SLOT_BOUNDED else <wait_t>semaphore_wait
        waiting_begin(&w, deadline, BACKSTOP_OWNED if self.kind == SLOT_BOUNDED else BACKSTOP_IDLE)
        try:
            while True:
                with nogil:
                    rc = wait(self.family, self.slot, identity, &w, &self.history)
                if rc != -EINTR:
                    return rc == 0
                serve_signals(self, &identity, &w)
                self.backstop()
        finally:
            waiting_end(&w)

    cdef int backstop(self) except -1:
        """A backstop has expired. Gives back what killed processes held. 1 if a permit came back."""
        return 0

    cdef int refused(self, uint32_t identity) except -1:
        """There is nothing to take, and the caller does not wait, or not long. 1 if there is something after all."""
        return 0

    def acquire(self, block=True, timeout=None):
        """Takes a permit. Blocks until there is one, at most `timeout` seconds (None: for ever, negative: as 0).

        Returns True, or False if block is false or the time is up and there is none.
        """
        if timeout is not None:
            deadline_of(False, timeout)  # a wrong type is an error even if there is nothing to wait for
        return bool(self.take(block, timeout))

    cdef int take(self, block, timeout) except -1:
        cdef uint32_t identity = me(self)
        cdef int64_t deadline
        if not self.attempt(identity):
            deadline = deadline_of(block, timeout)
            if (deadline == 0 or not self.enter(identity, deadline)) and not self.refused(identity):
                return 0
        self.took(identity, 1)
        self.last_tid = thread_id(identity)
        return 1

    def release(self):
        """Gives a permit back and wakes one waiter. ValueError if that would be more than there may be."""
        self.give()

    cdef int give(self) except -1:
        cdef uint32_t identity = me(self)
        cdef int rc
        if self.kind == SLOT_BOUNDED:
            rc = bounded_release(<bounded *>self.cell, identity)
        else:
            rc = semaphore_release(<semaphore *>self.cell, identity)
        if rc < 0:
            raise ValueError("semaphore or lock released too many times")
        self.took(identity, -1)
        return 0

    def __enter__(self):
        return bool(self.take(True, None))

    def __exit__(self, kind=None, value=None, traceback=None):
        self.give()

    def get_value(self):
        """How many permits there are to take. Does not block."""
        me(self)
        if self.kind == SLOT_BOUNDED:
            return bounded_value(<bounded *>self.cell)
        return semaphore_value(<semaphore *>self.cell)

    _get_value = get_value

    def _is_zero(self):
        return self.get_value() == 0

    def _count(self):
        self.took(me(self), 0)
        return self.taken

    def _is_mine(self):
        return self._count() > 0 and self.last_tid == thread_id(me(self))

    def locked(self):
        """Would acquire() block now?"""
        return self._is_zero()

    SEM_VALUE_MAX = SEMAPHORE_MAX

    @property
    def _semlock(self):
        return self

    @property
    def kind(self):
        return _SEMAPHORE

    @property
    def maxvalue(self):
        me(self)
        if self.kind == SLOT_BOUNDED:
            return (<bounded *>self.cell).size
        return (<semaphore *>self.cell).maximum

    def _value_text(self):
        try:
            return self.get_value()
        except Exception:
            return "unknown"


cdef object _enter(object self):
    _Counting.take(<_Counting>self, True, None)
    return True


cdef object _leave(object self):
    _Counting.give(<_Counting>self)


fastcall_install(_Counting, &fastcall_counting, fastcall_counting_methods, _enter, _leave, _leave, _leave)


cdef class Semaphore(_Counting):
    """Semaphore(value=1, *, ctx=None): a counter of permits. Any process may release. A killed holder's are lost."""

    def __init__(self, value=1, *, ctx=None):
        cdef uint32_t start = _checked(value)
        self.claim(SLOT_SMALL, SLOT_SEMAPHORE)
        semaphore_init(<semaphore *>self.cell, start, SEMAPHORE_MAX)

    def __repr__(self):
        return f"<{type(self).__name__}(value={self._value_text()})>"


cdef class BoundedSemaphore(Semaphore):
    """BoundedSemaphore(value=1, *, ctx=None, on_owner_death='release'): a semaphore that checks its bound.

    on_owner_death says what happens to the permits of a killed process. With 'release' they come back, and a waiter
    that notices gets a ResourceWarning. With 'wait' they stay lost, as in multiprocessing. Above 480 permits their
    holders are not known, and they stay lost.
    """

    cdef int64_t looked  # when a polling caller last checked for killed holders

    def __init__(self, value=1, *, ctx=None, str on_owner_death="release"):
        cdef uint32_t start = _checked(value)
        cdef int policy = policy_of(on_owner_death, _POLICIES)
        if start > BOUNDED_LARGE:
            self.claim(SLOT_SMALL, SLOT_SEMAPHORE)
            semaphore_init(<semaphore *>self.cell, start, start)
        else:
            self.claim(SLOT_SMALL if start <= BOUNDED_SMALL else SLOT_LARGE, SLOT_BOUNDED)
            (<bounded *>self.cell).size = start
            (<bounded *>self.cell).policy = policy

    cdef int backstop(self) except -1:
        cdef reaped found = reaped(0, 0)
        if self.kind != SLOT_BOUNDED:
            return 0
        with nogil:
            reap_holders(self.family, <bounded *>self.cell, &found)
        if found.permits == 0:
            return 0
        warnings.warn(f"{found.permits} permit(s) of {self.name} came back: process {found.pid} was killed holding them",
                      ResourceWarning)
        return 1

    cdef int refused(self, uint32_t identity) except -1:
        cdef int64_t now = clock_now()
        if self.kind != SLOT_BOUNDED or now - self.looked < BACKSTOP_FIRST:
            return 0
        self.looked = now
        return self.backstop() and self.attempt(identity)

    def __repr__(self):
        return f"<{type(self).__name__}(value={self._value_text()}, maxvalue={self.maxvalue})>"


cdef class Event(Handle):
    """Event(*, ctx=None): a flag that processes wait for. It is one word, and is_set() is one load."""

    def __init__(self, *, ctx=None):
        self.claim(SLOT_SMALL, SLOT_EVENT)

    def is_set(self):
        """Is the flag set? Does not block."""
        me(self)
        return bool(event_is_set(<event *>self.cell))

    def set(self):
        """Sets the flag and wakes all waiters. Does not block, even if a waiter was killed."""
        event_set(<event *>self.cell, me(self))

    def clear(self):
        """Resets the flag."""
        me(self)
        event_clear(<event *>self.cell)

    def wait(self, timeout=None):
        """Blocks until the flag is set, at most `timeout` seconds (None: for ever).

        Returns True if it is set, or was set since the call began, even if it was cleared again. Else returns False.
        """
        cdef waiting w
        cdef int rc
        cdef uint32_t identity = me(self)
        cdef uint32_t since = EVENT_COUNT(load32(&(<event *>self.cell).word))  # first, so that a later set() is seen
        if event_is_set(<event *>self.cell):
            return True
        cdef int64_t deadline = deadline_of(True, timeout)
        waiting_begin(&w, deadline, BACKSTOP_IDLE)
        try:
            while True:
                with nogil:
                    rc = event_wait(self.family, self.slot, identity, since, &w, &self.history)
                if rc != -EINTR:
                    return rc == 0
                serve_signals(self, &identity, &w)
        finally:
            waiting_end(&w)

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"


name_type(Semaphore, "mpfast.synchronize.Semaphore")
name_type(BoundedSemaphore, "mpfast.synchronize.BoundedSemaphore")
name_type(Event, "mpfast.synchronize.Event")
