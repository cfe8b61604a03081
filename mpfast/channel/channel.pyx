# SPDX-License-Identifier: MIT
# cython: language_level=3
"""Channel: this process's hold of one queue in shared memory, under the objects of queues.pyx.

It moves objects and waits. What is allowed, and what exceptions are called, is decided above it. Any thread may use
it. A call that waits holds nothing but a block of this process's own. So an interrupted wait loses nothing.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, ESHUTDOWN, ETIMEDOUT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from mpfast.errors cimport raise_no_room
from mpfast.core.base.atomic cimport load32
from mpfast.core.base.clock cimport NEVER
from mpfast.core.queue.queue cimport *
from mpfast.core.family.slots cimport SLOT_LARGE, SLOT_QUEUE
from mpfast.core.store.item cimport *
from mpfast.core.life.tend cimport queue_wait
from mpfast.core.family.waiting cimport BACKSTOP_IDLE, waiting, waiting_begin, waiting_end
from mpfast.family.family cimport Handle, fail, me, refused, serve_signals
from mpfast.channel.payload cimport *
from mpfast.serialize.pickling cimport Pickling, done

import errno

from ..errors import CorruptedQueueError

try:
    from queue import ShutDown
except ImportError:  # before 3.13

    class ShutDown(Exception):
        """put() or get() was called after shutdown()."""

        __module__ = "mpfast"


cdef extern from *:
    """
    #include <sys/syscall.h>
    #include <unistd.h>

    /* Does Python run signal handlers in this thread? The threading module may name another thread. gevent replaces
     * its functions, and before 3.13 the thread that imports it first is its main thread. */
    extern int _PyOS_IsMainThread(void);
    #pragma weak _PyOS_IsMainThread
    static int serves_signals_here(void)
    {
        return _PyOS_IsMainThread ? _PyOS_IsMainThread() : syscall(SYS_gettid) == getpid();
    }
    """
    bint serves_signals_here()

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    FORKED = 2

cdef uint64_t LARGE = 65536  # bytes from which memory is brought in and copied without the GIL

NOTHING = object()


cdef class Channel(Handle):
    """Channel(maxsize, budget): a new queue, of so many items and so many bytes at most. 0 stands for no limit."""

    def __init__(self, uint64_t maxsize, uint64_t budget):
        self.claim(SLOT_LARGE, SLOT_QUEUE)
        queue_init(<queue_header *>self.cell, maxsize, budget)

    def __dealloc__(self):
        if self.view != NULL:
            queue_close(self.view)

    cdef queue *q(self) except NULL:
        if self.view == NULL:
            me(self)
            rc = queue_open(self.family, self.slot, &self.view)
            if rc == -errno.ENOMEM:
                raise_no_room(f"cannot map {self.name}", QUEUE_CORE)
            if rc < 0:
                self.fails(rc, "cannot map")
        return self.view

    cdef int pause(self, queue_end what, waiting *w) except -1:
        """Waits for a change. 0: the time is up, try a last time.

        Signals are served now, however the wait ended, because an exception after a take would lose the item.
        """
        cdef int rc
        cdef uint32_t identity = me(self)
        with nogil:
            rc = queue_wait(self.view, what, w, &self.history)
        try:
            serve_signals(self, &identity, w)
        except:
            queue_pass_on(self.view, what)
            raise
        if rc < 0 and rc != -ETIMEDOUT and rc != -EINTR:
            self.fails(rc, "cannot wait for")
        return rc != -ETIMEDOUT

    @property
    def name(self):
        """What messages call the queue. It is the same in each process that has the queue."""
        return f"Queue-{self.slot}"

    cdef int fails(self, int rc, str doing) except -1:
        """Raises what the status of a C function stands for."""
        if rc == -errno.ESHUTDOWN:
            raise ShutDown
        if rc == -errno.EBADMSG:
            raise CorruptedQueueError(f"{doing} {self.name}: its shared memory is damaged")
        if rc == -errno.ENOMEM:
            raise MemoryError(f"{doing} {self.name}")
        fail(rc, f"{doing} {self.name}")

    cdef int no_bell(self, int rc) except -1:
        """Raises why there is no descriptor for an event loop."""
        refused(rc, f"cannot have an event loop woken by {self.name}", "a pipe, pipe2")

    cdef int put_value(self, uint64_t value, int64_t deadline) except -1:
        """Puts what payload_immediate() gave: 1, or 0 if there was no room in time."""
        cdef store_item item
        cdef int rc = queue_put_value(self.q(), value)
        if rc == 0:
            return 1
        item.block, item.value = NO_BLOCK, value
        return self.commit(&item, deadline)

    cdef int put_payload(self, payload *p, Pickling pickling, int64_t deadline) except -1:
        """Puts what payload_measure() gave."""
        cdef int rc = FORKED
        try:
            while rc == FORKED:
                rc = self.store_and_commit(p, pickling, deadline)
        finally:
            if pickling is not None:
                done(pickling)
        return rc

    cdef int store_and_commit(self, payload *p, Pickling pickling, int64_t deadline) except -1:
        """Also FORKED, in a child that a signal handler forked meanwhile. The parent has the block, and puts it."""
        cdef store_item item
        cdef int put = 0
        cdef uint32_t identity = 0
        item.block = NO_BLOCK
        try:
            if not self.prepare(p, deadline, &item):
                return 0
            identity = load32(self.identity)
            payload_store(p, pickling, item.data)
            put = self.commit(&item, deadline)
        finally:
            if put == 0 and item.block != NO_BLOCK and load32(self.identity) == identity:
                item_release(queue_store(self.view), &item)
        return put

    cdef int prepare(self, payload *p, int64_t deadline, store_item *item) except -1:
        """Gets a block to write to. 0: there was no memory for it in time."""
        cdef queue *q = self.q()
        cdef waiting w
        cdef int rc
        cdef bint in_time = deadline != 0
        waiting_begin(&w, deadline, BACKSTOP_IDLE)
        try:
            while True:
                if p.size < LARGE:
                    rc = item_prepare(queue_store(q), p.size, p.kind, item)
                else:
                    with nogil:
                        rc = item_prepare(queue_store(q), p.size, p.kind, item)
                if rc != -EAGAIN or not in_time:
                    break
                in_time = self.pause(QUEUE_MEMORY, &w)
        finally:
            waiting_end(&w)
        if rc < 0 and rc != -EAGAIN:
            item.block = NO_BLOCK
            self.fails(rc, f"no memory for an item of {p.size} bytes in")
        return rc == 0

    cdef int commit(self, const store_item *item, int64_t deadline) except -1:
        cdef int rc = put(self.view, item)
        if rc == -EAGAIN and deadline != 0:
            rc = self.commit_slowly(item, deadline)
        if rc >= 0:
            return 1 if rc == 0 else rc
        if rc == -EAGAIN:
            return 0
        self.fails(rc, "cannot put into")

    cdef int commit_slowly(self, const store_item *item, int64_t deadline) except? -1:
        cdef waiting w
        cdef int rc = -EAGAIN
        cdef bint in_time = True
        cdef uint32_t identity = load32(self.identity)
        waiting_begin(&w, deadline, BACKSTOP_IDLE)
        try:
            while (rc := put(self.view, item)) == -EAGAIN and in_time:
                in_time = self.pause(QUEUE_SPACE, &w)
                if item.block != NO_BLOCK and load32(self.identity) != identity:
                    return FORKED
        finally:
            waiting_end(&w)
        return rc

    cdef take(self, int64_t deadline):
        """The oldest object, or NOTHING if there was none in time."""
        cdef store_item item
        cdef int rc = queue_take(self.q(), &item)
        if rc == -EAGAIN:
            rc = self.take_slowly(&item, deadline)
        if self.watched:
            queue_settle_if_empty(self.view)
        if rc == 0:
            return self.load(&item)
        if rc == -EAGAIN:
            return NOTHING
        self.fails(rc, "cannot get from")

    cdef int take_slowly(self, store_item *item, int64_t deadline) except? -1:
        cdef waiting w
        cdef int rc = -EAGAIN
        cdef bint in_time = True
        if deadline == 0:
            return rc
        waiting_begin(&w, deadline, BACKSTOP_IDLE)
        self.taking += 1
        try:
            if not serves_signals_here():
                return self.take_aside(item, &w)
            while (rc := queue_take(self.view, item)) == -EAGAIN and in_time:
                in_time = self.pause(QUEUE_ITEMS, &w)
        finally:
            self.taking -= 1
            waiting_end(&w)
        return rc

    cdef int take_aside(self, store_item *item, waiting *w) except? -1:
        """In a thread that no signal can make raise. Takes before it has the interpreter's lock again.

        So the descriptor is silent as soon as the item is taken, whatever thread has that lock. A pipe behaves so too,
        if a read() is waiting. Otherwise another thread that waits for the descriptor would find it readable again and
        again.
        """
        cdef int rc = -EAGAIN, waited = 0
        while rc == -EAGAIN and waited != -ETIMEDOUT:
            with nogil:
                waited = queue_wait(self.view, QUEUE_ITEMS, w, &self.history)
                rc = queue_take(self.view, item)
                if rc == 0 and self.watched:
                    queue_settle_if_empty(self.view)
            if waited < 0 and waited != -ETIMEDOUT and waited != -EINTR:
                self.fails(waited, "cannot wait for")
        return rc

    cdef object load(self, store_item *item):
        if item.block == NO_BLOCK:
            return payload_from_immediate(item.value)
        if self.zero_copy and item.kind == PAYLOAD_BUFFERS:
            return payload_load(item.kind, item.data, item.size, pinned(self, item), self)
        cdef uint32_t identity = load32(self.identity)
        try:
            if item.size >= LARGE:
                with nogil:
                    item_touch(queue_store(self.view), item)
            return payload_load(item.kind, item.data, item.size, None, self)
        finally:
            if load32(self.identity) == identity:  # unpickling may fork, and the block is not the child's
                item_release(queue_store(self.view), item)

    cdef bint poll(self, int64_t deadline) except -1:
        """Is there an item within that time?"""
        cdef waiting w
        cdef bint in_time = deadline != 0
        cdef queue *q = self.q()
        if not in_time or not queue_empty(q):
            return not queue_empty(q)
        waiting_begin(&w, deadline, BACKSTOP_IDLE)
        try:
            while queue_empty(q) and in_time:
                in_time = self.pause(QUEUE_ITEMS, &w)
        finally:
            waiting_end(&w)
        queue_pass_on(q, QUEUE_ITEMS)  # the wake-up was for a call that takes
        return not queue_empty(q)

    cdef int join(self) except -1:
        """Waits until all items are worked off."""
        cdef waiting w
        cdef queue *q = self.q()
        waiting_begin(&w, NEVER, BACKSTOP_IDLE)
        try:
            while queue_unfinished(q) != 0:
                self.pause(QUEUE_DONE, &w)
        finally:
            waiting_end(&w)

    cdef int shutdown(self, bint immediate) except -1:
        cdef store_item item
        cdef queue *q = self.q()
        queue_shutdown(q)
        if immediate:
            while queue_take(q, &item) == 0:
                item_release(queue_store(q), &item)
                queue_task_done(q)

    cdef stats(self):
        from .stats import QueueStats
        cdef queue_stats_t s
        queue_stats(self.q(), &s)
        return QueueStats(s.size, s.put, s.unfinished, s.memory, min(s.memory, s.idle))

    cdef int fileno(self) except -1:
        """A descriptor that is readable while there are items."""
        bell = queue_bell(self.q(), False)
        if bell < 0:
            self.no_bell(bell)
        self.watched = True
        if self.taking and not queue_empty(self.view):
            with nogil:
                sched_yield()  # to the thread that waits for this very item
        queue_relay(self.view)
        queue_settle(self.view)
        return bell

    cdef bint look_again(self) except -1:
        """Makes the descriptor readable if there is an item that no process rang for. True: that may happen again."""
        queue_settle(self.q())
        return queue_unheard(self.view)


cdef inline int put(queue *q, const store_item *item) noexcept:
    return queue_put_value(q, item.value) if item.block == NO_BLOCK else queue_put(q, item)


@cython.no_gc_clear
cdef class Pin:
    """Keeps a message in shared memory, as long as there are views of its buffers."""
    cdef Channel channel
    cdef store_item item

    def __dealloc__(self):
        if self.channel is not None:
            item_unpin(queue_store(self.channel.view), &self.item)


cdef Pin pinned(Channel channel, store_item *item):
    cdef Pin pin = Pin.__new__(Pin)
    rc = item_pin(queue_store(channel.view), item)
    if rc < 0:
        item_release(queue_store(channel.view), item)
        channel.fails(rc, "cannot keep an item in the shared memory of")
    pin.channel, pin.item = channel, item[0]
    return pin


def address_space():
    """How many bytes of address space each queue needs in each process that uses it, besides its large items."""
    return QUEUE_CORE


cdef class Bell:
    """How event loops are told of changes to a queue."""
    cdef Channel channel

    def __init__(self, Channel channel):
        self.channel = channel

    def fileno(self):
        """The descriptor that becomes readable."""
        bell = queue_bell(self.channel.q(), True)
        if bell < 0:
            self.channel.no_bell(bell)
        return bell

    def silence(self):
        """The descriptor is not readable until the next change."""
        queue_silence(self.channel.view)

    def unheard(self):
        """Was there a process that could not tell this one of a change?"""
        return queue_unheard(self.channel.view)

    def arm(self, bint getting):
        """Asks to be told of the next item, or of room. True if there is some already."""
        return queue_arm(self.channel.view, not getting)
