# SPDX-License-Identifier: MIT
"""Array and RawArray, the contract of multiprocessing's."""

import array
import ctypes

import pytest
import shared
from harness import run_process
from test_values import INTEGERS, NUMBERS, PLAIN, inside, raised


@pytest.fixture(params=["Array", "RawArray"])
def make(request, ctx):
    return getattr(ctx, request.param)


def every(thing):
    return list(thing[:])


@inside
@pytest.mark.parametrize("code", NUMBERS)
def test_items(make, code):
    plain = (PLAIN[code] * 5)(*range(5))
    thing = make(code, range(5))
    assert len(thing) == 5
    for index in range(-5, 5):
        assert thing[index] == plain[index]
        assert type(thing[index]) is type(plain[index])
        thing[index] = plain[index] = index
    assert every(thing) == every(plain)
    assert [*thing] == [*plain]


@inside
@pytest.mark.parametrize("size", [0, 1, 2, 16, 17, 100, 1000, 9000, 100_000])
def test_sizes(make, size):
    """Up to 16 bytes, in a slot, in a block, in a window."""
    thing = make("i", size)
    assert len(thing) == size
    assert every(thing) == [0] * size
    if size:
        thing[size - 1] = 7
        thing[0] = 5 + (size == 1) * 2
        assert (thing[0], thing[-1]) == ((7, 7) if size == 1 else (5, 7))
    again = make("b", b"\1" * size)
    assert every(again) == [1] * size
    assert len(make("i", size)[:]) == size


@inside
def test_indices_that_are_none(make):
    thing, plain = make("i", 3), (ctypes.c_int * 3)()
    for index in (3, -4, 2**70, -(2**70), "0", None, 0.5, (1,)):
        assert raised(shared.item, thing, index) == raised(shared.item, plain, index)
        assert raised(shared.put_item, thing, index, 1) == raised(shared.put_item, plain, index, 1)


class One:
    def __index__(self):
        return 1


@inside
def test_indices_that_are_no_int(make):
    thing = make("i", [5, 6, 7])
    assert (thing[True], thing[One()]) == (6, 6)
    thing[One()] = 8
    assert every(thing) == [5, 8, 7]


@inside
@pytest.mark.parametrize("code", NUMBERS)
def test_values_that_are_none(make, code):
    thing, plain = make(code, 3), (PLAIN[code] * 3)()
    for bad in ("text", None, [], b"ab"):
        assert raised(shared.put_item, thing, 1, bad) == raised(shared.put_item, plain, 1, bad)
        assert raised(make, code, [1, bad]) == raised((PLAIN[code] * 2), 1, bad)
    assert every(thing) == every(plain)


@inside
def test_slices(make):
    thing, plain = make("i", range(10)), (ctypes.c_int * 10)(*range(10))
    slices = [slice(2, 5), slice(None), slice(-3, None), slice(8, 2, -1), slice(0, 10, 3), slice(5, 5), slice(7, 99)]
    for piece in slices:
        assert thing[piece] == plain[piece]
    for piece in (slice(2, 5), slice(-3, None), slice(7, 10)):
        for values in ([1, 2, 3], (4, 5, 6), array.array("i", [7, 8, 9]), array.array("h", [10, 11, 12]), b"abc"):
            thing[piece] = plain[piece] = values
            assert every(thing) == every(plain)
    for piece, values in ((slice(2, 5), [1]), (slice(0, 10, 3), [1, 2, 3]), (slice(5, 2), [1, 2, 3]), (slice(2), 5)):
        assert raised(shared.put_item, thing, piece, values) == raised(shared.put_item, plain, piece, values)
    assert every(thing) == every(plain)


@inside
def test_slices_of_itself(make):
    thing = make("i", range(10))
    thing[0:5] = thing[5:10]
    assert every(thing) == [5, 6, 7, 8, 9] * 2


SOURCES = [
    [1, 2, 3], (1, 2, 3), range(1, 4), b"\1\2\3", bytearray(b"\1\2\3"), array.array("b", [1, 2, 3]),
    array.array("q", [1, 2, 3]), array.array("i", [1, 2, 3]), (ctypes.c_int * 3)(1, 2, 3),
    (ctypes.c_ubyte * 3)(1, 2, 3), memoryview(b"\1\2\3\4\5\6")[:3], memoryview(b"\1_\2_\3_")[::2],
]  # fmt: skip


@inside
@pytest.mark.parametrize("code", NUMBERS)
def test_initializers(make, code):
    for source in SOURCES:
        assert every(make(code, source)) == [1, 2, 3]


@inside
def test_floats_do_not_become_integers(make):
    for code in INTEGERS:
        for source in ([1.5], array.array("d", [1.5]), array.array("f", [1.5])):
            assert raised(make, code, source)[0] == "TypeError"
    assert every(make("f", array.array("d", [1.5]))) == [1.5]


@inside
def test_sizes_that_are_none(make):
    for bad in (-1, "5", 2.5, None, object(), 2**70):
        expected = raised(ctypes.c_int.__mul__, bad) if isinstance(bad, int) else None
        found = raised(make, "i", bad)
        assert found[0] == (expected[0] if expected else "TypeError")
    assert len(make("i", True)) == 1


@inside
def test_locks(ctx):
    lock = ctx.Lock()
    thing = ctx.Array("i", [1, 2], lock=lock)
    assert thing.get_lock() is lock
    thing[0] = thing[1]
    assert every(thing) == [2, 2]
    assert type(ctx.Array("i", 2, lock=False)) is type(ctx.RawArray("i", 2))
    for own in (True, None):
        thing = ctx.Array("i", 2, lock=own)
        with thing.get_lock(), thing:
            thing[0] = 1
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        ctx.Array("i", 2, lock="no lock")


def test_while_the_lock_is_held(ctx, start):
    thing = ctx.Array("i", [1, 2])
    child = start(thing)
    with thing:
        child.begin(shared.put_item, thing, 0, 9)
        assert thing[0] == 1
    child.result()
    assert thing[0] == 9
    with thing:
        child.begin(shared.item, thing, 0)
    assert child.result() == 9


@inside
def test_the_parts_of_an_array(ctx, sharedctypes):
    thing = ctx.Array("i", [1, 2])
    assert thing.get_obj() is thing._obj
    assert type(thing.get_obj()) is ctypes.c_int * 2
    assert type(ctx.RawArray("i", 2)) is ctypes.c_int * 2
    assert isinstance(thing, sharedctypes.SynchronizedArray)
    assert not isinstance(thing, sharedctypes.SynchronizedString)
    assert repr(thing).startswith("<SynchronizedArray wrapper for <")
    thing.get_obj()[0] = 7
    assert thing[0] == 7


@pytest.mark.parametrize("size", [2, 100, 3000, 30_000])
def test_a_child_sees_and_is_seen(ctx, start, size):
    things = [ctx.Array("d", size), ctx.RawArray("d", size), ctx.Array("d", size, lock=ctx.Lock())]
    child = start(*things)
    for thing in things:
        thing[size - 1] = 1.5
        assert child.run(shared.item, thing, size - 1) == 1.5
        child.run(shared.put_item, thing, 0, 2.5)
        assert thing[0] == 2.5


def test_a_child_makes_one_for_its_child(ctx):
    run_process(ctx.Process(target=hand_on, args=(ctx,)))


def hand_on(ctx):
    thing = ctx.Array("i", range(1000))
    run_process(ctx.Process(target=shared.square, args=(thing,)))
    assert every(thing) == [i**2 for i in range(1000)]


def test_squares(ctx):
    thing = ctx.Array("i", range(300))
    run_process(ctx.Process(target=shared.square, args=(thing,)))
    assert every(thing) == [i**2 for i in range(300)]


def test_strings(ctx, sharedctypes):
    text = ctx.Array("c", 10)
    assert isinstance(text, sharedctypes.SynchronizedString)
    assert (text.value, text.raw) == (b"", bytes(10))
    text.value = b"hello"
    assert (text.value, text.raw) == (b"hello", b"hello" + bytes(5))
    text.raw = b"0123456789"
    assert (text.value, text[0], text[1:3]) == (b"0123456789", b"0", b"12")
    text[1] = b"x"
    text[2:4] = b"yz"
    assert text.value == b"0xyz456789"
    assert raised(shared.put, text, "text") == raised(shared.put, (ctypes.c_char * 10)(), "text")
    assert raised(shared.put, text, b"x" * 11) == raised(shared.put, (ctypes.c_char * 10)(), b"x" * 11)
    assert ctx.Array("c", b"abc").value == b"abc"
    run_process(ctx.Process(target=shared.put, args=(text, b"other")))
    assert text.value == b"other"
    wide = ctx.Array("u", "grüße")
    assert wide.get_obj().value == "grüße"
    assert (wide[2], wide[:3]) == ("ü", "grü")


@inside
def test_structures(ctx):
    points = ctx.Array(shared.Point, [(1, 0.5), (2, 1.5)])
    assert [(point.x, point.y) for point in points] == [(1, 0.5), (2, 1.5)]
    points[1].x = 7
    assert points[1].x == 7
    assert type(points[0]) is shared.Point
    assert len(ctx.RawArray(shared.Large, 100)) == 100


@inside
def test_arrays_of_arrays(ctx):
    thing = ctx.RawArray(ctypes.c_int * 3, 2)
    thing[1][2] = 5
    assert [list(row) for row in thing] == [[0, 0, 0], [0, 0, 5]]
    locked = ctx.Array(ctypes.c_int * 3, 2)
    locked[1][2] = 5
    assert list(locked[1]) == [0, 0, 5]


@inside
def test_zeros_whatever_was_there(make):
    """Memory that another object had before."""
    for size in (10, 60, 1000, 30_000, 200_000):
        for _ in range(5):
            thing = make("B", size)
            assert bytes(bytearray(thing[:])) == bytes(size)
            thing[:] = b"\xff" * size
            del thing
