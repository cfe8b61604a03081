# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.core.family.waiting cimport spin_history
from mpfast.core.tasks.layout cimport pool_header
from mpfast.tasks.parcel cimport Function
from mpfast.tasks.rings cimport Ring

cdef enum fed:       # what Job.feed() returns
    FED_ALL          # nothing is left to deal
    FED_ENOUGH       # more may be dealt when results have come
    FED_FULL         # the ring is full


cdef enum places:
    PLACES_TAKEN     # by workers
    PLACES_FREE      # others are to be started there
    PLACES_LEFT      # the butler was called to start them


cdef int64_t RECALL_FIRST  # until a group that does not move is looked at again, doubled each time
cdef int64_t RECALL_LAST
cdef int STRIKES


cdef class Sleeper:
    cdef object lock
    cdef bint woken
    cdef unsigned long thread

    cdef void wake(self)


ctypedef unsigned char flag  # a bint is four times as large, and there are many jobs


cdef class Job:
    cdef Desk desk
    cdef readonly uint64_t number
    cdef flag over            # all have one, and it was told
    cdef flag told_by_butler  # it has a callback
    cdef flag early           # each of its results is wanted at once, and not with the rest of its group
    cdef flag urgent          # somebody waits for it in a way that the desk does not see
    cdef flag lazy            # it goes on when results come, even if nobody asks
    cdef flag recalled
    cdef flag put_off         # it waits for room in the ring
    cdef flag settled         # a call that has its outcome
    cdef flag success         # and whether that is a value
    cdef flag placed          # a call that has taken a place
    cdef flag ranked          # it has a priority
    cdef flag kept            # the pool is not collected before it is over
    cdef flag struck          # how often pickling its elements was interrupted
    cdef readonly flag cancelled
    cdef int priority         # the higher ones are dealt first
    cdef int retries          # how often an element is run again if its worker dies
    cdef int64_t timeout      # nanoseconds that an element may run. 0: any time
    cdef list waiting         # Sleepers

    cdef bint satisfied(self)
    cdef int settle(self, Py_ssize_t index, object value, bint failed) except -1
    cdef bint lacks(self, Py_ssize_t index)
    cdef Py_ssize_t without_outcome(self)
    cdef bint run_again(self, Py_ssize_t index) except -1
    cdef fed feed(self) except *
    cdef bint interrupts(self, object error)
    cdef str describe(self, Py_ssize_t index)
    cdef int wake(self) except -1
    cdef int finish(self) except -1
    cdef int close(self) except -1
    cdef int took(self, int64_t per) except -1
    cdef tell(self)


cdef class Many(Job):
    cdef Py_ssize_t left      # elements without an outcome
    cdef int64_t per          # nanoseconds an element, as measured
    cdef list groups          # names of blocks with more than one element


cdef class LastJob(Job):
    pass


cdef class Desk:
    cdef readonly Ring tasks
    cdef readonly Ring results
    cdef pool_header *header
    cdef uint32_t identity
    cdef readonly object crew
    cdef object method               # how workers are started
    cdef readonly dict jobs
    cdef dict grouped                # those of them that may have groups
    cdef dict tries                  # by job and element, how often it was run again
    cdef Py_ssize_t kept             # jobs before whose end the pool is not collected
    cdef object keeper               # that pool
    cdef LastJob last_job
    cdef uint64_t counter
    cdef readonly bint exact         # groups are what multiprocessing makes of them
    cdef readonly object broken      # an exception, once no task can be run any more
    cdef readonly bint closed        # no job is taken any more
    cdef readonly bint stopped       # nobody drains any more
    cdef unsigned long drainer       # the thread that drains, or 0
    cdef list line                   # Sleepers
    cdef spin_history history
    cdef list halves                 # blocks of which unpickling was interrupted
    cdef dict peeked                 # by name, how many results of a block were delivered before the worker put it
    cdef object backlog              # Jobs that wait for room in the ring
    cdef Py_ssize_t ranked           # Jobs with a priority
    cdef readonly Job places         # what calls wait for if their number is limited, or None
    cdef list watchers               # event loops that wait, see aio.py
    cdef bint silenced               # the bell was silenced by a thread, and event loops may count on it
    cdef Py_ssize_t full_for         # results that have to come before the ring is looked at again
    cdef Py_ssize_t credit           # tasks that may be dealt before the ring is looked at
    cdef object finished             # Jobs for the butler to tell of
    cdef readonly object butler
    cdef bint butler_idle
    cdef bint dozing                 # the butler sleeps without looking for results that nobody has taken
    cdef bint sleeping               # the drainer waits for the bell
    cdef bint settling               # the drainer unpickles results, or settles deaths
    cdef bint hurried                # a worker has ended, and the drainer may not have heard of it
    cdef places vacant               # of dead workers that are settled
    cdef int urgent, lazy            # Jobs that are so
    cdef int64_t drained             # when a caller has drained last, or a job has woken the butler
    cdef int64_t patience            # until groups are recalled
    cdef int64_t timeout             # of jobs that do not say, nanoseconds that an element may run. 0: any time
    cdef int retries                 # of jobs that do not say
    cdef dict timed                  # Timed, by the names of their blocks
    cdef int64_t asleep              # until when the drainer sleeps. 0: it does not
    cdef public bint shrunk          # there are fewer workers, as there was nothing to do
    cdef bint watches_idleness
    cdef int64_t idle_since          # when the last job ended
    cdef Function last
    cdef int nudged                  # eventfd of the drainer
    cdef int called                  # eventfd of the butler
    cdef uint64_t mark               # by which both are known
    cdef readonly int deaths, redealt, recalls, peeks
    cdef readonly set victims        # the pids of dead workers that were running something
    cdef readonly uint64_t done      # elements whose outcome has come from a worker
    cdef uint64_t *done_of           # the same by the places of the workers

    cdef bint is_ours(self, int fd)
    cdef int check(self) except -1
    cdef int add(self, Job job) except -1
    cdef int rouse(self) except -1
    cdef Function function(self, object call)
    cdef bint room(self) except -1
    cdef bint has_room(self) except -1
    cdef uint64_t bytes_of(self, Ring ring, uint64_t limit)
    cdef bint room_for_ranked(self) except -1
    cdef int poke(self) except -1
    cdef void count(self, uint32_t number, uint32_t n) noexcept
    cdef int start_feeding(self, Job job) except -1
    cdef int feed_backlog(self) except -1
    cdef int feed(self, Job job) except -1
    cdef int let_go(self) except -1
    cdef int all_over(self) except -1
    cdef int wait_for(self, Job job, int64_t deadline) except -1
    cdef int collect(self) except -1
    cdef int bell(self) except -1
    cdef int nudge(self) except -1
    cdef int call_butler(self) except -1
    cdef int settle_deaths(self) except -1
    cdef int recall(self) except -1
    cdef int64_t end_overdue(self) except -1
    cdef bint condemn(self, Job job, uint64_t name, uint64_t index) except -1
    cdef bint condemn_all(self, Job job) except -1
    cdef int add_timed(self, uint64_t name, Job job, Py_ssize_t index) except -1
