# SPDX-License-Identifier: MIT
# cython: language_level=3
"""What the objects that callers hold have in common. They are jobs of different kinds, and get these methods besides."""

from mpfast.tasks.desk cimport Job
from mpfast.tasks.limits cimport deadline_of

import types
from multiprocessing import TimeoutError

from ..family.claims import claimed
from .views import Ended, names_of


cdef tell_callback(answer):
    """Runs the callback that an Answer was made with."""
    callback = answer._callback if answer._success else answer._error_callback
    if callback is not None:
        callback(answer._value)


class Counterpart:
    """A job that stands for an object of multiprocessing.pool."""

    __slots__ = ()

    @property
    def _job(self):
        return self.number

    @property
    def __class__(self):
        return claimed(type(self))

    def __dir__(self):
        return names_of(type(self))

    def _set(self, i, obj):
        """As multiprocessing has it: obj is (success, value)."""
        (<Job>self).settle(i, obj[1], not obj[0])


class Answer(Counterpart):
    """A job that a caller waits for as a whole, with one value or one exception in the end."""

    __slots__ = ()
    __class_getitem__ = classmethod(types.GenericAlias)

    @property
    def _pool(self):
        return None if (<Job>self).over else (<Job>self).desk

    @property
    def _cache(self):
        return (<Job>self).desk.jobs

    @property
    def _event(self):
        return Ended(self)

    def ready(self):
        """Has it ended?"""
        cdef Job job = self
        if not job.over:
            job.desk.collect()
        return bool(job.over)

    def successful(self):
        """Has it ended without an exception? Raises ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout=None):
        """Waits for its end, at most so many seconds."""
        cdef Job job = self
        if not job.over:
            job.desk.wait_for(job, deadline_of(timeout))

    def get(self, timeout=None):
        """Returns the value, or raises the first exception. Raises TimeoutError if it has not ended in time."""
        cdef Job job = self
        if not job.over:
            job.desk.wait_for(job, deadline_of(timeout))
            if not job.over:
                raise TimeoutError
        if self._success:
            return self._value
        raise self._value
