# SPDX-License-Identifier: MIT
"""get_reusable_executor(), in the shape of loky's."""

import inspect
import os

import pooled
import pytest
from harness import PATIENCE, until

import mpfast
from mpfast.integrations.loky import get_reusable_executor


def pids(executor, workers):
    """Of the workers, once there are so many."""
    futures = [executor.submit(pooled.wait_for, 0.01) for _ in range(4 * workers)]
    assert [future.result(PATIENCE) for future in futures] == [0.01] * len(futures)
    return set(executor._processes)


def test_has_lokys_arguments():
    theirs = pytest.importorskip("loky").get_reusable_executor
    names = list(inspect.signature(theirs).parameters)
    assert list(inspect.signature(get_reusable_executor).parameters)[: len(names)] == names


def test_is_reused():
    executor = get_reusable_executor(max_workers=2)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    workers = set(executor._processes)
    again = get_reusable_executor(max_workers=2)
    assert again is executor
    assert again.submit(pooled.square, 4).result(PATIENCE) == 16
    assert workers <= set(again._processes)
    assert get_reusable_executor(reuse=True) is executor


def test_is_made_anew():
    """With other arguments, after a shutdown, and if that is asked for."""
    first = get_reusable_executor(max_workers=2)
    second = get_reusable_executor(max_workers=2, initializer=pooled.keep, initargs=(5,))
    assert second is not first
    assert second.submit(pooled.get_kept).result(PATIENCE) == (5,)
    assert get_reusable_executor(max_workers=2, reuse=True) is second
    third = get_reusable_executor(max_workers=2, reuse=False)
    assert third is not second
    third.shutdown()
    fourth = get_reusable_executor(max_workers=2)
    assert fourth is not third
    assert fourth.submit(pooled.square, 3).result(PATIENCE) == 9
    with pytest.raises(RuntimeError):
        third.submit(pooled.square, 3)


def test_another_size():
    executor = get_reusable_executor(max_workers=1)
    assert len(pids(executor, 1)) == 1
    executor = get_reusable_executor(max_workers=3)
    assert executor._max_workers == 3
    until(lambda: len(pids(executor, 3)) == 3, "three are there")
    executor = get_reusable_executor(max_workers=2)
    until(lambda: len(pids(executor, 2)) <= 2, "one has left")


def test_a_dead_worker_does_not_end_it():
    executor = get_reusable_executor(max_workers=2)
    with pytest.raises(mpfast.WorkerDied):
        executor.submit(pooled.die).result(PATIENCE)
    assert get_reusable_executor(max_workers=2) is executor
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9


def test_kill_workers():
    """What runs is ended, and does not hold up the next executor."""
    executor = get_reusable_executor(max_workers=1)
    future = executor.submit(pooled.wait_for, 1000)
    until(future.running, "it runs")
    other = get_reusable_executor(max_workers=1, kill_workers=True, reuse=False)
    assert future.exception(PATIENCE) is not None
    assert other.submit(pooled.square, 3).result(PATIENCE) == 9


def test_environment():
    executor = get_reusable_executor(max_workers=1, env={"MPFAST_TEST_WORD": 5})
    assert executor.submit(os.getenv, "MPFAST_TEST_WORD").result(PATIENCE) == "5"
    assert "MPFAST_TEST_WORD" not in os.environ


def test_wrong_arguments():
    with pytest.raises(ValueError, match="greater than 0"):
        get_reusable_executor(max_workers=0)
    with pytest.raises(ValueError, match="fork"):
        get_reusable_executor(max_workers=1, context="fork")
    with pytest.raises(TypeError, match="reducers"):
        get_reusable_executor(max_workers=1, job_reducers={})
    with pytest.raises(ValueError, match="context"):
        get_reusable_executor(max_workers=1, context="thread")
    with pytest.raises(AttributeError, match="^context must be a context, as .*, not 3$"):
        get_reusable_executor(max_workers=1, context=3)
    with pytest.raises(TypeError, match="^max_workers must be an int, not '2'$"):
        get_reusable_executor(max_workers="2")
    with pytest.raises(TypeError, match="^timeout must be a number of seconds or None, not 'x'$"):
        get_reusable_executor(max_workers=1, timeout="x")
    with pytest.raises(ValueError, match="^timeout must be at least 0 seconds, not -1$"):
        get_reusable_executor(max_workers=1, timeout=-1)


def test_after_fork():
    """A forked child has an executor of its own."""
    executor = get_reusable_executor(max_workers=1)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    pid = os.fork()
    if pid == 0:
        try:
            mine = get_reusable_executor(max_workers=1)
            done = mine is not executor and mine.submit(pooled.square, 4).result(PATIENCE) == 16
            mine.shutdown()
            os._exit(0 if done else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert get_reusable_executor(max_workers=1) is executor
