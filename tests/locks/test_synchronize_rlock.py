# SPDX-License-Identifier: MIT
"""RLock: the contract of multiprocessing's."""

import gc
import importlib
import time
import weakref

import pytest
import workers
from harness import ChildRaised, Thread, aside

NOT_OWNED = "^attempt to release recursive lock not owned by thread$"
FREE = ("<RLock(None, 0)>", False, 0, 1, False)
FOREIGN = ("<RLock(SomeOtherProcess, nonzero)>", False, 0, 0, True)


@pytest.fixture
def lock(ctx):
    return ctx.RLock()


def test_its_holder_may_acquire_it_again(lock):
    assert lock.acquire() is True
    assert lock.acquire(False) is True
    assert lock.acquire(True, 0) is True
    assert lock.acquire(timeout=-1) is True
    assert [lock.release() for _ in range(4)] == [None] * 4
    with pytest.raises(AssertionError, match=NOT_OWNED):
        lock.release()


def test_release_of_a_free_lock(lock):
    with pytest.raises(AssertionError, match=NOT_OWNED):
        lock.release()
    with pytest.raises(AssertionError, match=NOT_OWNED), lock:
        lock.release()


def test_nobody_else_may_release_it(lock, start):
    child = start(lock)
    lock.acquire()
    with pytest.raises(AssertionError, match=NOT_OWNED):
        aside(lock.release)
    with pytest.raises(ChildRaised, match="AssertionError: attempt to release recursive lock not owned by thread"):
        child.on(lock).release()
    assert repr(lock) == "<RLock(MainProcess, 1)>"
    lock.release()


def test_with(lock):
    with lock as first, lock as second:
        assert first is second is True
        assert aside(lock.acquire, False) is False
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert lock.__enter__() is True
    assert lock.__exit__(None, None, None) is None
    assert workers.seen(lock) == FREE


def test_only_the_last_release_frees_it(lock):
    for _ in range(3):
        lock.acquire()
    for _ in range(3):
        assert aside(lock.acquire, False) is False
        lock.release()
    assert aside(lock.acquire, False) is True


def test_how_it_looks_to_its_holder_and_to_others(lock, start):
    child = start(lock)
    assert workers.seen(lock) == child.run(workers.seen, lock) == FREE
    for depth in (1, 2, 3):
        lock.acquire()
        assert workers.seen(lock) == (f"<RLock(MainProcess, {depth})>", True, depth, 0, True)
        assert aside(workers.seen, lock) == ("<RLock(SomeOtherThread, nonzero)>", False, depth, 0, True)
        assert child.run(workers.seen, lock) == FOREIGN
    for depth in (2, 1):
        lock.release()
        assert workers.seen(lock)[0] == f"<RLock(MainProcess, {depth})>"
    lock.release()
    assert workers.seen(lock) == child.run(workers.seen, lock) == FREE
    child.on(lock).acquire()
    assert workers.seen(lock) == FOREIGN
    assert child.run(repr, lock) == f"<RLock({child.process.name}, 1)>"
    child.on(lock).release()


def test_a_thread_that_holds_it_is_named(lock):
    def hold():
        with lock, lock:
            return repr(lock)

    assert aside(hold, name="Side") == "<RLock(MainProcess|Side, 2)>"


def test_semlock(mp, lock):
    synchronize = importlib.import_module(mp.__name__ + ".synchronize")
    assert (lock._semlock.kind, lock._semlock.maxvalue) == (synchronize.RECURSIVE_MUTEX, 1)
    assert lock._semlock.acquire() is True
    assert lock._semlock._count() == 1
    assert lock._semlock.release() is None
    assert isinstance(lock, synchronize.RLock)
    assert type(lock).__name__ == "RLock"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((False,), {}), ((True, 0), {}), ((True, -5), {}), ((False, 5), {}), ((), {"block": False, "timeout": 5.0})],
)
def test_without_time_to_wait_a_held_lock_is_not_acquired(lock, args, kwargs):
    lock.acquire()
    waiter = Thread(lock.acquire, *args, **kwargs)
    assert waiter.result() is False
    assert waiter.seconds < 1
    lock.release()


def test_a_timeout_is_waited_for(lock):
    lock.acquire()
    waiter = Thread(lock.acquire, timeout=0.1)
    assert waiter.result() is False
    assert waiter.seconds >= 0.1
    lock.release()


def test_a_timeout_must_be_a_number(lock):
    with pytest.raises(TypeError, match="^must be real number, not str$"):
        lock.acquire(timeout="x")
    assert workers.seen(lock) == FREE


def test_a_thread_waits_until_the_holder_has_released_as_often_as_acquired(lock):
    lock.acquire()
    lock.acquire()
    waiter = Thread(lock.acquire).asleep()
    lock.release()
    waiter.asleep()
    lock.release()
    assert waiter.result() is True
    assert repr(lock) == "<RLock(SomeOtherThread, nonzero)>"


def test_a_process_waits_until_another_releases(lock, start):
    child = start(lock)
    with lock, lock:
        child.off(lock).acquire()
    assert child.result() is True
    assert lock.acquire(timeout=0.01) is False
    waiter = Thread(lock.acquire, timeout=60).asleep()
    child.on(lock).release()
    assert waiter.result() is True


def test_a_child_that_is_forked_while_the_lock_is_held_does_not_hold_it(mp, start, lock):
    lock.acquire()
    lock.acquire()
    child = start(lock)
    assert child.run(workers.seen, lock) == FOREIGN
    begin = time.monotonic()
    assert child.on(lock).acquire(timeout=0.05) is False
    assert time.monotonic() - begin >= 0.05
    with pytest.raises(ChildRaised, match="AssertionError"):
        child.on(lock).release()
    lock.release()
    lock.release()
    assert child.on(lock).acquire(False) is True
    assert child.run(repr, lock) == f"<RLock({child.process.name}, 1)>"


def test_it_excludes(ctx, lock, start):
    counter = ctx.RawArray("q", 1)
    children = [start(lock, counter) for _ in range(2)]
    for child in children:
        child.send(workers.increment, lock, counter, 2000)
    threads = [Thread(workers.increment, lock, counter, 1000) for _ in range(2)]
    for worker in children + threads:
        worker.result()
    assert counter[0] == 2 * 2000 + 2 * 1000


def test_weak_references(ctx):
    lock = ctx.RLock()
    lock.acquire()
    ref = weakref.ref(lock)
    del lock
    gc.collect()
    assert ref() is None
