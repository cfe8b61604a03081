# SPDX-License-Identifier: MIT
"""submit and map of an executor, and the errors of its tasks."""

import concurrent.futures
import functools
import gc
import inspect
import itertools
import traceback
import weakref
from concurrent.futures.process import ProcessPoolExecutor

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

NUMBERS = range(23)
SQUARES = [number * number for number in NUMBERS]


class Thing:
    pass


@abilities.executor
@pytest.mark.parametrize("name", ["__init__", *(name for name in dir(ProcessPoolExecutor) if not name.startswith("_"))])
def test_signature(name):
    """Every argument of the standard library's has its place and its default. What else there is, is keyword-only."""
    theirs = list(inspect.signature(getattr(ProcessPoolExecutor, name)).parameters.values())
    ours = inspect.signature(getattr(abilities.EXECUTOR, name)).parameters
    for expected in theirs:
        found = ours[expected.name]
        assert (found.default, found.kind) == (expected.default, expected.kind)
    assert all(p.kind is p.KEYWORD_ONLY for p in ours.values() if p.name not in {t.name for t in theirs})


def test_types(executor):
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(pooled.square, 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(PATIENCE) == 9


def test_submit(executor):
    assert executor.submit(pooled.arguments).result(PATIENCE) == ((), {})
    assert executor.submit(pooled.arguments, 1, "two", three=3).result(PATIENCE) == ((1, "two"), {"three": 3})
    assert executor.submit(pooled.arguments, self=1, fn=2).result(PATIENCE) == ((), {"self": 1, "fn": 2})
    assert executor.submit(pooled.Adder(5), 3).result(PATIENCE) == 8
    assert executor.submit(functools.partial(pooled.add, other=5), 3).result(PATIENCE) == 8
    with pytest.raises(TypeError):
        executor.submit()
    with pytest.raises(TypeError):
        executor.submit(fn=pooled.square)


def test_a_burst(executor):
    futures = [executor.submit(pooled.square, n) for n in range(1000)]
    assert [future.result(PATIENCE) for future in reversed(futures)] == [n * n for n in reversed(range(1000))]


@pytest.mark.parametrize("chunksize", [1, 2, 7, 1000])
def test_map(executor, chunksize):
    assert list(executor.map(pooled.square, NUMBERS, chunksize=chunksize)) == SQUARES
    assert list(executor.map(pooled.add, NUMBERS, iter(NUMBERS), chunksize=chunksize)) == [2 * n for n in NUMBERS]
    assert list(executor.map(pooled.add, NUMBERS, [1, 2], chunksize=chunksize)) == [1, 3]
    assert list(executor.map(pooled.square, [], chunksize=chunksize)) == []
    assert list(executor.map(pooled.arguments, chunksize=chunksize)) == []


@pytest.mark.parametrize("chunksize", [0, -1])
def test_chunks_of_nothing(executor, chunksize):
    with pytest.raises(ValueError, match="^chunksize must be >= 1.$"):
        executor.map(pooled.square, [1], chunksize=chunksize)


def test_map_reads_its_input_at_once(executor):
    """In the caller, which gets its errors."""

    def stops():
        yield 1
        raise LookupError("no more")

    numbers = iter(NUMBERS)
    results = executor.map(pooled.square, numbers)
    assert list(numbers) == []
    assert list(results) == SQUARES
    with pytest.raises(LookupError, match="no more"):
        executor.map(pooled.square, stops())
    with pytest.raises(TypeError, match="not iterable"):
        executor.map(pooled.square, 5)


def test_an_error_ends_a_map(executor):
    for chunksize, before in ((1, 1), (3, 0)):
        results = executor.map(pooled.fail_if_odd, [0, 1, 2, 4], chunksize=chunksize)
        assert list(itertools.islice(results, before)) == [0][:before]
        with pytest.raises(ValueError, match="^1$"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


def test_a_map_with_a_timeout(held_executor, gate):
    """Counts from the call."""
    gate.both_work(held_executor.submit)
    results = held_executor.map(pooled.hold_zero, [1, 2, 0], timeout=1)
    gate.wait()
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()


def test_a_map_that_is_dropped(held_executor, gate):
    """Takes back what nobody has begun."""
    results = held_executor.map(pooled.hold_all_but_zero, range(50))
    assert next(results) == 0
    gate.wait(2)
    results.close()
    gate.open(50)
    held_executor.shutdown()
    begun = 2
    while gate.begun.acquire(False):
        begun += 1
    assert begun < 40


def test_elements_are_not_read_ahead_with_buffersize(executor):
    if not abilities.has_buffersize(executor.map):
        pytest.skip("this version has no map(buffersize=)")
    numbers = iter(range(20))
    results = executor.map(pooled.square, numbers, buffersize=3)
    assert next(results) == 0
    assert next(numbers) == 4
    assert list(results) == [n * n for n in range(1, 20) if n != 4]
    for wrong, error in ((0, ValueError), (-1, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="buffersize"):
            executor.map(pooled.square, [1], buffersize=wrong)


def test_a_chunk_is_one_pickle(executor):
    """So that an object that is in it twice stays one."""
    thing = ["this"]
    one, other = executor.map(pooled.identity, [thing, thing], chunksize=2)
    assert one == other


def test_many_threads(executor):
    def work(number):
        futures = [executor.submit(pooled.add, number, n) for n in range(30)]
        assert [future.result(PATIENCE) for future in futures] == [number + n for n in range(30)]
        assert list(executor.map(pooled.square, NUMBERS, chunksize=4)) == SQUARES
        return number

    assert [thread.result(3 * PATIENCE) for thread in [Thread(work, n) for n in range(6)]] == list(range(6))


# Errors --------------------------------------------------------------------------------------------------------------


def test_errors_of_tasks(executor):
    future = executor.submit(pooled.fail, "text")
    with pytest.raises(ZeroDivisionError, match="^text$") as raised:
        future.result(PATIENCE)
    assert future.exception() is raised.value


def test_the_workers_traceback(executor):
    error = executor.submit(pooled.fail_from, "text").exception(PATIENCE)
    assert type(error.__cause__).__name__ in ("_RemoteTraceback", "RemoteTraceback")
    said = str(error.__cause__)
    for part in ("in fail_from", "raise KeyError", "the direct cause of the following exception", "ValueError: text"):
        assert part in said
    assert "raise KeyError" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(("code", "error"), [(None, SystemExit), (5, SystemExit), ("text", SystemExit)])
def test_a_task_that_exits(executor, code, error):
    """Is an error like others. The worker stays."""
    future = executor.submit(pooled.leave, code)
    found = future.exception(PATIENCE)
    assert type(found) is error
    assert found.code == code
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9


@pytest.mark.parametrize("error", [KeyboardInterrupt("key"), GeneratorExit("end"), StopIteration(5)])
def test_errors_that_are_special_elsewhere(executor, error):
    found = executor.submit(pooled.throw, error).exception(PATIENCE)
    assert (type(found), found.args) == (type(error), error.args)
    assert executor.submit(pooled.square, 3).result(PATIENCE) == 9


def test_what_cannot_be_pickled(executor):
    """The future has the error. The executor goes on."""
    for call in (
        lambda: executor.submit(pooled.same, pooled.Refuses()),
        lambda: executor.submit(pooled.Refuses().__reduce__),
        lambda: executor.submit(pooled.refuse),
        lambda: executor.submit(pooled.raise_refused),
    ):
        future = call()
        with pytest.raises(RuntimeError, match="this one stays here"):
            future.result(PATIENCE)
        assert executor.submit(pooled.square, 3).result(PATIENCE) == 9
    results = executor.map(pooled.same, [1, pooled.Refuses()])
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="this one stays here"):
        next(results)


# What is kept --------------------------------------------------------------------------------------------------------


def test_nothing_is_kept(executor):
    """Neither the arguments nor the results, once the future is gone."""
    thing = Thing()
    gone = [weakref.ref(thing)]
    future = executor.submit(pooled.same, thing)
    gone.append(weakref.ref(future.result(PATIENCE)))
    del thing
    until(lambda: gc.collect() >= 0 and gone[0]() is None, "the argument is gone")
    assert gone[1]() is not None
    del future
    until(lambda: gc.collect() >= 0 and gone[1]() is None, "the result is gone")


def test_a_map_keeps_no_result(executor):
    results = executor.map(pooled.make_thing, range(4))
    for result in results:
        gone = weakref.ref(result)
        del result
        until(lambda gone=gone: gc.collect() >= 0 and gone() is None, "the result is gone")
