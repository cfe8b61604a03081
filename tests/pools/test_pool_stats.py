# SPDX-License-Identifier: MIT
"""stats(): what waits, what runs and what is done."""

import os
import pickle

import pooled
import pytest
from harness import PATIENCE, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


def test_of_each_worker(held, gate):
    """What it runs, since when, how many it has done, and its memory."""
    assert held.map(pooled.square, range(100), 1) == [n * n for n in range(100)]
    results = [held.apply_async(pooled.hold, (n,)) for n in range(3)]
    gate.wait(2)
    now = held.stats()
    assert (now.running, now.queued, now.done, now.deaths) == (2, 1, 100, 0)
    assert {worker.pid for worker in now.workers} == {worker.pid for worker in held._pool}
    assert sum(worker.done for worker in now.workers) == 100
    for worker in now.workers:
        assert worker.task == "pooled.hold"
        assert 0 <= worker.seconds < PATIENCE
        assert worker.memory > 1 << 20
    assert [result.pid in {worker.pid for worker in now.workers} for result in results] == [True, True, False]
    assert [result.running() for result in results] == [True, True, False]
    gate.open(3)
    assert [result.get(PATIENCE) for result in results] == [0, 1, 2]
    now = held.stats()
    assert (now.running, now.queued, now.done) == (0, 0, 103)
    assert {(worker.task, worker.seconds) for worker in now.workers} == {(None, None)}


def test_of_maps(held, gate):
    """Their elements count, those that are not dealt yet too."""
    result = held.map_async(pooled.hold, range(1000), 1)
    gate.wait(2)
    now = held.stats()
    assert (now.running, now.queued) == (2, 998)
    assert {worker.task for worker in now.workers} <= {f"pooled.hold for element {n}" for n in range(100)}
    assert result.cancel()


def test_of_deaths(pool):
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.die)
    until(lambda: len(pool._pool) == 2, "another one is there")
    assert pool.apply(pooled.square, (3,)) == 9
    now = pool.stats()
    assert (now.deaths, now.done, len(now.workers)) == (1, 1, 2)


def test_of_an_executor(held_executor, gate):
    assert held_executor.stats() == (0, 0, 0, 0, 0, ())
    futures = [held_executor.submit(pooled.hold, n) for n in range(3)]
    gate.wait(2)
    now = held_executor.stats()
    assert (now.running, now.queued, len(now.workers)) == (2, 1, 2)
    gate.open(3)
    assert [future.result(PATIENCE) for future in futures] == [0, 1, 2]
    assert held_executor.stats().done == 3


def test_is_a_value(pool):
    now = pool.stats()
    assert isinstance(now, mpfast.PoolStats)
    assert isinstance(now.workers[0], mpfast.WorkerStats)
    assert pickle.loads(pickle.dumps(now)) == now


def test_of_a_pool_that_has_ended(pool):
    pool.terminate()
    pool.join()
    assert pool.stats().workers == ()


def test_in_a_forked_child(pool, method):
    if method != "fork":
        pytest.skip("the child is forked by hand")
    pid = os.fork()
    if pid == 0:
        try:
            pool.stats()
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
