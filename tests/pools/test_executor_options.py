# SPDX-License-Identifier: MIT
"""What mpfast's executors have beyond concurrent.futures': resize(), with_options(), and the state of a worker."""

import asyncio
import concurrent.futures
import math
import multiprocessing
import os

import abilities
import cared
import pooled
import pytest
from harness import PATIENCE, until

import mpfast

pytestmark = abilities.executor


@pytest.fixture
def mp():
    return mpfast


# The number of workers -----------------------------------------------------------------------------------------------


def squares(executor):
    return list(executor.map(pooled.square, range(40)))


def test_resize(make_executor):
    executor = make_executor(1)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    before = set(executor._processes)
    executor.resize(3)
    assert squares(executor) == [n * n for n in range(40)]
    until(lambda: len(executor._processes) == 3, "there are three")
    assert before <= set(executor._processes)
    executor.resize(1)
    until(lambda: len(executor._processes) == 1, "there is one")
    assert squares(executor) == [n * n for n in range(40)]
    assert (executor._max_workers, len(executor._processes)) == (1, 1)


def test_resize_before_the_first_call(make_executor, gate):
    executor = make_executor(1, initializer=pooled.keep, initargs=(gate,))
    executor.resize(2)
    gate.both_work(executor.submit)


def test_resize_while_calls_run(held_executor, gate):
    """Those that are too many finish what they have."""
    running = [held_executor.submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    held_executor.resize(1)
    later = [held_executor.submit(pooled.square, n) for n in range(20)]
    gate.open(2)
    assert [future.result(PATIENCE) for future in running + later] == [0, 1, *(n * n for n in range(20))]
    until(lambda: len(held_executor._processes) == 1, "there is one")


def test_wrong_sizes(executor):
    for wrong, error in ((0, ValueError), (5000, ValueError), ("2", TypeError), (1.5, TypeError)):
        with pytest.raises(error, match="max_workers must be"):
            executor.resize(wrong)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.resize(2)


# Workers -------------------------------------------------------------------------------------------------------------


def test_a_state_of_each_worker(make_executor, tmp_path):
    """Is what each call is given first, and the function that is called at the worker's end."""
    path = tmp_path / "exits"
    executor = make_executor(1, worker_state=cared.make_state, worker_exit=cared.Leave(str(path)))
    assert executor.submit(cared.use_state, 5, more=2).result(PATIENCE) == (True, 1, 1, 7)
    assert list(executor.map(cared.use_state, [5, 6])) == [(True, 1, 2, 5), (True, 1, 3, 6)]
    pid = next(iter(executor._processes))
    executor.shutdown()
    assert path.read_text() == f"{pid} 3\n"


def test_a_state_that_cannot_be_made(make_executor):
    """As an initializer that raises."""
    with pytest.raises(mpfast.BrokenPool, match="there is no state"):
        make_executor(1, worker_state=cared.fail_state).submit(pooled.square, 3).result(PATIENCE)


@pytest.mark.parametrize("name", ["worker_state", "worker_exit"])
def test_functions_that_are_none(make_executor, name):
    with pytest.raises(TypeError, match=f"{name} must be a callable or None, not 5"):
        make_executor(1, **{name: 5})


# Options of calls ----------------------------------------------------------------------------------------------------


def test_priorities(ctx, make_executor, gate):
    """Higher ones begin first, but for the few that are in the ring."""
    numbers = ctx.SimpleQueue()
    executor = make_executor(1, initializer=pooled.keep, initargs=(gate, numbers))
    ranked = [executor.with_options(priority=n) for n in range(5)]
    held = ranked[0].submit(pooled.hold)
    gate.wait()
    early = [ranked[0].submit(pooled.put_kept, n) for n in range(2)]
    late = [ranked[n % 5].submit(pooled.put_kept, n) for n in range(10, 30)]
    plain = executor.submit(pooled.put_kept, 99)
    gate.open()
    for future in (held, *early, *late, plain):
        future.result(PATIENCE)
    expected = [0, 1, *sorted(range(10, 30), key=lambda n: (-(n % 5), n)), 99]
    assert [numbers.get() for _ in expected] == expected


def test_a_call_with_a_priority_can_be_cancelled(held_executor, gate):
    ranked = held_executor.with_options(priority=1)
    running = [ranked.submit(pooled.hold) for _ in range(2)]
    gate.wait(2)
    waiting = [ranked.submit(pooled.square, n) for n in range(20)]
    assert all(future.cancel() for future in waiting[10:])
    gate.open(2)
    assert [future.result(PATIENCE) for future in running + waiting[:10]] == [None, None, *(n * n for n in range(10))]
    assert all(future.cancelled() for future in waiting[10:])


def test_a_timeout_of_a_call(make_executor, gate):
    """It holds for this call, and stands above the executor's own."""
    executor = make_executor(initializer=pooled.keep, initargs=(gate,), timeout=0.05)
    held = executor.with_options(timeout=math.inf).submit(pooled.hold, 3)
    gate.wait()
    for call in (executor.submit, executor.with_options(timeout=0.1).submit):
        with pytest.raises(mpfast.TaskTimeout):
            call(pooled.hold).result(PATIENCE)
        gate.wait()
    gate.open()
    assert held.result(PATIENCE) == 3


def test_retries_of_a_call(ctx, make_executor):
    executor = make_executor(initializer=pooled.keep, initargs=(ctx.Value("q", 0),))
    assert executor.with_options(retries=1).submit(pooled.die_once, 5).result(PATIENCE) == 5


def test_the_keywords_are_the_functions(executor):
    """Whatever they are called."""
    bound = executor.with_options(priority=1)
    given = {"timeout": 1, "priority": 2, "fn": 3, "self": 4}
    assert bound.submit(pooled.arguments, 5, **given).result(PATIENCE) == ((5,), given)


def test_an_event_loop_takes_it(executor):
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor.with_options(priority=1), pooled.square, 3)

    assert asyncio.run(main()) == 9


def test_wrong_options(executor):
    for options, error in (
        ({"timeout": "1"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"retries": -1}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"priority": "high"}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(options))):
            executor.with_options(**options)


def test_after_shutdown(executor):
    bound = executor.with_options(priority=1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        bound.submit(pooled.square, 3)


def test_they_need_the_engine():
    with mpfast.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        for call in (lambda: executor.resize(2), lambda: executor.with_options(priority=1)):
            with pytest.raises(TypeError, match="needs mpfast's engine"):
                call()
        assert executor.submit(os.getpid).result(PATIENCE) != os.getpid()
    with pytest.raises(TypeError, match="worker_state needs mpfast's engine"):
        mpfast.ProcessPoolExecutor(1, multiprocessing.get_context("fork"), worker_state=cared.make_state)


def test_futures_are_of_the_usual_kind(executor):
    futures = [executor.with_options(priority=n).submit(pooled.square, n) for n in range(5)]
    assert concurrent.futures.wait(futures, PATIENCE).not_done == set()
    assert {future.result() for future in futures} == {0, 1, 4, 9, 16}


# Interrupts ----------------------------------------------------------------------------------------------------------


def test_a_cancel_that_is_interrupted(held_executor, gate, monkeypatch):
    """Between the two steps, the call is taken back already. Then the future is cancelled for all."""
    running = [held_executor.submit(pooled.hold) for _ in range(2)]
    gate.wait(2)
    waiting = [held_executor.submit(pooled.square, n) for n in range(3)]

    def interrupt(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures.Future, "cancel", interrupt)
        for future in waiting:
            with pytest.raises(KeyboardInterrupt):
                future.cancel()
    assert waiting[0].cancel()
    assert waiting[1].done()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting[2].result(PATIENCE)
    assert [future.cancelled() for future in waiting] == [True] * 3
    gate.open(2)
    assert [future.result(PATIENCE) for future in running] == [None, None]
