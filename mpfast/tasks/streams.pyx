# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Results that come one by one: what Pool.imap() returns."""

from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport clock_now
from mpfast.tasks.desk cimport Desk, Sleeper, fed
from mpfast.tasks.limits cimport deadline_of, limit_of, retries_of
from mpfast.tasks.maps cimport Fed, is_plain_range
from mpfast.tasks.parcel cimport PARCEL_CHUNK, PARCEL_STAR

import builtins
from collections import deque
from concurrent.futures import CancelledError
from multiprocessing import TimeoutError

from .answers import Counterpart
from .desk import SKIPPED


cdef class Stream(Fed):
    """Results that are yielded as they come, in the order of the elements or not."""

    cdef object next_elements(self, Py_ssize_t n):
        if type(self.elements) is range:
            return self.elements[self.at:self.at + n]
        popleft = self.elements.popleft
        return tuple([popleft() for _ in range(n)])

    cdef bint give_back(self, object elements, Py_ssize_t dealt):
        if type(self.elements) is deque:
            self.elements.extendleft(reversed(elements[dealt:]))
        return type(self.elements) in (deque, range)

    cdef Py_ssize_t out(self):
        return self.left - (self.end - self.at)

    cdef Py_ssize_t size_now(self):
        cdef Py_ssize_t n = Fed.size_now(self)
        if self.room and self.at - self.yielded + n > self.room:
            n = max(0, self.room - (self.at - self.yielded))
        return n

    cdef bint lacks(self, Py_ssize_t index):
        if self.over:
            return False
        return index not in self.known if self.unordered else index >= self.yielded and index not in self.found

    cdef int settle(self, Py_ssize_t index, object value, bint failed) except -1:
        if not self.lacks(index):
            return 0
        self.left -= 1
        if self.unordered:
            self.known.add(index)
            self.arrived.append((failed, value))
            self.wake()
        else:
            self.found[index] = (failed, value)
            if index == self.yielded:
                self.wake()
        self.wake_reader()
        if self.ended and self.left == 0:
            self.finish()
        return 0

    cdef int wake_reader(self) except -1:
        """The thread that reads the input looks whether there is room. It runs no Python code."""
        if self.reader is not None:
            self.reader.wake()
        return 0

    cdef bint satisfied(self):
        """Is the next result there, or will there be none?"""
        return self.over or self.has_next()

    cdef object pop(self):
        """The next result, as (failed, value), or None."""
        if self.unordered:
            if not self.arrived:
                return None
            found = self.arrived.popleft()
        else:
            found = self.found.pop(self.yielded, None)
        if found is not None:
            self.yielded += 1
        return found

    cdef int push_back(self, tuple found) except -1:
        """Undoes a pop(). With an order, no other thread may have popped since."""
        self.yielded -= 1
        if self.unordered:
            self.arrived.appendleft(found)
        else:
            self.found[self.yielded] = found
        return self.wake()

    def take(self, int64_t deadline):
        """Waits for the next result. Returns (failed, value), or None at the end. Raises TimeoutError."""
        self.desk.check()
        found = self.take_found(deadline) if self.progress is None else self.progress.take(self, deadline)
        if found is None:
            if not self.is_at_end():
                raise TimeoutError
            return None
        if self.room and not self.over:
            self.go_on(found)
        return found

    def take_found(self, int64_t deadline):
        """Waits for the next result. Returns (failed, value), or None at the end and when the time is up."""
        found = self.pop()
        while found is None and not self.over:
            self.desk.wait_for(self, deadline)
            found = self.pop()
            if deadline <= clock_now():
                break
        return found

    def is_at_end(self):
        """Will there be no result any more?"""
        return self.over and not self.has_next()

    cdef bint has_next(self):
        return len(self.arrived) > 0 if self.unordered else self.yielded in self.found

    def take_chunk(self, Py_ssize_t size, timeout):
        """Waits for the results of the next chunk. Returns them as a list, or None at the end.

        Raises its exception, or the TimeoutError that is not multiprocessing's.
        """
        cdef int64_t deadline = deadline_of(timeout)
        cdef list chunk = []
        while len(chunk) < size:
            try:
                found = self.take(deadline)
            except TimeoutError:
                raise builtins.TimeoutError from None
            if found is None:
                return chunk or None
            failed, value = found
            if failed:
                raise value
            if value is not SKIPPED:
                chunk.append(value)
            if self.unordered:
                break
        return chunk

    def abandon(self):
        """Nobody wants the rest of the results."""
        self.abandoned = True
        if self.over or self.feeding:
            return
        self.elements = ()
        self.left -= self.end - self.at
        self.end = self.at
        self.ended = True
        self.wake_reader()
        if self.left == 0:
            self.finish()

    cdef fed feed(self) except *:
        try:
            return Fed.feed(self)
        finally:
            if self.abandoned and not self.feeding:
                self.abandon()

    def cancel_future(self):
        self.abandon()

    def drop(self):
        """The same, and workers that run a part of it are killed."""
        error = CancelledError()
        self.desk.check()
        if self.over:
            return
        self.desk.condemn_all(self)
        self.abandon()
        self.fail(error)

    @property
    def total(self):
        """How many elements there are. None if that is not known yet."""
        return self.end if self.ended and not self.abandoned else None

    def go_on(self, tuple found):
        """Deals what there is room for now that a result was taken. If that is interrupted, the result is not lost."""
        cdef Py_ssize_t yielded = self.yielded
        self.wake_reader()
        try:
            self.desk.feed(self)
        except BaseException:
            if self.unordered or self.yielded == yielded:
                self.push_back(found)
            raise

    def fail(self, error):
        """Gives all elements without an outcome this error, and the next one if the input was not read to its end."""
        cdef bint unread = not self.ended
        self.elements = ()
        self.left += unread
        self.ended = True
        for index in range(self.yielded if not self.unordered else 0, self.end + unread):
            if self.lacks(index):
                self.settle(index, error, True)
        self.finish()

    def add(self, element):
        """The feeder has another element."""
        if self.abandoned or self.over:
            return
        self.elements.append(element)
        self.end += 1
        self.left += 1
        if not self.put_off:
            self.desk.feed(self)

    def add_error(self, error):
        """The input has raised an exception. It comes where the element would have been."""
        self.left += 1
        self.settle(self.end, error, True)  # elements before it may still have to be dealt

    def end_of_input(self):
        self.ended = True
        if self.left == 0:
            self.finish()

    def gone(self):
        """Will no more elements be dealt?"""
        return bool(self.over or self.abandoned or self.desk.stopped or self.desk.broken is not None)

    def lift_bound(self):
        """The pool is being joined, and waits for this. Nobody may take the results that would make room."""
        if self.room and not self.over:
            self.room = 0
            self.wake_reader()
            if not self.put_off:
                self.desk.feed(self)

    def pool_gone(self):
        self.wake_reader()

    cdef Py_ssize_t ahead(self):
        """How many elements were read and have no outcome, or were not yielded if that is limited."""
        return self.end - self.yielded if self.room else self.left

    def wait_for_room(self, Py_ssize_t most):
        """Called by the thread that reads the input. False: no more elements are wanted."""
        while self.ahead() >= (self.room or most) and not self.gone():
            self.reader = Sleeper()
            if self.ahead() >= (self.room or most) and not self.gone():
                self.reader.lock.acquire()
            self.reader = None
        return not self.gone()


cdef class IMapIterator(Stream, Counterpart):
    """What Pool.imap() returns: an iterator over the results, in order. Any thread may use it."""

    def _set_length(self, length):
        """As multiprocessing's iterator has it. The length is known here."""

    def __iter__(self):
        return self

    def __next__(self):
        return self.next()

    def next(self, timeout=None):
        """Returns the next result, or raises what the call has raised.

        Raises TimeoutError if it has not come in so many seconds, and StopIteration at the end.
        """
        found = self.take(deadline_of(timeout))
        if found is None:
            raise StopIteration
        failed, value = found
        if failed:
            raise value
        return value


cdef class IMapUnorderedIterator(IMapIterator):
    """What Pool.imap_unordered() returns: an iterator over the results, as they come."""


def chunks(Stream job, Py_ssize_t size):
    """Yields the results of a Stream that was dealt in chunks. An error is the whole chunk's, and ends it."""
    while (chunk := job.take_chunk(size, None)) is not None:
        yield from chunk


def stream(Desk desk, func, iterable, Py_ssize_t chunksize, bint unordered, bint star=False, room=None, timeout=None,
           retries=None, progress=None):
    """Deals a function for elements whose results are yielded one by one. Returns the Stream.

    room: how many results may be ahead of the one that is yielded. None: any number. progress: a Progress, or None.
    """
    cdef Stream job = IMapUnorderedIterator.__new__(IMapUnorderedIterator) if unordered else \
        IMapIterator.__new__(IMapIterator)
    job.func, job.flags, job.chunksize = func, PARCEL_STAR if star else 0, chunksize
    job.unordered, job.room, job.progress = unordered, room or 0, progress
    job.groups, job.found, job.arrived, job.known = [], {}, deque(), set()
    job.early = chunksize == 1
    job.most = chunksize if chunksize > 1 else 1 << 40
    if chunksize > 1:
        job.flags |= PARCEL_CHUNK
    job.timeout, job.retries = limit_of(timeout, desk.timeout), retries_of(retries, desk.retries)
    job.lazy = True
    at_hand = never_blocks(iterable)
    if at_hand:
        job.elements = iterable if is_plain_range(iterable) else deque(iterable)
        job.left = job.end = len(job.elements)
        job.ended = True
    else:
        job.elements = deque()
    desk.add(job)
    if not at_hand and desk.broken is not None:
        desk.fail_job(job)
    elif not at_hand:
        try:
            desk.crew.feeder(job, iterable)
        except BaseException:  # a thread may be refused, or an interrupt comes when it was started
            job.abandon()
            raise
    elif job.end == 0:
        job.close()
    else:
        desk.start_feeding(job)
    return job


cdef bint never_blocks(iterable):
    """Is iterating over it sure to take no time?"""
    return type(iterable) in (range, list, tuple, dict, set, frozenset, str, bytes, bytearray, deque)
