# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Drain: how results come from the workers to the threads that wait for them.

There is no thread between a caller and the workers. The thread that waits for a job takes results out of the ring for
everybody, one thread at a time. It is the *drainer*. The others sleep until their job is done or it is their turn to
drain. A thread of the pool's own, the *butler*, drains only if nobody else does and somebody has to be told of a result.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, ETIMEDOUT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.channel.payload cimport payload_from_immediate, payload_load
from mpfast.core.base.clock cimport MILLISECOND, NEVER, clock_now
from mpfast.core.base.posix cimport eventfd_write
from mpfast.core.queue.queue cimport queue_arm, queue_bell, queue_silence, queue_unheard
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.layout cimport RESULT_START, result
from mpfast.core.tasks.results cimport (
    result_cells, result_free, result_hasten, result_of, result_payload, result_take, result_wait,
)
from mpfast.tasks.desk cimport (
    PLACES_FREE, PLACES_LEFT, PLACES_TAKEN, RECALL_FIRST, RECALL_LAST, STRIKES, Desk, Job, Sleeper,
)
from mpfast.tasks.parcel cimport CELL_ERROR, CELL_KIND, CELL_NOW, CELL_SKIPPED, cell, cell_size

from .desk import SKIPPED

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

cdef int64_t LOOK = 10 * MILLISECOND         # a drainer that has results all the time looks for deaths so often
cdef uint32_t OFTEN = 16                     # results between two looks at the clock
cdef int ALONG = 32                          # results that a caller takes besides its own,
cdef size_t SMALL = 1024                     # of so many bytes
cdef int64_t UNHEARD = 100 * MILLISECOND     # a drainer that cannot be woken looks so often
cdef int64_t GRACE = 5 * MILLISECOND         # for which the butler leaves the draining to callers
cdef int64_t UNTAKEN = 50 * MILLISECOND      # so long may results lie there if nobody has to be told of them


cdef double seconds_until(int64_t deadline) noexcept:
    """As a lock's acquire() has it. -1: any time."""
    return -1 if deadline == NEVER else max(0, (deadline - clock_now()) / 1e9)


cdef class Half:
    """A result block of which some elements are settled."""
    cdef store_item item
    cdef uint32_t at

    @staticmethod
    cdef Half of(const store_item *item, uint32_t at):
        cdef Half half = Half.__new__(Half)
        half.item, half.at = item[0], at
        return half


cdef class Drain(Desk):
    """A desk whose results are drained."""

    # ---- waiting and draining

    cdef int wait_for(self, Job job, int64_t deadline) except -1:
        """Waits until the job is over, or the time is up."""
        if job.timeout == 0 or job.lazy:
            return self.wait_on(job, deadline)
        try:
            return self.wait_on(job, deadline)
        finally:
            if not job.over and not job.lazy and not self.is_foreign():  # the caller leaves, but its job has a limit
                job.lazy = True
                self.lazy += 1
                self.call_butler()

    cdef int wait_on(self, Job job, int64_t deadline) except -1:
        cdef bint stood = False
        while not job.satisfied():
            self.check()
            if self.stopped:
                self.wait_stopped(job, deadline)
                return 0
            stood = self.drainer != 0 and self.drainer != PyThread_get_thread_ident()
            if stood:
                self.stand_in_line(job, deadline)
            else:
                self.drain_for(job, deadline)
            if deadline != NEVER and deadline <= clock_now():
                break
        if stood and self.drainer == 0:
            self.lay_down()  # it may have been this thread's turn
        return 0

    def wait_stopped(self, Job job, int64_t deadline):
        """The pool was terminated, so the job is never over. As in multiprocessing, its waiters wait on."""
        w = Sleeper()
        if job.waiting is None:
            job.waiting = []
        job.waiting.append(w)
        try:
            (<Sleeper>w).lock.acquire(True, seconds_until(deadline))
        finally:
            if job.waiting is not None:
                job.waiting.remove(w)

    cdef int drain_for(self, Job job, int64_t deadline) except -1:
        cdef unsigned long before = self.drainer
        self.drainer = PyThread_get_thread_ident()
        try:
            self.drain(job, deadline)
        finally:
            self.drainer = before
            self.drained = clock_now()
            if before == 0:
                self.lay_down()
        return 0

    cdef int lay_down(self) except -1:
        """The draining is given to the first thread in line, or to the butler."""
        cdef Sleeper w, chosen = None
        for w in self.line:
            if not w.woken and (chosen is None or w.thread == chosen.thread):
                chosen = w  # a thread that waits once more, in a signal's handler, can only go on there
        if chosen is not None:
            chosen.wake()
            return 0
        if self.vacant == PLACES_FREE:
            return self.leave_places()
        if self.butler_idle and self.wanted():
            self.call_butler()
        elif self.dozing and self.jobs:
            self.rouse()
        if self.silenced and self.watchers:
            self.poke()
        return 0

    cdef int stand_in_line(self, Job job, int64_t deadline) except -1:
        """Sleeps until the job is over, or it is this thread's turn to drain."""
        cdef Sleeper w = Sleeper()
        cdef bint in_time = False
        self.line.append(w)
        if job.waiting is None:
            job.waiting = []
        job.waiting.append(w)
        if self.butler_drains():
            self.nudge()  # a caller that waits goes before the butler
        try:
            in_time = w.lock.acquire(True, seconds_until(deadline))
        finally:
            self.line.remove(w)
            if job.waiting is not None:
                job.waiting.remove(w)
            if not in_time and w.woken and self.drainer == 0:
                self.lay_down()  # it was this thread's turn, but it leaves
        return 0

    def butler_drains(self):
        return self.butler is not None and self.drainer == self.butler.ident

    cdef bint is_butler(self):
        return self.butler is not None and self.butler.ident == PyThread_get_thread_ident()

    cdef int drain(self, Job job, int64_t deadline) except -1:
        """Delivers results until the job is over. None: until the butler has other things to do."""
        cdef store_item item
        cdef int64_t now, looked = 0
        cdef uint32_t delivered = 0
        self.patience = RECALL_FIRST
        while not self.stopped:
            if self.halves:
                self.finish_halves()
            if job is None:
                if self.finished or self.line or not self.jobs:
                    return 0
            elif job.satisfied():
                return self.take_along()
            if self.hurried or self.vacant == PLACES_FREE:
                self.run_errands()
                continue
            if self.take(&item):
                self.deliver(&item)
                delivered += 1
                if delivered % OFTEN == 0:
                    now = clock_now()
                    looked = looked or now
                    if now - looked > LOOK:
                        looked = now
                        self.settle_deaths()
                        if self.vacant == PLACES_LEFT:
                            self.fill_places()
                        if self.timed:
                            self.end_overdue()
                continue
            if deadline != NEVER and deadline <= clock_now():
                return 0
            if not self.wait_a_little(deadline):
                self.sleep(deadline)
        return 0

    cdef int run_errands(self) except -1:
        """What else the drainer has to do, now that it goes on."""
        if self.hurried:
            self.settle_deaths()
        elif self.butler_idle and not self.is_butler():
            return self.leave_places()
        else:
            return self.fill_places()
        return 0

    cdef int fill_places(self) except -1:
        """Starts workers in the places of dead ones."""
        self.vacant = PLACES_TAKEN
        try:
            self.crew.refill()
        except BaseException:
            self.vacant = PLACES_FREE  # an interrupt
            raise
        return 0

    cdef int leave_places(self) except -1:
        """The butler starts the workers that are missing, while the callers go on."""
        if self.butler is not None:
            self.vacant = PLACES_LEFT
            return self.call_butler()
        self.settle_as_drainer()
        return 0

    cdef int take_along(self) except -1:
        """Delivers small results that are there, too. It costs less than coming once more for each of them."""
        cdef store_item item
        for _ in range(ALONG):
            if self.line or self.halves or not self.take(&item):
                return 0
            self.deliver(&item)
            if item.size > SMALL:
                return 0
        return 0

    cdef bint wait_a_little(self, int64_t deadline) except -1:
        """False: nothing has come."""
        cdef int rc
        with nogil:
            rc = result_wait(self.results.view, deadline, &self.history)
        PyErr_CheckSignals()
        if rc < 0 and rc != -EINTR and rc != -ETIMEDOUT:
            self.results.fails(rc, "cannot wait for")
        return rc != -ETIMEDOUT

    cdef int take(self, store_item *item) except -1:
        """1: a block of results."""
        cdef int rc = result_take(self.results.view, item)
        if rc == -EAGAIN:
            return 0
        if rc < 0:
            self.results.fails(rc, "cannot get from")
        return 1

    def look(self):
        """Delivers what is there, for code that looks inside."""
        self.collect()

    def waiting_jobs(self):
        """How many jobs wait for room in the ring?"""
        return len(self.backlog)

    cdef int collect(self) except -1:
        """Delivers what is there, if nobody drains."""
        if self.drainer != 0 or self.stopped or self.is_foreign():
            return 0
        self.drainer = PyThread_get_thread_ident()
        try:
            self.deliver_all()
        finally:
            self.drainer = 0
            self.lay_down()
        return 0

    cdef int deliver_all(self) except -1:
        """Delivers what is there. This thread drains."""
        cdef store_item item
        if self.halves:
            self.finish_halves()
        while self.take(&item):
            self.deliver(&item)
        return 0

    cdef int deliver(self, store_item *item) except -1:
        return self.deliver_from(item, 0)

    cdef int deliver_from(self, store_item *item, uint32_t at) except -1:
        """Settles the elements of a result block from cell `at` on, and gives the block back."""
        cdef result *r = result_of(item)
        cdef uint32_t i = at, n = result_cells(item)
        cdef Job job
        cdef bint failed = False, outer = self.settling
        if self.peeked and at == 0:
            i = self.peeked.pop(item.block, 0)
        self.settling = True
        try:
            if n > 0 and item.kind == RESULT_START:
                self.crew.refused(r.worker, self.value_of(item, 0, &failed))
                n = 0
            job = self.jobs.get(r.job) if n > 0 else None
            while job is not None and i < n:
                value = self.value_of(item, i, &failed)
                i += 1
                job.settle(r.first + i - 1, value, failed)
            if i > at:
                self.count(r.worker, i - at)
            if job is not None and r.elapsed:
                job.took(r.elapsed // n)
        except BaseException:
            self.halves.append(Half.of(item, i))
            raise
        finally:
            self.settling = outer
        value = None
        result_free(self.results.view, item)
        self.patience = RECALL_FIRST
        return self.feed_more(job)

    cdef int feed_more(self, Job job) except -1:
        """Elements of this job have an outcome, so more may be dealt."""
        if job is not None and not job.over and not job.put_off:
            self.feed(job)
        if self.backlog:
            self.feed_backlog()
        return 0

    def finish_halves(self):
        """Goes on where an exception in a thread has interrupted a delivery."""
        cdef Half half
        while self.halves:
            half = self.halves.pop()
            self.deliver_from(&half.item, half.at)

    cdef object value_of(self, const store_item *item, uint32_t i, bint *failed):
        """What cell i of a result block holds. failed: it is an exception."""
        cdef const cell *c = <const cell *>result_payload(item) + i
        failed[0] = c.kind & CELL_ERROR
        if c.kind & CELL_NOW:
            return payload_from_immediate(<int64_t>c.value)
        if c.kind & CELL_SKIPPED:
            return SKIPPED
        try:
            return payload_load(c.kind & CELL_KIND, result_payload(item) + c.value, cell_size(c), None, self.results)
        except Exception as e:
            return self.unloadable(e, failed)
        except KeyboardInterrupt as e:
            if not self.always_interrupts(item.block, i):
                raise
            return self.unloadable(e, failed)
        except BaseException as e:
            return self.reloaded(item, i, failed, e)

    cdef bint always_interrupts(self, uint64_t block, uint32_t i):
        """Was unpickling this cell interrupted so often that it may raise the KeyboardInterrupt by itself?"""
        if self.struck_block != block or self.struck_cell != i:
            self.strikes = 0
        self.struck_block, self.struck_cell = block, i
        self.strikes += 1
        return self.strikes >= STRIKES

    cdef object unloadable(self, object error, bint *failed):
        made = self.crew.unloadable(error, failed[0])
        failed[0] = True
        return made

    cdef object reloaded(self, const store_item *item, uint32_t i, bint *failed, object interrupt):
        """Unpickling was interrupted. Did a signal's handler raise that, or does what is unpickled raise it?"""
        cdef const cell *c = <const cell *>result_payload(item) + i
        try:
            payload_load(c.kind & CELL_KIND, result_payload(item) + c.value, cell_size(c), None, self.results)
        except BaseException as e:
            if type(e) is type(interrupt):
                return self.unloadable(e, failed)
        raise interrupt  # it is for the thread, and the result is loaded once more by the next drainer

    cdef int sleep(self, int64_t deadline) except -1:
        """Nothing came for a while. Sleeps until there is a result, a worker has ended or somebody nudges."""
        cdef int64_t now, until, before = self.asleep
        cdef int fd, peeks = self.peeks
        cdef bint recalls, outer = self.sleeping
        if self.vacant:
            return self.fill_places()  # the butler has not come to it
        until = min(deadline, <int64_t>self.crew.until())
        recalls, fd = self.recall(), self.bell()
        if self.peeks != peeks:
            return 0
        if self.backlog:
            self.feed_backlog()  # tasks that were cancelled have left room, and no result
        self.silence()  # what has rung since the last sleep has been delivered
        if queue_arm(self.results.view, False):
            return 0
        now = clock_now()
        if recalls:
            until = min(until, now + self.patience)
            self.patience = min(2 * self.patience, RECALL_LAST)
        if queue_unheard(self.results.view):
            until = min(until, now + UNHEARD)
        if self.backlog:
            until = min(until, now + UNHEARD)
        if self.timed:
            until = min(until, self.end_overdue())
        self.asleep = until
        self.sleeping = True
        try:
            self.crew.sleep(fd, self.nudged, None if until == NEVER else max(0, until - now) / 1e9)
        finally:
            self.asleep = before
            self.silence()
            self.sleeping = outer
            if outer:
                self.nudge()  # a signal's handler has drained, and the sleep that it interrupted would not hear the bell
        self.settle_deaths()
        return 0

    cdef void silence(self):
        """The bell is silent until it rings again. Event loops that count on it are told later."""
        queue_silence(self.results.view)
        self.silenced = True

    cdef int bell(self) except -1:
        """A descriptor that can be readable when there are results."""
        cdef int fd = queue_bell(self.results.view, False)
        if fd < 0:
            self.results.fails(fd, "cannot wait for")
        return fd

    cdef int nudge(self) except -1:
        """Wakes the drainer, or lets its next sleep end at once."""
        if self.nudged >= 0:
            eventfd_write(self.nudged, 1)  # no other thread runs, so it is not closed meanwhile
        return 0

    # ---- the butler

    cdef bint wanted(self):
        """Does somebody have to drain, even if no caller waits?"""
        return self.urgent > 0 or self.lazy > 0 or bool(self.backlog)

    cdef int call_butler(self) except -1:
        if self.is_foreign():
            return 0
        if self.butler is None:
            self.take_on(self.crew.butler(self))
        elif self.called >= 0:
            eventfd_write(self.called, 1)
        return 0

    def take_on(self, butler):
        """True: this thread is the butler. False: there is another one, as an interrupt came when it was started."""
        if self.butler is None:
            self.butler = butler
        return self.butler is butler

    def need_butler(self):
        """From now on there are jobs for which nobody may wait."""
        if self.butler is None:
            self.call_butler()

    def butler_turn(self):
        """What the butler does again and again. False: it has to end."""
        cdef Job job
        while self.finished:
            job = self.finished.popleft()
            try:
                job.tell()
            finally:
                job.close()
            job = None
        if self.stopped or self.closed and not self.jobs and not self.crew.workers:
            return False
        if self.vacant:
            self.fill_places()
        if self.drainer == 0 and self.jobs and self.is_due():
            self.drain_for(None, NEVER)
        else:
            self.rest()
        return not self.stopped

    cdef bint is_due(self):
        """Has the butler left the draining to callers for long enough?"""
        return self.urgent > 0 or clock_now() - self.drained > (GRACE if self.wanted() else UNTAKEN)

    cdef object until_due(self):
        """How many seconds the butler sleeps. None: until it is called."""
        if self.drainer == 0 and (self.lazy or self.backlog):
            return GRACE / 1e9
        if self.drainer == 0 and self.jobs or clock_now() - self.drained < UNTAKEN:
            return UNTAKEN / 1e9
        return None  # a drainer calls when it ends

    cdef int rest(self) except -1:
        """The butler sleeps until it is called, or a worker has ended."""
        grace = self.until_due()
        self.butler_idle, self.dozing = True, grace is None
        try:
            ended = self.crew.rest(self.called, grace)
        finally:
            self.butler_idle = self.dozing = False
        if ended and self.drainer == 0:
            self.settle_as_drainer()
        elif ended:  # the drainer hears of it as well, so it is left to it for a while
            if not self.sleeping:
                self.hurried = True
                result_hasten(self.results.view)
            self.butler_idle = True
            try:
                self.crew.rest(self.called, GRACE / 1e9, False)
            finally:
                self.butler_idle = False
        return 0

    def settle_as_drainer(self):
        """Looks for deaths, if nobody drains. Starts the workers that are missing."""
        if self.drainer != 0 or self.stopped or self.is_foreign():
            return
        self.drainer = PyThread_get_thread_ident()
        try:
            self.settle_deaths()
            if self.vacant and not (self.finished and self.is_butler()):  # it runs their callbacks first
                self.fill_places()
        finally:
            self.drainer = 0
            self.lay_down()
