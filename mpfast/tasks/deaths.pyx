# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Engine: the desk of a pool with all that it does when tasks do not move, are cancelled, or lose their worker."""

from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.base.atomic cimport load32, load64
from mpfast.core.base.clock cimport MILLISECOND, NEVER, clock_now
from mpfast.core.base.posix cimport SIGKILL
from mpfast.core.child.child cimport child_signal
from mpfast.core.child.handoff cimport handoff_mark
from mpfast.core.queue.queue cimport queue_empty
from mpfast.core.store.item cimport store_item
from mpfast.core.tasks.group cimport (
    CONDEMNED_LATE, CONDEMNED_RUNNING, condemned, group_condemn, group_left, group_next, group_recall,
)
from mpfast.core.tasks.layout cimport task, worker_identity
from mpfast.core.tasks.ledger cimport block_walk, ledger_again, ledger_mark, ledger_next, walk_begin
from mpfast.core.tasks.results cimport result_of, result_peek
from mpfast.core.tasks.tasks cimport (
    TASK_FREE, TASK_LOST, TASK_QUEUED, TASK_TAKEN, task_free, task_look, task_next, task_of, task_place,
)
from mpfast.core.tasks.workers cimport worker_look, workers_wake
from mpfast.launch.child cimport Child
from mpfast.tasks.desk cimport RECALL_LAST, Job, Many
from mpfast.tasks.drain cimport Drain
from mpfast.tasks.parcel cimport FORM_UNIT, Copy, parcel_of

from .errors import TaskTimeout, WorkerDied


cdef class Timed:
    """An element that may run for a time only."""
    cdef uint64_t job
    cdef uint64_t index
    cdef int64_t timeout

    @staticmethod
    cdef Timed of(Job job, Py_ssize_t index):
        cdef Timed timed = Timed.__new__(Timed)
        timed.job, timed.index, timed.timeout = job.number, index, job.timeout
        return timed


cdef class Engine(Drain):
    """Engine(crew, exact): the desk of a new pool. `crew` starts workers."""

    # ---- groups that do not move

    cdef int recall(self) except -1:
        """Nothing has come for a while. Sees to it that nothing waits for what is there. 1: look again later.

        What waits behind an element that runs is dealt again, if workers have nothing else to do. Results that are
        counted are delivered, if their worker does not put them because it runs something long.
        """
        cdef bint empty = queue_empty(self.tasks.view), early = False
        cdef bint later = not empty and workers_wake(self.tasks.view, 1)
        cdef Many job
        for job in list(self.grouped.values()):
            if job.groups:
                early |= job.early
                later |= self.recall_job(job) if empty else True
        if early:
            self.peek()
        return later

    cdef int recall_job(self, Many job) except -1:
        """1: there is a group that may be recalled later."""
        cdef task *t
        cdef task_place where
        cdef list groups = job.groups
        job.groups = []
        for name in groups:
            where = task_look(self.tasks.view, name, &t)
            if where == TASK_FREE or where == TASK_LOST or t.job != job.number:
                continue
            if where == TASK_QUEUED or not self.recallable(job, t):
                job.groups.append(name)
            else:
                self.recall_group(job, t)
        return job.groups is not None and len(job.groups) > 0

    cdef int recall_group(self, Many job, task *t) except -1:
        """Takes the unclaimed rest of a group away from its worker, and deals it in pieces."""
        cdef uint32_t start = 0, to = 0, piece, at
        cdef uint64_t first = t.first
        cdef Copy copy = Copy.of(t)  # before the recall. The worker may free the block at any moment after it
        if not group_recall(&t.group, &start, &to):
            return 0
        self.recalls += 1
        job.recalled = True
        piece = max(1, <int64_t>(to - start) // (2 * <int64_t>self.crew.size))
        at = start
        try:
            while at < to:
                name = copy.deal(self.tasks, at, min(to, at + piece))
                at += piece
                if job.groups is not None:
                    job.groups.append(name - 1)
        except Exception as error:  # there is no memory
            while at < to:
                job.settle(first + at, error, True)
                at += 1
        if job.over:
            self.condemn_all(job)  # it was cancelled meanwhile
        return 0

    cdef int peek(self) except -1:
        """Delivers what workers have counted and not put."""
        cdef block_walk walk
        cdef store_item item
        cdef uint64_t name = 0
        cdef uint32_t n
        walk_begin(&walk)
        while task_next(self.results.view, &walk, &name):
            n = result_peek(self.results.view, name, &item)
            if n > 0:
                self.peek_into(&item, n)
        return 0

    cdef int peek_into(self, store_item *item, uint32_t n) except -1:
        """Delivers the first n results of a block that a worker still has."""
        cdef uint64_t name = item.block, first = result_of(item).first
        cdef Job job = self.jobs.get(result_of(item).job)
        cdef bint failed = False, outer = self.settling
        cdef uint32_t i = self.peeked.get(name, 0)
        if job is None or not job.early or i >= n:
            return 0
        self.peeks += 1
        self.peeked[name] = i
        self.settling = True
        try:
            while i < n:
                value = self.value_of(item, i, &failed)
                if self.peeked.get(name) != i:  # what was unpickled has called the pool, which has delivered the block
                    return 0
                i += 1
                self.peeked[name] = i
                job.settle(first + i - 1, value, failed)
        finally:
            self.settling = outer
        return self.feed_more(job)

    cdef bint recallable(self, Many job, task *t):
        """May another worker load the elements too? A pickle only if an element of it runs for a while."""
        if t.form != FORM_UNIT:
            return True
        return group_next(load64(&t.group)) > parcel_of(t).start and \
            clock_now() - <int64_t>load64(&t.began) > RECALL_LAST

    # ---- deaths

    cdef int settle_deaths(self) except -1:
        """Gives what dead workers were running an outcome, and what they had left to others. Their places are free then."""
        cdef dict dead
        self.hurried = False
        if self.stopped:
            return 0
        if self.settling:  # what is unpickled has called the pool. The results of a dead worker may lie behind it
            self.crew.stand_in()
            return 0
        self.settling = True
        try:
            dead = self.crew.dead()
            if dead:
                self.settle(dead)
        finally:
            self.settling = False
        return 0

    def settle(self, dict dead):
        """Each step can be repeated, if an exception in the thread interrupts the one after it."""
        cdef list identities = [worker_identity(worker_look(self.header, number)) for number in dead]
        for identity in identities:
            ledger_mark(self.tasks.view, identity)
            ledger_mark(self.results.view, identity)
        self.deliver_all()  # what was half delivered first. It may lie in lost blocks, which would be found a second time
        for identity in identities:
            self.settle_results(identity)
        if not self.crew.ends_all(dead):
            for identity in identities:
                self.settle_tasks(identity, dead)
        self.deaths += len(dead)
        self.crew.replace(dead)
        self.victims.clear()
        workers_wake(self.tasks.view, INT_MAX)

    cdef int settle_results(self, uint32_t identity) except -1:
        """Delivers what a dead worker had counted and not put."""
        cdef store_item item
        cdef block_walk walk
        cdef int rc
        walk_begin(&walk)
        while (rc := ledger_next(self.results.view, identity, &walk, &item)) == 1:
            self.deliver(&item)
        if rc < 0:
            self.results.fails(rc, "cannot settle a death in")
        return 0

    cdef int settle_tasks(self, uint32_t identity, dict dead) except -1:
        """Deals again what a dead worker had left."""
        cdef store_item item
        cdef block_walk walk
        cdef int rc
        walk_begin(&walk)
        while (rc := ledger_next(self.tasks.view, identity, &walk, &item)) == 1:
            self.settle_group(&item, dead)
        if rc < 0:
            self.tasks.fails(rc, "cannot settle a death in")
        return 0

    cdef int settle_group(self, store_item *item, dict dead) except -1:
        """What a dead worker had of a job: one element at most was being run, and the rest is dealt again."""
        cdef task *t = task_of(item)
        cdef Job job = self.jobs.get(t.job) if item.size > 0 else None
        cdef uint32_t start, to, begun
        cdef bint died = False
        cdef bint left = group_left(&t.group, &start, &to) if job is not None else False
        if job is None:
            task_free(self.tasks.view, item)
            return 0
        begun = parcel_of(t).start
        if start > begun and job.lacks(t.first + start - 1):
            self.victims.add(load32(&t.taker))
            if job.run_again(t.first + start - 1):
                start -= 1
                left = True
            else:
                died = True
                job.settle(t.first + start - 1, self.epitaph(job, t, start - 1, dead), True)
        if not left or job.over:
            task_free(self.tasks.view, item)
            return self.feed_more(job) if died else 0
        self.redealt += 1
        parcel_of(t).start = start
        if to - start > 1 and (<Many?>job).groups is not None:
            (<Many>job).groups.append(item.block)
        rc = ledger_again(self.tasks.view, item, start, to)
        if rc < 0:
            self.tasks.fails(rc, "cannot deal again in")
        return self.feed_more(job) if died else 0

    cdef object epitaph(self, Job job, task *t, uint32_t element, dict dead):
        cdef uint32_t pid = load32(&t.taker)
        return WorkerDied(pid, self.crew.code_of(pid, dead), job.describe(t.first + element))

    def break_down(self, error):
        """No worker can be started. Everything without an outcome gets the error."""
        self.broken = error
        self.backlog.clear()
        for job in list(self.jobs.values()):
            self.fail_job(job)

    # ---- cancelling

    def taker_of(self, uint64_t name, uint64_t number):
        """The pid of the worker that runs the single task of this block, or None."""
        cdef task *t
        if name == 0 or self.is_foreign():
            return None
        if task_look(self.tasks.view, name - 1, &t) != TASK_TAKEN or t.job != number:
            return None
        return load32(&t.taker) if group_next(load64(&t.group)) > parcel_of(t).start else None

    def running_tasks(self):
        """What workers run now, as {pid: (what, since when in nanoseconds)}."""
        cdef block_walk walk
        cdef uint64_t name = 0
        cdef uint32_t claimed
        cdef task *t
        cdef Job job
        found = {}
        self.check()
        walk_begin(&walk)
        while task_next(self.tasks.view, &walk, &name):
            if task_look(self.tasks.view, name, &t) != TASK_TAKEN:
                continue
            job = self.jobs.get(t.job)
            claimed = group_next(load64(&t.group))
            if job is None or claimed <= parcel_of(t).start or not job.lacks(t.first + claimed - 1):
                continue
            pid, began = load32(&t.taker), <int64_t>load64(&t.began)
            what = job.describe(t.first + claimed - 1)  # it may run code of the program's
            found[pid] = what, None if began == NEVER else began
        return found

    def take_back(self, Job job, uint64_t name):
        """Takes a single task back. False: a worker has begun with it, or it is over."""
        cdef task *t
        cdef uint32_t start = 0, to = 0
        self.check()
        if job.over:
            return False
        if name == 0:
            return True  # it was not dealt yet
        if task_look(self.tasks.view, name - 1, &t) != TASK_QUEUED or t.job != job.number:
            return False
        return group_recall(&t.group, &start, &to)

    cdef bint condemn(self, Job job, uint64_t name, uint64_t index) except -1:
        """Takes an element back, or kills the worker that runs it. False: it has ended.

        The element must be alone in the block of this name. No other thread runs before the caller has settled it.
        """
        cdef task *t
        cdef uint32_t start = 0, to = 0
        cdef condemned how
        self.check()
        if task_look(self.tasks.view, name, &t) == TASK_FREE or t.job != job.number or t.first != index:
            return False
        how = group_condemn(&t.group, 0, &start, &to)
        if how == CONDEMNED_RUNNING:
            self.strike(load32(&t.taker))
        return how != CONDEMNED_LATE

    cdef bint condemn_all(self, Job job) except -1:
        """The same for all elements of a job that were dealt. False: all have ended."""
        cdef block_walk walk
        cdef uint64_t name = 0
        cdef uint32_t start = 0, to = 0, claimed
        cdef task *t
        cdef bint some = False
        self.check()
        walk_begin(&walk)
        while task_next(self.tasks.view, &walk, &name):
            if task_look(self.tasks.view, name, &t) == TASK_FREE or t.job != job.number:
                continue
            some |= group_recall(&t.group, &start, &to)
            claimed = group_next(load64(&t.group))
            if claimed <= parcel_of(t).start:
                continue
            if group_condemn(&t.group, claimed - 1, &start, &to) == CONDEMNED_RUNNING:
                self.strike(load32(&t.taker))
                some = True
        return some

    cdef int strike(self, uint32_t pid) except -1:
        """Kills a condemned worker. One that the crew has not heard of yet is killed when it has."""
        cdef Child child = self.crew.children.get(pid)
        self.crew.struck.add(pid)
        if child is None:
            return 0
        if child.pidfd >= 0 and handoff_mark(child.pidfd) == child.mark:
            child_signal(child.pidfd, SIGKILL)
        elif child.returncode is None:  # the program has closed its pidfd behind our back
            child.signal_by_pid(SIGKILL)
        return 0

    # ---- timeouts

    cdef int add_timed(self, uint64_t name, Job job, Py_ssize_t index) except -1:
        """The element that is alone in this block has a limit."""
        self.timed[name] = Timed.of(job, index)
        if self.asleep > clock_now() + job.timeout:
            self.nudge()
        return 0

    cdef int64_t due(self, uint64_t name, int64_t now) except -1:
        """When the time of the element in this block is up, at the earliest. It runs no Python code."""
        cdef Timed timed = self.timed[name]
        cdef Job job = self.jobs.get(timed.job)
        cdef task *t
        cdef task_place where = task_look(self.tasks.view, name, &t)
        cdef int64_t began
        if job is None or where == TASK_FREE or t.job != timed.job or t.first != timed.index or \
                not job.lacks(timed.index):
            del self.timed[name]
            return NEVER
        if where == TASK_LOST:
            return NEVER  # until the death is settled
        began = <int64_t>load64(&t.began) if where == TASK_TAKEN else 0
        return (began or now) + timed.timeout

    cdef int64_t end_overdue(self) except -1:
        """Ends the elements whose time is up. Returns when it has to be called again, 0 if some were ended."""
        cdef int64_t now = clock_now(), first = NEVER, due
        for name in list(self.timed):
            due = self.due(name, now) if name in self.timed else NEVER
            if due <= now:
                self.end_timed(name)
                due = 0
            first = min(first, due)
        if first == 0:
            self.need_butler()  # for the worker's end, if no caller drains any more
        return first if first == 0 else max(first, now + MILLISECOND)

    def end_timed(self, uint64_t name):
        """The time of the element in this block is up."""
        cdef Timed timed = self.timed.get(name)
        cdef Job job = self.jobs.get(timed.job) if timed is not None else None
        cdef task *t
        if job is None or task_look(self.tasks.view, name, &t) != TASK_TAKEN:
            return
        error = TaskTimeout(load32(&t.taker), timed.timeout / 1e9, job.describe(timed.index))
        # other threads may have run until here
        if self.timed.get(name) is not timed or self.due(name, NEVER - timed.timeout) > clock_now():
            return
        self.timed.pop(name, None)
        if self.condemn(job, name, timed.index):
            job.settle(timed.index, error, True)
