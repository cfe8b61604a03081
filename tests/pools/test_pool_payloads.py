# SPDX-License-Identifier: MIT
"""Large arguments and results, and what they are on the other side."""

import functools
import gc
import importlib
import sys
from multiprocessing import resource_sharer

import abilities
import odd_names
import pooled
import pytest
from harness import PATIENCE

import mpfast

KIB, MIB = 1 << 10, 1 << 20
SIZES = pytest.mark.parametrize("size", [64 * KIB, MIB, 20 * MIB], ids=["64KiB", "1MiB", "20MiB"])


@SIZES
def test_bytes(pool, size):
    content = bytes(range(256)) * (size // 256)
    assert pool.apply(pooled.size, (content,)) == size
    assert pool.apply(pooled.zeros, (size,)) == bytes(size)
    assert pool.apply(pooled.same, (content,)) == content
    assert pool.map(pooled.same, [content, content[:-1]], 1) == [content, content[:-1]]


@SIZES
def test_arrays(pool, size):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(size // 8, dtype="i8").reshape(2, -1)
    one, two = pool.map(pooled.same, [array, array[:, ::2]])
    for got, expected in ((one, array), (two, array[:, ::2])):
        assert got.dtype == expected.dtype
        assert numpy.array_equal(got, expected)
        got[0, 0] = -1  # it is its receiver's own
    assert array[0, 0] == 0
    assert pool.apply(pooled.size, (array,)) == 2


def test_bytes_that_can_be_written(pool):
    content = bytearray(MIB)
    got = pool.apply(pooled.same, (content,))
    got[0] = 1
    assert type(got) is bytearray
    assert content[0] == 0


@pytest.mark.parametrize("chunksize", [1, 4, None])
def test_a_large_function(pool, chunksize):
    """Its state travels with it, whatever the chunks are."""
    function = functools.partial(pooled.add_size, bytes(MIB))
    assert pool.map(function, range(16), chunksize) == [MIB + n for n in range(16)]
    assert list(pool.imap(function, range(4))) == [MIB + n for n in range(4)]


def test_many_references_to_one_large_object(pool):
    content = bytes(MIB)
    results = [pool.apply_async(pooled.size, (content,)) for _ in range(100)]
    assert pool.map(pooled.size, [content] * 100) == [MIB] * 100
    assert [result.get(PATIENCE) for result in results] == [MIB] * 100


def test_an_argument_that_is_changed_after_its_result(pool):
    thing = [1, 2]
    assert pool.apply(pooled.same, (thing,)) == [1, 2]
    thing.append(3)
    assert pool.apply(pooled.same, (thing,)) == [1, 2, 3]
    assert pool.map(pooled.same, [thing, thing]) == [thing, thing]


def test_the_workers_heap_of_an_object_is_its_own(pool):
    """A task that changes its argument changes nobody else's."""
    thing = [1]
    assert pool.map(pooled.append_one, [thing] * 4, 1) == [[1, 1]] * 4
    assert thing == [1]


def test_connections_travel(ctx, pool):
    """With the tasks and with the results."""
    ours, theirs = ctx.Pipe()
    with ours, theirs:
        assert pool.apply(pooled.say, (theirs, "hello")) is None
        assert ours.recv() == "hello"
        assert pool.map(pooled.say_hello, [theirs, theirs], 1) == [None, None]
        assert [ours.recv(), ours.recv()] == ["hello"] * 2
    resource_sharer.stop(PATIENCE)


def test_shared_memory_travels(mp, pool):
    shared_memory = importlib.import_module("multiprocessing.shared_memory")
    memory = shared_memory.SharedMemory(create=True, size=KIB)
    try:
        memory.buf[0] = 5
        assert pool.apply(pooled.first_byte, (memory.name,)) == 5
    finally:
        memory.close()
        memory.unlink()


def test_recursive_and_deep(pool):
    """Whatever pickle can take."""
    loop = [1]
    loop.append(loop)
    got = pool.apply(pooled.same, (loop,))
    assert got[1] is got
    deep = None
    for _ in range(200):
        deep = (deep,)
    assert pool.apply(pooled.same, (deep,)) == deep
    del loop, got
    gc.collect()


@pytest.mark.parametrize("function", odd_names.ODDLY_NAMED, ids=lambda function: repr(function.__qualname__[:20]))
def test_functions_with_odd_names(pool, function):
    assert pool.apply(function, (3,)) == 9
    assert pool.map(function, range(20), 1) == [n * n for n in range(20)]


@abilities.deaths
@pytest.mark.parametrize("mp", [mpfast], ids=["mpfast"])
def test_the_memory_of_calls_that_wait(held, gate):
    """Each takes a block of 128 bytes, and a result without what only maps need."""
    running = [held.apply_async(pooled.hold) for _ in range(2)]
    gate.wait(2)
    before = held._desk.memory()
    waiting = [held.apply_async(pooled.square, (n,)) for n in range(4000)]
    assert held._desk.memory() - before < 4000 * 200
    assert sys.getsizeof(waiting[0]) <= 160
    gate.open(2)
    assert [result.get(PATIENCE) for result in running + waiting][2:] == [n * n for n in range(4000)]
