# SPDX-License-Identifier: MIT
"""Work that is left when something ends: workers, an input, a variable, a callback. It has an outcome nevertheless."""

import gc
import sys
import threading

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


def outcomes(iterator):
    """Results and the names of errors until the end."""
    got = pooled.outcomes(iterator, BaseException)
    return [type(one).__name__ if isinstance(one, BaseException) else one for one in got]


def test_each_element_ends_its_worker(make_pool):
    """More of them than are dealt at first."""
    pool = make_pool(2)
    kinds = ["exit"] * 30
    assert outcomes(pool.imap(pooled.die, kinds)) == ["WorkerDied"] * 30
    with pytest.raises(mpfast.WorkerDied):
        pool.map_async(pooled.die, kinds, 1).get(PATIENCE)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_an_input_that_fails_with_elements_that_wait(held, gate, name, error):
    iterator = getattr(held, name)(pooled.hold, pooled.some_then(error))
    gate.open(100)
    found = outcomes(iterator)
    assert sorted(map(str, found)) == sorted(map(str, [*range(100), error.__name__]))
    if name == "imap":
        assert found == [*range(100), error.__name__]


@pytest.mark.filterwarnings("ignore:unclosed running")
def test_a_result_keeps_its_pool(ctx):
    """As in multiprocessing."""
    result = ctx.Pool(1).apply_async(pooled.square, (3,))
    results = ctx.Pool(1).map_async(pooled.square, range(5))
    iterator = ctx.Pool(1).imap(pooled.square, range(5))
    gc.collect()
    assert result.get(PATIENCE) == 9
    assert results.get(PATIENCE) == [n * n for n in range(5)]
    assert [iterator.next(PATIENCE) for _ in range(5)] == [n * n for n in range(5)]
    del result, results, iterator
    gc.collect()


def test_a_list_that_is_shortened_meanwhile(held, gate):
    elements = list(range(200))
    result = held.map_async(pooled.hold, elements, 1)
    gate.wait(2)
    elements.clear()
    gate.open(200)
    with pytest.raises(RuntimeError, match="shortened"):
        result.get(PATIENCE)
    assert not held._cache


@pytest.mark.parametrize("timeout", [3e6, 1e10, threading.TIMEOUT_MAX])
def test_very_long_timeouts(held, gate, timeout):
    result = held.apply_async(pooled.hold, (3,))
    gate.wait(1)
    waiting = Thread(result.get, timeout).asleep()
    gate.open()
    assert waiting.result() == 3


def test_a_function_without_a_name_dies(make_pool):
    pool = make_pool(1)
    with pytest.raises(mpfast.WorkerDied, match="NoRepr"):
        pool.apply_async(pooled.NoRepr()).get(PATIENCE)
    assert pool.apply_async(pooled.square, (3,)).get(PATIENCE) == 9


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_ends_its_thread(make_pool):
    """Other callbacks are called nevertheless."""
    pool = make_pool(1)
    pool.apply_async(pooled.square, (3,), callback=sys.exit).wait(PATIENCE)
    found = []
    assert pool.apply_async(pooled.square, (4,), callback=found.append).get(PATIENCE) == 16
    assert found == [16]


def test_a_callback_cannot_wait_for_the_end(make_pool):
    pool, errors, done = make_pool(1), [], threading.Event()

    def callback(_):
        pool.close()
        try:
            pool.join()
        except RuntimeError as error:
            errors.append(str(error))
        done.set()

    pool.apply_async(pooled.square, (3,), callback=callback)
    assert done.wait(PATIENCE)
    pool.join()
    assert "callback" in errors[0]


def test_a_call_that_comes_while_the_pool_is_closed(make_pool):
    """Another thread closes it when the caller has looked already."""
    pool = make_pool(1)
    pool._desk.close()
    for call in (pool.apply_async, pool.map_async, pool.imap):
        with pytest.raises(ValueError, match="Pool not running"):
            call(pooled.square, (3,))


def test_calls_that_wait_behind_cancelled_ones(held_executor, gate):
    """Those that were cancelled leave room in the ring, and no result that would tell of it."""
    running = [held_executor.submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    futures = [held_executor.submit(pooled.square, n) for n in range(9000)]
    assert all(future.cancel() for future in futures[:8500])
    gate.open(2)
    assert [future.result(PATIENCE) for future in running] == [0, 1]
    assert [future.result(PATIENCE) for future in futures[8500:]] == [n * n for n in range(8500, 9000)]


def test_a_start_that_is_refused(make_executor, monkeypatch):
    """The calls wait for the next one."""
    executor = make_executor(1)
    refused = []

    def refuse(process):
        refused.append(process)
        if len(refused) < 3:
            raise OSError(11, "made up")
        return start(process)

    start = executor._mp_context.Process.start
    monkeypatch.setattr(executor._mp_context.Process, "start", refuse)
    if executor._mp_context.get_start_method() == "fork":
        for _ in range(2):
            with pytest.raises(OSError, match="made up"):
                executor.submit(pooled.square, 3)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    assert len(refused) == 3


def test_several_threads_start_workers(ctx, monkeypatch):
    """No two of them have one place."""
    with ctx.Pool(1) as pool:
        crew = pool._desk.crew
        crew.size = 5
        threads = [Thread(crew.fill) for _ in range(4)]
        for thread in threads:
            thread.result()
        crew.size = len(crew.workers)
        assert sorted(crew.numbers) == list(range(crew.size))
        assert set(crew.numbers.values()) == set(crew.workers)
        assert pool.map(pooled.square, range(50), 1) == [n * n for n in range(50)]
        pool.terminate()
        pool.join()
