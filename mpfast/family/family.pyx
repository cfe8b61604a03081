# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The family of processes that share memory. A process joins it, and hands it to its children.

All processes of one tree share a *family*, one sealed memory file without a name. The first process that needs it makes
it. A forked child inherits it. Any other child gets its descriptor when a lock is pickled for it. A process may be in
several families, for example a spawned child that made a lock before it received one. New objects go to its first.
Safe to use from any thread. The hooks for fork are libc's, so they run for forks in C code too.
"""

from libc.string cimport memcmp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from mpfast.core.base.check cimport CHECK_ENABLED, COUNT
from mpfast.core.family.family cimport *
from mpfast.core.life.fork cimport *
from mpfast.core.life.handle cimport handle_adopt, handle_attach, handle_claim, handle_remove
from mpfast.core.base.atomic cimport load64, load64_acquire
from mpfast.core.family.participant cimport *
from mpfast.core.family.slots cimport *
from mpfast.errors cimport raise_errno, raise_no_room

import atexit
import errno
import os
import threading
import weakref
from multiprocessing import context as _context, process as _process, reduction as _reduction, util as _util


cdef extern from "Python.h":
    int Py_AtExit(void (*function)() noexcept nogil)


cdef dict _TEXTS = {
    errno.EAGAIN: "the participant table is full: too many live processes share this family",
    errno.ENOSPC: "all slots of this family are in use: too many locks, conditions or events exist at once",
    errno.EPROTO: "the family segment was made by another version of mpfast",
    errno.EBADMSG: "not a family segment of mpfast, or a damaged one",
    errno.EBADF: "the descriptor of the family segment was closed by other code in this process",
    errno.ENOTSUP: "mpfast needs /proc to reopen its segment (see python -m mpfast doctor)",
    errno.EFBIG: "the hard limit on the size of files (ulimit -f) forbids a memory file of its size",
    errno.ENOSYS: "this kernel lacks a service that mpfast needs (see python -m mpfast doctor)",
}


cdef dict _JOIN_TEXTS = {
    **_TEXTS,
    errno.EPERM: "the segment is not sealed, so that others might take its memory away",
}
cdef str _LOCKS = "locks of open file descriptions, F_OFD_SETLK"


cdef str memory_file():
    """Which of the calls that make a memory file is refused."""
    try:
        fd = os.memfd_create("mpfast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return "memfd_create"
    try:
        os.ftruncate(fd, 0)  # a limit on the size of files allows that one
    except OSError:
        return "ftruncate"
    finally:
        os.close(fd)
    return "F_ADD_SEALS"


cdef int fail(int rc, str doing) except -1:
    """Raises what the status of one of the core's functions means for the family."""
    if rc == -errno.EBADF and not os.path.isdir("/proc/self/fd"):
        raise OSError(-rc, f"{doing}: {_TEXTS[errno.ENOTSUP]}")
    raise_errno(rc, doing, _TEXTS)


cdef int refused(int rc, str doing, str service) except -1:
    """fail(), where another status than those of the core's own says that the system refuses the service."""
    if -rc in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOLCK, errno.ENOSYS):
        raise_errno(rc, doing, {-rc: f"this system refuses {service} (see python -m mpfast doctor)"})
    fail(rc, doing)


cdef family *_default = NULL
cdef bint _unsure = False  # the descriptor of _default may be closed: a hand-over has found it so, or this is a fork
cdef shared64 _live  # how many objects have a slot, in a debug build
cdef shared32 _nobody  # always 0, the identity of objects without a slot
_joining = threading.Lock()
_entered = set()  # (family id, identity) of entries that were handed to this process, or are being handed to a child
_reservations = weakref.WeakSet()  # a forked child must not keep their descriptors


cdef family *default_family() noexcept nogil:
    """The family in which this process makes objects. NULL before the first."""
    return _default


cdef reaped *reaped_here() noexcept nogil:
    """Where this process notes what it gave back for killed processes."""
    return &families.reaped


cdef int _join() except -1:
    """Makes this process's own family, for new objects.

    Another one if the first has lost its descriptor, as in a program that becomes a daemon and closes all it has.
    """
    global _default, _unsure
    cdef family *f = NULL
    with _joining:
        _unsure = False
        if _default != NULL and family_fd_valid(_default):
            return 0
        rc = family_create(&f)
        if rc == -errno.ENOMEM:
            raise_no_room("mpfast cannot map its shared segment", FAMILY_MAPPED)
        if rc < 0:
            refused(rc, "mpfast cannot make its shared segment", f"a memory file, {memory_file()}")
        rc = member_join(f, &families.reaped)
        if rc < 0:
            os.close(f.fd)
            family_unmap(f)
            refused(rc, "mpfast cannot join its shared segment", _LOCKS)
        families_add(f)
        _default = f
    return 0


cdef class Handle:
    """Base of the synchronization objects. It keeps one slot of a family as long as the object lives."""

    def __cinit__(self):
        self.identity = &_nobody

    def __dealloc__(self):
        if self.family != NULL:
            COUNT(_live, -1)
            handle_remove(self.family, self.slot)

    cdef int claim(self, slot_class which, slot_kind_t kind, bint descriptor=False) except -1:
        """Takes a slot. descriptor: what the object does next needs that of the family."""
        if self.family != NULL:
            raise RuntimeError(f"{type(self).__name__}.__init__() was called a second time")
        descriptor = descriptor or kind_has_window(kind)  # others need none: 1 us
        if _default == NULL or _unsure or descriptor and not family_fd_valid(_default):
            _join()
        cdef int64_t slot = handle_claim(_default, which, kind)
        if slot == -errno.EOWNERDEAD:
            _refuse_orphan()
        if slot < 0:
            fail(<int>slot, f"cannot make a {type(self).__name__}")
        self.place(_default, <uint32_t>slot, kind)
        return 0

    cdef place(self, family *f, uint32_t slot, slot_kind_t kind):
        COUNT(_live, 1)
        self.family = f
        self.cell = slot_at(f, slot)
        self.identity = f.identity
        self.slot = slot
        self.kind = kind
        self.generation = slot_generation(load64_acquire(&f.states[slot]))

    cdef int refuse(self) except -1:
        if self.family == NULL:
            raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
        _refuse_orphan()

    @property
    def handle(self):
        """The object's slot number in its family. In multiprocessing this is a semaphore's address."""
        return self.slot

    @property
    def name(self):
        """The object's name in messages. Unlike multiprocessing's, it names nothing in the file system."""
        return f"{type(self).__name__}-{self.slot}"

    @property
    def __class__(self):
        """For isinstance(). See claims.py."""
        from .claims import claimed
        return claimed(type(self))

    def __reduce__(self):
        _context.assert_spawning(self)
        me(self)
        ticket = _reservation(_context.get_spawning_popen(), self).vouch(self.slot)
        state = getattr(self, "__dict__", None)
        return _rebuild, (type(self), ticket, self.slot, self.generation, <int>self.kind), state


cdef _refuse_orphan():
    raise RuntimeError("this process was forked without libc's fork handlers, or the participant table was full when "
                       "it was forked: mpfast's objects of its parent do not work in it, and it cannot make new ones")


def _rebuild(cls, ticket, uint32_t slot, uint32_t generation, int kind):
    cdef Handle self = cls.__new__(cls)
    cdef family *f = _enter(ticket)
    rc = handle_attach(f, slot, <slot_kind_t>kind, generation)
    if rc < 0:
        raise ValueError(f"stale {cls.__name__}: slot {slot} of its family is not what was pickled")
    self.place(f, slot, <slot_kind_t>kind)
    return self


cdef offer(Handle handle):
    """What a living process of the family needs to have the object too. Keep the object until that one has answered."""
    cdef uint32_t giver = identity_index(me(handle))
    return <bytes>handle.family.header.id[:16], handle.slot, handle.generation, <int>handle.kind, giver


cdef adopt(cls, slot_kind_t kind, offered):
    """An object of the class for what another process has offered. ValueError if it is of no use here."""
    cdef Handle self
    cdef bytes id
    cdef uint32_t slot, generation, giver
    id, slot, generation, found, giver = offered
    cdef family *f = families_find(<const uint8_t *><const char *>id) if len(id) == 16 else NULL
    if f == NULL or found != <int>kind:
        raise ValueError(f"a {cls.__name__} of another family")
    rc = handle_adopt(f, slot, kind, generation, giver)
    if rc == -errno.EOWNERDEAD:
        _refuse_orphan()
    if rc < 0:
        raise ValueError(f"stale {cls.__name__}: the process that offers slot {slot} has it no more")
    self = cls.__new__(cls)
    self.place(f, slot, kind)
    return self


cdef class Reservation:
    """A child's entry in a family. It is made before the child, and keeps alive what the child was given."""
    cdef family *family
    cdef uint32_t identity
    cdef int fd
    cdef object token
    cdef object __weakref__

    def __cinit__(self, Handle handle not None):
        self.fd = -1
        me(handle)
        self.family = handle.family

    def __init__(self, handle):
        global _unsure
        cdef int fd = -1
        pthread_mutex_lock(&self.family.mutex)
        rc = member_reserve(self.family, &self.identity, &fd, &families.reaped)
        if rc == 0 and fd < 0:
            member_cancel(self.family, self.identity, -1, &families.reaped)
            rc = fd
        pthread_mutex_unlock(&self.family.mutex)
        if rc < 0:
            _unsure = rc == -errno.EBADF
            refused(rc, "cannot hand mpfast objects to a child", _LOCKS)
        self.fd = fd
        _reservations.add(self)

    def __dealloc__(self):
        if self.fd >= 0:
            member_let_go(self.family, self.identity, self.fd, &families.reaped)

    def vouch(self, uint32_t slot):
        """Gives the child a reference on a slot that this process has. Returns what to pickle."""
        ref_set(self.family, identity_index(self.identity), slot)
        refs_vouched(self.family)
        if self.token is None:
            self.token = _reduction.DupFd(self.fd)
        id = <bytes>self.family.header.id[:16]
        _entered.add((id, self.identity))  # copy() while spawning unpickles here what is meant for the child
        return id, self.identity, self.token

    def close(self):
        """The child has the descriptor by now, or will never have it."""
        cdef int fd = self.fd
        self.fd = -1
        _entered.discard((<bytes>self.family.header.id[:16], self.identity))
        member_let_go(self.family, self.identity, fd, &families.reaped)

    def forget(self):
        """Called in a forked child. What its parent hands to another child is not its business."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def _reservation(popen, Handle handle):
    """Returns the entry in the family of `handle` that is reserved for the child that `popen` starts."""
    cdef Reservation found
    reservations = popen.__dict__.setdefault("_mpfast_reservations", [])
    for found in reservations:
        if found.family == handle.family:
            return found
    reservations.append(Reservation(handle))
    if not getattr(popen, "_mpfast_launcher", False):
        _util.Finalize(popen, _close_all, (reservations,))  # because another launcher does not say when it is done
    return reservations[-1]


def close_reservations(popen):
    """Called when the launcher of a child is done, whether there is a child or not."""
    _close_all(popen.__dict__.pop("_mpfast_reservations", ()))


def _close_all(reservations):
    for reservation in reservations:
        reservation.close()


cdef family *_enter(ticket) except NULL:
    """Returns the family that a ticket names. The first time, it joins with the entry that was reserved."""
    global _default
    cdef bytes id = ticket[0]
    cdef uint32_t identity = ticket[1]
    cdef family *f = families_find(<const uint8_t *><const char *>id)
    if (id, identity) in _entered:
        return f
    fd = ticket[2].detach()
    os.set_inheritable(fd, False)
    if f != NULL and family_me(f) == 0:
        _refuse_orphan()
    if f != NULL:
        pthread_mutex_lock(&f.mutex)
        member_merge(f, identity, fd, &families.reaped)
        pthread_mutex_unlock(&f.mutex)
    else:
        rc = family_attach(fd, &f)
        if rc == 0:
            rc = member_become(f, identity, fd) if member_expected(f, identity) else -errno.ESTALE
            if rc < 0:
                family_unmap(f)
        if rc < 0:
            os.close(fd)
            if rc == -errno.ENOMEM:
                raise_no_room("cannot map the family of the parent process", FAMILY_MAPPED)
            raise_errno(rc, "cannot join the family of the parent process", _JOIN_TEXTS)
        families_add(f)
        if _default == NULL:
            _default = f
    _entered.add((id, identity))
    return f


def address_space():
    """How many bytes of address space a process with locks or queues needs, besides those of each queue."""
    return FAMILY_MAPPED


def live_objects():
    """How many objects of this process have a slot. None unless this is a debug build."""
    return load64(&_live) if CHECK_ENABLED else None


cdef void _leave() noexcept nogil:
    cdef family *f = families.first
    while f != NULL:
        participant_leave(f)
        f = f.next


def leave():
    """Says that this process ends normally. What it holds stays held, and no waiter is told that it died."""
    _leave()


def _workers():
    """The threads for which a process waits at its end."""
    return [t for t in threading.enumerate() if not t.daemon and t not in (threading.main_thread(), _leaver)]


_leaver = None


def _leave_after_workers():
    """multiprocessing's children run their finalizers before they wait for their threads."""
    global _leaver
    if not _workers():
        leave()
        return
    _leaver = threading.Thread(target=_outlive_workers, name="mpfast-leave", daemon=False)
    _leaver.start()


def _outlive_workers():
    while workers := _workers():
        for worker in workers:
            worker.join()
    leave()


def _leave_at_exit(_):
    """Called at the very end of multiprocessing's children, which end by os._exit()."""
    if _process.parent_process() is not None:
        _util.Finalize(None, _leave_after_workers, exitpriority=-1000)


def _begin_fork():
    """Called in a forked child. If it is to be a daemon, it closes all descriptors before it makes its first object."""
    global _joining, _unsure
    _joining = threading.Lock()  # a thread of the parent may have held it
    _unsure = _default != NULL and family_me(_default) != 0
    for reservation in list(_reservations):
        reservation.forget()


def _install():
    rc = fork_install()
    if rc < 0:
        fail(rc, "mpfast cannot install its fork handlers")
    if Py_AtExit(_leave) < 0:  # the last thing that an interpreter does. The table is small
        atexit.register(leave)
    os.register_at_fork(after_in_child=_begin_fork)
    _leave_at_exit(None)
    _util.register_after_fork(_hooks, _leave_at_exit)  # multiprocessing's children forget their finalizers first


class _Hooks:
    """multiprocessing.util keeps only a weak reference to the object of a hook, so this one must live."""


_hooks = _Hooks()
_install()
