# SPDX-License-Identifier: MIT
"""Interrupts at any point of a call to mpfast's own pools, and code that calls the pool in the middle of another call.

An interrupt ends the call of its thread. The pool goes on, and everything that was dealt has an outcome.
"""

import os
import signal
import threading

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def alarm():
    """alarm(handler, seconds): a handler of a signal that comes after so long."""

    def set_alarm(handler, seconds):
        signal.signal(signal.SIGALRM, lambda *_: handler())
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.getsignal(signal.SIGALRM)
    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def calls_here():
    """calls_here(function): what unpickling a pooled.Calls runs in this process."""
    yield lambda function: setattr(pooled.Calls, "here", staticmethod(function))
    pooled.Calls.here = None


CALLS = {
    "apply": lambda pool, thing: pool.apply(pooled.same, (thing,)),
    "map": lambda pool, thing: pool.map(pooled.same, [1, 2, thing, 3, 4], 1),
    "map, units": lambda pool, thing: pool.map(pooled.same, [1, 2, thing, 3, 4]),
    "map, chunks": lambda pool, thing: pool.map(pooled.same, [1, 2, thing, 3, 4], 3),
    "imap": lambda pool, thing: list(pool.imap(pooled.same, [1, 2, thing, 3, 4])),
    "imap, chunks": lambda pool, thing: list(pool.imap(pooled.same, [1, 2, thing, 3, 4], 3)),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupt_while_arguments_are_pickled(make_pool, call):
    pool, thing = make_pool(1), pooled.Interrupts()
    with pytest.raises(KeyboardInterrupt):
        CALLS[call](pool, thing)
    assert pool.apply(pooled.square, (3,)) == 9
    pool.close()
    Thread(pool.join).result()
    assert thing.pickled == 2
    assert not pool._cache


def test_an_interrupt_while_elements_are_dealt_later(make_pool):
    """Nothing is left out, and nothing comes twice."""
    pool, thing = make_pool(1), pooled.Interrupts()
    result = pool.map_async(pooled.same, [*range(50), thing, *range(50)], 1)
    try:
        found = result.get(PATIENCE)
    except KeyboardInterrupt:
        found = result.get(PATIENCE)
    assert found == [*range(50), 7, *range(50)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_elements_that_interrupt_again_and_again(make_pool):
    class Poison:
        def __reduce__(self):
            raise SystemExit("poison")

    pool = make_pool(1)
    with pytest.raises(SystemExit, match="poison"):
        pool.apply_async(pooled.same, (Poison(),))
    pool.close()
    errors = 0
    while pool._cache:
        try:
            pool.join()
        except SystemExit:
            errors += 1
    assert errors < 5


def test_an_interrupt_while_results_are_unpickled(make_pool, calls_here):
    interrupts = []

    def interrupt_once(number):
        if not interrupts:
            interrupts.append(number)
            raise KeyboardInterrupt
        return number

    calls_here(interrupt_once)
    pool = make_pool(1)
    with pytest.raises(KeyboardInterrupt):
        pool.map(pooled.make_calls, range(10), 1)
    pool.close()
    Thread(pool.join).result()
    assert not pool._cache


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("callback", [None, len])
def test_a_result_that_interrupts_again_and_again(make_pool, calls_here, callback):
    """It raises KeyboardInterrupt by itself. That is its error in the end, for the pool's thread and for a caller."""

    def interrupt(number):
        raise KeyboardInterrupt

    calls_here(interrupt)
    pool = make_pool(1)
    result = pool.apply_async(pooled.make_calls, (3,), callback=callback)
    for _ in range(5):
        try:
            result.wait(PATIENCE)
            break
        except KeyboardInterrupt:
            continue
    with pytest.raises(mpfast.RemoteError, match="KeyboardInterrupt"):
        result.get(PATIENCE)
    assert pool.apply(pooled.square, (3,)) == 9


def test_results_whose_unpickling_calls_the_pool(make_pool, calls_here):
    pool = make_pool(2)
    calls_here(lambda number: pool.apply(pooled.square, (number,)))
    assert pool.map(pooled.make_calls, range(20), 1) == [n * n for n in range(20)]


@pytest.mark.parametrize("size", [1, 2])
def test_results_of_the_dead_whose_unpickling_calls_the_pool(make_pool, calls_here, size):
    """Deaths cannot be settled in the middle of that, but workers are there."""
    pool = make_pool(size)
    calls_here(lambda number: pool.apply(pooled.square, (number,)))
    for _ in range(5):
        with pytest.raises(mpfast.WorkerDied):
            pool.map_async(pooled.die_or_make_calls, range(8), 8).get(PATIENCE)
    for _ in range(2):
        for worker in list(pool._pool):
            worker.kill()  # the last death may still be on its way
        assert pool.map_async(pooled.square, range(9), 1).get(PATIENCE) == [n * n for n in range(9)]
    until(lambda: len(pool._pool) == size and all(w.is_alive() for w in pool._pool), "the workers are there again")


def test_a_handler_that_calls_the_pool(held, gate, alarm):
    """It drains while the call that it has interrupted sleeps."""
    found = []

    def handler():
        found.append(held.apply_async(pooled.hold, (1,)).get(PATIENCE))

    waiting = held.apply_async(pooled.hold, (2,))
    gate.wait(1)
    timer = threading.Timer(0.2, gate.open, (2,))
    timer.start()
    alarm(handler, 0.05)
    assert waiting.get(PATIENCE) == 2
    timer.join()
    assert found == [1]


def test_a_handler_that_calls_the_pool_while_another_thread_drains(make_pool, gate, alarm):
    """The thread that is in its handler is the one that can go on."""
    pool = make_pool(3, pooled.keep, (gate,))
    drainer = Thread(pool.apply, pooled.hold, (1,)).asleep()
    gate.wait(1)
    results = []
    slow = pool.apply_async(pooled.hold, (2,))
    gate.wait(1)

    def handler():
        inner = pool.apply_async(pooled.hold, (3,))
        gate.wait(1)
        threading.Timer(0.1, gate.open).start()  # one of the three ends
        results.append(inner.wait(0.3))
        threading.Timer(0.1, gate.open, (2,)).start()
        results.append(inner.get(PATIENCE))

    alarm(handler, 0.05)
    assert slow.get(PATIENCE) == 2
    assert results[-1] == 3
    assert drainer.result() == 1


def test_workers_have_none_of_the_handlers_of_their_pool(ctx, make_pool):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    signal.set_wakeup_fd(ends[1])
    try:
        pool = make_pool(1)
        assert pool.apply(pooled.on_sigterm) == (signal.SIG_DFL, -1)
        pool.terminate()
        Thread(pool.join).result()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, before)
        for end in ends:
            os.close(end)


def test_an_interrupt_while_the_butler_is_started(make_pool, monkeypatch):
    """A pool has one of these threads, whatever comes between its start and the next line."""
    pool = make_pool(1)
    crew, started = pool._desk.crew, []

    def start_and_interrupt(desk):
        started.append(start(desk))
        if len(started) == 1:
            raise KeyboardInterrupt
        return started[-1]

    start = crew.butler
    monkeypatch.setattr(crew, "butler", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.apply_async(pooled.square, (2,))
    found = []
    assert pool.apply_async(pooled.square, (3,), callback=found.append).get(PATIENCE) == 9
    assert found == [9]
    until(lambda: sum(thread.is_alive() for thread in started) == 1, "one of them is left")
    assert not pool._cache


def test_a_refused_thread(make_pool, monkeypatch):
    """Its error is the caller's, and the pool does not wait for the call."""
    pool = make_pool(1)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(pool._desk.crew, "butler", refuse)
        for call in (pool.map_async, pool.imap):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                call(pooled.square, range(5))
    assert not pool._cache
    pool.close()
    Thread(pool.join).result()
