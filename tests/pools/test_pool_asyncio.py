# SPDX-License-Identifier: MIT
"""Pools in event loops: aapply(), amap() and aimap(), and futures of executors that a loop wraps."""

import asyncio
import concurrent.futures
import contextlib
import gc
import importlib
import os
import threading

import pooled
import pytest
from harness import PATIENCE, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(scope="session", autouse=True)
def warm_uvloop():
    """Its first loop makes a pipe that stays."""
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop").new_event_loop().close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """run(coroutine): in a new event loop, and with a deadline."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    return lambda coroutine: in_loop(coroutine, factory)


def in_loop(coroutine, factory=None):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(asyncio.wait_for(coroutine, PATIENCE))


async def in_thread(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


async def begun(gate, tasks=1):
    await in_thread(gate.wait, tasks)


async def until_(condition, what):
    await in_thread(until, condition, what)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mpfast")]


# Single calls --------------------------------------------------------------------------------------------------------


def test_a_call(pool, run):
    """Its result, its keywords and its exception. No thread is made for it."""

    async def main():
        assert await pool.aapply(pooled.add, (1,), {"other": 2}) == 3
        with pytest.raises(ZeroDivisionError, match="oh"):
            await pool.aapply(pooled.fail, ("oh",))
        assert threads() == []

    run(main())
    assert pool.apply(pooled.square, (3,)) == 9


def test_many_calls_at_once(pool, run):
    async def main():
        numbers = range(500)
        assert await asyncio.gather(*(pool.aapply(pooled.square, (n,)) for n in numbers)) == [n * n for n in numbers]
        for n in range(100):
            assert await pool.aapply(pooled.square, (n,)) == n * n
        assert threads() == []

    run(main())


def test_the_loop_goes_on_meanwhile(held, gate, run):
    async def main():
        task = asyncio.ensure_future(held.aapply(pooled.hold, (5,)))
        await begun(gate)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        gate.open()
        assert await task == 5

    run(main())


def test_cancel_of_a_running_call(held, gate, run):
    """Its worker is killed. The other call goes on, and another worker takes the place."""

    async def main():
        tasks = [asyncio.ensure_future(held.aapply(pooled.hold, (n,))) for n in range(2)]
        await begun(gate, 2)
        before = {worker.pid for worker in held._pool}
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await held.aapply(pooled.square, (4,)) == 16
        assert not tasks[1].done()
        gate.open()
        assert await tasks[1] == 1
        assert len(before - {worker.pid for worker in held._pool}) == 1

    run(main())
    assert not held._cache


def test_cancel_of_a_waiting_call(held, gate, run):
    """It is never run."""

    async def main():
        tasks = [asyncio.ensure_future(held.aapply(pooled.hold, (n,))) for n in range(3)]
        await begun(gate, 2)
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        gate.open(2)
        assert [await task for task in tasks[:2]] == [0, 1]
        assert await held.aapply(pooled.square, (3,)) == 9

    run(main())
    assert not gate.begun.acquire(False)


def test_a_timeout_of_the_loop_cancels(held, run):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held.aapply(pooled.hold), 0.1)
        assert await held.aapply(pooled.square, (3,)) == 9

    run(main())
    assert not held._cache


def test_a_time_limit_of_the_pool(held, run):
    async def main():
        with pytest.raises(mpfast.TaskTimeout):
            await held.aapply(pooled.hold, timeout=0.1)
        assert await held.aapply(pooled.square, (3,), timeout=PATIENCE) == 9

    run(main())


def test_a_worker_dies(pool, run):
    """The loop learns of it without a thread, and the pool goes on."""

    async def main():
        for _ in range(3):
            with pytest.raises(mpfast.WorkerDied) as raised:
                await pool.aapply(pooled.die)
            assert raised.value.exitcode == -9
            assert await pool.aapply(pooled.square, (3,)) == 9
        assert await pool.aapply(pooled.square, (3,), retries=1) == 9

    run(main())


def test_what_cannot_be_pickled(pool, run):
    async def main():
        with pytest.raises(RuntimeError, match="stays here"):
            await pool.aapply(pooled.same, (pooled.Refuses(),))

    run(main())


def test_a_pool_that_is_closed_or_terminated(held, gate, run):
    async def main():
        task = asyncio.ensure_future(held.aapply(pooled.hold))
        await begun(gate)
        held.terminate()
        with pytest.raises(RuntimeError, match="terminated"):
            await task
        with pytest.raises(ValueError, match="not running"):
            await held.aapply(pooled.square, (3,))

    run(main())


def test_close_and_join_while_a_call_runs(held, gate, run):
    async def main():
        task = asyncio.ensure_future(held.aapply(pooled.hold, (5,)))
        await begun(gate)
        held.close()
        joined = asyncio.ensure_future(in_thread(held.join))
        gate.open()
        assert await task == 5
        await joined

    run(main())


# Several loops, and callers that are none ----------------------------------------------------------------------------


def test_one_loop_after_the_other(pool, run):
    """A loop that is closed leaves nothing that the next one would miss."""

    async def main(number):
        assert await pool.aapply(pooled.square, (number,)) == number * number

    for number in range(5):
        run(main(number))


def test_a_loop_that_is_closed_in_the_middle(held, gate):
    """Its call is given up when the next one comes, and that one goes on."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(held.aapply(pooled.hold))
    while not gate.begun.acquire(False):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False
    del task

    async def main():
        assert await held.aapply(pooled.square, (3,)) == 9
        gc.collect()
        await until_(lambda: not held._cache, "the call is given up")
        assert await held.aapply(pooled.square, (4,)) == 16

    in_loop(main())


def test_several_loops_in_several_threads(pool, run):
    """At the same time as threads that wait for the same pool."""
    wrong = []

    async def calls(first):
        for n in range(first, first + 100):
            if await pool.aapply(pooled.square, (n,)) != n * n:
                wrong.append(n)
        if await pool.amap(pooled.square, range(first, first + 300)) != [n * n for n in range(first, first + 300)]:
            wrong.append(first)

    def many():
        for n in range(100):
            if pool.apply(pooled.square, (n,)) != n * n or pool.apply_async(pooled.square, (n,)).get(PATIENCE) != n * n:
                wrong.append(n)

    workers = [threading.Thread(target=run, args=(calls(1000 * n),)) for n in range(3)]
    workers += [threading.Thread(target=many) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    assert not wrong
    assert not pool._cache


def test_a_thread_that_drains_leaves_the_loop_its_results(held, gate, run):
    """A thread that waits takes all results. When it leaves, the loop goes on by itself."""

    async def main():
        slow = asyncio.ensure_future(held.aapply(pooled.hold, (1,)))
        await begun(gate)
        sync = asyncio.ensure_future(in_thread(held.apply, pooled.hold, (2,)))
        await begun(gate)
        assert not slow.done()
        gate.open(2)
        assert await slow == 1
        assert await sync == 2
        slow = asyncio.ensure_future(held.aapply(pooled.hold, (3,)))
        await begun(gate)
        assert await in_thread(held.apply, pooled.square, (2,)) == 4  # this one has slept, and is gone
        gate.open()
        assert await slow == 3

    run(main())


def test_a_sync_call_in_a_coroutine(pool, run):
    async def main():
        task = asyncio.ensure_future(pool.aapply(pooled.square, (3,)))
        await asyncio.sleep(0)
        assert pool.apply(pooled.square, (4,)) == 16
        assert await task == 9

    run(main())


def test_a_forked_child(pool, method):
    """Cannot use the pool, and does the parent's loop no harm."""
    if method != "fork":
        pytest.skip("the child is forked by hand")

    async def child():
        try:
            await pool.aapply(pooled.square, (3,))
        except RuntimeError as error:
            os._exit(0 if "belongs to process" in str(error) else 1)
        os._exit(2)

    async def main():
        task = asyncio.ensure_future(pool.aapply(pooled.wait_for, (0.1,)))
        await asyncio.sleep(0)
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.events._set_running_loop(None)
                asyncio.new_event_loop().run_until_complete(child())
            finally:
                os._exit(3)
        assert os.waitstatus_to_exitcode((await in_thread(os.waitpid, pid, 0))[1]) == 0
        assert await task == 0.1

    in_loop(main())


# Maps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_amap(pool, run, chunksize):
    async def main():
        assert await pool.amap(pooled.square, range(1000), chunksize) == [n * n for n in range(1000)]
        assert await pool.amap(pooled.square, (n for n in range(10)), chunksize) == [n * n for n in range(10)]
        assert await pool.amap(pooled.square, [], chunksize) == []
        with pytest.raises(ValueError, match="^[13]$"):
            await pool.amap(pooled.fail_if_odd, range(4), chunksize)

    run(main())


def test_cancel_of_amap(held, gate, run):
    async def main():
        task = asyncio.ensure_future(held.amap(pooled.hold, range(100), 1))
        await begun(gate, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await held.amap(pooled.square, range(9)) == [n * n for n in range(9)]

    run(main())
    assert not gate.begun.acquire(False)


@pytest.mark.parametrize("chunksize", [1, 7])
@pytest.mark.parametrize("buffersize", [None, 3])
def test_aimap(pool, run, chunksize, buffersize):
    async def main():
        for numbers in (range(100), list(range(100)), iter(range(100)), []):
            wanted = [n * n for n in range(100)] if numbers != [] else []
            results = pool.aimap(pooled.square, numbers, chunksize, buffersize=buffersize)
            assert [n async for n in results] == wanted
            with pytest.raises(StopAsyncIteration):
                await anext(results)

    run(main())
    assert not pool._cache


def test_aimap_unordered(held, gate, run):
    """A result does not wait for those before it."""

    async def main():
        results = held.aimap_unordered(pooled.hold_zero, range(20))
        first = [await anext(results) for _ in range(19)]
        gate.open()
        return first, [n async for n in results]

    first, last = run(main())
    assert (sorted(first), last) == (list(range(1, 20)), [0])


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_astarmap(pool, run, chunksize):
    """Elements are the arguments of a call each."""
    pairs = [(n, 2 * n) for n in range(50)]
    assert run(pool.astarmap(pooled.add, pairs, chunksize)) == [3 * n for n in range(50)]
    assert run(pool.astarmap(pooled.add, iter([]))) == []
    with pytest.raises(TypeError):
        run(pool.astarmap(pooled.add, [5]))


def test_aimap_yields_what_is_there(held, gate, run):
    async def main():
        results = held.aimap(pooled.hold_all_but_zero, range(3))
        assert await anext(results) == 0
        waiting = asyncio.ensure_future(anext(results))
        await begun(gate)
        assert not waiting.done()
        gate.open(2)
        assert await waiting == 1
        assert await anext(results) == 2

    run(main())


def test_aimap_goes_on_after_an_error(pool, run):
    async def main():
        results = pool.aimap(pooled.fail_if_odd, range(4))
        found = []
        while True:
            try:
                found.append(await anext(results))
            except ValueError as error:
                found.append(str(error))
            except StopAsyncIteration:
                break
        assert found == [0, "1", 2, "3"]

    run(main())


def test_aimap_that_is_cancelled_or_left(held, gate, run):
    async def main():
        results = held.aimap(pooled.hold, range(50))
        task = asyncio.ensure_future(anext(results))
        await begun(gate, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async for n in held.aimap(pooled.square, iter(range(10_000)), buffersize=5):
            if n == 9:
                break
        results = held.aimap(pooled.square, range(100))
        assert await anext(results) == 0
        await results.aclose()
        del results
        await until_(lambda: not held._cache, "nothing is left of them")
        assert await held.aapply(pooled.square, (3,)) == 9

    run(main())


def test_wrong_arguments(pool, run):
    async def main():
        for wrong in ({"chunksize": 0}, {"buffersize": 0}):
            with pytest.raises(ValueError, match="1\\+|> 0"):
                pool.aimap(pooled.square, range(3), **wrong)
        with pytest.raises(TypeError, match="priority"):
            await pool.aapply(pooled.square, (3,), priority="high")
        with pytest.raises(ValueError, match="timeout"):
            await pool.aapply(pooled.square, (3,), timeout=0)

    run(main())
    assert not pool._cache


# Futures of executors ------------------------------------------------------------------------------------------------


def test_futures_in_a_loop(executor, run):
    async def main():
        assert await asyncio.wrap_future(executor.submit(pooled.square, 3)) == 9
        loop = asyncio.get_running_loop()
        assert await asyncio.gather(*(loop.run_in_executor(executor, pooled.square, n) for n in range(100))) == [
            n * n for n in range(100)
        ]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, pooled.fail)

    run(main())


@pytest.mark.parametrize("side", ["mpfast", "stdlib"])
def test_cancel_of_a_wrapped_future(make_executor, ctx, gate, run, side):
    """Does what concurrent.futures does. A call that runs goes on, and one that waits is cancelled."""
    make = make_executor if side == "mpfast" else of_stdlib(ctx)
    executor = make(max_workers=1, initializer=pooled.keep, initargs=(gate,))

    async def main():
        futures = [executor.submit(pooled.hold, n) for n in range(6)]
        await begun(gate)
        wrapped = [asyncio.wrap_future(future) for future in (futures[0], futures[-1])]
        for future in wrapped:
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
        await asyncio.sleep(0)  # the loop tells the futures behind them
        assert [futures[0].cancelled(), futures[-1].cancelled()] == [False, True]
        gate.open(5)
        assert [await asyncio.wrap_future(future) for future in futures[:-1]] == list(range(5))

    run(main())
    executor.shutdown()


def of_stdlib(ctx):
    def make(max_workers, **options):
        import multiprocessing

        context = multiprocessing.get_context(ctx.get_start_method())
        return concurrent.futures.ProcessPoolExecutor(max_workers, mp_context=context, **options)

    return make
