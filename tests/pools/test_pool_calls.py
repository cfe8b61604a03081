# SPDX-License-Identifier: MIT
"""What apply, map and starmap return, and how elements become tasks."""

import functools
import inspect
import multiprocessing.pool

import pooled
import pytest
from harness import PATIENCE, Thread

import mpfast
import mpfast.pool

NUMBERS = range(23)
SQUARES = [number * number for number in NUMBERS]
CHUNKS = pytest.mark.parametrize("chunksize", [None, 1, 2, 7, 23, 1000])
CALLS = {
    "Pool": (
        *("__init__", "apply", "apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered"),
        *("close", "terminate", "join"),
    ),
    "AsyncResult": ("ready", "successful", "wait", "get"),
    "MapResult": ("ready", "successful", "wait", "get"),
    "IMapIterator": ("next",),
    "IMapUnorderedIterator": ("next",),
}


class Sequence:
    """Has a length and an iterator, and no index."""

    def __len__(self):
        return 3

    def __iter__(self):
        return iter([3, 4, 5])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in CALLS.items() for name in names])
def test_signature(kind, name):
    """Every argument of the standard library's has its place and its default. What else there is, is keyword-only."""
    theirs = inspect.signature(getattr(getattr(multiprocessing.pool, kind), name)).parameters.values()
    ours = list(inspect.signature(getattr(getattr(mpfast.pool, kind), name)).parameters.values())
    if name == "__init__" and kind == "Pool":
        assert [p.name for p in ours[: len(theirs)]] == [p.name for p in theirs]
    for expected, found in zip(theirs, ours, strict=False):
        assert (found.name, found.default, found.kind) == (expected.name, expected.default, expected.kind)
    assert all(p.kind is p.KEYWORD_ONLY or p.name == "buffersize" for p in ours[len(theirs) :])
    assert len(ours) >= len(theirs)


def test_every_method_is_compared():
    for kind, names in CALLS.items():
        public = {name for name in dir(getattr(multiprocessing.pool, kind)) if not name.startswith("_")}
        assert public - set(names) <= {"Process"}, kind


def test_signatures_of_results(pool):
    """Of what the methods really return. mpfast's results are of other types than they say."""
    results = {
        "AsyncResult": pool.apply_async(pooled.square, (3,)),
        "MapResult": pool.map_async(pooled.square, [3]),
        "IMapIterator": pool.imap(pooled.square, [3]),
        "IMapUnorderedIterator": pool.imap_unordered(pooled.square, [3]),
    }
    for kind, result in results.items():
        for name in CALLS[kind]:
            theirs = list(inspect.signature(getattr(getattr(multiprocessing.pool, kind), name)).parameters.values())
            ours = list(inspect.signature(getattr(type(result), name)).parameters.values())
            found = [(p.name, p.default) for p in ours[: len(theirs)]]
            assert found == [(p.name, p.default) for p in theirs], (kind, name)
            assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :]), (kind, name)


def test_apply(pool):
    assert pool.apply(pooled.arguments) == ((), {})
    assert pool.apply(pooled.arguments, (1, "two"), {"three": 3}) == ((1, "two"), {"three": 3})
    assert pool.apply(func=pooled.add, args=[1], kwds={"other": 2}) == 3
    assert pool.apply_async(pooled.arguments, range(3)).get(PATIENCE) == ((0, 1, 2), {})


@pytest.mark.parametrize(
    "function",
    [
        pooled.Adder(5),
        pooled.Adder(5).method,
        functools.partial(pooled.add, other=5),
        functools.partial(pooled.add, *[5]),
        complex,
        "x{}".format,
    ],
)
def test_what_can_be_called(pool, function):
    expected = [function(number) for number in range(5)]
    assert pool.map(function, range(5)) == expected
    assert pool.map(function, range(5), 1) == expected
    assert pool.apply(function, (3,)) == expected[3]
    assert list(pool.imap(function, range(5))) == expected


def test_a_functions_state_is_read_at_each_call(pool):
    adder = pooled.Adder(1)
    assert pool.apply(adder, (1,)) == 2
    assert pool.map(adder, [1, 2]) == [2, 3]
    adder.number = 10
    assert pool.apply(adder, (1,)) == 11
    assert pool.map(adder, [1, 2]) == [11, 12]


@CHUNKS
def test_map(pool, chunksize):
    assert pool.map(pooled.square, NUMBERS, chunksize) == SQUARES
    assert pool.map(pooled.square, iter(NUMBERS), chunksize=chunksize) == SQUARES
    assert pool.map_async(pooled.square, NUMBERS, chunksize).get(PATIENCE) == SQUARES
    assert pool.starmap(pooled.add, [(n, n) for n in NUMBERS], chunksize) == [2 * n for n in NUMBERS]
    assert pool.starmap_async(pooled.add, [(n,) for n in NUMBERS], chunksize).get(PATIENCE) == list(NUMBERS)


def test_what_can_be_mapped(pool):
    """Any iterable. It may be without an index, and its elements without a hash."""
    assert pool.map(pooled.same, "abc") == ["a", "b", "c"]
    assert sorted(pool.map(pooled.same, {3, 1, 2})) == [1, 2, 3]
    assert pool.map(pooled.same, {"a": 1, "b": 2}) == ["a", "b"]
    assert pool.map(pooled.same, {"a": 1, "b": 2}.items()) == [("a", 1), ("b", 2)]
    assert pool.map(pooled.same, Sequence()) == [3, 4, 5]
    assert pool.map(pooled.same, bytearray(b"ab")) == [97, 98]
    unhashable = [[1], {"a": {2}}, {3}, bytearray(b"4")]
    assert pool.map(pooled.same, unhashable) == unhashable
    assert pool.map(pooled.same, [None, True, -1, 1 << 80, 1.5, "é", b"", (), ...]) == [
        *(None, True, -1, 1 << 80, 1.5, "é", b"", (), ...)
    ]
    assert pool.starmap(pooled.add, ["ab", [1, 2], (3, 4), range(2)]) == ["ab", 3, 7, 1]


def test_nothing_to_map(pool):
    """Is nothing to wait for. The callbacks are not called either."""
    called = []
    assert pool.map(pooled.square, []) == []
    assert pool.map(pooled.square, iter(())) == []
    assert pool.starmap(pooled.add, {}) == []
    assert list(pool.imap(pooled.square, [])) == []
    assert list(pool.imap(pooled.square, [], 3)) == []
    assert list(pool.imap_unordered(pooled.square, ())) == []
    result = pool.map_async(pooled.square, [], callback=called.append, error_callback=called.append)
    assert (result.ready(), result.successful(), result.get(0)) == (True, True, [])
    assert pool.apply(pooled.square, (3,)) == 9
    assert called == []
    assert not pool._cache


@pytest.mark.parametrize("chunksize", [0, -1])
def test_chunks_of_nothing(pool, chunksize):
    """Nothing is run, and there is a None for each element."""
    assert pool.map(pooled.square, [1, 2, 3], chunksize) == [None, None, None]
    assert pool.map(pooled.square, [1, 2, 3]) == [1, 4, 9]


def test_what_cannot_be_mapped(pool):
    """map reads its argument in the caller, which gets the error."""

    def stops():
        yield 1
        raise LookupError("no more")

    for call in (pool.map, pool.map_async, pool.starmap, pool.starmap_async):
        with pytest.raises(TypeError, match="'int' object is not iterable"):
            call(pooled.square, 5)
        with pytest.raises(LookupError, match="no more"):
            call(pooled.square, stops())
    with pytest.raises(TypeError, match="iterable"):
        pool.starmap(pooled.add, [5])
    assert pool.map(pooled.square, [3]) == [9]
    assert not pool._cache


def test_wrong_calls(pool):
    """A task that cannot be called fails by itself."""
    with pytest.raises(TypeError, match="not callable"):
        pool.apply(5)
    with pytest.raises(TypeError, match="not callable"):
        pool.map("x", [1])
    with pytest.raises(TypeError, match="argument"):
        pool.apply(pooled.square)
    with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        pool.apply(pooled.square, (1,), {"x": 1})
    assert pool.apply(pooled.square, (3,)) == 9


def test_results_come_in_order(held, gate):
    """Even if the first is the last to be done."""
    result = held.map_async(pooled.hold_zero, NUMBERS, 1)
    gate.wait()
    others = held.map(pooled.square, NUMBERS, 1)
    assert others == SQUARES
    assert not result.ready()
    gate.open()
    assert result.get(PATIENCE) == list(NUMBERS)


def test_a_chunk_is_run_by_one_worker(pool):
    pids = pool.map(pooled.pid, range(12), 4)
    chunks = [set(pids[n : n + 4]) for n in (0, 4, 8)]
    assert [len(chunk) for chunk in chunks] == [1, 1, 1]
    assert set(pids) <= {worker.pid for worker in pool._pool}


def test_one_object_twice_in_a_chunk(pool):
    """Is one object there, too."""
    thing = ["this"]
    one, other = pool.map(pooled.identity, [thing, thing], 2)
    assert one == other
    pairs = pool.starmap(pooled.same_objects, [(thing, thing)])
    assert pairs == [True]
    (one, other) = pool.map(pooled.identity, [thing, ["that"]], 2)
    assert one != other


def test_one_result_twice_in_a_chunk(mp, pool):
    """Is one object here, too. Results of different chunks are not. mpfast's results travel one by one."""
    one, other, third = pool.map(pooled.shared, range(3), 2)
    assert one == other
    assert (one is other) == (mp is not mpfast)
    assert one == third
    assert one is not third


def test_the_rest_of_a_chunk_after_an_error(ctx, make_pool):
    """Is not run. Other chunks are."""
    counter = ctx.Value("q", 0)
    pool = make_pool(2, pooled.keep, (counter,))
    with pytest.raises(ValueError, match="^1$"):
        pool.map(pooled.count_even, [0, 1, 2, 4, 6, 8], 3)
    assert counter.value == 2 + 3


def test_many_threads(pool):
    """Each caller gets its own results."""

    def work(number):
        for n in range(20):
            assert pool.apply(pooled.add, (number, n)) == number + n
            numbers = range(number, number + 10)
            assert pool.map(pooled.square, numbers, 3) == [m * m for m in numbers]
            assert list(pool.imap(pooled.square, numbers)) == [m * m for m in numbers]
        return number

    threads = [Thread(work, 100 * n) for n in range(6)]
    assert [thread.result(3 * PATIENCE) for thread in threads] == [100 * n for n in range(6)]
    assert not pool._cache
