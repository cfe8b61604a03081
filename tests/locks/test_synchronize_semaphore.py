# SPDX-License-Identifier: MIT
"""Semaphore and BoundedSemaphore: the contract of multiprocessing's."""

import gc
import importlib
import weakref

import pytest
import workers
from harness import Thread, aside

RELEASED_TOO_OFTEN = "^semaphore or lock released too many times$"
KINDS = ["Semaphore", "BoundedSemaphore"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(ctx, kind):
    return getattr(ctx, kind)


def drain(semaphore):
    """How many permits there are, by taking them."""
    taken = 0
    while semaphore.acquire(False):
        taken += 1
    return taken


@pytest.mark.parametrize(
    ("args", "kwargs", "value"),
    [((), {}, 1), ((0,), {}, 0), ((1,), {}, 1), ((5,), {}, 5), ((), {"value": 3}, 3), ((True,), {}, 1)],
)
def test_value(make, args, kwargs, value):
    semaphore = make(*args, **kwargs)
    assert semaphore.get_value() == value
    assert drain(semaphore) == value
    assert semaphore.get_value() == 0


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-1, OSError, "^\\[Errno 22\\] Invalid argument$"),
        ("x", TypeError, "^'str' object cannot be interpreted as an integer$"),
        (1.5, TypeError, "^'float' object cannot be interpreted as an integer$"),
        (None, TypeError, "^'NoneType' object cannot be interpreted as an integer$"),
        (2**31, OverflowError, "too large"),
    ],
)
def test_a_value_that_is_none(make, value, error, text):
    with pytest.raises(error, match=text):
        make(value)


def test_acquire_and_release(make):
    semaphore = make(2)
    assert semaphore.acquire() is True
    assert semaphore.acquire(True, 1) is True
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(block=True, timeout=0) is False
    assert semaphore.acquire(timeout=-1) is False
    assert semaphore.acquire(False, 5) is False
    assert semaphore.release() is None
    assert semaphore.get_value() == 1
    semaphore.release()
    assert semaphore.get_value() == 2


def test_arguments(make):
    semaphore = make()
    with pytest.raises(TypeError, match="^must be real number, not str$"):
        semaphore.acquire(timeout="x")
    with pytest.raises(TypeError, match="argument"):
        semaphore.acquire(True, 1, 2)
    with pytest.raises(TypeError, match="argument"):
        semaphore.release(1)
    assert semaphore.get_value() == 1


def test_a_semaphore_may_be_released_beyond_its_first_value(ctx):
    semaphore = ctx.Semaphore(1)
    for _ in range(10):
        semaphore.release()
    assert semaphore.get_value() == 11
    assert drain(semaphore) == 11


def test_a_semaphore_has_a_maximum(ctx):
    semaphore = ctx.Semaphore(2**31 - 1)
    with pytest.raises((ValueError, OverflowError), match="released too many times|too large"):
        semaphore.release()
    assert semaphore.get_value() == 2**31 - 1
    assert semaphore.acquire(False)
    semaphore.release()


@pytest.mark.parametrize("value", [0, 1, 3])
def test_a_bounded_semaphore_may_not(ctx, value):
    semaphore = ctx.BoundedSemaphore(value)
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        semaphore.release()
    assert drain(semaphore) == value
    for _ in range(value):
        semaphore.release()
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        semaphore.release()
    assert semaphore.get_value() == value


@pytest.mark.parametrize("value", [480, 2000])
def test_many_permits(ctx, value):
    semaphore = ctx.BoundedSemaphore(value)
    assert semaphore.get_value() == value
    assert drain(semaphore) == value
    for _ in range(value):
        semaphore.release()
    with pytest.raises(ValueError, match=RELEASED_TOO_OFTEN):
        semaphore.release()


def test_with(make):
    semaphore = make(1)
    with semaphore as result:
        assert result is True
        assert semaphore.get_value() == 0
    with pytest.raises(KeyError), semaphore:
        raise KeyError
    assert semaphore.get_value() == 1
    assert semaphore.__enter__() is True
    assert semaphore.__exit__(None, None, None) is None


def test_repr(ctx):
    semaphore, bounded = ctx.Semaphore(2), ctx.BoundedSemaphore(2)
    semaphore.acquire()
    bounded.acquire()
    assert repr(semaphore) == "<Semaphore(value=1)>"
    assert repr(bounded) == "<BoundedSemaphore(value=1, maxvalue=2)>"


def test_semlock(ctx, mp, kind, make):
    synchronize = importlib.import_module(mp.__name__ + ".synchronize")
    semaphore = make(3)
    semlock = semaphore._semlock
    bound = {"Semaphore": synchronize.SEM_VALUE_MAX, "BoundedSemaphore": 3}[kind]
    assert (semlock.kind, semlock.maxvalue) == (synchronize.SEMAPHORE, bound)
    assert isinstance(semaphore, synchronize.Semaphore)
    assert isinstance(semaphore, getattr(synchronize, kind))
    assert not isinstance(ctx.Semaphore(), synchronize.BoundedSemaphore)
    assert (semlock._get_value(), semlock._is_zero(), semlock._is_mine(), semlock._count()) == (3, False, False, 0)
    assert semlock.acquire(False) is True
    assert (semlock._get_value(), semlock._is_zero(), semlock._is_mine(), semlock._count()) == (2, False, True, 1)
    assert aside(semlock._is_mine) is False
    assert drain(semlock) == 2
    assert (semlock._get_value(), semlock._is_zero(), semlock._count()) == (0, True, 3)
    semlock.release()
    assert semlock._count() == 2


def test_timeouts_are_waited_for(make):
    semaphore = make(1)
    semaphore.acquire()
    outcome, seconds = workers.timed(semaphore, "acquire", timeout=0.1)
    assert outcome.value is False
    assert seconds >= 0.1


def test_permits_go_from_process_to_process(make, start):
    semaphore = make(2)
    child = start(semaphore)
    assert child.on(semaphore).acquire()
    assert semaphore.get_value() == child.on(semaphore).get_value() == 1
    assert semaphore.acquire()
    assert child.on(semaphore).acquire(False) is False
    semaphore.release()
    semaphore.release()  # the child's
    assert child.on(semaphore).get_value() == 2


def test_a_process_waits_for_a_permit(make, start):
    semaphore = make(1)
    child = start(semaphore)
    semaphore.acquire()
    child.off(semaphore).acquire()
    semaphore.release()
    assert child.result() is True
    waiter = Thread(semaphore.acquire).asleep()
    child.on(semaphore).release()
    assert waiter.result() is True


def test_every_release_wakes_one_of_the_waiting(make, start):
    semaphore = make(3)
    drain(semaphore)
    child = start(semaphore).off(semaphore).acquire()
    threads = [Thread(semaphore.acquire).asleep() for _ in range(2)]
    for _ in range(3):
        semaphore.release()
    assert [child.result(), *[thread.result() for thread in threads]] == [True] * 3
    assert semaphore.get_value() == 0


def test_exchange_of_permits_loses_none(ctx, make, start):
    """More takers than permits: the counter is only right if no two were inside with a semaphore of one permit."""
    semaphore, counter = make(1), ctx.RawArray("q", 1)
    children = [start(semaphore, counter) for _ in range(2)]
    for child in children:
        child.send(workers.increment, semaphore, counter, 1000)
    thread = Thread(workers.increment, semaphore, counter, 1000)
    for worker in [*children, thread]:
        worker.result()
    assert counter[0] == 3000
    assert semaphore.get_value() == 1


def test_weak_references(make):
    semaphore = make()
    ref = weakref.ref(semaphore)
    del semaphore
    gc.collect()
    assert ref() is None
