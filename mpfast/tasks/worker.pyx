# SPDX-License-Identifier: MIT
# cython: language_level=3
"""What a worker of a pool does, from its start to its end.

It takes a task block, which is its own from then on. It claims one element after the other, runs it and adds the result
to its outbox. If it is killed, the pool finds the block, and knows which element was being run.
"""

from libc.errno cimport EAGAIN, ESHUTDOWN
from libc.stdint cimport int64_t, uint32_t
from mpfast.core.base.atomic cimport load32, load64
from mpfast.core.base.clock cimport MICROSECOND, clock_now
from mpfast.core.family.waiting cimport waiting, waiting_end
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.group cimport GROUP_GIVEN_UP, group_claim, group_end
from mpfast.core.tasks.layout cimport task
from mpfast.core.tasks.tasks cimport task_free, task_loaded, task_loading, task_of, task_take, task_wait, task_waits
from mpfast.core.tasks.workers cimport pool_map, pool_unmap, seat, seat_leaving, seat_ready, seat_starting
from mpfast.family.family cimport me, serve_signals
from mpfast.tasks.outbox cimport Outbox
from mpfast.tasks.parcel cimport CELL_ERROR, Opened
from mpfast.tasks.rings cimport Ring

import errno
import functools
import contextlib
import os
import signal
import sys
from multiprocessing import process

from . import failures
from .care import settle_in
from ..launch import life

NAMES = {"pool": "PoolWorker"}  # that ps shows. The workers of executors are all ExecWorker
cdef int64_t SOON = 100 * MICROSECOND   # how long results may wait for others
cdef int64_t QUICK = 2 * MICROSECOND    # an element that takes less
cdef uint32_t SAMPLE = 8                # after so many quick elements, the clock is read for one of 16


cdef class Worker:
    """A worker at its seat: Worker(tasks, results, number, failures)."""
    cdef Ring tasks
    cdef Ring results
    cdef seat place
    cdef Outbox out
    cdef Opened opened
    cdef object wrapped, unsendable  # how exceptions travel
    cdef bint catches_all
    cdef bint ends_unloadable
    cdef bint in_task
    cdef uint32_t identity           # another one in a child that a task has forked
    cdef uint32_t ran, mask
    cdef int64_t began, looked
    cdef bint has_state
    cdef object state                # what each task is given first

    def __init__(self, Ring tasks, Ring results, uint32_t number, how):
        self.tasks, self.results = tasks, results
        self.place.tasks, self.place.results = tasks.q(), results.q()
        self.place.number, self.place.pid = number, os.getpid()
        self.identity = me(tasks)
        self.out = Outbox.__new__(Outbox)
        self.out.ring, self.out.seat = results, &self.place
        self.opened = Opened.__new__(Opened)
        self.wrapped, self.unsendable = how.wrapped, how.unsendable
        self.catches_all, self.ends_unloadable = how.catches_all, how.ends_unloadable

    def __dealloc__(self):
        pool_unmap(self.place.pool)

    def sit(self):
        """Says that this worker exists. If it cannot, it tells the pool why, and ends."""
        self.place.pool = pool_map(self.place.tasks)
        if self.place.pool == NULL:
            self.refuse(why_not_mapped(self.tasks))
            sys.exit(1)
        seat_starting(&self.place)

    def keep_state(self, state):
        """Each task is given this first."""
        self.state, self.has_state = state, True

    def with_state(self, function):
        return functools.partial(function, self.state) if self.has_state else function

    def ready(self):
        """Says that this worker may own tasks from now on."""
        seat_ready(&self.place)

    def leave(self):
        """Says that this worker owns nothing and ends."""
        seat_leaving(&self.place)

    def interrupted(self, number, frame):
        """The handler of SIGINT. A task is interrupted, and between tasks that is the pool's process's business."""
        if self.in_task:
            raise KeyboardInterrupt

    def refuse(self, error):
        """Tells the pool that this worker cannot start."""
        try:
            self.out.refuse(self.wrapped(error, error.__traceback__))
        except Exception:
            self.out.refuse(self.wrapped(RuntimeError(repr(error)), error.__traceback__))

    def turn(self):
        """Waits for a group of tasks and works it off. False: this worker is to go."""
        cdef store_item item
        cdef int rc = task_take(&self.place, &item)
        if rc == -EAGAIN:
            rc = self.wait(&item)
        if rc == -ESHUTDOWN:
            return False
        if rc < 0:
            self.tasks.fails(rc, "cannot get from")
        self.work(&item)
        return True

    cdef int wait(self, store_item *item) except? -1:
        cdef waiting w
        cdef int rc = -EAGAIN
        cdef uint32_t identity = self.identity
        task_waits(&self.place, &w)
        try:
            while (rc := task_take(&self.place, item)) == -EAGAIN:
                with nogil:
                    rc = task_wait(&self.place, &w)
                serve_signals(self.tasks, &identity, &w)
        finally:
            waiting_end(&w)
        return rc

    cdef int work(self, store_item *item) except -1:
        cdef task *t = task_of(item)
        cdef int64_t i
        cdef uint32_t end
        cdef bint failed = False, opened = False, call
        cdef object error = None
        self.began = self.looked = <int64_t>load64(&t.began)  # it was taken right now
        self.ran, self.mask = 0, 0
        while (i := group_claim(&t.group)) >= 0:
            if not opened:  # not before. A payload that ends the worker costs an element, and is not dealt for ever
                opened = True
                error = self.open(t)
            end = group_end(load64(&t.group))
            if failed:
                self.out.skip(t.job, t.first + i, end - <uint32_t>i)
                continue
            if not self.element(t, <uint32_t>i, end, error):
                failed = self.opened.unit
            if <uint32_t>i + 1 < end:
                self.tell()
        call = self.opened.is_call()
        self.opened.close()
        if i == GROUP_GIVEN_UP:
            wait_for_the_end()
        self.out.close(0 if call else clock_now() - self.began)  # nobody asks how long a call takes
        task_free(self.tasks.view, item)
        return 0

    cdef object open(self, task *t):
        """Loads the payload, and returns the exception that this raises."""
        cdef object error = None
        if t.count > 1:
            task_loading(t)
        try:
            self.opened.open(self.tasks, t)
            if self.has_state:
                self.opened.call = self.with_state(self.opened.call)
        except Exception as e:
            if self.ends_unloadable:
                raise
            error = e
        if t.count > 1:
            task_loaded(t)
        return error

    cdef bint element(self, task *t, uint32_t i, uint32_t end, object error) except -1:
        """Runs an element. False: it failed."""
        cdef uint32_t flags = 0
        try:
            if error is not None:
                raise error
            self.in_task = True
            try:
                value = self.opened.run(i)
            finally:
                self.in_task = False
        except (Exception, KeyboardInterrupt) as e:
            if self.ends_unloadable and self.opened.loading:
                raise
            value, flags = failures.sendable(self.wrapped(e, e.__traceback__), e), CELL_ERROR
        except BaseException as e:
            if not self.catches_all:
                raise
            value, flags = failures.sendable(self.wrapped(e, e.__traceback__), e), CELL_ERROR
        if load32(self.tasks.identity) != self.identity:
            os._exit(0)  # a child that the task has forked came back from it
        try:
            self.out.add(t.job, t.first + i, end - i, value, flags)
        except BaseException as e:
            if not isinstance(e, Exception) and not self.catches_all:
                raise
            flags = CELL_ERROR
            self.out.add(t.job, t.first + i, end - i, self.unsendable(e, value), flags)
        return flags == 0

    cdef int tell(self) except -1:
        """Puts the results from time to time, so that the pool has them early."""
        cdef int64_t now
        self.ran += 1
        if self.ran & self.mask:
            return 0
        now = clock_now()
        if now - self.looked > SOON:
            self.out.close(now - self.began)
            self.began = self.looked = now
        elif self.ran == SAMPLE and now - self.began < SAMPLE * QUICK:
            self.mask = 15
        return 0


cdef object why_not_mapped(Ring tasks):
    """Why a process cannot map the header of its pool. A forked process may have had no room for a descriptor."""
    cdef int error = -tasks.family.fd
    if error <= 1:
        error = errno.ENOMEM if error < 0 else errno.EBADF
    return OSError(error, f"{os.strerror(error)}: cannot map the pool of {tasks.name}")


cdef int wait_for_the_end() except -1:
    """The pool has condemned this process and is about to kill it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    while True:
        signal.pause()


def guard_worker():
    """A worker ends with the pool's process, however that ends. A daemon is guarded already."""
    parent = process.parent_process()
    if process.current_process().daemon or parent is None:
        return
    if os.getppid() == parent.pid:
        life.guard(parent.pid)
    else:
        life.guard(os.getppid(), parent.sentinel)


def work(tasks, results, number, initializer, initargs, maxtasks, kind, care=None):
    """What a worker process runs."""
    guard_worker()
    signal.set_wakeup_fd(-1)  # a forked worker has inherited it, and the handler, which are for the pool's process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    settle_in(NAMES.get(kind, "ExecWorker"), care)
    how = failures.KINDS[kind]
    worker = Worker(tasks, results, number, how)
    worker.sit()
    try:
        if initializer is not None:
            initializer(*initargs)
        if care is not None and care.state is not None:
            worker.keep_state(care.state())
    except BaseException as error:
        worker.refuse(error)
        if not how.catches_all:
            raise
        how.log_failed_initializer()
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, worker.interrupted)
    worker.ready()
    try:
        while maxtasks != 0 and worker.turn():
            if maxtasks is not None:
                maxtasks -= 1
            if care is not None and care.is_full():
                break
    except Exception as error:  # of no task
        with contextlib.suppress(Exception):
            worker.refuse(error)
        raise
    worker.leave()
    if care is not None and care.exit is not None:
        worker.with_state(care.exit)()
