# SPDX-License-Identifier: MIT
"""Condition: the contract of multiprocessing's."""

import gc
import signal
import time
import weakref

import pytest
import workers
from harness import ChildRaised, Thread, aside, until

NOT_HELD = "^must acquire\\(\\) condition before using wait\\(\\)$"
NOT_OWNED = "^lock is not owned$"


@pytest.fixture
def condition(ctx):
    return ctx.Condition()


def sleepers(condition, start, children, threads):
    """Waiters in a known order: each is asleep before the next begins."""
    waiting = [start(condition) for _ in range(children)]
    waiting = [child.begin(workers.wait_under, condition) for child in waiting]
    return waiting + [Thread(workers.wait_under, condition).asleep() for _ in range(threads)]


def is_back(waiter):
    return waiter.outcome is not None if isinstance(waiter, Thread) else waiter.link.poll(0)


def count_back(waiters):
    return sum(map(is_back, waiters))


def test_without_the_lock(condition):
    with pytest.raises(AssertionError, match=NOT_HELD):
        condition.wait()
    with pytest.raises(AssertionError, match=NOT_HELD):
        condition.wait(0)
    with pytest.raises(AssertionError, match=NOT_OWNED):
        condition.notify()
    with pytest.raises(AssertionError, match=NOT_OWNED):
        condition.notify_all()
    with pytest.raises(AssertionError, match=NOT_HELD):
        condition.wait_for(lambda: False)
    assert condition.wait_for(lambda: 42) == 42
    with pytest.raises(AssertionError, match="^attempt to release recursive lock not owned by thread$"):
        condition.release()


def test_with_the_lock_in_other_hands(condition, start):
    child = start(condition)
    with condition:
        with pytest.raises(AssertionError, match=NOT_HELD):
            aside(condition.wait)
        with pytest.raises(AssertionError, match=NOT_OWNED):
            aside(condition.notify)
        with pytest.raises(ChildRaised, match="AssertionError: lock is not owned"):
            child.on(condition).notify()


@pytest.mark.parametrize("kind", [None, "Lock", "RLock"])
def test_the_lock_is_acquired_and_released_through_the_condition(ctx, kind):
    lock = getattr(ctx, kind)() if kind else None
    condition = ctx.Condition(lock=lock) if kind else ctx.Condition()
    assert condition.acquire() is True
    if lock:
        assert aside(lock.acquire, False) is False
    assert aside(condition.acquire, False) is False
    assert aside(condition.acquire, True, timeout=0.01) is False
    assert condition.release() is None
    with condition as held:
        assert held is True
        assert aside(condition.acquire, block=False) is False
    assert condition.acquire(False) is True
    condition.release()


def test_a_condition_on_a_semaphore(ctx):
    condition = ctx.Condition(ctx.BoundedSemaphore(1))
    waiter = Thread(workers.wait_under, condition).asleep()
    with condition:
        condition.notify()
        assert not is_back(waiter)
    assert waiter.result() is True


def test_a_lock_that_is_none(ctx):
    with pytest.raises(AttributeError, match="^'int' object has no attribute 'acquire'$"):
        ctx.Condition(5)


def test_repr(ctx, condition, start):
    assert repr(condition) == "<Condition(<RLock(None, 0)>, 0)>"
    with condition:
        assert repr(condition) == "<Condition(<RLock(MainProcess, 1)>, 0)>"
    waiters = sleepers(condition, start, 1, 1)
    assert repr(condition) == "<Condition(<RLock(None, 0)>, 2)>"
    with condition:
        condition.notify_all()
    for waiter in waiters:
        assert waiter.result() is True
    assert repr(condition) == "<Condition(<RLock(None, 0)>, 0)>"
    assert repr(ctx.Condition(ctx.Lock())) == "<Condition(<Lock(owner=None)>, 0)>"


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.05])
def test_a_wait_that_times_out(condition, timeout):
    with condition:
        begin = time.monotonic()
        assert condition.wait(timeout) is False
        assert max(timeout, 0) <= time.monotonic() - begin < 5
        assert condition._lock._semlock._is_mine()


def test_a_timeout_must_be_a_number(condition):
    with condition:
        with pytest.raises(TypeError, match="^must be real number, not str$"):
            condition.wait("x")
        assert condition._lock._semlock._count() == 1


def test_a_wait_releases_the_lock_and_restores_its_depth(condition):
    def wait_deep():
        with condition, condition, condition:
            notified = condition.wait()
            return notified, condition._lock._semlock._count()

    waiter = Thread(wait_deep).asleep()
    with condition:
        condition.notify()
    assert waiter.result() == (True, 3)
    assert condition.acquire(timeout=10)
    with condition:
        assert condition.wait(0.01) is False
        assert condition._lock._semlock._count() == 2
    condition.release()


def test_notify_without_waiters_is_forgotten(condition):
    with condition:
        assert condition.notify() is None
        assert condition.notify(5) is None
        assert condition.notify_all() is None
        assert condition.wait(0.01) is False


def test_notify_wakes_exactly_n_and_the_oldest_first(condition, start):
    waiters = sleepers(condition, start, 3, 3)
    for count, total in ((0, 0), (-1, 0), (2, 2), (1, 3), (2, 5)):
        workers.notify_under(condition, count)
        until(lambda total=total: count_back(waiters) >= total, f"{total} waiters are woken")
        for waiter in waiters[total:]:
            waiter.asleep()
        assert count_back(waiters[:total]) == total
    workers.notify_under(condition, n=10)
    assert [waiter.result() for waiter in waiters] == [True] * 6


def test_notify_all(condition, start):
    waiters = sleepers(condition, start, 2, 3)
    with condition:
        condition.notify_all()
    assert [waiter.result() for waiter in waiters] == [True] * 5
    with condition:
        assert condition.wait(0.01) is False


def test_a_child_notifies(condition, start):
    child = start(condition)
    waiter = Thread(workers.wait_under, condition).asleep()
    child.run(workers.notify_under, condition)
    assert waiter.result() is True


def test_who_timed_out_takes_no_notify(condition, start):
    child = start(condition)
    assert child.run(workers.wait_under, condition, 0.01) is False
    assert aside(workers.wait_under, condition, 0.01) is False
    waiters = sleepers(condition, start, 1, 1)
    for number, waiter in enumerate(waiters, 1):
        workers.notify_under(condition)
        assert waiter.result() is True
        assert count_back(waiters[number:]) == 0


def test_who_is_interrupted_takes_no_notify_and_holds_the_lock(condition, start):
    child = start(condition).begin(workers.wait_under, condition)
    waiter = Thread(workers.wait_under, condition).asleep()
    child.signal(signal.SIGINT)
    assert child.outcome().kind == "KeyboardInterrupt"  # and not the AssertionError of the release by `with`
    workers.notify_under(condition)
    assert waiter.result() is True


def test_a_notified_waiter_waits_for_the_lock(condition, start):
    child = start(condition).begin(workers.wait_under, condition)
    with condition:
        condition.notify()
        child.asleep()
    assert child.result() is True


def test_two_conditions_on_one_lock(ctx):
    lock = ctx.Lock()
    full, empty = ctx.Condition(lock), ctx.Condition(lock)
    waiters = [Thread(workers.wait_under, full).asleep(), Thread(workers.wait_under, empty).asleep()]
    with lock:
        empty.notify()
    assert waiters[1].result() is True
    waiters[0].asleep()
    with lock:
        full.notify()
        empty.notify()
    assert waiters[0].result() is True


def test_wait_for(condition):
    answers = iter([0, "", [], "yes"])
    with condition:
        waiter = Thread(lambda: notify_repeatedly(condition, 3))
        assert condition.wait_for(lambda: next(answers)) == "yes"
    waiter.result()


def notify_repeatedly(condition, times):
    """Each notify comes when somebody waits."""
    for _ in range(times):
        with condition:
            until_waiting(condition)
            condition.notify()


def until_waiting(condition):
    def somebody():
        if repr(condition).endswith(", 1)>"):
            return True
        condition.release()
        time.sleep(0)
        condition.acquire()
        return False

    until(somebody, "somebody waits")


def test_wait_for_with_a_timeout(condition):
    with condition:
        begin = time.monotonic()
        assert condition.wait_for(lambda: 0, timeout=0.05) == 0
        assert time.monotonic() - begin >= 0.05
        assert condition.wait_for(lambda: 0, 0) == 0
        assert condition.wait_for(list, timeout=-1) == []
        assert condition.wait_for(lambda: 7, timeout=0) == 7


def test_wait_for_with_a_predicate_that_raises(condition):
    with condition:
        with pytest.raises(ZeroDivisionError):
            condition.wait_for(lambda: 1 / 0)
        assert condition._lock._semlock._count() == 1


def test_items_through_a_small_buffer(ctx, start):
    """Two processes and two threads put, two of each get: every item arrives once."""
    condition, buffer = ctx.Condition(), ctx.RawArray("q", 4)  # [0] how many are in it, [1] put, [2] got, [3] sum
    children = [start(condition, buffer) for _ in range(4)]
    for number, child in enumerate(children):
        child.send(workers.exchange, condition, buffer, 200, number % 2)
    threads = [Thread(workers.exchange, condition, buffer, 200, putting) for putting in (True, False)]
    for worker in children + threads:
        worker.result()
    assert list(buffer) == [0, 600, 600, sum(range(600))]


def test_weak_references(ctx):
    condition = ctx.Condition()
    ref = weakref.ref(condition)
    del condition
    gc.collect()
    assert ref() is None
