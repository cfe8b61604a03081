# SPDX-License-Identifier: MIT
"""Signals during a wait: a handler that raises ends it and leaves nothing half done, any other does not disturb it."""

import signal
from typing import Any, NamedTuple

import pytest
import workers
from harness import Noise, Thread


class Wait(NamedTuple):
    """A wait that blocks until wake() is called in another process."""

    thing: Any
    function: Any  # of the thing and a timeout
    wake: Any
    result: Any


def acquiring(thing):
    thing.acquire()
    return Wait(thing, "acquire", thing.release, True)


def waits(ctx):
    condition, event, barrier = ctx.Condition(), ctx.Event(), ctx.Barrier(2)
    return {
        "Lock": lambda: acquiring(ctx.Lock()),
        "Semaphore": lambda: acquiring(ctx.Semaphore(1)),
        "BoundedSemaphore": lambda: acquiring(ctx.BoundedSemaphore(1)),
        "RLock": lambda: acquiring(ctx.RLock()),
        "Condition": lambda: Wait(condition, None, lambda: workers.notify_under(condition), True),
        "Event": lambda: Wait(event, "wait", event.set, True),
        "Barrier": lambda: Wait(barrier, "wait", barrier.wait, 0),
    }


NAMES = ["Lock", "Semaphore", "BoundedSemaphore", "RLock", "Condition", "Event", "Barrier"]


@pytest.fixture(params=["fork"])  # how a process was started makes no difference to its waits
def method(request):
    return request.param


@pytest.fixture(params=NAMES)
def wait(request, ctx):
    return waits(ctx)[request.param]()


def begin(child, wait):
    if wait.function is None:
        child.begin(workers.wait_under, wait.thing)
    else:
        child.begin(workers.invoke, wait.thing, wait.function)


def check_woken(child, wait):
    """Whatever happened before: whoever waits is woken."""
    begin(child, wait)
    wait.wake()
    assert child.result() == wait.result


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_keyboard_interrupt(wait, start):
    child = start(wait.thing)
    for _ in range(3):
        begin(child, wait)
        child.signal(signal.SIGINT)
        assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
    check_woken(child, wait)


def test_an_exception_from_a_handler(wait, start):
    child = start(wait.thing)
    child.run(workers.raise_on, signal.SIGUSR1)
    begin(child, wait)
    child.signal(signal.SIGUSR1)
    assert child.outcome().kind == "Interrupted"
    check_woken(child, wait)


def test_a_handler_that_does_not_raise(wait, start):
    child = start(wait.thing)
    child.run(workers.signal_counter, signal.SIGUSR1)
    begin(child, wait)
    for _ in range(3):
        child.signal(signal.SIGUSR1)
        child.asleep()
    wait.wake()
    assert child.result() == wait.result
    assert child.run(workers.signals_seen) == 3


def test_signals_do_not_prolong_a_timeout(wait, start):
    child = start(wait.thing)
    child.run(workers.signal_counter, signal.SIGUSR1)
    with Noise() as noise:
        if wait.function is None:
            child.begin(workers.timed_wait_under, wait.thing, 0.4)
        else:
            child.begin(workers.timed, wait.thing, wait.function, timeout=0.4)
        for _ in range(8):
            child.signal(signal.SIGUSR1)
            child.asleep()
        outcome, seconds = child.result()
    if isinstance(outcome, workers.Returned):
        assert outcome.value is False
    else:
        assert outcome.kind == "BrokenBarrierError"
    assert 0.4 <= seconds < noise.limit(0.5)
    assert child.run(workers.signals_seen) == 8


def test_stop_and_continue(wait, start):
    child = start(wait.thing)
    begin(child, wait)
    child.signal(signal.SIGSTOP)
    child.signal(signal.SIGCONT)
    child.asleep()
    wait.wake()
    assert child.result() == wait.result


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_exclusion_under_a_hail_of_signals(ctx, start, kind):
    lock, counter = getattr(ctx, kind)(), ctx.RawArray("q", 1)
    children = [start(lock, counter) for _ in range(2)]
    for child in children:
        child.send(workers.under_signals, workers.increment, lock, counter, 3000)
    for child in children:
        child.outcome()
        child.busy = False
    assert counter[0] == 6000


def test_a_condition_under_a_hail_of_signals(ctx, start):
    condition, buffer = ctx.Condition(), ctx.RawArray("q", 4)
    children = [start(condition, buffer) for _ in range(4)]
    for number, child in enumerate(children):
        child.send(workers.under_signals, workers.exchange, condition, buffer, 300, number % 2)
    for child in children:
        child.result()
    assert list(buffer) == [0, 600, 600, sum(range(600))]


def test_an_interrupted_waiter_of_a_condition_holds_the_lock(ctx, start):
    """Also if the lock is held by somebody else when the signal comes: it is raised once the lock is back."""
    condition = ctx.Condition()
    child = start(condition).begin(workers.wait_and_tell, condition)
    with condition:
        child.signal(signal.SIGINT)
        child.asleep()
        assert repr(condition).startswith("<Condition(<RLock(MainProcess, 1)>")
    outcome, held, _ = child.result()
    assert outcome.kind == "KeyboardInterrupt"
    assert held is True


class TestBeyondTheStdlib:
    """What multiprocessing gets wrong in these moments."""

    @pytest.fixture
    def mp(self):
        import mpfast

        return mpfast

    @pytest.mark.parametrize("signals", [1, 2])
    @pytest.mark.parametrize("kind", ["Lock", "RLock"])
    def test_a_signal_while_a_notified_waiter_takes_the_lock_again(self, ctx, start, signals, kind):
        """multiprocessing raises without the lock, so that the end of a `with` frees somebody else's."""
        condition = ctx.Condition(getattr(ctx, kind)())
        child = start(condition).begin(workers.wait_and_tell, condition)
        condition.acquire()
        condition.notify()
        for _ in range(signals):
            child.signal(signal.SIGINT)
            child.asleep()
        condition.release()
        outcome, held, _ = child.result()
        assert held is True
        assert outcome in (workers.Returned(True), workers.Raised("KeyboardInterrupt", "", {}))

    @pytest.mark.parametrize("notified_first", [True, False])
    def test_a_notify_is_not_lost_with_an_interrupted_waiter(self, ctx, start, notified_first):
        condition = ctx.Condition()
        first = start(condition).begin(workers.wait_under, condition)
        second = Thread(workers.wait_under, condition).asleep()
        condition.acquire()
        if notified_first:
            condition.notify()
        first.signal(signal.SIGINT)
        first.asleep()
        if not notified_first:
            condition.notify()
        condition.release()
        if first.outcome() != workers.Returned(True):
            assert second.result(patience=5) is True
        else:
            second.asleep()
            workers.notify_under(condition)
            second.result()
