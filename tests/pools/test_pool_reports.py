# SPDX-License-Identifier: MIT
"""What users have reported of other pools, most of it hangs. Each test is named by its report.

It runs on multiprocessing as well, where the hang was repaired there or is not met by every run.
"""

import sys

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

ONLY_HERE = "multiprocessing's pool hangs, which is the report"


def test_cpython_96062_a_worker_that_is_killed_from_outside(mp, held, gate):
    """Its task was lost, and get() waited for ever."""
    if mp is not mpfast:
        pytest.skip(ONLY_HERE)
    result = held.map_async(pooled.hold, range(5), 1)
    gate.wait(2)
    held._pool[0].kill()
    gate.open(10)
    with pytest.raises(mpfast.WorkerDied):
        result.get(PATIENCE)
    held.close()
    Thread(held.join).result()


def test_cpython_87472_an_initializer_that_fails(mp, make_pool):
    """Workers were started for ever, and no call had an outcome."""
    if mp is not mpfast:
        pytest.skip(ONLY_HERE)
    pool = make_pool(2, pooled.fail_to_begin)
    with pytest.raises(mpfast.BrokenPool) as raised:
        pool.map_async(pooled.square, range(5)).get(PATIENCE)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2])
def test_cpython_115634_more_calls_than_a_worker_may_have(mp, method, make_executor, workers, most):
    """And cpython#140900, its repair: the executor stopped when a worker had left with tasks behind it."""
    if mp is not mpfast:
        pytest.skip("not every version has the repair")
    executor = make_executor(workers, max_tasks_per_child=most)
    futures = [executor.submit(pooled.pid) for _ in range(10)]
    pids = [future.result(PATIENCE) for future in futures]
    assert max(pids.count(pid) for pid in pids) <= most
    Thread(executor.shutdown).result()


@pytest.mark.parametrize("way", ["imap", "imap_unordered"])
def test_cpython_155477_close_after_a_part_of_an_iterator(mp, pool, way):
    """The thread that reads the input waited for room, and close() for that thread."""
    if not abilities.has_buffersize(pool.imap):
        pytest.skip("this version has no imap(buffersize=)")
    if mp is not mpfast:
        pytest.skip("not every version has the repair")
    iterator = getattr(pool, way)(pooled.same, iter(range(50)), buffersize=2)
    assert iterator.next(PATIENCE) in range(3)
    pool.terminate()
    Thread(pool.join).result()


@abilities.deaths
def test_pebble_163_a_worker_that_dies_while_it_takes_a_task(mp, make_pool):
    """It had a lock that all workers need to take one. Here an idle worker is killed at any moment of its life."""
    if mp is not mpfast:
        pytest.skip(ONLY_HERE)
    pool = make_pool(3)
    for turn in range(30):
        results = [pool.apply_async(len, (bytes(100 * turn),)) for _ in range(20)]
        for worker in list(pool._pool)[: turn % 3]:
            worker.kill()
        for result in results:
            result.wait(PATIENCE)
            if result.successful():
                assert result.get() == 100 * turn
            else:
                with pytest.raises(mpfast.WorkerDied):
                    result.get()


def test_cpython_79492_an_exception_that_cannot_be_unpickled(mp, pool):
    """It ended the thread that took results."""
    if mp is not mpfast:
        pytest.skip(ONLY_HERE)
    with pytest.raises(mpfast.RemoteError if hasattr(mpfast, "RemoteError") else Exception, match="Awkward|TypeError"):
        pool.apply_async(pooled.raise_awkward).get(PATIENCE)
    assert pool.apply(pooled.square, (3,)) == 9


def test_cpython_105829_many_calls_with_much_data(make_executor):
    """A full pipe and a wake-up pipe waited for each other."""
    executor = make_executor(3)
    futures = [executor.submit(pooled.size, bytes(5000)) for _ in range(3000)]
    assert {future.result(PATIENCE) for future in futures} == {5000}
    Thread(executor.shutdown).result()


@pytest.mark.skipif(sys.platform != "linux", reason="signals")
def test_a_result_whose_unpickling_raises(mp, pool):
    if mp is not mpfast:
        pytest.skip(ONLY_HERE)
    results = [pool.apply_async(pooled.give_spoilt), pool.apply_async(pooled.square, (3,))]
    with pytest.raises(mpfast.ProcessError, match="spoilt on the way"):
        results[0].get(PATIENCE)
    assert results[1].get(PATIENCE) == 9
    found = pooled.outcomes(pool.imap(pooled.spoilt_if_odd, range(6)), mpfast.ProcessError)
    assert [one if isinstance(one, int) else "error" for one in found] == [0, "error", 2, "error", 4, "error"]
    until(lambda: not pool._cache, "nothing is left")
