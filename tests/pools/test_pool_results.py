# SPDX-License-Identifier: MIT
"""The results of the asynchronous calls, waiting for them, and callbacks."""

import gc
import threading
import types
import weakref

import pooled
import pytest
from harness import PATIENCE, Thread, until

SOON = 0.02  # seconds after which a wait gives up


class Thing:
    def __init__(self, content=None):
        self.content = content


def calls(pool, gate):
    """A result of each kind, all of them held at the gate."""
    results = [
        pool.apply_async(pooled.hold, (1,)),
        pool.map_async(pooled.hold, [2]),
        pool.starmap_async(pooled.hold, [(3,)]),
    ]
    gate.wait(2)
    return results


def test_types(pools, pool):
    one, many = pool.apply_async(pooled.same, (1,)), pool.map_async(pooled.same, [1])
    assert pools.AsyncResult is pools.ApplyResult
    assert isinstance(one, pools.AsyncResult)
    assert isinstance(many, pools.MapResult)
    assert isinstance(many, pools.AsyncResult)
    assert isinstance(pools.AsyncResult[int], types.GenericAlias)
    assert one.get(PATIENCE) == 1
    assert many.get(PATIENCE) == [1]


def test_before_the_end(mp, held, gate):
    for result in calls(held, gate):
        assert result.ready() is False
        with pytest.raises(ValueError, match="not ready") as raised:
            result.successful()
        assert repr(result) in str(raised.value)
        assert result.wait(SOON) is None
        for timeout in (0, SOON, -1):
            with pytest.raises(mp.TimeoutError):
                result.get(timeout)
        assert result.ready() is False
    gate.open(3)


def test_after_the_end(held, gate):
    results = calls(held, gate)
    gate.open(3)
    for result, expected in zip(results, (1, [2], [3]), strict=True):
        assert result.wait() is None
        assert result.wait(timeout=0) is None
        assert (result.ready(), result.successful()) == (True, True)
        assert result.get() == expected
        assert result.get(0) is result.get(timeout=None)


def test_an_error_is_raised_each_time(pool):
    for result in (pool.apply_async(pooled.fail, ("text",)), pool.starmap_async(pooled.fail, [("text",)])):
        result.wait(PATIENCE)
        assert (result.ready(), result.successful()) == (True, False)
        errors = []
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="^text$") as raised:
                result.get(0)
            errors.append(raised.value)
        assert errors[0] is errors[1]


def test_waiting_blocks(held, gate):
    result = held.apply_async(pooled.hold, (1,))
    gate.wait()
    waiters = [Thread(result.get), Thread(result.get, PATIENCE), Thread(result.wait), Thread(result.wait, PATIENCE)]
    for waiter in waiters:
        waiter.asleep()
    gate.open()
    assert [waiter.result() for waiter in waiters] == [1, 1, None, None]


def test_callers_that_give_up_do_not_stop_others(mp, held, gate):
    """Some of the waiting threads leave before the result is there."""
    result = held.apply_async(pooled.hold, (1,))
    gate.wait()
    stays = [Thread(result.get, PATIENCE) for _ in range(3)]
    leaves = [Thread(result.get, SOON) for _ in range(3)]
    for thread in leaves:
        with pytest.raises(mp.TimeoutError):
            thread.result()
    assert held.apply(pooled.square, (4,)) == 16
    gate.open()
    assert [thread.result() for thread in stays] == [1, 1, 1]


def test_one_result_of_many_is_waited_for(held, gate):
    """The other results that come meanwhile are there as well."""
    late = held.apply_async(pooled.hold, (1,))
    gate.wait()
    early = [held.apply_async(pooled.square, (n,)) for n in range(50)]
    assert early[-1].get(PATIENCE) == 49 * 49
    assert [result.get(PATIENCE) for result in reversed(early)] == [n * n for n in reversed(range(50))]
    assert not late.ready()
    gate.open()
    assert late.get(PATIENCE) == 1


def test_results_arrive_although_nobody_waits(pool):
    results = [pool.apply_async(pooled.square, (n,)) for n in range(20)]
    results.append(pool.map_async(pooled.square, range(20)))
    until(lambda: all(result.ready() for result in results), "all are ready")
    until(lambda: not pool._cache, "nothing is left")


def test_a_map_is_ready_when_all_its_chunks_are(held, gate):
    """Even if one of them has failed long before."""
    result = held.map_async(pooled.hold_zero_or_fail, [0, 1], 1)
    gate.wait()
    assert held.apply(pooled.square, (2,)) == 4  # by the other worker, after it has failed
    result.wait(SOON)
    assert not result.ready()
    gate.open()
    with pytest.raises(ValueError, match="^1$"):
        result.get(PATIENCE)
    assert not result.successful()


def test_the_first_error_of_a_map_is_the_one_that_came_first(held, gate):
    result = held.map_async(pooled.fail_late, range(4), 1)
    gate.wait()
    assert held.apply(pooled.square, (2,)) == 4
    gate.open()
    with pytest.raises(ValueError, match="^1$"):
        result.get(PATIENCE)


# Callbacks -----------------------------------------------------------------------------------------------------------


class Calls:
    """Notes what the callbacks get, and where."""

    def __init__(self):
        self.got, self.threads, self.ready, self.result = [], [], [], None

    def __call__(self, value):
        self.got.append(value)
        self.threads.append(threading.get_ident())
        self.ready.append(self.result.ready() if self.result else None)


def test_callbacks(pool):
    good, bad = Calls(), Calls()
    both = {"callback": good, "error_callback": bad}
    assert pool.apply_async(pooled.square, (3,), {}, **both).get(PATIENCE) == 9
    assert pool.map_async(pooled.square, range(9), 2, **both).get(PATIENCE) == good.got[1]
    assert pool.starmap_async(pooled.add, [(1, 2)], **both).get(PATIENCE) == [3]
    assert (good.got, bad.got) == ([9, [n * n for n in range(9)], [3]], [])
    for call, function, given in (
        (pool.apply_async, pooled.fail_if_odd, (1,)),
        (pool.map_async, pooled.fail_if_odd, range(9)),
        (pool.starmap_async, pooled.fail, [("x",)]),
    ):
        with pytest.raises((ValueError, ZeroDivisionError)) as raised:
            call(function, given, **both).get(PATIENCE)
        assert bad.got[-1] is raised.value
    assert (len(good.got), len(bad.got)) == (3, 3)
    assert threading.get_ident() not in good.threads + bad.threads


def test_a_callback_has_returned_before_the_result_is_ready(held, gate):
    for call, calls in [
        (lambda c: held.apply_async(pooled.hold, (1,), callback=c), Calls()),
        (lambda c: held.map_async(pooled.hold, [1], callback=c), Calls()),
        (lambda c: held.apply_async(pooled.hold_then_fail, (1,), error_callback=c), Calls()),
        (lambda c: held.map_async(pooled.hold_then_fail, [1], error_callback=c), Calls()),
    ]:
        calls.result = call(calls)
        gate.wait()
        assert calls.got == []
        gate.open()
        calls.result.wait(PATIENCE)
        assert (calls.ready, calls.result.ready()) == ([False], True)


def test_callbacks_are_called_although_nobody_waits(pool):
    calls = Calls()
    for number in range(10):
        pool.apply_async(pooled.square, (number,), callback=calls)
        pool.apply_async(pooled.fail, (number,), error_callback=calls)
    until(lambda: len(calls.got) == 20, "all callbacks")
    assert len(set(calls.threads)) == 1
    pool.close()
    pool.join()
    assert len(calls.got) == 20


def test_callbacks_come_in_the_order_of_the_results(make_pool):
    pool, got = make_pool(1), []
    results = [pool.apply_async(pooled.same, (n,), callback=got.append) for n in range(50)]
    assert results[-1].get(PATIENCE) == 49
    assert got == list(range(50))


def test_a_callback_may_use_the_pool(pool):
    """It may not wait for it."""
    got, more = [], []

    def go_on(value):
        got.append(value)
        if value < 5:
            more.append(pool.apply_async(pooled.add, (value, 1), callback=go_on))

    pool.apply_async(pooled.add, (0,), callback=go_on)
    until(lambda: len(got) == 6, "the last callback")
    assert got == list(range(6))


def test_a_callback_that_waits_for_a_lock_of_the_caller(pool):
    """Holds up nothing but what comes after it. The pool can be asked meanwhile."""
    lock, entered = threading.Lock(), threading.Event()

    def callback(_):
        entered.set()
        with lock:
            pass

    with lock:
        result = pool.apply_async(pooled.same, (1,), callback=callback)
        assert entered.wait(PATIENCE)
        assert not result.ready()
        assert len(pool._cache) == 1
    assert result.get(PATIENCE) == 1


# What is kept --------------------------------------------------------------------------------------------------------


def test_nothing_is_kept(pool):
    """Neither the arguments nor the results."""
    thing, other = Thing(), Thing(Thing())
    results = [pool.apply_async(pooled.same, (thing,)), pool.map_async(pooled.same, [other])]
    gone = [weakref.ref(thing), weakref.ref(other)]
    gone += [weakref.ref(results[0].get(PATIENCE)), weakref.ref(results[1].get(PATIENCE)[0])]
    del thing, other, results
    until(lambda: gc.collect() >= 0 and not any(ref() for ref in gone), "nobody keeps them")
    assert not pool._cache


def test_a_result_keeps_no_pool(ctx):
    pool = ctx.Pool(1)
    result, gone = pool.apply_async(pooled.square, (3,)), weakref.ref(pool)
    assert result.get(PATIENCE) == 9
    pool.close()
    pool.join()
    del pool
    until(lambda: gc.collect() >= 0 and gone() is None, "the pool is gone")
    assert (result.get(), result.ready(), result.successful()) == (9, True, True)


def test_results_after_the_pool(make_pool):
    """What was done by then stays."""
    pool = make_pool()
    results = [pool.apply_async(pooled.square, (n,)) for n in range(30)]
    many = pool.map_async(pooled.square, range(30))
    pool.close()
    pool.join()
    assert [result.get(0) for result in results] == many.get(0) == [n * n for n in range(30)]


def test_private_names(held, gate):
    """tqdm, joblib and others look at these."""
    result = held.apply_async(pooled.hold, (1,))
    gate.wait()
    assert result._job in held._cache
    assert len(held._cache) == 1
    assert not result._event.is_set()
    assert result._cache is held._cache or result._job in result._cache
    gate.open()
    assert result.get(PATIENCE) == 1
    assert (result._success, result._value) == (True, 1)
    assert result._event.is_set()
    assert not held._cache
    bad = held.apply_async(pooled.fail, ("x",))
    bad.wait(PATIENCE)
    assert bad._success is False
    assert isinstance(bad._value, ZeroDivisionError)
    assert bad._job > result._job
