# SPDX-License-Identifier: MIT
# cython: language_level=3
"""How an event loop takes its part in the draining: aio.py's steps that have to see inside the desk.

A loop watches the bell of the results, and delivers what is there when it rings. It never sleeps as the drainer, so it
stands in nobody's way. While a thread drains, the loop leaves everything to it, and is told when the thread lays the
draining down.
"""

from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport MILLISECOND, NEVER, clock_now
from mpfast.core.base.posix cimport eventfd_read
from mpfast.core.queue.queue cimport queue_arm, queue_silence, queue_unheard
from mpfast.core.tasks.results cimport result_wait
from mpfast.tasks.desk cimport Desk, Job, Sleeper
from mpfast.tasks.drain cimport Drain
from mpfast.tasks.streams cimport Stream

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

cdef int64_t UNHEARD = 100 * MILLISECOND  # a loop that cannot be told looks so often

LATER, GONE = -1, -2  # what look() returns besides seconds


cdef class Told(Sleeper):
    """A coroutine that waits for a job: Told(loop, future). The future is done when it has to look again."""
    cdef object loop
    cdef object future

    def __init__(self, loop, future):
        self.loop, self.future = loop, future
        self.thread = PyThread_get_thread_ident()

    cdef void wake(self):
        if self.woken:
            return
        self.woken = True
        if self.loop is None:
            return
        try:
            if self.thread == PyThread_get_thread_ident():
                tell(self.future)
            else:
                self.loop.call_soon_threadsafe(tell, self.future)
        except RuntimeError:
            pass  # the loop is closed, so nobody waits

    def drop(self):
        """The loop is closed, and its coroutine is for the collector."""
        self.loop = self.future = None

    def tell(self):
        """The future is done. Called in its loop."""
        if self.future is not None:
            tell(self.future)

    def wait_for(self, Job job):
        """From now on the future is told when the job has got on."""
        if job.waiting is None:
            job.waiting = []
        job.waiting.append(self)

    def leave(self, Job job):
        if job.waiting is not None:
            job.waiting.remove(self)


def tell(future):
    if not future.done():
        future.set_result(None)


def is_over(Job job):
    """Has it ended, and was that told?"""
    return job.over


def is_satisfied(Job job):
    """Is there what its caller waits for?"""
    return job.satisfied()


def limited(Desk desk, timeout):
    """Has a call with this timeout= a time limit? Then a thread sees to it, whatever the loop does."""
    return timeout is not None or desk.timeout != 0


def take_now(Stream job):
    """The next result of a stream as (failed, value), or None."""
    job.desk.check()
    found = job.pop()
    if found is not None and job.room and not job.over:
        job.go_on(found)
    return found


def watched(Drain desk):
    """A descriptor that is readable when results have come, a worker has ended or the pool is terminated."""
    return desk.crew.lookout.watched(desk.bell(), desk.nudged)


def find(Drain desk, loop):
    """The watcher of this loop that has entered, or None."""
    found = None
    for watcher in list(desk.watchers):
        if watcher.loop() is loop:
            found = watcher
        elif watcher.is_closed():
            watcher.drop()
    return found


def enter(Drain desk, watcher):
    """From now on the watcher's poke() is called when a thread lays the draining down."""
    desk.check()
    desk.watchers.append(watcher)


def leave(Drain desk, watcher):
    if watcher in desk.watchers:
        desk.watchers.remove(watcher)


def look(Drain desk, watcher):
    """Delivers what is there, and asks for the bell. Returns after how many seconds it has to be called without a bell, or None.

    LATER: a thread drains, and poke() will be called. GONE: the pool was terminated.
    """
    if desk.stopped:
        return GONE
    if desk.drainer != 0:
        watcher.deferred = desk.silenced = True
        return LATER
    watcher.deferred = False
    desk.drainer = PyThread_get_thread_ident()
    desk.silenced = True  # until the bell is armed again. If an exception comes before, the watchers are told
    try:
        drain(desk)
        desk.silenced = any([other.deferred for other in desk.watchers])  # other loops came meanwhile
    finally:
        desk.drainer = 0
        desk.drained = clock_now()
        desk.lay_down()
    if desk.crew.until() != NEVER:
        desk.need_butler()  # a start is to be tried again, and nobody else may be there
    return UNHEARD / 1e9 if queue_unheard(desk.results.view) else None


def soon(Drain desk, Job job):
    """Delivers what comes within some microseconds, if nobody drains. True: there is what the job's caller waits for.

    It leaves the bell as it is. A bell that has rung still tells the loop to look.
    """
    if job.satisfied() or desk.drainer != 0 or desk.stopped:
        return job.satisfied()
    desk.check()
    desk.drainer = PyThread_get_thread_ident()
    try:
        with nogil:
            result_wait(desk.results.view, clock_now(), &desk.history)
        desk.deliver_all()
    finally:
        desk.drainer = 0
        desk.lay_down()
    return job.satisfied()


cdef int drain(Drain desk) except -1:
    cdef bint more = True
    cdef unsigned long nudges
    while more and not desk.stopped:
        eventfd_read(desk.nudged, &nudges)
        queue_silence(desk.results.view)
        desk.deliver_all()
        desk.settle_deaths()
        if desk.backlog:
            desk.feed_backlog()
        more = queue_arm(desk.results.view, False)
    return 0
