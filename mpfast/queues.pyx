# SPDX-License-Identifier: MIT
# cython: language_level=3, binding=False, embedsignature=True, embedsignature.format=clinic
"""Queue, JoinableQueue and SimpleQueue over shared memory: multiprocessing.queues, without pipes and threads.

put() stores the object where every process of the family can take it, and returns. So there is no feeder thread, and
nothing to flush when a process ends. What was put is the object as it was at that moment. All methods may be called
from any thread and any process that has the queue. A process that is killed or stopped blocks no other.
"""

from libc.stdint cimport int64_t
from mpfast.channel.channel cimport NOTHING, Channel
from mpfast.core.base.clock cimport NEVER
from mpfast.core.locks.semaphore cimport SEMAPHORE_MAX
from mpfast.core.queue.queue cimport queue_empty, queue_full, queue_size, queue_task_done
from mpfast.family.timeouts cimport deadline_of
from mpfast.channel.payload cimport payload, payload_immediate, payload_measure, payload_measure_by, place
from mpfast.serialize.pickling cimport Pickling, replaced

import operator
import os
import reprlib
import sys
import threading
import traceback
import types
from collections import deque
from multiprocessing import context as _context
from queue import Empty, Full

from .channel.channel import Bell, ShutDown
from .channel.payload import pickler_names

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

_ForkingPickler = _context.reduction.ForkingPickler  # a program may replace it, here or there

cdef enum:
    CLOSED = 1         # close() was called
    READER_CLOSED = 2  # _reader.close() was
    WRITER_CLOSED = 4

cdef int _process = 1  # this process's place in its line of forks
cdef int SIMPLE_ITEMS = 8192          # a SimpleQueue is full with so many items,
cdef int64_t SIMPLE_BYTES = 64 << 20  # or when they take so much memory. A pipe is full much earlier


cdef class _Shared:
    """What all queues have in common."""
    cdef Channel channel
    cdef int state      # of the flags above, 0 in every put and get that goes well
    cdef int putter     # _process when something was put last
    cdef int closed_by  # the process in which close() was called. A forked child's queue is open
    cdef object __weakref__
    cdef object lock

    cdef Channel to_read(self):
        """Where to take from. Raises if that was closed."""
        if self.state:
            self.check(READER_CLOSED)
        return self.channel

    cdef Channel to_write(self):
        if self.state:
            self.check(WRITER_CLOSED)
        self.putter = _process
        return self.channel

    cdef int check(self, int end) except -1:
        raise NotImplementedError

    cdef int put_until(self, obj, int64_t deadline) except -1:
        """Raises Full if there was no room in time."""
        cdef Channel channel = self.to_write()
        cdef Pickling pickling
        cdef payload p
        cdef int64_t value
        cdef object pickler = replaced(place)
        if pickler is None and payload_immediate(obj, &value):
            if not channel.put_value(value, deadline):
                raise Full
            return 0
        if deadline == 0 and queue_full(channel.q()):
            raise Full
        try:
            if pickler is None:
                pickling = payload_measure(obj, &p)
            else:
                pickling = payload_measure_by(pickler, obj, &p)
        except Exception as error:
            return self.refused(obj, error)
        if not channel.put_payload(&p, pickling, deadline):
            raise Full
        return 0

    cdef int refused(self, obj, error) except -1:
        """The object cannot be pickled."""
        error.add_note(f"when {reprlib.repr(obj)} was put into {self!r}")
        raise error

    cdef get_until(self, int64_t deadline):
        item = self.to_read().take(deadline)
        if item is NOTHING:
            raise Empty
        return item

    @property
    def _reader(self):
        return Reader(self)

    @property
    def _writer(self):
        return Writer(self)

    @property
    def _rlock(self):
        """A lock for code that expects one. Taking items needs none."""
        if self.lock is None:
            self.lock = threading.Lock()
        return self.lock

    @property
    def _wlock(self):
        return self._rlock

    @property
    def __class__(self):
        """For isinstance(). See claims.py."""
        from .family.claims import claimed
        return claimed(type(self))

    def __reduce__(self):
        return _new, (type(self),), self.__getstate__()  # not by __class__, which need not be the type

    def __getstate__(self):
        _context.assert_spawning(self)
        return (self.channel,)

    def __setstate__(self, state):
        self.channel, = state
        self.state = 0


def _new(cls):
    return cls.__new__(cls)


cdef class _End:
    """`_reader` or `_writer`: what libraries wait for, poll and close."""
    cdef _Shared queue

    def __init__(self, _Shared queue):
        self.queue = queue

    def __eq__(self, other):
        return type(other) is type(self) and (<_End>other).queue is self.queue

    def __hash__(self):
        return hash((type(self), id(self.queue)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __reduce__(self):
        return type(self), (self.queue,)


cdef class Reader(_End):
    """The end of a queue from which items are taken, with the methods of a connection that libraries use."""
    readable = True
    writable = False

    @property
    def closed(self):
        return bool(self.queue.state & (READER_CLOSED | CLOSED))

    def close(self):
        self.queue.state |= READER_CLOSED

    def fileno(self):
        """A descriptor that is readable while there are items. It costs a descriptor from the first call on."""
        return self.queue.to_read().fileno()

    def _look_again(self):
        """For a wait that lasts. The process that should have made the descriptor readable may have been killed.

        Returns whether to call this again soon.
        """
        return bool(self.queue.to_read().look_again())

    def poll(self, timeout=0.0):
        """Is there an item? Waits so many seconds for one (None: for ever)."""
        return bool(self.queue.to_read().poll(deadline_of(True, timeout)))

    def recv(self):
        """get()"""
        return self.queue.get_until(NEVER)

    def recv_bytes(self, maxlength=None):
        """The next item as a pickle."""
        return bytes(_ForkingPickler.dumps(self.recv()))


cdef class Writer(_End):
    """The end of a queue to which items are put."""
    readable = False
    writable = True

    @property
    def closed(self):
        return bool(self.queue.state & (WRITER_CLOSED | CLOSED))

    def close(self):
        self.queue.state |= WRITER_CLOSED

    def fileno(self):
        raise OSError("the writing end of an mpfast queue has no descriptor")

    def send(self, obj):
        """put()"""
        self.queue.put_until(obj, NEVER)

    def send_bytes(self, buf, offset=0, size=None):
        """put() of what a pickle stands for."""
        view = memoryview(buf)[offset:]
        self.send(_ForkingPickler.loads(view if size is None else view[:size]))


cdef class SimpleQueue(_Shared):
    """SimpleQueue(*, ctx): a queue with put, get, empty and close.

    It is full with 8,192 items or 64 MiB, and put() waits then.
    """

    def __init__(self, *, ctx):
        self.channel = Channel(SIMPLE_ITEMS, SIMPLE_BYTES)

    cdef int check(self, int end) except -1:
        if self.state & (end | CLOSED):
            raise OSError("handle is closed")
        return 0

    def put(self, obj):
        """Puts an object. Waits while the queue is full. Raises what pickling it raises, and OSError after close()."""
        self.put_until(obj, NEVER)

    def get(self):
        """Takes the oldest object. Waits for one."""
        return self.get_until(NEVER)

    def empty(self):
        """Is there nothing to get? Does not block."""
        return bool(queue_empty(self.to_read().q()))

    def close(self):
        """Gives up this process's hold of the queue."""
        self.state |= CLOSED | READER_CLOSED | WRITER_CLOSED

    __class_getitem__ = classmethod(types.GenericAlias)


cdef class Queue(_Shared):
    """Queue(maxsize=0, *, ctx, zero_copy=False): a queue with at most `maxsize` items, or without a limit if it is 0.

    Items come out in the order in which they were put, in one order for all processes. With zero_copy, large buffers of
    an item (numpy arrays, say) are received as views of shared memory, which is kept until they are collected.
    """
    cdef readonly int _maxsize
    cdef readonly int _opid
    cdef public bint _ignore_epipe
    cdef bint hooked  # a subclass wants to hear of pickling errors
    cdef object hubs

    def __init__(self, maxsize=0, *, ctx, zero_copy=False):
        self._maxsize = operator.index(maxsize) if maxsize > 0 else SEMAPHORE_MAX
        self.channel = Channel(self._maxsize if maxsize > 0 else 0, 0)
        self.channel.zero_copy = zero_copy
        self._opid = os.getpid()
        self.reset()

    cdef reset(self):
        self.state = 0
        self.hooked = type(self)._on_queue_feeder_error is not _print_traceback

    cdef int check(self, int end) except -1:
        if self.state & CLOSED:
            if self.closed_by == os.getpid():
                raise ValueError(f"Queue {self!r} is closed")
            self.state &= ~CLOSED
        if self.state & end:
            raise OSError("handle is closed")
        return 0

    cdef int refused(self, obj, error) except -1:
        if not self.hooked:
            _Shared.refused(self, obj, error)
        self._on_queue_feeder_error(error, obj)
        return 0

    def put(self, obj, block=True, timeout=None):
        """Puts an object. If the queue is full, waits for room, at most `timeout` seconds (None: for ever).

        Raises queue.Full if block is false or the time is up, ValueError after close(), ShutDown after shutdown(),
        and at once what pickling the object raises.
        """
        self.put_until(obj, deadline_of(block, timeout))

    def get(self, block=True, timeout=None):
        """Takes the oldest object. If there is none, waits for one, at most `timeout` seconds (None: for ever).

        Raises queue.Empty if block is false or the time is up, ValueError after close(), ShutDown if the queue was
        shut down and is empty, and what unpickling raises, in which case the object is gone.
        """
        return self.get_until(deadline_of(block, timeout))

    def put_nowait(self, obj):
        """put(obj, False)"""
        self.put_until(obj, 0)

    def get_nowait(self):
        """get(False)"""
        return self.get_until(0)

    def put_many(self, items, block=True, timeout=None):
        """Puts the items of an iterable one after the other, and returns how many. Others' may come between them.

        Blocks and raises as put(). The exception's attribute `put` says how many are in the queue by then.
        """
        cdef int64_t deadline = deadline_of(block, timeout)
        cdef Py_ssize_t count = 0
        self.to_write()
        try:
            for item in items:
                self.put_until(item, deadline)
                count += 1
        except BaseException as error:
            error.put = count
            raise
        return count

    def get_many(self, n, block=True, timeout=None):
        """Takes at least one item and at most n: those that are there. Returns a list.

        Blocks and raises as get() while there is none. If an item cannot be unpickled, or a signal's handler raises,
        the exception's attribute `got` has those that were taken before.
        """
        cdef Py_ssize_t most = n
        if most < 0:
            raise ValueError(f"get_many() of a negative number of items: {most}")
        items = [self.get_until(deadline_of(block, timeout))] if most else []
        try:
            while len(items) < most:
                items.append(self.get_until(0))
        except (Empty, ShutDown):
            pass
        except BaseException as error:
            error.got = items
            raise
        return items

    def qsize(self):
        """How many items there are. Does not block."""
        return queue_size(self.channel.q())

    def empty(self):
        """Is there nothing to get? Does not block. OSError if this process has put something and closed the queue."""
        if self.state & CLOSED and self.closed_by == os.getpid() and self.putter == _process:
            raise OSError("handle is closed")
        return bool(queue_empty(self.channel.q()))

    def full(self):
        """Is there no room? Does not block."""
        return bool(queue_full(self.channel.q()))

    def close(self):
        """This process stops using the queue. put() and get() raise ValueError from now on."""
        self.closed_by = os.getpid()
        self.state |= CLOSED

    def join_thread(self):
        """Does nothing. What was put is in the queue already. AssertionError before close()."""
        assert self.state & CLOSED, f"Queue {self!r} not closed"

    def cancel_join_thread(self):
        """Does nothing, because a process never waits at its end for what it has put."""

    def _terminate_broken(self):
        self._reader.close()
        self.close()

    def shutdown(self, immediate=False):
        """Ends the queue for all processes, as queue.Queue of Python 3.13 does. From now on put() raises ShutDown, and
        get() raises it when the queue is empty. All waiting calls are woken. With immediate, the items are thrown away.
        """
        self.to_write().shutdown(immediate)

    def stats(self):
        """Returns what there is to know, a mpfast.QueueStats. Does not block."""
        return self.channel.stats()

    async def aget(self):
        """get() for a coroutine. Waits without blocking the event loop, and without a thread."""
        from .channel.aio import until
        return await until(self, self.get_nowait, (), True)

    async def aput(self, obj):
        """put() for a coroutine."""
        from .channel.aio import until
        await until(self, self.put_nowait, (obj,), False)

    def _bell(self):
        """For aio.py."""
        return Bell(self.channel)

    @property
    def _hubs(self):
        if self.hubs is None:
            from .channel.aio import new_hubs
            self.hubs = new_hubs()
        return self.hubs

    @staticmethod
    def _on_queue_feeder_error(e, obj):
        """A subclass may override this to hear of objects that cannot be pickled. put() does not raise then."""
        traceback.print_exception(e)

    @property
    def _closed(self):
        return bool(self.state & CLOSED and self.closed_by == os.getpid())

    @property
    def _buffer(self):
        """What is not in the queue yet: nothing, ever."""
        return deque()

    @property
    def _thread(self):
        return None

    def __getstate__(self):
        channel, = _Shared.__getstate__(self)
        return channel, self.channel.zero_copy, self._ignore_epipe, self._maxsize, self._opid

    def __setstate__(self, state):
        self.channel, zero_copy, self._ignore_epipe, self._maxsize, self._opid = state
        self.channel.zero_copy = zero_copy
        self.reset()

    __class_getitem__ = classmethod(types.GenericAlias)


_print_traceback = Queue._on_queue_feeder_error


cdef class JoinableQueue(Queue):
    """JoinableQueue(maxsize=0, *, ctx, zero_copy=False): a Queue that knows which of its items are worked off."""

    def task_done(self):
        """Says that one item that was got has been worked off. ValueError if that was said for all that were put."""
        if queue_task_done(self.channel.q()) < 0:
            raise ValueError("task_done() called too many times")

    def join(self):
        """Waits until task_done() was called for all items that were put."""
        self.channel.join()


pickler_names(globals())
pickler_names(vars(sys.modules.get("multiprocessing.queues", sys.modules[__name__])))


def _forked():
    global _process
    _process += 1


os.register_at_fork(after_in_child=_forked)
