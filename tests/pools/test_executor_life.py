# SPDX-License-Identifier: MIT
"""An executor from its constructor to its end, and what breaks it."""

import concurrent.futures
import gc
import multiprocessing
import os
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool

import abilities
import pooled
import pytest
from abilities import executor_class
from harness import PATIENCE, Thread, exit_code, until

REFUSED = "^cannot schedule new futures after shutdown$"


def is_own(mp):
    return executor_class(mp) is abilities.EXECUTOR


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_workers": 0}, ValueError, "^max_workers must be greater than 0$"),
        ({"max_workers": -1}, ValueError, "^max_workers must be greater than 0$"),
        ({"max_workers": "2"}, TypeError, "int"),
        ({"initializer": 5}, TypeError, "^initializer must be a callable$"),
        ({"max_tasks_per_child": "1"}, TypeError, "^max_tasks_per_child must be an integer$"),
        ({"max_tasks_per_child": 0}, ValueError, "^max_tasks_per_child must be >= 1$"),
        ({"max_tasks_per_child": -1}, ValueError, "^max_tasks_per_child must be >= 1$"),
        ({"made_up": 1}, TypeError, "unexpected keyword argument"),
    ],
)
def test_wrong_arguments(make_executor, options, error, text):
    with pytest.raises(error, match=text):
        make_executor(**options)


def test_as_many_workers_as_cpus(mp, ctx):
    with executor_class(mp)(mp_context=ctx) as executor:
        assert executor._max_workers == getattr(os, "process_cpu_count", os.cpu_count)()


def test_the_default_context(mp):
    """Is the package's own."""
    with executor_class(mp)(1) as executor:
        assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
        if is_own(mp):
            assert type(executor._mp_context).__module__.partition(".")[0] == "mpfast"


def test_workers(executor, method):
    pids = {executor.submit(pooled.pid).result(PATIENCE) for _ in range(10)}
    processes = dict(executor._processes)
    assert pids <= set(processes)
    assert {process.pid for process in processes.values()} == set(processes)
    assert set(processes) <= {process.pid for process in multiprocessing.active_children()}
    assert executor.submit(pooled.parent).result(PATIENCE) == os.getpid()
    assert executor._max_workers == 2
    if method == "fork":
        assert len(processes) == 2
    executor.shutdown()
    assert executor._processes is None
    assert [process.exitcode for process in processes.values()] == [0] * len(processes)


def test_workers_are_started_as_needed(make_executor, method):
    """Unless they are forked."""
    executor = make_executor(3)
    assert len(executor._processes) == 0
    for _ in range(5):
        assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
        assert len(executor._processes) <= (3 if method == "fork" else 2)


def test_an_initializer(make_executor):
    executor = make_executor(initializer=pooled.keep, initargs=("one", 2))
    assert set(executor.map(pooled.get_kept, range(20))) == {("one", 2)}


def test_arguments_without_an_initializer_are_not_looked_at(make_executor):
    assert make_executor(1, initargs=None).submit(pooled.square, 3).result(PATIENCE) == 9


def test_an_initializer_that_fails(make_executor, method, capfd):
    """Breaks the executor. The worker logs the reason, which pytest takes from forked ones and the fork server's."""
    executor = make_executor(breaking=True, initializer=pooled.fail_to_begin)
    future = executor.submit(pooled.square, 3)
    with pytest.raises(BrokenProcessPool):
        future.result(PATIENCE)
    with pytest.raises(BrokenProcessPool):
        until(lambda: executor.submit(pooled.square, 3) and None, "it is broken")
    executor.shutdown()
    if method == "spawn":
        assert "cannot begin" in capfd.readouterr().err


def test_a_limited_number_of_tasks(mp, make_executor, method):
    options = {"max_tasks_per_child": 2}
    if method == "fork" and not is_own(mp):
        with pytest.raises(ValueError, match="^max_tasks_per_child is incompatible with the 'fork'"):
            make_executor(1, **options)
        return
    executor = make_executor(1, **options)
    pids = [executor.submit(pooled.pid).result(PATIENCE) for _ in range(6)]
    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3


# The end -------------------------------------------------------------------------------------------------------------


def test_after_shutdown(executor):
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    executor.shutdown()
    for call in (executor.submit, executor.map):
        with pytest.raises(RuntimeError, match=REFUSED):
            call(pooled.square, [3])
    executor.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)


def test_shutdown_of_an_executor_that_did_nothing(make_executor):
    for wait in (True, False):
        executor = make_executor()
        executor.shutdown(wait)
        with pytest.raises(RuntimeError, match=REFUSED):
            executor.submit(pooled.square, 3)


def test_with(mp, ctx, gate):
    """Leaving the block waits for everything."""
    with executor_class(mp)(2, mp_context=ctx) as executor:
        futures = [executor.submit(pooled.square, n) for n in range(50)]
    assert all(future.done() for future in futures)
    assert [future.result(0) for future in futures] == [n * n for n in range(50)]
    with pytest.raises(RuntimeError, match=REFUSED):
        executor.submit(pooled.square, 3)


def test_shutdown_waits(held_executor, gate):
    futures = [held_executor.submit(pooled.hold, n) for n in range(5)]
    gate.wait(2)
    ending = Thread(held_executor.shutdown).asleep()
    gate.open(5)
    ending.result()
    assert [future.result(0) for future in futures] == list(range(5))


def test_shutdown_without_waiting(held_executor, gate):
    """Returns at once. What was submitted is done all the same."""
    futures = [held_executor.submit(pooled.hold, n) for n in range(5)]
    gate.wait(2)
    held_executor.shutdown(wait=False)
    assert not any(future.done() for future in futures)
    with pytest.raises(RuntimeError, match=REFUSED):
        held_executor.submit(pooled.square, 3)
    gate.open(5)
    assert [future.result(PATIENCE) for future in futures] == list(range(5))


def test_shutdown_cancels(held_executor, gate):
    """What nobody has begun. What runs goes on."""
    running = [held_executor.submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    waiting = [held_executor.submit(pooled.hold, n) for n in range(40)]
    ending = Thread(held_executor.shutdown, cancel_futures=True)
    until(waiting[-1].cancelled, "the last is cancelled")
    gate.open(42)
    ending.result()
    assert [future.result(0) for future in running] == [0, 1]
    assert all(future.done() for future in waiting)
    assert sum(future.cancelled() for future in waiting) >= 30


def test_an_executor_that_is_dropped(mp, ctx):
    """Does what is pending. Then its workers end."""
    executor = executor_class(mp)(2, mp_context=ctx)
    futures = [executor.submit(pooled.square, n) for n in range(20)]
    processes, gone = list(executor._processes.values()), weakref.ref(executor)
    del executor
    until(lambda: gc.collect() >= 0 and gone() is None, "it is gone")
    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(20)]
    for process in processes:
        assert exit_code(process) == 0


def test_an_executor_in_a_worker(mp, method, executor):
    """Its workers are no daemons."""
    assert executor.submit(pooled.use_a_pool, mp.__name__, method).result(2 * PATIENCE) == [0, 1, 4]


# What breaks it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_worker_that_dies(ctx, make_executor, gate, how):
    """Breaks it. Everything that is pending fails, and what is submitted later."""
    last = pooled.Gate(ctx)  # else it may be broken before everything is submitted
    executor = make_executor(breaking=True, initializer=pooled.keep, initargs=(gate, last))
    held = executor.submit(pooled.hold)
    gate.wait()
    dying = executor.submit(pooled.die_at_the_gate, how)
    waiting = [executor.submit(pooled.square, n) for n in range(20)]
    last.wait()
    last.open()
    for future in (dying, held, *waiting):
        with pytest.raises(BrokenProcessPool) as raised:
            future.result(PATIENCE)
        assert isinstance(raised.value, concurrent.futures.BrokenExecutor)
    with pytest.raises(BrokenProcessPool):
        executor.submit(pooled.square, 3)
    with pytest.raises(BrokenProcessPool):
        executor.map(pooled.square, [3])
    assert executor._broken
    executor.shutdown()


def test_an_idle_worker_that_dies(make_executor):
    executor = make_executor(breaking=True)
    assert list(executor.map(pooled.square, range(4))) == [0, 1, 4, 9]
    for process in list(executor._processes.values()):
        process.kill()
    with pytest.raises(BrokenProcessPool):
        until(lambda: executor.submit(pooled.square, 3).result(PATIENCE) and None, "it is broken")


def test_a_broken_executor_wakes_the_waiters(make_executor, gate):
    executor = make_executor(breaking=True, initializer=pooled.keep, initargs=(gate,))
    futures = [executor.submit(pooled.hold) for _ in range(2)]
    gate.wait(2)
    waiters = [
        Thread(futures[0].result),
        Thread(futures[1].exception),
        Thread(concurrent.futures.wait, futures),
    ]
    for waiter in waiters:
        waiter.asleep()
    next(iter(executor._processes.values())).kill()
    with pytest.raises(BrokenProcessPool):
        waiters[0].result()
    assert isinstance(waiters[1].result(), BrokenProcessPool)
    assert waiters[2].result().done == set(futures)


def test_a_task_that_kills_breaks_no_other_executor(make_executor):
    one, other = make_executor(breaking=True), make_executor(breaking=True)
    assert other.submit(pooled.square, 3).result(PATIENCE) == 9
    with pytest.raises(BrokenProcessPool):
        one.submit(pooled.die).result(PATIENCE)
    assert list(other.map(pooled.square, range(4))) == [0, 1, 4, 9]


def test_arguments_of_the_initializer_that_cannot_be_pickled(make_executor, ctx):
    """Are the error of the first call, whose worker cannot be started. With fork they need not travel."""
    executor = make_executor(1, initializer=pooled.keep, initargs=(threading.Lock(),))
    if ctx.get_start_method() == "fork":
        assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
        return
    for _ in range(2):
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(pooled.square, 3)
