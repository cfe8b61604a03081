# SPDX-License-Identifier: MIT
"""Lock: the contract of multiprocessing's."""

import gc
import importlib
import signal
import time
import weakref
from fractions import Fraction

import pytest
import workers
from harness import Thread, aside

RELEASED_TOO_OFTEN = "^semaphore or lock released too many times$"


@pytest.fixture
def lock(ctx):
    return ctx.Lock()


def test_acquire_returns_whether_it_was_acquired(lock):
    assert lock.acquire() is True
    assert lock.acquire(False) is False
    assert lock.release() is None
    assert lock.acquire(False) is True
    assert lock.acquire(True, 0) is False
    lock.release()


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((True,), {}),
        ((1,), {}),
        ((False,), {}),
        ((0,), {}),
        ((True, None), {}),
        ((True, 1), {}),
        ((True, 0.5), {}),
        ((True, -1), {}),
        ((False, 1), {}),
        ((), {"block": True}),
        ((), {"block": False}),
        ((), {"timeout": 1}),
        ((), {"timeout": None}),
        ((), {"block": True, "timeout": 0}),
        ((True,), {"timeout": Fraction(1, 2)}),
        ((), {"timeout": True}),
        ((), {"timeout": 10.0**8}),
    ],
)
def test_a_free_lock_is_acquired_by_every_form_of_the_arguments(lock, args, kwargs):
    assert lock.acquire(*args, **kwargs) is True
    lock.release()


@pytest.mark.parametrize("timeout", [0.1, Fraction(1, 10)])
def test_a_timeout_is_waited_for(lock, timeout):
    lock.acquire()
    begin = time.monotonic()
    assert lock.acquire(timeout=timeout) is False
    assert time.monotonic() - begin >= 0.1
    lock.release()


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((False,), {}), ((True, 0), {}), ((True, -5), {}), ((False, 5), {}), ((), {"block": False, "timeout": 5.0})],
)
def test_without_time_to_wait_a_held_lock_is_not_acquired(lock, args, kwargs):
    lock.acquire()
    begin = time.monotonic()
    assert lock.acquire(*args, **kwargs) is False
    assert time.monotonic() - begin < 1
    lock.release()


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kwargs", [{"timeout": "x"}, {"block": False, "timeout": "x"}])
def test_a_timeout_must_be_a_number(lock, held, kwargs):
    if held:
        lock.acquire()
    with pytest.raises(TypeError, match="^must be real number, not str$"):
        lock.acquire(**kwargs)
    if held:
        lock.release()
    assert repr(lock) == "<Lock(owner=None)>"


@pytest.mark.parametrize(
    ("call", "args", "kwargs"),
    [("acquire", (True, 1, 2), {}), ("acquire", (), {"blocking": True}), ("release", (1,), {})],
)
def test_other_arguments_are_refused(lock, call, args, kwargs):
    with pytest.raises(TypeError, match="argument"):
        getattr(lock, call)(*args, **kwargs)


def test_creation_takes_no_arguments(ctx):
    with pytest.raises(TypeError):
        ctx.Lock(1)
    with pytest.raises(TypeError):
        ctx.Lock(value=1)


def test_release_of_a_free_lock(lock):
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        lock.release()
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN), lock:
        lock.release()
    lock.acquire()
    lock.release()
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        lock.release()


def test_with(lock):
    with lock as result:
        assert result is True
        assert lock.acquire(False) is False
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert lock.acquire(False)
    assert lock.__exit__(None, None, None) is None
    assert lock.__enter__() is True
    assert lock.__exit__() is None
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        lock.__exit__(None, None, None)


def test_how_it_looks_to_its_holder_and_to_others(lock, start):
    child = start(lock)
    nobodys = ("<Lock(owner=None)>", False, 0, 1, False)
    others = ("<Lock(owner=SomeOtherProcess)>", False, 0, 0, True)
    assert workers.seen(lock) == child.run(workers.seen, lock) == nobodys
    lock.acquire()
    assert workers.seen(lock) == ("<Lock(owner=MainProcess)>", True, 1, 0, True)
    assert aside(workers.seen, lock) == ("<Lock(owner=SomeOtherThread)>", False, 1, 0, True)
    assert child.run(workers.seen, lock) == others
    lock.release()
    assert child.on(lock).acquire()
    assert workers.seen(lock) == others
    assert child.run(repr, lock) == f"<Lock(owner={child.process.name})>"
    child.on(lock).release()
    assert workers.seen(lock) == nobodys


def test_a_thread_that_holds_it_is_named(lock):
    def hold():
        with lock:
            return workers.seen(lock)

    assert aside(hold, name="Side") == ("<Lock(owner=MainProcess|Side)>", True, 1, 0, True)


def test_semlock(ctx, mp, lock):
    synchronize = importlib.import_module(mp.__name__ + ".synchronize")
    semlock = lock._semlock
    assert (semlock.kind, semlock.maxvalue) == (synchronize.SEMAPHORE, 1)
    assert semlock.SEM_VALUE_MAX == synchronize.SEM_VALUE_MAX == 2**31 - 1
    assert isinstance(semlock.handle, int)
    assert semlock.acquire(False) is True
    assert lock.acquire(False) is False
    assert semlock.release() is None
    assert lock.acquire(False) is True
    lock.release()


def test_types(mp, ctx, lock):
    synchronize = importlib.import_module(mp.__name__ + ".synchronize")
    assert isinstance(lock, synchronize.Lock)
    assert (type(lock).__name__, type(lock).__qualname__) == ("Lock", "Lock")
    assert isinstance(synchronize.Lock(ctx=ctx), synchronize.Lock)
    assert isinstance(synchronize.Lock(ctx=None), synchronize.Lock)


def test_a_thread_waits_until_another_releases(lock):
    lock.acquire()
    waiter = Thread(lock.acquire).asleep()
    lock.release()
    assert waiter.result() is True
    lock.release()  # which another thread may do


def test_a_process_waits_until_another_releases(lock, start):
    child = start(lock)
    lock.acquire()
    child.off(lock).acquire()
    lock.release()
    assert child.result() is True
    assert lock.acquire(False) is False
    waiter = Thread(lock.acquire, timeout=60).asleep()
    child.on(lock).release()
    assert waiter.result() is True
    lock.release()


def test_another_process_may_release_it(lock, start):
    child = start(lock)
    lock.acquire()
    child.on(lock).release()
    assert lock.acquire(False) is True
    lock.release()
    child.on(lock).acquire()
    lock.release()
    assert child.on(lock).acquire(False) is True
    child.on(lock).release()


def test_a_timeout_in_another_process(lock, start):
    child = start(lock)
    lock.acquire()
    outcome, seconds = child.run(workers.timed, lock, "acquire", True, 0.1)
    assert outcome.value is False
    assert 0.1 <= seconds < 5
    lock.release()


def test_it_excludes(ctx, lock, start):
    counter = ctx.RawArray("q", 1)
    children = [start(lock, counter) for _ in range(3)]
    for child in children:
        child.send(workers.increment, lock, counter, 2000)
    threads = [Thread(workers.increment, lock, counter, 1000) for _ in range(2)]
    for worker in children + threads:
        worker.result()
    assert counter[0] == 3 * 2000 + 2 * 1000


def test_many_waiters_all_get_their_turn(ctx, lock, start):
    counter = ctx.RawArray("q", 1)
    lock.acquire()
    child = start(lock, counter).begin(workers.increment, lock, counter, 1)
    threads = [Thread(workers.increment, lock, counter, 1).asleep() for _ in range(8)]
    lock.release()
    for worker in [child, *threads]:
        worker.result()
    assert counter[0] == 9


def test_weak_references(ctx):
    lock = ctx.Lock()
    ref = weakref.ref(lock)
    assert ref() is lock
    del lock
    gc.collect()
    assert ref() is None


def test_equality_is_identity(ctx, lock):
    assert lock == lock
    assert lock != ctx.Lock()
    assert len({lock, lock, ctx.Lock()}) == 2


def test_interrupted_wait_does_not_take_the_lock(lock, start):
    child = start(lock)
    lock.acquire()
    child.off(lock).acquire()
    child.signal(signal.SIGINT)
    assert child.outcome().kind == "KeyboardInterrupt"
    lock.release()
    assert lock.acquire(False) is True
    lock.release()
