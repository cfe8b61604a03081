# SPDX-License-Identifier: MIT
"""Timeouts, retries, cancelling, another size and statistics, which multiprocessing's pools do not have."""

import asyncio

import abilities
import pooled
import pytest
from harness import PATIENCE, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def goes_on(held):
    """After the test the pool works as before."""
    yield held
    assert held.map(pooled.square, range(20)) == [n * n for n in range(20)]
    assert not held._cache


# Timeouts ------------------------------------------------------------------------------------------------------------


@abilities.timeouts
def test_a_task_that_takes_too_long(goes_on, gate):
    """Is ended. The other worker's task goes on."""
    other = goes_on.apply_async(pooled.hold, (1,))
    gate.wait()
    for call in (
        lambda: goes_on.apply(pooled.hold, (2,), timeout=0.1),
        lambda: goes_on.apply_async(pooled.hold, (2,), timeout=0.1).get(PATIENCE),
        lambda: goes_on.map(pooled.hold, [2], timeout=0.1),
        lambda: goes_on.imap(pooled.hold, [2], timeout=0.1).next(PATIENCE),
    ):
        with pytest.raises(mpfast.TaskTimeout) as raised:
            call()
        assert isinstance(raised.value, TimeoutError)
    assert not other.ready()
    gate.open()
    assert other.get(PATIENCE) == 1


@abilities.timeouts
def test_a_timeout_counts_from_the_begin_of_the_task(goes_on, gate):
    """A task that waits for a worker does not use its time up."""
    held = [goes_on.apply_async(pooled.hold, (n,)) for n in range(2)]
    gate.wait(2)
    late = goes_on.apply_async(pooled.square, (3,), timeout=0.1)
    late.wait(0.3)
    assert not late.ready()
    gate.open(2)
    assert late.get(PATIENCE) == 9
    assert [result.get(PATIENCE) for result in held] == [0, 1]


@abilities.timeouts
def test_a_timeout_of_each_element(goes_on, gate):
    """The elements before and after have their results."""
    iterator = goes_on.imap(pooled.hold_zero, [1, 0, 2], timeout=0.1)
    assert next(iterator) == 1
    with pytest.raises(mpfast.TaskTimeout):
        next(iterator)
    assert list(iterator) == [2]


@abilities.timeouts
def test_a_timeout_of_the_pool(make_pool, gate):
    pool = make_pool(2, pooled.keep, (gate,), timeout=0.1)
    with pytest.raises(mpfast.TaskTimeout):
        pool.apply(pooled.hold)
    assert pool.apply(pooled.square, (3,)) == 9


@abilities.timeouts
def test_tasks_that_are_fast_enough(pool):
    assert pool.map(pooled.square, range(2000), timeout=60) == [n * n for n in range(2000)]


# Retries -------------------------------------------------------------------------------------------------------------


@abilities.retries
def test_retries(ctx, make_pool):
    """Only a death is tried again, and only if that was asked for."""
    value = ctx.Value("q", 0)
    pool = make_pool(2, pooled.keep, (value,))
    assert pool.apply(pooled.die_once, (5,), retries=1) == 5
    assert value.value == 2
    value.value = 0
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.die_once, (5,))
    assert value.value == 1
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.die, retries=2)
    value.value = 0
    with pytest.raises(ValueError, match="^1$"):
        pool.apply(pooled.count_even, (1,), retries=3)
    assert value.value == 1


@abilities.retries
def test_retries_of_a_map(ctx, make_pool):
    value = ctx.Value("q", 0)
    pool = make_pool(2, pooled.keep, (value,))
    assert pool.map(pooled.die_once, range(20), retries=1) == list(range(20))
    assert value.value == 21


# Cancelling ----------------------------------------------------------------------------------------------------------


@abilities.cancel
def test_cancel_of_a_running_task(goes_on, gate):
    """Ends it. Its result is an error, and the other tasks are not touched."""
    results = [goes_on.apply_async(pooled.hold, (n,)) for n in range(2)]
    gate.wait(2)
    until(results[0].running, "it runs")
    pids = {worker.pid for worker in goes_on._pool}
    assert results[0].pid in pids
    assert results[0].cancel() is True
    results[0].wait(PATIENCE)
    assert results[0].successful() is False
    assert not results[1].ready()
    assert goes_on.apply(pooled.square, (3,)) == 9
    gate.open()
    assert results[1].get(PATIENCE) == 1
    assert (results[1].running(), results[1].cancel()) == (False, False)


@abilities.cancel
def test_cancel_of_a_waiting_task(goes_on, gate):
    """It is never run."""
    held = [goes_on.apply_async(pooled.hold, (n,)) for n in range(2)]
    gate.wait(2)
    waiting = goes_on.apply_async(pooled.hold, (5,))
    assert (waiting.running(), waiting.pid) == (False, None)
    assert waiting.cancel() is True
    assert waiting.ready()
    assert waiting.successful() is False
    gate.open(2)
    assert [result.get(PATIENCE) for result in held] == [0, 1]
    assert not gate.begun.acquire(False)


@abilities.cancel
def test_cancels_hit_nothing_else(make_pool):
    """Of many tasks each is either done or cancelled, and cancel() has said which."""
    pool = make_pool(2)
    for _ in range(30):
        results = [pool.apply_async(pooled.square, (n,)) for n in range(4)]
        cancelled = results[1].cancel()
        for number in (0, 2, 3):
            assert results[number].get(PATIENCE) == number * number
        results[1].wait(PATIENCE)
        assert results[1].successful() is not cancelled


# Size and statistics -------------------------------------------------------------------------------------------------


@abilities.resize
def test_resize(held, gate):
    assert len(held._pool) == 2
    held.resize(4)
    results = [held.apply_async(pooled.hold, (n,)) for n in range(6)]
    gate.wait(4)
    held.resize(1)
    gate.open(4)
    gate.wait(1)
    gate.open(2)
    assert [result.get(PATIENCE) for result in results] == list(range(6))
    until(lambda: len(held._pool) == 1, "three have left")
    assert held.map(pooled.square, range(9)) == [n * n for n in range(9)]
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            held.resize(wrong)


@abilities.stats
def test_stats(held, gate):
    """Count what is done, what runs and what waits."""
    assert held.map(pooled.square, range(10), 1) == [n * n for n in range(10)]
    before = held.stats()
    results = [held.apply_async(pooled.hold, (n,)) for n in range(5)]
    gate.wait(2)
    now = held.stats()
    assert (now.running, now.queued) == (2, 3)
    assert now.done == before.done >= 10
    gate.open(5)
    assert [result.get(PATIENCE) for result in results] == list(range(5))
    assert (held.stats().running, held.stats().queued, held.stats().done) == (0, 0, now.done + 5)


@abilities.progress
def test_progress(pool):
    """Is told rising numbers, the last of which is the whole."""
    told = []
    assert pool.map(pooled.square, range(500), progress=lambda *numbers: told.append(numbers)) is not None
    assert told == sorted(told)
    assert told[-1] == (500, 500)


@abilities.asynchronous
def test_asyncio(held, gate):
    async def main():
        assert await held.aapply(pooled.square, (3,)) == 9
        assert await held.amap(pooled.square, range(20)) == [n * n for n in range(20)]
        assert [n async for n in held.aimap(pooled.square, range(5))] == [0, 1, 4, 9, 16]
        task = asyncio.ensure_future(held.aapply(pooled.hold))
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await held.aapply(pooled.square, (4,)) == 16

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


# mpfast's own executor -----------------------------------------------------------------------------------------------


@abilities.executor
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_an_executor_survives_a_death(make_executor, gate, how):
    """Only the future of that call fails."""
    executor = make_executor(initializer=pooled.keep, initargs=(gate,))
    held = executor.submit(pooled.hold, 5)
    gate.wait()
    dying = executor.submit(pooled.die, how)
    waiting = [executor.submit(pooled.square, n) for n in range(20)]
    with pytest.raises(mpfast.WorkerDied):
        dying.result(PATIENCE)
    assert [future.result(PATIENCE) for future in waiting] == [n * n for n in range(20)]
    gate.open()
    assert held.result(PATIENCE) == 5


@abilities.executor
def test_the_workers_of_an_executor_are_ended(make_executor, gate):
    """terminate_workers() and kill_workers(), on all versions."""
    for name in ("terminate_workers", "kill_workers"):
        executor = make_executor(initializer=pooled.keep, initargs=(gate,))
        future = executor.submit(pooled.hold)
        gate.wait()
        processes = list(executor._processes.values())
        getattr(executor, name)()
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode not in (0, None)
        assert future.exception(PATIENCE) is not None
        with pytest.raises(RuntimeError):
            executor.submit(pooled.square, 3)


@abilities.executor
def test_cancel_of_a_running_call(held_executor, gate):
    future = held_executor.submit(pooled.hold)
    gate.wait()
    until(future.running, "it runs")
    assert future.cancel() is False
    assert future.cancel(running=True) is True
    assert future.exception(PATIENCE) is not None if not future.cancelled() else True
    assert held_executor.submit(pooled.square, 3).result(PATIENCE) == 9
