# SPDX-License-Identifier: MIT
"""Which call comes first, and how many may wait: priority= and backlog=."""

import asyncio
import os
import queue
import threading

import pooled
import pytest
from harness import PATIENCE, until, wait_asleep

import mpfast


@pytest.fixture
def mp():
    return mpfast


# Priorities ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def order(ctx, make_pool, gate):
    """(pool, numbers): a pool of one worker, and the numbers that its tasks have put, in order."""
    numbers = ctx.SimpleQueue()
    return make_pool(1, pooled.keep, (gate, numbers)), numbers


def drained(numbers, count):
    return [numbers.get() for _ in range(count)]


def test_higher_ones_begin_first(order, gate):
    """But for the few that are in the ring already, which is two for each worker."""
    pool, numbers = order
    held = pool.apply_async(pooled.hold, priority=0)
    gate.wait()
    early = [pool.apply_async(pooled.put_kept, (n,), priority=0) for n in range(2)]
    late = [pool.apply_async(pooled.put_kept, (n,), priority=n % 5) for n in range(10, 40)]
    low = pool.apply_async(pooled.put_kept, (99,), priority=-1)
    plain = pool.apply_async(pooled.put_kept, (98,))
    gate.open()
    for result in [held, *early, *late, low, plain]:
        result.get(PATIENCE)
    found = drained(numbers, 34)
    assert found[:2] == [0, 1]
    by_rank = sorted(range(10, 40), key=lambda n: (-(n % 5), n))
    assert found[2:] == [*by_rank, 98, 99]


def test_few_are_in_the_ring(order, gate):
    pool, numbers = order
    held = pool.apply_async(pooled.hold, priority=1)
    gate.wait()
    results = [pool.apply_async(pooled.put_kept, (n,), priority=1) for n in range(20)]
    assert pool._taskqueue.qsize() == 18
    gate.open()
    assert [result.get(PATIENCE) for result in [held, *results]] == [None] * 21
    assert drained(numbers, 20) == list(range(20))
    results = [pool.apply_async(pooled.put_kept, (n,)) for n in range(100)]  # no priority is in use any more
    assert [result.get(PATIENCE) for result in results] == [None] * 100
    assert drained(numbers, 100) == list(range(100))


def test_with_callers_that_do_not_wait(order, gate):
    """The pool's thread deals what is left."""
    pool, numbers = order
    done = threading.Semaphore(0)
    for n in range(50):
        pool.apply_async(pooled.put_kept, (n,), callback=lambda _: done.release(), priority=1)
    for _ in range(50):
        assert done.acquire(timeout=PATIENCE)
    assert drained(numbers, 50) == list(range(50))


def test_maps_beside_priorities(order, gate):
    pool, _ = order
    results = [pool.apply_async(pooled.square, (n,), priority=n) for n in range(50)]
    assert pool.map(pooled.square, range(500)) == [n * n for n in range(500)]
    assert [result.get(PATIENCE) for result in results] == [n * n for n in range(50)]


def test_cancelled_ones_are_not_in_the_way(order, gate):
    pool, numbers = order
    held = pool.apply_async(pooled.hold, priority=1)
    gate.wait()
    results = [pool.apply_async(pooled.put_kept, (n,), priority=n) for n in range(20)]
    assert all(result.cancel() for result in results[:19])
    gate.open()
    assert [held.get(PATIENCE), results[19].get(PATIENCE)] == [None, None]
    assert drained(numbers, 1) == [19]
    assert not pool._cache


def test_wrong_priorities(pool):
    for wrong in ("high", 1.5, [1]):
        with pytest.raises(TypeError, match="priority must be an integer"):
            pool.apply_async(pooled.square, (3,), priority=wrong)
    assert pool.apply_async(pooled.square, (3,), priority=1 << 80).get(PATIENCE) == 9
    assert not pool._cache


# How many may wait ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["pool", "executor"])
def bounded(request, make_pool, make_executor, gate):
    """bounded(backlog=..., on_full=...): (submit, get) of a pool or executor with two workers."""

    def make(**options):
        if request.param == "pool":
            pool = make_pool(2, pooled.keep, (gate,), **options)
            return lambda call, *args: pool.apply_async(call, args), lambda result: result.get(PATIENCE)
        executor = make_executor(initializer=pooled.keep, initargs=(gate,), **options)
        return executor.submit, lambda future: future.result(PATIENCE)

    yield make
    gate.open(100)


def test_full_raises(bounded, gate):
    submit, get = bounded(backlog=3, on_full="raise")
    held = [submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    waiting = [submit(pooled.hold, n) for n in range(2, 5)]
    for _ in range(2):
        with pytest.raises(queue.Full, match="3 calls wait"):
            submit(pooled.hold, 5)
    assert waiting[2].cancel()
    waiting[2] = submit(pooled.hold, 6)
    gate.open(5)
    assert [get(result) for result in [*held, *waiting]] == [0, 1, 2, 3, 6]
    assert [get(submit(pooled.square, n)) for n in range(20)] == [n * n for n in range(20)]


def test_full_waits(bounded, gate):
    """Until a call has ended. The caller takes results out meanwhile."""
    submit, get = bounded(backlog=0)
    held = [submit(pooled.hold, n) for n in range(2)]
    gate.wait(2)
    late, idents = [], []

    def call():
        idents.append(threading.get_native_id())
        late.append(submit(pooled.hold, 2))

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: idents, "it is there")
    wait_asleep(os.getpid(), idents[0])
    assert not late
    gate.open(1)
    thread.join(PATIENCE)
    assert len(late) == 1
    gate.open(2)
    assert [get(result) for result in [*held, *late]] == [0, 1, 2]


def test_many_callers_and_few_places(bounded):
    submit, get = bounded(backlog=1)
    found = []

    def calls(first):
        results = [submit(pooled.square, n) for n in range(first, first + 100)]
        found.extend(get(result) for result in results)

    threads = [threading.Thread(target=calls, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sorted(found) == [n * n for n in range(400)]


def test_a_place_is_given_back_whatever_the_outcome(bounded):
    submit, get = bounded(backlog=0, on_full="raise")
    for call, args, error in (
        (pooled.fail, (), ZeroDivisionError),
        (pooled.die, (), mpfast.WorkerDied),
        (pooled.same, (pooled.Refuses(),), RuntimeError),
    ):
        for _ in range(3):
            with pytest.raises(error):
                get(submit(call, *args))
    assert get(submit(pooled.square, 3)) == 9


def test_a_callback_that_makes_calls(make_pool, gate):
    """The pool's own thread waits for a place as others do."""
    pool, found = make_pool(2, backlog=0), []

    def again(number):
        found.append(number)
        if number < 20:
            pool.apply_async(pooled.add, (number, 1), callback=again)

    pool.apply_async(pooled.same, (0,), callback=again)
    until(lambda: len(found) == 21, "all were called")
    assert found == list(range(21))


def test_a_full_pool_that_ends(make_pool, gate):
    pool = make_pool(1, pooled.keep, (gate,), backlog=0)
    pool.apply_async(pooled.hold)
    gate.wait()
    raised, idents = [], []

    def call():
        idents.append(threading.get_native_id())
        try:
            pool.apply_async(pooled.square, (3,))
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: idents, "it is there")
    wait_asleep(os.getpid(), idents[0])
    pool.terminate()
    thread.join(PATIENCE)
    assert [str(error) for error in raised] == ["Pool not running"]


def test_coroutines_wait_in_their_loop(make_pool, gate):
    pool = make_pool(2, pooled.keep, (gate,), backlog=0)

    async def main():
        assert await asyncio.gather(*(pool.aapply(pooled.square, (n,)) for n in range(50))) == [
            n * n for n in range(50)
        ]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_maps_do_not_count(make_pool):
    pool = make_pool(2, backlog=0, on_full="raise")
    assert pool.map(pooled.square, range(100), 1) == [n * n for n in range(100)]
    assert list(pool.imap(pooled.square, range(100))) == [n * n for n in range(100)]
    assert pool.apply(pooled.square, (3,)) == 9


def test_wrong_limits(ctx, make_executor):
    for make in (lambda **options: ctx.Pool(1, **options), make_executor):
        with pytest.raises(ValueError, match="backlog must be at least 0"):
            make(backlog=-1)
        with pytest.raises(TypeError, match="backlog must be an integer"):
            make(backlog=1.5)
        with pytest.raises(ValueError, match="on_full must be 'wait' or 'raise'"):
            make(backlog=1, on_full="drop")
