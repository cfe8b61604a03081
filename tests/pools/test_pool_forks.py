# SPDX-License-Identifier: MIT
"""A process that owns a pool or an executor forks. The child can do it no harm."""

import contextlib
import gc
import multiprocessing.util
import os
import threading

import abilities
import pooled
import pytest
from harness import PATIENCE

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


def in_child(function):
    """The name of the error that it raises in a child of os.fork, or None."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os.write(writer, b"None")
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader) as file:
        return file.read()


@pytest.mark.parametrize("call", ["close", "terminate", "join"])
def test_a_child_does_not_end_the_pool(make_pool, call):
    pool = make_pool()
    assert pool.apply(pooled.square, (3,)) == 9
    in_child(getattr(pool, call))
    assert pool.map_async(pooled.square, range(10), 1).get(PATIENCE) == [n * n for n in range(10)]
    assert all(worker.is_alive() for worker in pool._pool)


def test_a_child_that_ends_normally_does_not_end_workers(held, gate):
    """multiprocessing's terminates all daemons that its parent had started."""
    result = held.apply_async(pooled.hold, (3,))
    gate.wait(1)
    assert in_child(multiprocessing.util._exit_function) == "None"
    gate.open()
    assert result.get(PATIENCE) == 3


def test_a_child_that_ends_normally_does_not_wait_for_an_executor(held_executor, gate):
    running = held_executor.submit(pooled.hold, 5)
    gate.wait()
    assert in_child(multiprocessing.util._exit_function) == "None"
    gate.open()
    assert running.result(PATIENCE) == 5


def test_a_child_does_not_take_results(held, gate):
    result = held.apply_async(pooled.hold, (3,))
    gate.wait(1)
    gate.open()
    done = held.apply_async(pooled.square, (3,))
    stay = held.apply_async(pooled.hold, (4,))
    gate.wait(1)
    in_child(lambda: [done.ready(), result.ready()])
    gate.open()
    assert [result.get(PATIENCE), done.get(PATIENCE), stay.get(PATIENCE)] == [3, 9, 4]


def test_a_child_does_not_cancel(held_executor, gate):
    running = [held_executor.submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    waiting = held_executor.submit(pooled.square, 3)
    assert in_child(waiting.cancel) == "RuntimeError"
    gate.open(2)
    assert waiting.result(PATIENCE) == 9
    assert [future.result(PATIENCE) for future in running] == [0, 1]


@pytest.mark.parametrize("call", ["terminate_workers", "kill_workers"])
def test_a_child_does_not_end_workers(executor, call):
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    assert in_child(getattr(executor, call)) == "RuntimeError"
    assert executor.submit(pooled.square, 4).result(PATIENCE) == 16


def test_a_child_collects_an_executor(ctx):
    executors = [mpfast.ProcessPoolExecutor(2, mp_context=ctx)]
    assert executors[0].submit(pooled.square, 3).result(PATIENCE) == 9

    def collect():
        executors.clear()
        gc.collect()

    assert in_child(collect) == "None"
    workers = list(executors[0]._processes.values())
    assert executors[0].submit(pooled.square, 4).result(PATIENCE) == 16
    assert list(executors[0]._processes.values()) == workers
    executors[0].shutdown()


def eventfds():
    """How many this process has. The descriptors of Process objects and of the rings are inherited as ever."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found.count("anon_inode:[eventfd]")


def test_a_child_drops_the_executors_descriptors(make_executor):
    before = eventfds()
    executor = make_executor()
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    lookout = executor._staff.crew.lookout

    def look():
        assert (eventfds(), lookout.ends.closed, lookout.sleeper.closed) == (before, True, True)

    assert (eventfds(), lookout.ends.closed) == (before + 2, False)
    assert in_child(look) == "None"
    assert executor.submit(pooled.square, 4).result(PATIENCE) == 16


def test_a_child_does_not_wait_at_its_end(held_executor, gate):
    """For what its parent has submitted."""
    running = held_executor.submit(pooled.hold, 5)
    gate.wait()
    assert in_child(threading._shutdown) == "None"
    gate.open()
    assert running.result(PATIENCE) == 5


def use(executor, connection):
    try:
        executor.submit(pooled.square, 3)
    except RuntimeError as error:
        connection.send(str(error))
    connection.close()


def test_a_process_of_the_same_program_is_told_whose_it_is(executor):
    """A child that multiprocessing has forked. When it ends, the parent's executor goes on."""
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    ctx = mpfast.get_context("fork")
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=use, args=(executor, writer))
    child.start()
    writer.close()
    assert reader.recv().startswith(f"this executor belongs to process {os.getpid()}")
    reader.close()
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert executor.submit(pooled.square, 4).result(PATIENCE) == 16
