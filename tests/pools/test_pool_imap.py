# SPDX-License-Identifier: MIT
"""imap and imap_unordered. How they read their input, and when each result comes."""

import inspect
import itertools
from functools import partial

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

BOTH = pytest.mark.parametrize("way", ["imap", "imap_unordered"])
CHUNKS = pytest.mark.parametrize("chunksize", [1, 2, 7, 1000])


def stops(count):
    """An input that fails after so many elements."""
    yield from range(count)
    raise LookupError("no more")


def taken(iterator, count):
    return list(itertools.islice(iterator, count))


class Count:
    """Counts how far it was read."""

    def __init__(self, end):
        self.end, self.read = end, 0

    def __iter__(self):
        while self.read < self.end:
            self.read += 1
            yield self.read - 1


@CHUNKS
def test_imap(pool, chunksize):
    expected = [n * n for n in range(100)]
    assert list(pool.imap(pooled.square, range(100), chunksize)) == expected
    assert list(pool.imap(pooled.square, iter(range(100)), chunksize=chunksize)) == expected
    assert sorted(pool.imap_unordered(pooled.square, range(100), chunksize)) == expected
    assert not pool._cache


def test_types(pools, pool):
    ordered, unordered = pool.imap(pooled.same, [1]), pool.imap_unordered(pooled.same, [1])
    assert isinstance(ordered, pools.IMapIterator)
    assert isinstance(unordered, pools.IMapUnorderedIterator)
    assert isinstance(unordered, pools.IMapIterator)
    for iterator in (ordered, unordered):
        assert iter(iterator) is iterator
        assert iterator.next() == 1


@BOTH
def test_the_end_comes_again(pool, way):
    iterator = getattr(pool, way)(pooled.same, [1, 2])
    assert sorted([next(iterator), iterator.next(PATIENCE)]) == [1, 2]
    for step in (iterator.next, partial(iterator.next, 0), partial(next, iterator), partial(iterator.next, timeout=1)):
        with pytest.raises(StopIteration):
            step()


def test_a_timeout(mp, held, gate):
    """Costs nothing. The element comes when it is asked for again."""
    ordered = held.imap(pooled.hold_zero, range(5))
    gate.wait()
    for timeout in (0, 0.02):
        with pytest.raises(mp.TimeoutError):
            ordered.next(timeout)
    unordered = held.imap_unordered(pooled.square, range(5))
    assert sorted(unordered) == [0, 1, 4, 9, 16]
    with pytest.raises(mp.TimeoutError):
        ordered.next(timeout=0)
    gate.open()
    assert ordered.next(PATIENCE) == 0
    assert list(ordered) == [1, 2, 3, 4]


def test_unordered_results_do_not_wait_for_each_other(mp, held, gate):
    iterator = held.imap_unordered(pooled.hold_zero, range(40))
    gate.wait()
    assert sorted(taken(iterator, 39)) == list(range(1, 40))
    with pytest.raises(mp.TimeoutError):
        iterator.next(0)
    gate.open()
    assert list(iterator) == [0]


def test_waiting_blocks(held, gate):
    iterator = held.imap(pooled.hold, [1])
    gate.wait()
    waiter = Thread(next, iterator).asleep()
    gate.open()
    assert waiter.result() == 1


def test_many_threads_share_an_iterator(mp, pool):
    """Each element comes once. In multiprocessing the last waiters need a timeout to see the end."""

    def fetch():
        got = []
        while True:
            try:
                got.append(iterator.next(0.05))
            except mp.TimeoutError:
                continue
            except StopIteration:
                return got

    iterator = pool.imap(pooled.same, range(500))
    lists = [thread.result() for thread in [Thread(fetch) for _ in range(4)]]
    assert sorted(itertools.chain(*lists)) == list(range(500))
    assert all(one == sorted(one) for one in lists)


def test_several_at_once(pool):
    iterators = [pool.imap(pooled.add, range(n, n + 50)) for n in range(5)]
    for step in range(50):
        assert [next(iterator) for iterator in iterators] == [n + step for n in range(5)]
    assert not pool._cache


# Errors --------------------------------------------------------------------------------------------------------------


def test_an_error_has_its_place(pool):
    """The elements after it come, too."""
    iterator = pool.imap(pooled.fail_if_odd, range(4))
    assert next(iterator) == 0
    with pytest.raises(ValueError, match="^1$"):
        next(iterator)
    assert next(iterator) == 2
    with pytest.raises(ValueError, match="^3$"):
        iterator.next(PATIENCE)
    with pytest.raises(StopIteration):
        next(iterator)
    assert not pool._cache


def test_errors_without_an_order(pool):
    iterator, good, bad = pool.imap_unordered(pooled.fail_if_odd, range(10)), [], []
    for _ in range(10):
        try:
            good.append(next(iterator))
        except ValueError as error:
            bad.append(error.args[0])
    assert (sorted(good), sorted(bad)) == ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])
    with pytest.raises(StopIteration):
        next(iterator)


@BOTH
def test_an_error_in_a_chunk(pool, way):
    """Takes its chunk with it, and is the end of the iterator."""
    iterator = getattr(pool, way)(pooled.fail_if_odd, [1, 2, 3, 5], 4)
    with pytest.raises(ValueError, match="^1$"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_input_that_fails(pool, count):
    """What it gave until then is done. Then its error comes, and then the end."""
    iterator = pool.imap(pooled.same, stops(count))
    assert taken(iterator, count) == list(range(count))
    with pytest.raises(LookupError, match="no more"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    assert pool.apply(pooled.square, (3,)) == 9


def test_an_input_that_fails_without_an_order(pool):
    """Its error comes some time, and every element that it gave comes once."""
    iterator, got, errors = pool.imap_unordered(pooled.same, stops(5)), [], []
    for _ in range(6):
        try:
            got.append(next(iterator))
        except LookupError as error:
            errors.append(str(error))
    assert (sorted(got), errors) == ([0, 1, 2, 3, 4], ["no more"])
    with pytest.raises(StopIteration):
        next(iterator)


def test_an_input_that_fails_in_a_chunk(pool):
    """The elements that are no whole chunk yet are lost."""
    iterator = pool.imap(pooled.same, stops(5), 2)
    assert taken(iterator, 4) == [0, 1, 2, 3]
    with pytest.raises(LookupError, match="no more"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


@BOTH
@CHUNKS
def test_what_is_no_input(pool, way, chunksize):
    """Is told where the first result would be."""
    iterator = getattr(pool, way)(pooled.same, 5, chunksize)
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    until(lambda: not pool._cache, "the job is gone")


@BOTH
@pytest.mark.parametrize("chunksize", [0, -3])
def test_chunks_of_nothing(pool, way, chunksize):
    with pytest.raises(ValueError, match=f"Chunksize must be 1\\+, not {chunksize}"):
        getattr(pool, way)(pooled.same, [1], chunksize)
    assert not pool._cache


# The input -----------------------------------------------------------------------------------------------------------


@BOTH
def test_the_input_is_read_although_nobody_asks(pool, way):
    numbers = Count(200)
    iterator = getattr(pool, way)(pooled.square, numbers)
    until(lambda: numbers.read == 200, "it was read to the end")
    assert sorted(iterator) == [n * n for n in range(200)]


@BOTH
def test_an_input_without_an_end(make_pool, way):
    """Gives results as long as somebody asks. Then the pool can be terminated."""
    pool = make_pool()
    iterator = getattr(pool, way)(pooled.same, itertools.count())
    assert len(set(taken(iterator, 300))) == 300
    pool.terminate()
    pool.join()


def test_a_long_input(pool):
    """Longer than anything that has a bound."""
    total = 0
    for expected, got in enumerate(pool.imap(pooled.same, iter(range(20_000)))):
        assert got == expected
        total += 1
    assert total == 20_000
    assert sorted(pool.imap_unordered(pooled.same, range(20_000), 64)) == list(range(20_000))


def test_large_results_that_nobody_fetches_yet(pool):
    """More than the pipes and rings hold. The pool's other calls go on."""
    iterator = pool.imap(pooled.zeros, [1 << 18] * 64)
    assert pool.apply(pooled.square, (3,)) == 9
    assert [len(result) for result in iterator] == [1 << 18] * 64


@BOTH
def test_close_after_some_results(pool, way):
    """The rest is done by then, and can still be fetched."""
    iterator = getattr(pool, way)(pooled.same, range(300))
    got = taken(iterator, 3)
    pool.close()
    pool.join()
    assert sorted(got + list(iterator)) == list(range(300))


@BOTH
def test_results_do_not_wait_for_what_runs_behind_them(held, gate, way):
    """A task in the middle waits for the test, which waits for those before it, or without order for all the others."""
    iterator, others = getattr(held, way)(pooled.hold_99, range(300)), [n for n in range(300) if n != 99]
    first = others if way == "imap_unordered" else others[:99]
    assert sorted(iterator.next(PATIENCE) for _ in first) == first
    gate.open()
    assert list(iterator) == ([99] if way == "imap_unordered" else list(range(99, 300)))


@BOTH
def test_an_iterator_that_is_dropped(pool, way):
    """Its elements are done all the same, and nothing waits for its reader."""
    iterator = getattr(pool, way)(pooled.same, range(300))
    assert next(iterator) in range(300)
    del iterator
    assert pool.map(pooled.square, range(10)) == [n * n for n in range(10)]
    pool.close()
    pool.join()
    assert not pool._cache


def test_elements_are_not_read_ahead_with_buffersize(pool):
    if not abilities.has_buffersize(pool.imap):
        pytest.skip("this version has no imap(buffersize=)")
    assert inspect.signature(pool.imap).parameters["buffersize"].default is None
    for way in ("imap", "imap_unordered"):
        numbers = Count(100)
        iterator = getattr(pool, way)(pooled.same, numbers, buffersize=3)
        for got in range(1, 101):
            next(iterator)
            assert numbers.read <= got + 3
        assert list(iterator) == []


def test_close_with_buffersize(pool):
    """An input that was read in part does not stop the end."""
    if not abilities.has_buffersize(pool.imap):
        pytest.skip("this version has no imap(buffersize=)")
    iterator = pool.imap(pooled.same, range(100), buffersize=2)
    assert next(iterator) == 0
    closing = Thread(lambda: (pool.close(), pool.join()))
    rest = Thread(list, iterator)
    assert rest.result() == list(range(1, 100))
    closing.result()


@abilities.deaths
@pytest.mark.parametrize("mp", [mpfast], ids=["mpfast"])
@pytest.mark.parametrize("way", ["imap", "imap_unordered"])
@pytest.mark.parametrize("kind", [list, iter], ids=["at hand", "read"])
def test_nobody_reads_what_a_buffersize_holds_back(make_pool, way, kind):
    """A pool that is joined runs it all. Its results are there afterwards."""
    pool = make_pool()
    iterator = getattr(pool, way)(pooled.square, kind(list(range(50))), buffersize=2)
    assert next(iterator) in (0, 1, 4)
    pool.close()
    Thread(pool.join).result()
    assert len(list(iterator)) == 49
