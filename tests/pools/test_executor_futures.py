# SPDX-License-Identifier: MIT
"""Futures. Their states, callbacks, and what waits for several of them."""

import asyncio
import concurrent.futures
import logging
import threading
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError

import pooled
import pytest
from harness import PATIENCE, Thread, until

SOON = 0.02
PENDING = 30  # enough that some of them are neither run nor on their way to a worker


def test_states(held_executor, gate):
    future = held_executor.submit(pooled.hold, 5)
    gate.wait()
    until(future.running, "it runs")
    assert (future.done(), future.cancelled(), future.cancel()) == (False, False, False)
    assert "state=running" in repr(future)
    for call in (future.result, future.exception):
        for timeout in (0, SOON):
            with pytest.raises(TimeoutError):
                call(timeout)
    gate.open()
    assert future.result(PATIENCE) == 5
    assert (future.done(), future.running(), future.cancelled(), future.cancel()) == (True, False, False, False)
    assert future.exception() is None
    assert "state=finished returned int" in repr(future)
    failed = held_executor.submit(pooled.fail)
    assert isinstance(failed.exception(PATIENCE), ZeroDivisionError)
    assert "state=finished raised ZeroDivisionError" in repr(failed)


def test_results_arrive_although_nobody_waits(executor):
    futures = [executor.submit(pooled.square, n) for n in range(20)]
    until(lambda: all(future.done() for future in futures), "all are done")


def test_cancel(held_executor, gate):
    """Works as long as it has not begun. The task is never run."""
    running = [held_executor.submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    waiting = [held_executor.submit(pooled.hold, n) for n in range(PENDING)]
    last = waiting[-1]
    assert "state=pending" in repr(last)
    assert (last.running(), last.done()) == (False, False)
    assert (last.cancel(), last.cancel()) == (True, True)
    assert (last.cancelled(), last.done(), last.running()) == (True, True, False)
    for call in (last.result, last.exception):
        with pytest.raises(CancelledError):
            call(PATIENCE)
    gate.open(2 + PENDING - 1)
    assert [future.result(PATIENCE) for future in running + waiting[:-1]] == [0, 1, *range(PENDING - 1)]
    assert not gate.permits.acquire(False)


def test_waiting_blocks(held_executor, gate):
    future = held_executor.submit(pooled.hold, 5)
    gate.wait()
    waiters = [Thread(future.result), Thread(future.result, PATIENCE), Thread(future.exception)]
    for waiter in waiters:
        waiter.asleep()
    gate.open()
    assert [waiter.result() for waiter in waiters] == [5, 5, None]


def test_cancel_wakes_the_waiters(held_executor, gate):
    blocked = [held_executor.submit(pooled.hold) for _ in range(PENDING)]
    gate.wait(2)
    waiter = Thread(blocked[-1].result).asleep()
    assert blocked[-1].cancel()
    with pytest.raises(CancelledError):
        waiter.result()
    for future in blocked:
        future.cancel()
    gate.open(PENDING)


# Callbacks -----------------------------------------------------------------------------------------------------------


def test_callbacks(held_executor, gate):
    """Are called in their order, once, with the future that is done."""
    future, got = held_executor.submit(pooled.hold, 5), []
    gate.wait()
    for name in "ab":
        future.add_done_callback(lambda f, name=name: got.append((name, f, f.done(), f.result(0))))
    assert got == []
    gate.open()
    until(lambda: len(got) == 2, "both are called")
    assert got == [("a", future, True, 5), ("b", future, True, 5)]
    future.add_done_callback(lambda f: got.append(threading.get_ident()))
    assert got[2:] == [threading.get_ident()]


def test_callbacks_of_errors(executor):
    future, got = executor.submit(pooled.fail, "text"), []
    future.add_done_callback(lambda f: got.append(str(f.exception(0))))
    until(lambda: got, "it is called")
    assert got == ["text"]


def test_callbacks_of_the_cancelled(held_executor, gate):
    """Are called by cancel()."""
    futures = [held_executor.submit(pooled.hold) for _ in range(PENDING)]
    gate.wait(2)
    got = []
    futures[-1].add_done_callback(lambda f: got.append((f.cancelled(), threading.get_ident())))
    assert futures[-1].cancel()
    assert got == [(True, threading.get_ident())]
    for future in futures:
        future.cancel()
    gate.open(PENDING)


def test_a_callback_that_fails(executor, caplog):
    """Is logged, and the others are called."""
    future, got = executor.submit(pooled.square, 3), []
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        future.add_done_callback(lambda f: pooled.fail("in a callback"))
        future.add_done_callback(got.append)
        until(lambda: got, "the second is called")
    assert future.result(PATIENCE) == 9
    assert "exception calling callback" in caplog.text
    assert "in a callback" in caplog.text
    caplog.clear()  # its records keep the frames, and these what the test made
    assert executor.submit(pooled.square, 4).result(PATIENCE) == 16


def test_a_callback_may_submit(executor):
    got = []

    def go_on(future):
        got.append(future.result())
        if got[-1] < 5:
            executor.submit(pooled.add, got[-1], 1).add_done_callback(go_on)

    executor.submit(pooled.same, 0).add_done_callback(go_on)
    until(lambda: len(got) == 6, "the last one")
    assert got == list(range(6))


# Several -------------------------------------------------------------------------------------------------------------


def test_wait_for_the_first(held_executor, gate):
    slow, fast = held_executor.submit(pooled.hold, 1), held_executor.submit(pooled.same, 2)
    done, rest = concurrent.futures.wait([slow, fast], PATIENCE, FIRST_COMPLETED)
    assert (done, rest) == ({fast}, {slow})
    done, rest = concurrent.futures.wait([slow, fast], SOON, ALL_COMPLETED)
    assert (done, rest) == ({fast}, {slow})
    gate.open()
    assert concurrent.futures.wait([slow, fast], PATIENCE).not_done == set()


def test_wait_for_an_error(held_executor, gate):
    slow, bad = held_executor.submit(pooled.hold, 1), held_executor.submit(pooled.fail)
    done, rest = concurrent.futures.wait([slow, bad], PATIENCE, FIRST_EXCEPTION)
    assert (done, rest) == ({bad}, {slow})
    gate.open()
    assert concurrent.futures.wait({slow}, PATIENCE, FIRST_EXCEPTION).done == {slow}


def test_wait_for_all(executor):
    futures = [executor.submit(pooled.square, n) for n in range(200)]
    done, rest = concurrent.futures.wait(futures, PATIENCE)
    assert (done, rest) == (set(futures), set())


def test_as_completed(held_executor, gate):
    slow = held_executor.submit(pooled.hold, -1)
    fast = [held_executor.submit(pooled.same, n) for n in range(20)]
    completed = concurrent.futures.as_completed([slow, *fast], PATIENCE)
    assert {next(completed) for _ in fast} == set(fast)
    gate.open()
    assert list(completed) == [slow]
    assert list(concurrent.futures.as_completed([slow, slow])) == [slow]


def test_as_completed_with_a_timeout(held_executor, gate):
    gate.both_work(held_executor.submit)
    slow, fast = held_executor.submit(pooled.hold), held_executor.submit(pooled.same, 1)
    completed = concurrent.futures.as_completed([slow, fast], 1)
    assert next(completed) is fast
    with pytest.raises(TimeoutError, match="1 \\(of 2\\) futures unfinished"):
        next(completed)
    gate.open()


def test_waits_and_results_at_once(held_executor, gate):
    """Threads that wait in every way there is, for the same futures."""
    futures = [held_executor.submit(pooled.hold_zero, n) for n in range(30)]
    gate.wait()
    waiters = [
        Thread(concurrent.futures.wait, futures),
        Thread(lambda: list(concurrent.futures.as_completed(futures))),
        Thread(futures[0].result),
        Thread(lambda: [future.result() for future in futures]),
    ]
    for waiter in waiters:
        waiter.asleep()
    gate.open()
    done, completed, first, results = [waiter.result() for waiter in waiters]
    assert (done.done, done.not_done) == (set(futures), set())
    assert set(completed) == set(futures)
    assert (first, results) == (0, list(range(30)))


# Event loops ---------------------------------------------------------------------------------------------------------


def test_asyncio(executor):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, pooled.square, 3) == 9
        assert await asyncio.wrap_future(executor.submit(pooled.square, 4)) == 16
        with pytest.raises(ZeroDivisionError, match="text"):
            await loop.run_in_executor(executor, pooled.fail, "text")
        calls = [loop.run_in_executor(executor, pooled.square, n) for n in range(50)]
        assert await asyncio.gather(*calls) == [n * n for n in range(50)]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_asyncio_cancels(held_executor, gate):
    """What has not begun. What has goes on, and its result is dropped."""

    async def main():
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(held_executor, pooled.hold, 1)
        other = held_executor.submit(pooled.hold, 2)
        await loop.run_in_executor(None, gate.wait, 2)
        waiting = [held_executor.submit(pooled.hold, n) for n in range(PENDING)]
        wrapped = asyncio.wrap_future(waiting[-1])
        for future in (running, wrapped):
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
        while not waiting[-1].cancelled():
            await asyncio.sleep(0)
        gate.open(2 + PENDING)
        assert await asyncio.wrap_future(other) == 2
        await asyncio.gather(*map(asyncio.wrap_future, waiting[:-1]))

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_asyncio_with_a_timeout(held_executor, gate):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(held_executor, pooled.hold), 0.05)
        gate.open()
        assert await loop.run_in_executor(held_executor, pooled.square, 3) == 9

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
