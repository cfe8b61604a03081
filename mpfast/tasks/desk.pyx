# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Job and Desk: what a pool's process knows of its jobs, and how it deals them to the workers.

drain.pyx says how results are taken and waited for, and deaths.pyx what happens to the tasks of killed workers.

The interpreter's lock guards what is here. A step that must not be seen half done calls nothing that runs Python code.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from mpfast.core.base.atomic cimport load32, shared32
from mpfast.core.base.posix cimport c_close, eventfd_write
from mpfast.core.base.clock cimport MICROSECOND, MILLISECOND, NEVER, clock_now
from mpfast.core.child.handoff cimport handoff_mark
from mpfast.core.queue.queue cimport queue_size, queue_stats, queue_stats_t
from mpfast.core.tasks.workers cimport pool_leave, pool_map, pool_unmap, worker_leave, worker_look, worker_prepare
from mpfast.core.tasks.layout cimport POOL_WORKERS, worker_state
from mpfast.core.tasks.tasks cimport ring_bytes
from mpfast.family.family cimport me
from mpfast.tasks.parcel cimport function_of
from mpfast.tasks.rings cimport Ring

import errno
import os
import threading
from collections import deque

from .backlog import Backlog
from .by_value import without_name

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "core/base/futex.h" nogil:
    int futex_wake(shared32 *word, int n)

cdef Py_ssize_t RING_TASKS = 8192            # at most in the ring, and as many results that nobody has collected
cdef uint64_t RING_BYTES = 32 << 20
cdef uint64_t RESULT_BYTES = 128 << 20
cdef Py_ssize_t CREDIT = 64                  # tasks that are dealt between two looks at the ring
cdef int64_t RECALL_FIRST = 500 * MICROSECOND
cdef int64_t RECALL_LAST = 100 * MILLISECOND
cdef double DEAF = 0.2                       # seconds for a butler that cannot be called, as its descriptor was closed
cdef int STRIKES = 3                         # so often may pickling elements, or unpickling a result, be interrupted

SKIPPED = object()  # the value of an element that was not run, because one before it in its unit has failed


cdef class Sleeper:
    """A thread that waits while another one drains. It is woken once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lock.acquire()
        self.thread = PyThread_get_thread_ident()

    cdef void wake(self):
        if not self.woken:
            self.woken = True
            self.lock.release()


cdef class Job:
    """What a caller has asked for. It has one element or many, and each gets one outcome."""

    cdef int settle(self, Py_ssize_t index, object value, bint failed) except -1:
        """Element `index` has an outcome."""
        raise NotImplementedError

    cdef bint lacks(self, Py_ssize_t index):
        """Has element `index` no outcome yet?"""
        raise NotImplementedError

    cdef Py_ssize_t without_outcome(self):
        """How many elements have no outcome yet."""
        return 0

    cdef bint run_again(self, Py_ssize_t index) except -1:
        """The worker of element `index` died. Is the element to be run once more?"""
        cdef dict tries
        if self.retries == 0:
            return False
        tries = self.desk.tries.setdefault(self.number, {})
        tries[index] = tries.get(index, 0) + 1
        return tries[index] <= self.retries

    cdef fed feed(self) except *:
        """Deals elements. An element that cannot be pickled is settled with the error."""
        return FED_ALL

    cdef str describe(self, Py_ssize_t index):
        """What runs element `index`, for messages."""
        return f"job {self.number}"

    cdef bint satisfied(self):
        """Has a caller that waits what it waits for?"""
        return self.over

    cdef bint interrupts(self, object error):
        """Has a signal's handler raised this while elements were pickled? Not if they raise it again and again."""
        if isinstance(error, Exception):
            return False
        self.struck += 1
        return self.struck < STRIKES

    cdef int wake(self) except -1:
        """The threads that wait for it look again."""
        if self.waiting is not None:
            for w in list(self.waiting):  # an event loop is told by Python code, meanwhile others may come and go
                (<Sleeper>w).wake()
        return 0

    cdef int finish(self) except -1:
        """All elements have an outcome."""
        if self.told_by_butler:
            self.desk.finished.append(self)
            self.desk.call_butler()
            return 0
        return self.close()

    cdef int close(self) except -1:
        """The job is over for everybody."""
        cdef Desk desk = self.desk
        if self.over:
            return 0
        self.over = True
        desk.jobs.pop(self.number, None)
        if desk.tries:
            desk.tries.pop(self.number, None)
        desk.urgent -= self.urgent
        desk.lazy -= self.lazy
        desk.ranked -= self.ranked
        self.wake()
        self.waiting = None
        if desk.drainer != 0 and desk.drainer != PyThread_get_thread_ident():
            desk.nudge()
        if not desk.jobs:
            desk.all_over()
        if self.kept:
            self.kept = False
            desk.let_go()
        return 0

    def keep(self, pool):
        """The pool is not collected before the job is over."""
        if not (self.over or self.kept or self.desk.stopped):
            self.kept = True
            self.desk.kept += 1
            self.desk.keeper = pool

    cdef int took(self, int64_t per) except -1:
        """A worker has taken so many nanoseconds for each of some elements."""
        return 0

    cdef tell(self):
        """Runs callbacks."""

    def pool_gone(self):
        """The pool was terminated."""

    def lift_bound(self):
        """The pool is being joined, so all elements are run, whether their results are taken or not."""

    def cancel_future(self):
        """Cancels the job, if it is for a future and no worker has begun with it."""


cdef class Many(Job):
    """A job of many elements, which may travel in groups."""

    cdef Py_ssize_t without_outcome(self):
        return self.left

    cdef int took(self, int64_t per) except -1:
        self.per = per
        return 0

    cdef int close(self) except -1:
        self.groups = None
        self.desk.grouped.pop(self.number, None)
        return Job.close(self)


cdef class LastJob(Job):
    """What join() waits for: that there is no job any more, or that another thread has terminated the pool."""

    cdef bint satisfied(self):
        return self.desk.stopped or not self.desk.jobs


cdef bint may_wake() noexcept:
    """Does the kernel let a process wake others? A worker sleeps until it is woken, without looking by itself."""
    cdef shared32 word
    return futex_wake(&word, 1) >= 0  # nobody sleeps there


cdef class Desk:
    """Desk(crew, exact): the desk of a new pool. `crew` starts workers."""

    def __cinit__(self):
        self.nudged = self.called = -1

    def __init__(self, crew, bint exact):
        if not may_wake():
            raise OSError(errno.ENOSYS, "this system refuses FUTEX_WAKE_BITSET, without which a pool's workers sleep on")
        self.tasks, self.results = Ring(), Ring()
        self.identity = me(self.tasks)
        self.header = pool_map(self.tasks.view)
        if self.header == NULL:
            raise MemoryError("cannot map the header of a pool")
        self.nudged = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.called = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.mark = handoff_mark(self.called)  # of both
        self.crew, self.exact, self.method = crew, exact, crew.ctx.get_start_method()
        self.jobs, self.line, self.halves, self.timed, self.victims = {}, [], [], {}, set()
        self.grouped, self.peeked, self.tries = {}, {}, {}
        self.done_of = <uint64_t *>calloc(POOL_WORKERS, sizeof(uint64_t))
        if self.done_of == NULL:
            raise MemoryError("no memory for the counters of a pool")
        self.backlog, self.finished, self.watchers = Backlog(), deque(), []
        self.patience = RECALL_FIRST
        self.bell()  # now, so that a lack of descriptors is the constructor's error

    def __dealloc__(self):
        pool_unmap(self.header)
        free(self.done_of)
        for fd in (self.nudged, self.called):
            if fd >= 0:
                c_close(fd)

    def release(self):
        """Closes the descriptors. Nobody waits any more."""
        for fd in (self.nudged, self.called):
            if self.is_ours(fd):
                os.close(fd)
        self.nudged, self.called, self.places = -1, -1, None

    cdef bint is_ours(self, int fd):
        """Is the descriptor still what it was? The program may have closed it, and use the number for its own file."""
        return fd >= 0 and handoff_mark(fd) == self.mark

    def forget(self):
        """Called in a forked child, to which the pool does not belong."""
        self.release()
        self.stopped = True
        self.drainer, self.line, self.butler, self.timed = 0, [], None, {}
        self.watchers = []
        self.backlog.clear()
        self.jobs.clear()
        self.grouped.clear()

    cdef int check(self) except -1:
        """Raises if this process does not have the pool."""
        if load32(self.tasks.identity) != self.identity:
            self.refuse()
        return 0

    def is_foreign(self):
        """Is this a child that was forked from the pool's process?"""
        return load32(self.tasks.identity) != self.identity

    def refuse(self):
        what = "pool" if self.crew.kind == "pool" else "executor"
        raise RuntimeError(f"this {what} belongs to process {self.crew.owner}: it cannot be used in process "
                           f"{os.getpid()}, which was forked from it")

    # ---- jobs and dealing

    cdef int add(self, Job job) except -1:
        """Takes a job in. Nothing is dealt yet."""
        self.check()
        if (job.urgent or job.lazy) and self.butler is None and not self.closed:
            self.call_butler()  # before the job is here, since a thread may be refused
        if self.shrunk and not self.closed:
            self.crew.sizing.grow()
        if self.closed:
            raise self.crew.closed()  # another thread has closed the pool since the caller looked
        self.counter += 1
        job.desk, job.number, job.over = self, self.counter, False
        self.urgent += job.urgent
        self.lazy += job.lazy
        self.ranked += job.ranked
        self.jobs[self.counter] = job
        if isinstance(job, Many):
            self.grouped[self.counter] = job
        if self.butler_idle and (job.urgent or job.lazy):
            self.call_butler()
        elif self.dozing:
            self.drained = clock_now()
            self.rouse()
        return 0

    cdef int rouse(self) except -1:
        """There are results to come again. The butler takes them, if nobody does for a while."""
        self.dozing = False
        return self.call_butler()

    cdef Function function(self, object call):
        """The function, ready to be dealt. Only the pickle of a global name can be used again."""
        cdef Function last = self.last
        if last is not None and last.call is call:
            return last
        last = function_of(without_name(call, self.method))
        last.call = call
        if last.named:
            self.last = last
        return last

    cdef bint room(self) except -1:
        """May another task be put into the ring?"""
        if self.ranked:
            return self.room_for_ranked()
        if self.credit > 0 and not self.tasks.large:
            self.credit -= 1
            return True
        return self.has_room()

    cdef bint has_room(self) except -1:
        """Looks at the rings."""
        cdef Py_ssize_t tasks = queue_size(self.tasks.view), results = queue_size(self.results.view)
        self.tasks.large = False
        if max(tasks, results) + CREDIT > RING_TASKS or \
                tasks > 0 and self.bytes_of(self.tasks, RING_BYTES) > RING_BYTES or \
                results > 0 and self.bytes_of(self.results, RESULT_BYTES) > RESULT_BYTES:
            self.full_for = min(CREDIT // 2, max(tasks, results) // 4)
            return False
        self.credit = CREDIT - 1 if ring_bytes(self.tasks.view) < RING_BYTES // 2 else 0
        return True

    cdef uint64_t bytes_of(self, Ring ring, uint64_t limit):
        """How many bytes of blocks a ring has in use. It is exact from the limit on."""
        cdef queue_stats_t s
        cdef uint64_t about = ring_bytes(ring.view)
        if about <= limit:
            return about
        queue_stats(ring.view, &s)
        return s.memory - min(s.idle, s.memory)

    def memory(self):
        """Bytes of shared memory that the tasks and the results take."""
        cdef queue_stats_t tasks, results
        queue_stats(self.tasks.view, &tasks)
        queue_stats(self.results.view, &results)
        return tasks.memory + results.memory

    cdef bint room_for_ranked(self) except -1:
        """With priorities, few tasks are in the ring, since nothing there can be overtaken."""
        self.full_for = self.credit = 0
        return <Py_ssize_t>queue_size(self.tasks.view) < 2 * <Py_ssize_t>self.crew.size

    cdef int start_feeding(self, Job job) except -1:
        """Deals what may be dealt. The rest is dealt when there is room."""
        if self.broken is not None:
            self.fail_job(job)
            return 0
        if self.backlog:
            self.put_off(job)
            return 0
        return self.feed(job)

    cdef int feed(self, Job job) except -1:
        """Deals what may be dealt of a job that is not put off."""
        try:
            if job.feed() == FED_FULL:
                self.put_off(job)
        except BaseException:
            self.put_off(job)  # the interrupt is for the thread, and the elements are still to be dealt
            raise
        return 0

    def put_off(self, Job job):
        """The job waits until there is room in the ring."""
        if job.put_off or job.over:
            return
        job.put_off = True
        self.backlog.append(job)
        if self.butler is not None and self.butler_idle:
            self.call_butler()

    cdef int feed_backlog(self) except -1:
        cdef Job job
        cdef bint full
        if self.full_for > 0:
            self.full_for -= 1
            return 0
        while self.backlog:
            job = self.backlog.popleft()
            try:
                full = not job.over and job.feed() == FED_FULL
            except BaseException:
                self.backlog.appendleft(job)
                raise
            if full:
                self.backlog.appendleft(job)
                return 0
            job.put_off = False
        return 0

    def fail_job(self, Job job):
        """Gives all elements without an outcome the pool's error."""
        job.fail(self.error())

    def error(self):
        """The pool's error, a new one each time. What was raised refers to the frames that it came through."""
        made = type(self.broken)(*self.broken.args)
        made.__cause__ = self.broken.__cause__
        return made

    # ---- life

    def prepare_seat(self, uint32_t number):
        """The place gets a new worker."""
        worker_prepare(self.header, number)
        self.done_of[number] = 0

    cdef void count(self, uint32_t number, uint32_t n) noexcept:
        """So many outcomes have come from the worker of this place."""
        self.done += n
        if number < POOL_WORKERS:  # a worker has written it
            self.done_of[number] += n

    def done_by(self, uint32_t number):
        """How many outcomes have come from the worker of this place?"""
        return self.done_of[number]

    def open_tasks(self):
        """How many elements have no outcome, whether they are dealt or not?"""
        return sum([(<Job>job).without_outcome() for job in self.jobs.values()])

    def state_of(self, uint32_t number):
        """0: the worker of this place is starting. 1: it may have tasks. 2: it ends by itself."""
        return <int>worker_state(worker_look(self.header, number))

    def dismiss(self, uint32_t number):
        """The worker of this place is to go when it has nothing."""
        worker_leave(self.tasks.view, self.header, number)

    def stir(self):
        """The crew has something to do later, of which no thread that sleeps knows."""
        if self.butler is not None:
            self.call_butler()
        if self.drainer != 0 and self.drainer != PyThread_get_thread_ident():
            self.nudge()

    def take_place(self, dict numbers, place, Py_ssize_t most):
        """Gives the first free number to `place`. Returns -1 if there are `most`. No other thread comes between."""
        cdef uint32_t number = 0
        if len(numbers) >= most:
            return -1
        while number in numbers:
            number += 1
        numbers[number] = place
        return number

    def vacate(self):
        """There are places without a worker. They are filled when those that wait for the dead ones' tasks are told."""
        self.vacant = PLACES_FREE

    def watch_idleness(self):
        """idle_seconds() is going to be asked for."""
        self.watches_idleness, self.idle_since = True, clock_now()

    def idle_seconds(self):
        """For how long has there been no job?"""
        return 0.0 if self.jobs else (clock_now() - self.idle_since) / 1e9

    def dismiss_all(self):
        """All workers are to go. No element is without an outcome."""
        if self.is_foreign():
            return  # what is dropped or closed in a forked child is no end of its parent's workers
        self.crew.replacing = False
        pool_leave(self.tasks.view, self.header)

    cdef int let_go(self) except -1:
        """A job that has kept the pool is over."""
        self.kept -= 1
        if self.kept == 0:
            self.keeper = None
        return 0

    cdef int all_over(self) except -1:
        """There is no job any more."""
        if self.closed:
            self.dismiss_all()
        self.idle_since = clock_now() if self.watches_idleness else 0
        if self.last_job is not None:
            self.last_job.wake()
        return 0

    def close(self):
        """No job is taken any more. The workers go when all jobs are over."""
        self.check()
        self.closed = True
        if not self.jobs:
            self.dismiss_all()

    def work_off(self):
        """Nobody waits for what is left, so the butler does it."""
        if self.is_foreign():
            return
        self.urgent += 1
        self.call_butler()

    def cancel_all(self, Py_ssize_t spared=0):
        """Cancels the calls that no worker has begun with. The first `spared` jobs are left alone."""
        self.collect()
        for job in list(self.jobs.values())[spared:]:
            (<Job>job).cancel_future()

    def run_out(self):
        """Waits until all jobs are over."""
        if self.jobs and self.butler is not None and self.butler.ident == PyThread_get_thread_ident():
            raise RuntimeError("a callback cannot wait for the end of the pool that runs it")
        if self.stopped:
            return
        for job in list(self.jobs.values()):
            (<Job>job).lift_bound()
        if self.last_job is None:
            self.last_job = LastJob.__new__(LastJob)
            self.last_job.desk = self
        self.wait_for(self.last_job, NEVER)

    def stop(self):
        """Nobody drains from now on. Jobs without an outcome stay so."""
        self.closed = self.stopped = True
        self.backlog.clear()
        for fd in (self.nudged, self.called):
            if self.is_ours(fd):
                eventfd_write(fd, 1)
        for w in list(self.line):
            (<Sleeper>w).wake()
        self.poke()
        for job in list(self.jobs.values()):
            (<Job>job).pool_gone()
        self.keeper = None
        self.jobs.clear()  # they refer to this object
        self.grouped.clear()

    cdef int poke(self) except -1:
        """Event loops that wait look again."""
        self.silenced = False
        for lookout in list(self.watchers):
            lookout.poke()
        return 0

    def retire(self):
        """After stop(). Waits for the butler, and closes the descriptors unless a thread still has to see the end."""
        if self.butler is not None and self.butler is not threading.current_thread():
            self.butler.join(None if self.is_ours(self.called) else DEAF)
        if self.drainer == 0:
            self.release()
            self.crew.release()
            self.last_job = None  # it refers to this object

    # ---- what the classes below do

    cdef int wait_for(self, Job job, int64_t deadline) except -1:
        """Waits until the job is over, or the time is up."""
        raise NotImplementedError

    cdef int collect(self) except -1:
        """Delivers what is there, if nobody drains."""
        raise NotImplementedError

    cdef int bell(self) except -1:
        """A descriptor that can be readable when there are results."""
        raise NotImplementedError

    cdef int nudge(self) except -1:
        """Wakes the drainer."""
        raise NotImplementedError

    cdef int call_butler(self) except -1:
        """Wakes the butler, which is made by the first call."""
        raise NotImplementedError

    cdef int settle_deaths(self) except -1:
        """Gives what dead workers were running an outcome."""
        raise NotImplementedError

    cdef int recall(self) except -1:
        """Deals again what waits behind an element that runs."""
        raise NotImplementedError

    cdef int64_t end_overdue(self) except -1:
        """Ends what runs for too long. Returns when to look again."""
        raise NotImplementedError

    cdef bint condemn(self, Job job, uint64_t name, uint64_t index) except -1:
        """Ends the worker that runs an element."""
        raise NotImplementedError

    cdef bint condemn_all(self, Job job) except -1:
        """Ends what runs of a job, and takes the rest back."""
        raise NotImplementedError

    cdef int add_timed(self, uint64_t name, Job job, Py_ssize_t index) except -1:
        """An element with a time limit was dealt."""
        raise NotImplementedError
