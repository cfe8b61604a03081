# SPDX-License-Identifier: MIT
"""mpfast.locks(): who holds what, and who waits for it."""

import os

import jobs
import pytest
from harness import Thread, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["fork", "spawn"])
def method(request):
    return request.param


def info(thing):
    """What locks() says of this object."""
    (found,) = [entry for entry in mpfast.locks() if entry.slot == thing._semlock.handle]
    return found


def facts(lock):
    entry = info(lock)
    return entry.kind, entry.state, entry.holder_pid, entry.holder_tid


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_holders(ctx, start, kind):
    lock = getattr(ctx, kind)()
    child = start(lock)
    assert facts(lock) == (kind, "free", 0, 0)
    with lock:
        assert facts(lock) == (kind, "held", os.getpid(), os.getpid())
    child.on(lock).acquire()
    assert facts(lock) == (kind, "held", child.pid, child.tid)
    child.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    assert facts(lock) == (kind, "abandoned", child.pid, child.tid)
    assert lock.recover() is True
    assert facts(lock) == (kind, "held", os.getpid(), os.getpid())


def test_a_lock_that_was_left(ctx, start):
    lock = ctx.Lock()
    child = start(lock)
    child.on(lock).acquire()
    child.end()
    assert facts(lock)[:2] == ("Lock", "left held")


def test_waiters(ctx, start):
    lock = ctx.Lock()
    assert info(lock).waiters == ()
    lock.acquire()
    child = start(lock).off(lock).acquire()
    thread = Thread(lock.acquire).asleep()
    waiters = info(lock).waiters
    assert {(w.pid, w.tid) for w in waiters} == {(child.pid, child.tid), (os.getpid(), thread.native_id)}
    assert all(0 < w.seconds < 60 for w in waiters)
    lock.release()
    until(lambda: len(info(lock).waiters) == 1, "one of the waiters is inside")
    lock.release()
    until(lambda: info(lock).waiters == (), "no waiter is left")
    child.result()
    thread.result()


def test_every_kind(ctx, start):
    before = {entry.slot for entry in mpfast.locks()}
    things = [
        ctx.Lock(),
        ctx.RLock(),
        ctx.Semaphore(3),
        ctx.BoundedSemaphore(4),
        ctx.Event(),
        ctx.Barrier(2),
        ctx.Condition(ctx.Lock()),
    ]
    things[2].acquire()
    things[3].acquire()
    things[4].set()
    found = {(entry.kind, entry.state) for entry in mpfast.locks() if entry.slot not in before}
    assert found == {
        ("Lock", "free"),
        ("RLock", "free"),
        ("Semaphore", "2"),
        ("BoundedSemaphore", "3 of 4"),
        ("Event", "set"),
        ("Barrier", "0 of 2"),
        ("Condition", ""),
    }
    child = start(*things)
    assert len(child.run(jobs.list_locks)) >= len(found)
    del things, child


def test_what_is_gone_is_not_listed(ctx):
    ctx.Lock()  # with a new one goes what was kept of those that were given away held
    before = mpfast.locks()
    locks = [ctx.Lock() for _ in range(50)]
    assert len(mpfast.locks()) == len(before) + 50
    del locks
    assert len(mpfast.locks()) == len(before)


def test_locked(ctx, start):
    """On every version of Python; multiprocessing has it since 3.14, and not for all."""
    for lock in (ctx.Lock(), ctx.RLock(), ctx.Semaphore(1), ctx.BoundedSemaphore(1)):
        child = start(lock)
        assert lock.locked() is child.on(lock).locked() is False
        with lock:
            assert lock.locked() is child.on(lock).locked() is True
        child.on(lock).acquire()
        assert lock.locked() is True
        child.on(lock).release()
        assert lock.locked() is False
