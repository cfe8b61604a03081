# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Single calls: what Pool.apply_async() returns, and what is behind an executor's future."""

from mpfast.tasks.desk cimport FED_ALL, FED_FULL, Desk, Job, fed
from mpfast.tasks.answers cimport tell_callback
from mpfast.tasks.limits cimport deadline_of, limit_of, name_of, retries_of
from mpfast.tasks.parcel cimport deal_call
from mpfast.tasks.places cimport Places

from concurrent.futures import CancelledError
from concurrent.futures._base import FINISHED, PENDING

from .answers import Answer


cdef class Called(Job):
    """One call of a function."""

    cdef fed feed(self) except *:
        if self.settled or self.block != 0:
            return FED_ALL
        if not self.desk.room():
            return FED_FULL
        try:
            self.block = deal_call(self.desk.tasks, self.number, self.desk.function(self.func), self.given)
            if self.timeout:
                self.desk.add_timed(self.block - 1, self, 0)
        except BaseException as error:
            if self.interrupts(error):
                raise
            self.settle(0, error, True)
        self.given = None
        if self.settled and self.block != 0:
            self.revoke()  # it was cancelled meanwhile
        return FED_ALL

    cdef bint revoke(self) except -1:
        """Takes the call back, or kills the worker that runs it. False: it has ended."""
        return self.block == 0 or self.desk.condemn(self, self.block - 1, 0)

    def cancel_future(self):
        pass

    cdef bint lacks(self, Py_ssize_t index):
        return not self.settled

    cdef Py_ssize_t without_outcome(self):
        return 0 if self.settled else 1

    cdef int settle(self, Py_ssize_t index, object value, bint failed) except -1:
        if not self.settled:
            self.settled = True
            if self.placed:
                self.leave_place()
            self.arrive(value, failed)
            self.finish()
        return 0

    cdef int leave_place(self) except -1:
        """Another call may be made."""
        self.placed = False
        return (<Places>self.desk.places).give()

    cdef int arrive(self, object value, bint failed) except -1:
        raise NotImplementedError

    cdef str describe(self, Py_ssize_t index):
        return name_of(self.func)

    def fail(self, error):
        self.settle(0, error, True)


cdef class ApplyResult(Called, Answer):
    """What Pool.apply_async() returns."""

    cdef int arrive(self, object value, bint failed) except -1:
        self._value, self.success = value, not failed
        return 0

    @property
    def _success(self):
        return bool(self.success)

    @property
    def _callback(self):
        return None if self.callbacks is None else self.callbacks[0]

    @property
    def _error_callback(self):
        return None if self.callbacks is None else self.callbacks[1]

    @property
    def pid(self):
        """The pid of the worker that runs the call, or None."""
        self.desk.check()
        return None if self.settled else self.desk.taker_of(self.block, self.number)

    def running(self):
        """Does a worker run the call?"""
        return self.pid is not None

    def cancel(self):
        """Cancels the call, so that get() raises concurrent.futures.CancelledError. False: it has ended.

        A call that waits is never run. The worker that runs it is killed, and another one takes its place. No other
        task is touched. It does not block, and any thread may call it. In a forked child it raises RuntimeError.
        """
        error = CancelledError()
        self.desk.check()
        if self.ready() or self.settled or not self.revoke():
            return False
        self.settle(0, error, True)
        self.given = None
        return True

    cdef tell(self):
        tell_callback(self)


cdef int rank(Called job, priority) except -1:
    """Gives a call its priority."""
    if not isinstance(priority, int):
        raise TypeError(f"priority must be an integer or None, not {priority!r}")
    job.ranked, job.priority = True, max(-(1 << 30), min(priority, 1 << 30))
    return 0


cdef int begin(Desk desk, Called job) except -1:
    """Takes a call in, and deals it if there is room."""
    if desk.places is not None:
        (<Places>desk.places).take()
        job.placed = True
    try:
        desk.add(job)
    except BaseException:
        if job.placed:
            job.placed = False
            (<Places>desk.places).give()
        raise
    return desk.start_feeding(job)


def call(Desk desk, func, args, kwds, callback, error_callback, keeper, timeout, retries, priority=None):
    """Deals a call. Returns its ApplyResult. If the caller does not wait for it now, the pool is its keeper until then."""
    cdef ApplyResult job = ApplyResult.__new__(ApplyResult)
    cdef bint later
    job.func, job.given = func, (args, kwds)
    if callback is not None or error_callback is not None:
        job.callbacks = (callback, error_callback)
        job.told_by_butler = job.urgent = True
    job.timeout, job.retries = desk.timeout, desk.retries
    if timeout is not None or retries is not None:
        job.timeout, job.retries = limit_of(timeout, desk.timeout), retries_of(retries, desk.retries)
    later = keeper is not None
    job.lazy = later and job.timeout != 0
    if priority is not None:
        rank(job, priority)
    if later and desk.butler is None:
        desk.need_butler()
    begin(desk, job)
    if later:
        job.keep(keeper)
    return job


cdef class FutureCall(Called):
    """A call whose result goes to a future. The future keeps it, and it keeps the future until it is over."""

    cdef int arrive(self, object value, bint failed) except -1:
        cdef dict names
        if self.told_by_butler:
            self.value, self.success = value, not failed
            return 0
        names = self.future.__dict__
        if names["_state"] is PENDING:
            names["_exception" if failed else "_result"] = value
            names["_state"] = FINISHED
        return 0

    cdef int close(self) except -1:
        Job.close(self)
        self.future = self.func = None
        return 0

    cdef tell(self):
        value, self.value = self.value, None
        self.future._tell(value, not self.success)

    def wait(self, timeout):
        """Waits until the call is over, at most so many seconds."""
        if not self.over:
            self.desk.wait_for(self, deadline_of(timeout))

    def collect(self):
        """Looks what results have come."""
        if not self.over:
            self.desk.collect()

    def watch(self):
        """Somebody waits for the future in a way that does not come here, so that the butler has to tell it."""
        if not self.over and not self.settled and not self.urgent:
            self.told_by_butler = self.urgent = True
            self.desk.urgent += 1
            self.desk.call_butler()

    @property
    def running(self):
        """Has a worker begun with it?"""
        return not self.settled and self.desk.taker_of(self.block, self.number) is not None

    def drop(self, bint running):
        """Takes the call back. If `running`, kills the worker that runs it.

        False: a worker has begun with it, or it is over. After True, the future says that it is cancelled, and calls let_go().
        """
        if self.settled:
            return False
        if not (self.revoke() if running else self.desk.take_back(self, self.block)):
            return False
        self.settled = self.cancelled = True
        if self.placed:
            self.leave_place()
        self.given = None
        return True

    def let_go(self):
        """The future says by now that it is cancelled."""
        self.close()

    def cancel_future(self):
        """shutdown() cancels what no worker has begun with."""
        if self.future is not None:
            self.future.cancel()


def call_for(Desk desk, future, func, args, kwds, timeout=None, retries=None, priority=None):
    """Deals a call for a future."""
    cdef FutureCall job = FutureCall.__new__(FutureCall)
    job.func, job.given, job.future = func, (args, kwds), future
    job.timeout, job.retries = desk.timeout, desk.retries
    if timeout is not None or retries is not None:
        job.timeout, job.retries = limit_of(timeout, desk.timeout), retries_of(retries, desk.retries)
    job.lazy = job.timeout != 0
    if priority is not None:
        rank(job, priority)
    future._call = job
    begin(desk, job)
