# SPDX-License-Identifier: MIT
"""The executor that stands in for concurrent.futures', which does what that one does to the letter."""

import concurrent.futures
import logging
import os
import sys
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool

import pooled
import pytest
from harness import PATIENCE, exit_code, until

import mpfast
from mpfast.standin import executors

ABRUPTLY = "A process in the process pool was terminated abruptly while the future was running or pending."
UNUSABLE = "A child process terminated abruptly, the process pool is not usable anymore"


@pytest.fixture
def make_executor(mp, ctx):
    cls = executors.ProcessPoolExecutor if mp is mpfast else concurrent.futures.ProcessPoolExecutor
    made = []

    def make(max_workers=2, **options):
        made.append(cls(max_workers, mp_context=ctx, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)
    made.clear()


class Thing:
    def method(self):
        pass


def leave_when_loaded():
    return LeavesWhenLoaded()


class LeavesWhenLoaded:
    """The process that unpickles it gets a SystemExit."""

    def __reduce__(self):
        return sys.exit, (5,)


class LeavesWhenPickled:
    def __reduce__(self):
        sys.exit(6)


def leave_when_pickled():
    return LeavesWhenPickled()


def log_to(queue):
    """An initializer that fails. What it logs goes into the queue."""
    handler = logging.Handler()
    handler.emit = lambda record: queue.put((record.name, record.levelname, record.getMessage(), bool(record.exc_info)))
    logging.getLogger("concurrent.futures").addHandler(handler)
    raise ZeroDivisionError("cannot begin")


def is_broken(executor, future):
    """The future and the executor say so."""
    with pytest.raises(BrokenProcessPool, match=f"^{ABRUPTLY}$"):
        future.result(PATIENCE)
    until(lambda: executor._broken, "it is broken")
    assert executor._broken == UNUSABLE
    for call in (executor.submit, executor.map):
        with pytest.raises(BrokenProcessPool, match=f"^{UNUSABLE}$"):
            call(pooled.square, [3])
    executor.shutdown()
    with pytest.raises(BrokenProcessPool, match=f"^{UNUSABLE}$"):
        executor.submit(pooled.square, 3)
    return True


@pytest.mark.parametrize("code", [0, 1])
def test_a_task_that_ends_its_worker(make_executor, code):
    executor = make_executor()
    assert is_broken(executor, executor.submit(os._exit, code))


def test_an_argument_that_cannot_be_unpickled(make_executor):
    """Ends the worker, and that the executor."""
    executor = make_executor(1)
    assert is_broken(executor, executor.submit(pooled.same, pooled.Spoilt()))


def test_an_element_that_cannot_be_unpickled(make_executor):
    executor = make_executor(1)
    with pytest.raises(BrokenProcessPool):
        list(executor.map(pooled.same, [1, pooled.Spoilt()]))


@pytest.mark.parametrize("give", [pooled.give_spoilt, leave_when_loaded])
def test_a_result_that_cannot_be_unpickled(make_executor, give):
    with pytest.raises(BrokenProcessPool):
        make_executor().submit(give).result(PATIENCE)


def test_a_result_that_exits_when_it_is_pickled(make_executor):
    with pytest.raises(SystemExit) as raised:
        make_executor().submit(leave_when_pickled).result(PATIENCE)
    assert raised.value.code == 6


def test_an_initializer_that_fails_is_logged(ctx, make_executor):
    queue = ctx.Queue()
    executor = make_executor(1, initializer=log_to, initargs=(queue,))
    with pytest.raises(BrokenProcessPool):
        executor.submit(pooled.square, 3).result(PATIENCE)
    assert queue.get(timeout=PATIENCE) == ("concurrent.futures", "CRITICAL", "Exception in initializer:", True)
    queue.close()
    queue.join_thread()


def test_an_initializer_that_fails_ends_its_worker_quietly(make_executor, ctx):
    queue = ctx.Queue()
    executor = make_executor(1, initializer=log_to, initargs=(queue,))
    workers = []
    try:
        future = executor.submit(pooled.square, 3)
        workers += executor._processes.values()
    except BrokenProcessPool:
        return
    with pytest.raises(BrokenProcessPool):
        future.result(PATIENCE)
    executor.shutdown()
    for worker in workers:
        assert exit_code(worker) in (0, -15)  # it may be told to end before
    queue.close()
    queue.join_thread()


def test_a_limited_number_of_tasks(make_executor, method):
    if method != "fork":
        assert make_executor(1, max_tasks_per_child=2).submit(pooled.square, 3).result(PATIENCE) == 9
        return
    text = (
        "^max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; "
        "supply a different mp_context.$"
    )
    with pytest.raises(ValueError, match=text):
        make_executor(1, max_tasks_per_child=2)


def test_a_call_that_is_dropped_keeps_nothing(make_executor):
    """Neither what it was given, nor what comes of it."""
    executor, thing = make_executor(), Thing()
    gone = weakref.ref(thing)
    executor.submit(thing.method)
    del thing
    until(lambda: gone() is None, "the object is gone")
    gone = weakref.ref(executor.submit(pooled.same, Thing()))
    until(lambda: gone() is None, "the future is gone")


def test_shutdown_leaves_some_calls(make_executor):
    """Those that a worker will have next, and are said to run."""
    executor = make_executor()
    futures = [executor.submit(pooled.same, n) for n in range(50)]
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    results = [future.result() for future in futures if not future.cancelled()]
    assert results[:1] == [0]


def test_workers_for_calls_that_cannot_be_sent(make_executor, method):
    """Are started all the same."""
    executor, lock = make_executor(4), threading.Lock()
    for _ in range(3):
        with pytest.raises(TypeError, match="cannot pickle"):
            executor.submit(lock.acquire).result(PATIENCE)
    assert len(executor._processes) == (4 if method == "fork" else 3)


def test_a_worker_for_a_map_of_one(make_executor, method):
    executor = make_executor(4)
    assert list(executor.map(pooled.square, [3])) == [9]
    assert len(executor._processes) == (4 if method == "fork" else 1)


def test_private_names(make_executor):
    executor = make_executor()
    assert (executor._executor_manager_thread, executor._broken) == (None, False)
    assert list(executor.map(pooled.square, range(4))) == [0, 1, 4, 9]
    assert executor._executor_manager_thread.is_alive()
    until(lambda: len(executor._pending_work_items) == 0, "nothing is pending")
    for pid, worker in executor._processes.items():
        assert pid == worker.pid


def test_private_names_after_shutdown(make_executor):
    executor = make_executor()
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    manager, queue, workers = executor._executor_manager_thread, executor._call_queue, executor._processes
    executor.shutdown(wait=False)
    assert (executor._executor_manager_thread, executor._call_queue, executor._processes) == (None, None, None)
    manager.join()
    assert not manager.is_alive()
    for worker in workers.values():
        assert exit_code(worker) == 0
    queue.join_thread()
    queue.close()
