# SPDX-License-Identifier: MIT
# cython: language_level=3
"""A function for many elements: how they are dealt, and what Pool.map_async() returns."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.base.clock cimport clock_now
from mpfast.tasks.desk cimport FED_ALL, FED_ENOUGH, FED_FULL, RECALL_LAST, Desk, Many, fed
from mpfast.tasks.answers cimport tell_callback
from mpfast.tasks.limits cimport limit_of, name_of, retries_of
from mpfast.tasks.parcel cimport (
    ADDED_APART, ADDED_MORE, PARCEL_CHUNK, PARCEL_STAR, Cells, added, deal_range, deal_unit,
)
from mpfast.tasks.sizes cimport first_groups, group_size, window

from concurrent.futures import CancelledError

from .answers import Answer
from .desk import SKIPPED

cdef object MISSING = object()  # no outcome yet
cdef object FAILED = object()   # an error, or not run


cdef class Fed(Many):
    """A function for many elements, which are dealt as results come."""

    cdef object next_elements(self, Py_ssize_t n):
        """The n elements that are dealt next, as a tuple or a range."""
        raise NotImplementedError

    cdef Py_ssize_t out(self):
        """How many elements are dealt and have no outcome."""
        raise NotImplementedError

    cdef fed feed(self) except *:
        cdef Py_ssize_t n
        if self.feeding:
            return FED_ENOUGH
        self.feeding = True
        try:
            while self.at < self.end and self.left > 0 and not (self.over or self.cancelled or self.abandoned):
                n = self.size_now()
                if n == 0:
                    return FED_ENOUGH
                if not self.desk.room():
                    return FED_FULL if self.out() == 0 else FED_ENOUGH
                self.deal(n)
            if self.cancelled:
                self.desk.condemn_all(self)
            return FED_ALL
        finally:
            self.feeding = False

    cdef Py_ssize_t size_now(self):
        """How many elements go into the next group. 0: enough of them are out."""
        cdef int workers = self.desk.crew.size
        cdef Py_ssize_t n, left = self.end - self.at, out
        if self.timeout:  # alone in its block, so that the time of the block is its own
            return 1 if self.out() < first_groups(workers) else 0
        if self.chunksize > 1 or self.desk.exact:
            return min(self.chunksize or self.most, left)
        out = self.out()
        if self.per == 0 and not self.recalled:
            return 1 if out < first_groups(workers) else 0
        n = 1 if self.recalled else group_size(self.per, self.pickling, left, workers, self.most)
        return min(n, left) if out < window(n, workers) else 0

    cdef int deal(self, Py_ssize_t n) except -1:
        """Deals the next n elements."""
        cdef Py_ssize_t first = self.at, to = self.at + n
        cdef int64_t begun
        cdef uint64_t name = 0
        elements = self.next_elements(n)
        try:
            if self.function is None:
                self.function = self.desk.function(self.func)
            if len(elements) < n:
                raise RuntimeError("the list of elements was shortened while it was dealt")
            if type(elements) is range:
                name = deal_range(self.desk.tasks, self.number, first, n, self.function, self.flags, elements.start,
                                  elements.step)
            elif self.chunksize == 1:
                return self.deal_cells(elements)
            else:
                begun = clock_now()
                name = deal_unit(self.desk.tasks, self.number, first, n, self.function, self.flags, elements)
                self.pickling = clock_now() - begun
        except BaseException as error:
            if self.interrupts(error) and self.give_back(elements, self.at - first):
                raise
            first, self.at = self.at, to
            return self.failed_to_deal(first, to - first, error)
        self.at = to
        return self.was_dealt(name, first, n)

    cdef int was_dealt(self, uint64_t name, Py_ssize_t first, Py_ssize_t n) except -1:
        if n > 1 and self.chunksize <= 1 and self.groups is not None:  # a caller's chunk is run by one worker
            self.groups.append(name - 1)
            if self.desk.asleep > clock_now() + RECALL_LAST:
                self.desk.nudge()  # the thread that drains does not know that there is a group to look at
        elif self.timeout:
            self.desk.add_timed(name - 1, self, first)
        return 0

    cdef int deal_cells(self, tuple elements) except -1:
        """Deals elements that are loaded one by one."""
        cdef Py_ssize_t to = self.at + len(elements)
        cdef added how
        if self.cells is None:
            self.cells = Cells(self.desk.tasks)
        self.cells.begin(to - self.at)
        for element in elements:
            how = ADDED_APART
            failure = None
            try:
                how = self.cells.add(element)
            except Exception as error:
                failure = error
            if how == ADDED_MORE:
                continue
            self.deal_collected()
            if how == ADDED_APART:
                self.deal_apart(failure)
            self.cells.begin(to - self.at)
        self.deal_collected()
        return 0

    def deal_apart(self, failure):
        """Deals an element that is too large for a group, or gives it the error that pickling has raised."""
        cdef uint64_t name = 0
        if failure is None:
            try:
                name = self.cells.deal_apart(self.number, self.at, self.function, self.flags)
            except Exception as error:
                failure = error
        self.at += 1
        if failure is None:
            self.was_dealt(name, self.at - 1, 1)
        else:
            self.failed_to_deal(self.at - 1, 1, failure)

    def deal_collected(self):
        cdef uint32_t n = self.cells.count
        if n == 0:
            return
        name = self.cells.deal(self.number, self.at, self.function, self.flags)
        self.at += n
        self.was_dealt(name, self.at - n, n)

    @property
    def done(self):
        """How many elements have an outcome."""
        return self.end - self.left

    def is_lost(self):
        """Will it never be over, because the pool was terminated?"""
        return self.desk.stopped and not self.over

    cdef bint give_back(self, object elements, Py_ssize_t dealt):
        """Dealing was interrupted after so many of these elements. False: the rest can never be dealt."""
        return True

    cdef int failed_to_deal(self, Py_ssize_t first, Py_ssize_t n, object error) except -1:
        for index in range(first, first + n):
            self.settle(index, error, True)
        return 0

    cdef str describe(self, Py_ssize_t index):
        return f"{name_of(self.func)} for element {index}"


cdef bint is_plain_range(elements):
    """A range whose numbers fit into 64 bits."""
    return type(elements) is range and (
        len(elements) == 0 or max(abs(elements[0]), abs(elements[-1]), abs(elements.step)) < 1 << 62)


cdef class MapResult(Fed, Answer):
    """What Pool.map_async() and Pool.starmap_async() return."""

    cdef object next_elements(self, Py_ssize_t n):
        elements = self.elements[self.at:self.at + n]
        return elements if type(elements) is range else tuple(elements)

    cdef Py_ssize_t out(self):
        return self.at - (self.end - self.left)

    cdef bint lacks(self, Py_ssize_t index):
        return not self.over and self.values is not None and self.values[index] is MISSING

    cdef int settle(self, Py_ssize_t index, object value, bint failed) except -1:
        cdef list values = self.values
        if values is None or values[index] is not MISSING:
            return 0
        if failed:
            values[index] = FAILED
            if self._success:
                self._success, self._value = False, value
        elif value is SKIPPED:
            values[index] = FAILED
        else:
            values[index] = value
        self.left -= 1
        if self.left == 0:
            if self._success:
                self._value = values
            self.values = None
            self.elements = None
            self.finish()
        return 0

    def fail(self, error):
        for index in range(self.end):
            if self.lacks(index):
                self.settle(index, error, True)

    def cancel(self):
        """Cancels all elements, so that get() raises concurrent.futures.CancelledError. False: all have ended.

        Workers that run one are killed. It does not block, and any thread may call it.
        """
        error = CancelledError()
        self.desk.check()
        if self.ready() or self.values is None or not (self.desk.condemn_all(self) or self.at < self.end):
            return False
        self.cancelled = True
        self._success, self._value = False, error
        self.fail(error)
        return True

    cdef tell(self):
        tell_callback(self)


def map_elements(Desk desk, func, elements, chunksize, bint star, callback=None, error_callback=None, bint lazy=True,
                 timeout=None, retries=None):
    """Deals a function for all elements of a list, tuple or range. Returns a MapResult.

    chunksize: how many elements make a chunk. None: as many as fit.
    """
    cdef MapResult job = MapResult.__new__(MapResult)
    cdef Py_ssize_t n = len(elements)
    cdef int workers = desk.crew.size
    job.func, job.flags, job.elements = func, PARCEL_STAR if star else 0, elements
    job.left = job.end = n
    job._success = True
    job._callback, job._error_callback = callback, error_callback
    job.told_by_butler = job.urgent = callback is not None or error_callback is not None
    job.most = max(1, -(-n // (4 * workers)))
    job.chunksize = 0 if chunksize is None else chunksize
    if job.chunksize == 1:
        job.most = n
    elif job.chunksize > 1:
        job.flags |= PARCEL_CHUNK
    if type(elements) is range and not is_plain_range(elements):
        job.elements = list(elements)
    job.groups = []
    job.timeout, job.retries = limit_of(timeout, desk.timeout), retries_of(retries, desk.retries)
    job.lazy = lazy and (n > 1 or job.timeout)
    job.values = [MISSING] * n
    desk.add(job)
    if n == 0 or chunksize is not None and chunksize <= 0:  # in multiprocessing, chunks of nothing are done at once
        job._value, job.values = [None] * n, None
        job.told_by_butler = False
        job.close()
    else:
        desk.start_feeding(job)
    return job
