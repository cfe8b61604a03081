# SPDX-License-Identifier: MIT
"""start_many() and prewarm()."""

import multiprocessing
import threading

import launched
import pytest
import workers
from harness import PATIENCE

import mpfast


@pytest.fixture
def mp():
    return mpfast


def test_start_many(ctx):
    processes = [ctx.Process(target=launched.exit_with, args=(number % 5,)) for number in range(40)]
    ctx.start_many(processes)
    assert len({process.pid for process in processes}) == 40
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [number % 5 for number in range(40)]
    for process in processes:
        process.close()


def test_start_many_of_none(ctx):
    ctx.start_many([])
    ctx.start_many(ctx.Process() for _ in range(0))


def test_start_many_checks_them_all_first(ctx, start):
    """One of them cannot be started: what start() says, and none is."""
    fresh = [ctx.Process(target=workers.nothing) for _ in range(3)]
    running = start().process
    for wrong, kind in ((running, AssertionError), (closed(ctx), ValueError), (None, (AttributeError, TypeError))):
        with pytest.raises(kind):
            ctx.start_many([*fresh, wrong])
    with pytest.raises((AssertionError, ValueError)):
        ctx.start_many([fresh[0], fresh[0]])
    assert [process.pid for process in fresh] == [None] * 3


def closed(ctx):
    process = ctx.Process()
    process.close()
    return process


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_start_many_with_one_that_cannot_be_sent(ctx):
    """The error comes out; whatever runs by then has its process object."""
    processes = [ctx.Process(target=workers.nothing) for _ in range(3)]
    processes.insert(1, ctx.Process(target=workers.nothing, args=(threading.Lock(),)))
    with pytest.raises(TypeError):
        ctx.start_many(processes)
    for process in processes:
        if process.pid is not None:
            process.join(PATIENCE)
            assert process.exitcode == 0
    assert processes[1].pid is None


def test_start_many_of_subclasses(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    processes = [launched.adder_class(ctx)([number], writer) for number in range(3)]
    ctx.start_many(processes)
    assert sorted(reader.recv()[0] for _ in processes) == [0, 1, 2]
    for process in processes:
        process.join(PATIENCE)
        process.close()
    reader.close()
    writer.close()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_prewarm(ctx, n):
    """It does no harm with any method, and starts no process."""
    assert ctx.prewarm(n) is None
    assert multiprocessing.active_children() == []
    process = ctx.Process(target=workers.nothing)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("wrong", [-1, "two", 1.5])
def test_prewarm_of_nonsense(ctx, wrong):
    with pytest.raises((ValueError, TypeError)):
        ctx.prewarm(wrong)
