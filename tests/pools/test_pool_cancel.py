# SPDX-License-Identifier: MIT
"""Cancels and timeouts that meet the end of a task, and what they leave alone."""

import concurrent.futures
import math
import os
import signal
import time

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

pytestmark = abilities.cancel
ROUNDS = 500


@pytest.fixture
def mp():
    return mpfast


def delays():
    """Seconds from the start of a task until its cancel. Some come before its end, some after."""
    return [n % 25 * 1e-5 for n in range(ROUNDS)]


def pause(seconds):
    """Far shorter than a sleep can be."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def check_workers(pool, size=2):
    until(lambda: len(pool._pool) == size and all(w.is_alive() for w in pool._pool), "all workers are there again")
    assert not pool._cache


# A cancel that meets the end of its task -----------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_cancel_meets_the_end_of_a_call(ctx, make_pool):
    """Each call has one outcome, cancel() has said which, and no other call is hurt. None is run twice."""
    runs = ctx.RawArray("q", ROUNDS * 4)
    pool = make_pool(2, pooled.keep, (runs,))
    cancelled = 0
    for number, delay in enumerate(delays()):
        first = number * 4
        results = [pool.apply_async(pooled.count_in, (n,)) for n in range(first, first + 4)]
        victim = results[number % 4]
        pause(delay)
        said = victim.cancel()
        cancelled += said
        assert victim.cancel() is False
        for n, result in enumerate(results, first):
            if result is victim and said:
                with pytest.raises(concurrent.futures.CancelledError):
                    result.get(PATIENCE)
            else:
                assert result.get(PATIENCE) == n
                assert runs[n] == 1
        assert runs[first + number % 4] <= 1
    assert 0 < cancelled < ROUNDS
    check_workers(pool)


@pytest.mark.timeout(300)
def test_a_cancel_meets_the_end_of_a_future(ctx, make_executor):
    """The same with an executor, whose futures other code waits for, too."""
    runs = ctx.RawArray("q", ROUNDS * 4)
    executor = make_executor(initializer=pooled.keep, initargs=(runs,))
    cancelled = 0
    for number, delay in enumerate(delays()):
        first = number * 4
        futures = [executor.submit(pooled.count_in, n) for n in range(first, first + 4)]
        victim, told = futures[number % 4], []
        if number % 2:
            victim.add_done_callback(told.append)
        pause(delay)
        said = victim.cancel(running=True)
        cancelled += said
        assert victim.cancelled() is said
        concurrent.futures.wait(futures, PATIENCE)
        for n, future in enumerate(futures, first):
            if future is victim and said:
                with pytest.raises(concurrent.futures.CancelledError):
                    future.result(PATIENCE)
            else:
                assert future.result(PATIENCE) == n
                assert runs[n] == 1
        assert runs[first + number % 4] <= 1
        if number % 2:
            until(lambda told=told, victim=victim: told == [victim], "the callback is called once")
    assert 0 < cancelled < ROUNDS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_a_cancel_meets_the_end_of_a_map(make_pool, chunksize):
    """All of it or nothing."""
    pool = make_pool(2)
    cancelled = 0
    for number in range(ROUNDS // 5):
        other = pool.apply_async(pooled.square, (number,))
        result = pool.map_async(pooled.square, list(range(60)), chunksize)
        pause(number % 25 * 2e-5)
        said = result.cancel()
        cancelled += said
        if said:
            assert result.ready()
            with pytest.raises(concurrent.futures.CancelledError):
                result.get(PATIENCE)
        else:
            assert result.get(PATIENCE) == [n * n for n in range(60)]
        assert result.cancel() is False
        assert other.get(PATIENCE) == number * number
    assert cancelled > 0
    check_workers(pool)


@pytest.mark.timeout(300)
def test_a_timeout_meets_the_end_of_a_task(ctx, make_pool):
    """Each task has one outcome, and the others are not hurt."""
    runs = ctx.RawArray("q", ROUNDS * 2)
    pool = make_pool(2, pooled.keep, (runs,))
    found = {True: 0, False: 0}
    for number in range(0, ROUNDS * 2, 2):
        short = pool.apply_async(pooled.count_for, (number, 2e-3), timeout=1.6e-3 + number % 17 * 1e-4)
        long = pool.apply_async(pooled.count_in, (number + 1,))
        try:
            assert short.get(PATIENCE) == number
            assert runs[number] == 1
            found[True] += 1
        except mpfast.TaskTimeout:
            assert runs[number] <= 1
            found[False] += 1
        assert long.get(PATIENCE) == number + 1
        assert runs[number + 1] == 1
        if found[True] > 20 and found[False] > 20:
            break
    assert all(found.values())
    check_workers(pool)


def test_threads_that_cancel_the_same_task(held, gate):
    """One of them has cancelled it."""
    for _ in range(20):
        result = held.apply_async(pooled.hold)
        gate.wait()
        said = [Thread(result.cancel) for _ in range(3)]
        assert sorted(thread.result(PATIENCE) for thread in said) == [False, False, True]
    check_workers(held)


# What is cancelled ---------------------------------------------------------------------------------------------------


def test_a_thread_that_waits_for_it(held, gate):
    """Hears of it at once."""
    result = held.apply_async(pooled.hold)
    gate.wait()
    waiting = Thread(result.get)
    until(lambda: result.running(), "it runs")
    assert result.cancel() is True
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(PATIENCE)


def test_a_callback_for_errors_is_told(held, gate):
    told = []
    result = held.apply_async(pooled.hold, error_callback=told.append)
    gate.wait()
    assert result.cancel() is True
    result.wait(PATIENCE)
    assert [type(error) for error in told] == [concurrent.futures.CancelledError]


def test_a_map_that_runs(held, gate):
    """Its elements are ended, and those that wait are never run. Another map is not touched."""
    result = held.map_async(pooled.hold, range(50), 1)
    gate.wait(2)
    assert result.cancel() is True
    assert result.ready()
    assert held.map(pooled.square, range(9)) == [n * n for n in range(9)]
    assert not gate.begun.acquire(False)
    check_workers(held)


def test_a_stopped_worker_is_killed(held, gate):
    result = held.apply_async(pooled.hold)
    gate.wait()
    pid = result.pid
    os.kill(pid, signal.SIGSTOP)
    assert result.cancel() is True
    until(lambda: pid not in [worker.pid for worker in held._pool], "it is replaced")
    assert held.apply(pooled.square, (3,)) == 9


def test_a_pool_that_is_closed(held, gate):
    """Ends when its last task is cancelled."""
    result = held.apply_async(pooled.hold)
    gate.wait()
    held.close()
    assert result.cancel() is True
    held.join()


def test_a_forked_child_cancels_nothing(held, gate):
    """The worker is not its own."""
    result = held.apply_async(pooled.hold, (5,))
    gate.wait()
    pid = os.fork()
    if pid == 0:
        try:
            result.cancel()
        except RuntimeError:
            os._exit(3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    gate.open()
    assert result.get(PATIENCE) == 5


def test_a_cancel_does_not_break_an_executor(make_executor, gate):
    """Not even one that the death of a worker breaks."""
    executor = make_executor(breaking=True, initializer=pooled.keep, initargs=(gate,))
    future = executor.submit(pooled.hold)
    gate.wait()
    assert future.cancel(running=True) is True
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9


def test_a_thread_that_waits_for_a_future(held_executor, gate):
    """Gets a CancelledError, and not the TimeoutError of a result that has not come."""
    for running in (True, False):
        held = [held_executor.submit(pooled.hold) for _ in range(2)]
        gate.wait(2)
        future = held[0] if running else held_executor.submit(pooled.hold)
        waiting = Thread(future.result)
        assert future.cancel(running=running) is True
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result(PATIENCE)
        for other in held:
            other.cancel(running=True)


# Timeouts and retries ------------------------------------------------------------------------------------------------


@abilities.timeouts
def test_nobody_waits_for_a_task_with_a_timeout(held, gate):
    """Its time is up all the same."""
    pids = {worker.pid for worker in held._pool}
    result = held.apply_async(pooled.hold, timeout=0.05)
    gate.wait()
    until(lambda: {worker.pid for worker in held._pool} != pids, "its worker is replaced")
    with pytest.raises(mpfast.TaskTimeout) as raised:
        result.get(0)
    assert raised.value.pid in pids
    assert raised.value.timeout == 0.05
    assert "hold" in str(raised.value)


@abilities.timeouts
def test_a_thread_that_sleeps_hears_of_a_timeout(held, gate):
    """It has begun to wait before there was one."""
    other = held.apply_async(pooled.hold, (1,))
    gate.wait()
    waiting = Thread(other.get).asleep()
    with pytest.raises(mpfast.TaskTimeout):
        held.apply(pooled.hold, timeout=0.05)
    gate.open()
    assert waiting.result(PATIENCE) == 1


@abilities.timeouts
@pytest.mark.parametrize("chunksize", [1, 3])
def test_each_element_has_its_own_time(held, gate, chunksize):
    """One that is too slow does not cost the others of its chunk."""
    del gate
    result = held.map_async(pooled.hold_zero, [1, 0, 2, 3, 4, 5], chunksize, timeout=0.05)
    with pytest.raises(mpfast.TaskTimeout, match="element 1"):
        result.get(PATIENCE)
    for _ in range(3):
        found = list(held.imap_unordered(pooled.square, range(30), chunksize, timeout=PATIENCE))
        assert sorted(found) == [n * n for n in range(30)]


@abilities.timeouts
def test_an_executor_with_a_timeout(make_executor, gate):
    executor = make_executor(initializer=pooled.keep, initargs=(gate,), timeout=0.05)
    future = executor.submit(pooled.hold)
    with pytest.raises(mpfast.TaskTimeout):
        future.result(PATIENCE)
    assert list(executor.map(pooled.square, range(20))) == [n * n for n in range(20)]
    found = executor.map(pooled.hold_zero, [1, 0, 2])
    assert next(found) == 1
    with pytest.raises(mpfast.TaskTimeout):
        next(found)


@abilities.timeouts
def test_a_timeout_does_not_break_an_executor(make_executor, gate):
    executor = make_executor(breaking=True, initializer=pooled.keep, initargs=(gate,), timeout=0.05)
    with pytest.raises(mpfast.TaskTimeout):
        executor.submit(pooled.hold).result(PATIENCE)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9


@abilities.retries
def test_an_executor_with_retries(ctx, make_executor):
    value = ctx.Value("q", 0)
    executor = make_executor(initializer=pooled.keep, initargs=(value,), retries=1)
    assert executor.submit(pooled.die_once, 5).result(PATIENCE) == 5
    with pytest.raises(mpfast.WorkerDied):
        executor.submit(pooled.die).result(PATIENCE)


@abilities.retries
@pytest.mark.parametrize("chunksize", [None, 1, 5])
def test_each_element_has_its_own_retries(ctx, make_pool, chunksize):
    """Several of one group die, each of them once."""
    runs = ctx.RawArray("q", 20)
    pool = make_pool(2, pooled.keep, (runs,))
    assert pool.map(pooled.die_the_first_time, list(range(20)), chunksize, retries=1) == list(range(20))
    assert list(runs) == [2 if n % 4 == 0 else 1 for n in range(20)]


@abilities.retries
def test_a_timeout_is_not_tried_again(held, gate):
    with pytest.raises(mpfast.TaskTimeout):
        held.apply(pooled.hold, timeout=0.05, retries=5)
    gate.wait()
    assert not gate.begun.acquire(False)


def test_a_pools_own_limits_can_be_lifted(ctx, make_pool, gate):
    value = ctx.Value("q", 0)
    pool = make_pool(2, pooled.keep, (value,), timeout=0.05, retries=1)
    assert pool.apply(pooled.die_once, (5,)) == 5
    value.value = 0
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.die_once, (5,), retries=0)
    with pytest.raises(mpfast.TaskTimeout):
        pool.apply(time.sleep, (PATIENCE,))
    assert pool.apply(pooled.wait_for, (0.2,), timeout=math.inf) == 0.2


@pytest.mark.parametrize(
    ("limits", "error", "culprit"),
    [
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": math.nan}, ValueError, "timeout"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"retries": -1}, ValueError, "retries"),
        ({"retries": 1.5}, TypeError, "retries"),
    ],
)
def test_wrong_limits(make_pool, make_executor, limits, error, culprit):
    pool = make_pool(1)
    for call in (
        lambda: pool.apply(pooled.square, (3,), **limits),
        lambda: pool.apply_async(pooled.square, (3,), **limits),
        lambda: pool.map(pooled.square, [3], **limits),
        lambda: pool.imap(pooled.square, [3], **limits),
        lambda: make_pool(1, **limits),
        lambda: make_executor(**limits),
    ):
        with pytest.raises(error, match=culprit):
            call()
    assert not pool._cache


def test_an_error_of_a_timeout_travels(pool):
    error = pool.apply(pooled.same, (mpfast.TaskTimeout(5, 0.5, "a task"),))
    assert (error.pid, error.timeout, error.task) == (5, 0.5, "a task")
    assert isinstance(error, TimeoutError)
    assert isinstance(error, mpfast.TimeoutError)


# What is loaded ------------------------------------------------------------------------------------------------------


@abilities.deaths
@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_an_argument_that_ends_the_worker(make_pool, chunksize):
    """Is an element's end, and is not dealt again for ever."""
    pool = make_pool(2)
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.same, (pooled.DiesWhenLoaded(),))
    with pytest.raises(mpfast.WorkerDied):
        pool.map(pooled.same, [1, pooled.DiesWhenLoaded(), 2], chunksize)
    assert pool.map(pooled.square, range(9)) == [n * n for n in range(9)]


@abilities.timeouts
def test_an_argument_that_takes_for_ever(pool):
    """Counts as the task's time."""
    with pytest.raises(mpfast.TaskTimeout):
        pool.apply(pooled.same, (pooled.Endless(),), timeout=0.05)
    assert pool.apply(pooled.square, (3,)) == 9
