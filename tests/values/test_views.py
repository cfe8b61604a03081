# SPDX-License-Identifier: MIT
"""Views of Arrays: the buffer protocol and numpy. multiprocessing's locked Arrays have none."""

import ctypes
import gc

import pytest
import shared
from test_values import NUMBERS, PLAIN, inside

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["Array", "RawArray"])
def make(request, ctx):
    return getattr(ctx, request.param)


@inside
@pytest.mark.parametrize("code", NUMBERS)
def test_a_memoryview_of_numbers(ctx, code):
    thing = ctx.Array(code, [1, 2, 3])
    view = memoryview(thing)
    assert (view.shape, view.readonly, view.c_contiguous, view.ndim) == ((3,), False, True, 1)
    assert (view.itemsize, view.nbytes) == (ctypes.sizeof(PLAIN[code]), 3 * ctypes.sizeof(PLAIN[code]))
    assert view.tolist() == [1, 2, 3]
    view[1] = 7
    assert thing[1] == 7
    assert bytes(view) == bytes(thing.get_obj())
    assert len(view.cast("B")) == view.nbytes


@inside
def test_a_memoryview_of_all_else(ctx):
    assert bytes(memoryview(ctx.Array("c", b"abc"))) == b"abc"
    assert memoryview(ctx.Array(shared.Point, 3)).nbytes == 3 * ctypes.sizeof(shared.Point)
    assert memoryview(ctx.Array("i", 0)).nbytes == 0


@inside
@pytest.mark.parametrize("size", [3, 500, 50_000])
def test_a_view_keeps_the_memory(ctx, size):
    view = memoryview(ctx.Array("i", [5] * size))
    others = [ctx.Array("i", size) for _ in range(20)]
    gc.collect()
    for other in others:
        other[0] = 1
    assert view[0] == 5
    assert view[size - 1] == 5


@inside
@pytest.mark.parametrize("code", NUMBERS)
def test_numpy_sees_the_memory(make, ctx, code):
    numpy = pytest.importorskip("numpy")
    thing = make(code, [1, 2, 3])
    view = numpy.asarray(thing) if make == ctx.Array else numpy.frombuffer(thing, dtype=PLAIN[code])
    assert view.dtype == numpy.dtype(PLAIN[code])
    view[2] = 9
    assert thing[2] == 9
    thing[0] = 8
    assert view.tolist() == [8, 2, 9]


def test_the_method_numpy(ctx, start):
    numpy = pytest.importorskip("numpy")
    thing = ctx.Array("d", range(1000))
    view = thing.numpy()
    assert (view.shape, view.dtype) == ((1000,), numpy.dtype("d"))
    child = start(thing)
    child.run(shared.put_item, thing, 999, 0.5)
    assert view[999] == 0.5
    view += 1
    assert child.run(shared.item, thing, 999) == 1.5
    assert thing.numpy(numpy.uint8).shape == (8000,)
    assert ctx.Array("i", 0).numpy().shape == (0,)
    assert ctx.Array("c", b"abc").numpy().tolist() == [b"a", b"b", b"c"]
    with pytest.raises(ValueError, match="no whole number of items"):
        ctx.Array("B", 3).numpy("i")


@inside
def test_arrays_of_numpys_become_arrays(make):
    numpy = pytest.importorskip("numpy")
    for dtype in (numpy.int32, numpy.float64, numpy.uint8, numpy.dtype(">i4")):
        source = numpy.arange(2000).astype(dtype)
        assert list(make("i" if source.dtype.kind != "f" else "d", source[:100])[:]) == list(range(100))
    thing = make("d", 1000)
    thing[:] = numpy.arange(1000.0)
    thing[10:20] = numpy.zeros(10)
    assert thing[9:21] == [9.0, *[0.0] * 10, 20.0]
    with pytest.raises(ValueError, match="size"):
        thing[10:20] = numpy.zeros(11)


def test_views_do_not_wait_for_the_lock(ctx, start):
    thing = ctx.Array("i", [1])
    child = start(thing)
    child.on(thing).acquire()
    view = memoryview(thing)
    view[0] = 2
    assert thing.get_obj()[0] == 2
    child.on(thing).release()
    assert thing[0] == 2
