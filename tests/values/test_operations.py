# SPDX-License-Identifier: MIT
"""The operations of Values, under the lock, and of Atomic, without one."""

import ctypes
import math
import pickle
import threading

import pytest
import shared
from test_values import INTEGERS, PLAIN, inside, raised

import mpfast

RANGE = {code: (type_(-1).value, 8 * ctypes.sizeof(type_)) for code, type_ in PLAIN.items() if code in INTEGERS}


@pytest.fixture
def mp():
    return mpfast


def other_locks(ctx, code, *args):
    return ctx.Value(code, *args, lock=ctx.Lock())


def over_plain(ctx, code, *args):
    """Numbers that do not lie in mpfast's memory."""
    return mpfast.sharedctypes.synchronized(PLAIN[code](*args), ctx.RLock())


MAKERS = {
    "Value": lambda ctx, *args: ctx.Value(*args),
    "Value(Lock)": other_locks,
    "Value(plain)": over_plain,
    "Atomic": lambda _, *args: mpfast.Atomic(*args),
    "Atomic.at": lambda ctx, *args: mpfast.Atomic.at(ctx.RawValue(*args)),
    "Atomic.at item": lambda ctx, code, *args: mpfast.Atomic.at(ctx.RawArray(code, [0, *(args or (0,)), 0]), 1),
}


@pytest.fixture(params=list(MAKERS))
def make(request, ctx):
    return lambda *args: MAKERS[request.param](ctx, *args)


@inside
@pytest.mark.parametrize("code", INTEGERS)
def test_integers(make, code):
    most, bits = RANGE[code]
    value, plain = make(code), PLAIN[code]
    assert (value.fetch_add(), value.value) == (0, 1)
    assert (value.fetch_add(5), value.value) == (1, 6)
    assert (value.fetch_sub(), value.value) == (6, 5)
    assert (value.fetch_sub(7), value.value) == (5, plain(-2).value)
    assert (value.fetch_add(2), value.value) == (plain(-2).value, 0)
    assert (value.exchange(0b1100), value.value) == (0, 0b1100)
    assert (value.fetch_and(0b0110), value.value) == (0b1100, 0b0100)
    assert (value.fetch_or(0b0011), value.value) == (0b0100, 0b0111)
    assert (value.fetch_xor(0b0101), value.value) == (0b0111, 0b0010)
    assert (value.compare_exchange(3, 9), value.value) == (False, 2)
    assert (value.compare_exchange(2, 9), value.value) == (True, 9)
    assert value.compare_exchange(9 + 2**bits, -1) is True
    assert value.value == most
    assert value.compare_exchange(-1, 5) is True
    assert value.fetch_add(2**bits - 1) == 5
    assert value.value == 4
    assert (value.exchange(2**70 + 3), value.value) == (4, 3)


@inside
@pytest.mark.parametrize("code", "fd")
def test_floats(make, code):
    value = make(code, 1.5)
    assert (value.fetch_add(), value.value) == (1.5, 2.5)
    assert (value.fetch_add(0.25), value.value) == (2.5, 2.75)
    assert (value.fetch_sub(3), value.value) == (2.75, -0.25)
    assert (value.exchange(0.0), value.value) == (-0.25, 0.0)
    assert value.compare_exchange(-0.0, 1) is False
    assert value.compare_exchange(0, math.nan) is True
    assert math.isnan(value.value)
    assert value.compare_exchange(math.nan, 2) is True
    assert value.value == 2.0
    for name in ("fetch_and", "fetch_or", "fetch_xor"):
        assert raised(getattr(value, name), 1) == ("TypeError", f"this is a float, and has no {name}()")


@inside
def test_operands_that_are_none(make):
    value, real = make("i", 3), make("d", 3)
    for name in ("fetch_add", "fetch_sub", "fetch_and", "fetch_or", "fetch_xor", "exchange"):
        for bad in (1.5, "1", None, []):
            assert raised(getattr(value, name), bad)[0] == "TypeError"
        if name in ("fetch_add", "exchange"):
            assert raised(getattr(real, name), "1")[0] == "TypeError"
    for bad in (("1", 2), (1, "2"), (1.5, 2)):
        assert raised(value.compare_exchange, *bad)[0] == "TypeError"
    assert raised(value.compare_exchange, 1)[0] == "TypeError"
    assert (value.value, real.value) == (3, 3.0)


@inside
def test_values_that_are_no_numbers(ctx):
    for type_ in (ctypes.c_bool, ctypes.c_char, shared.Once):
        value = ctx.Value(type_)
        assert raised(value.fetch_add) == ("TypeError", "this is no number, and has no fetch_add()")
        assert raised(value.compare_exchange, 0, 0)[0] == "TypeError"
        assert raised(mpfast.Atomic, type_)[0] == "TypeError"


def test_operations_while_the_lock_is_held(ctx, start):
    value = ctx.Value("i", 3)
    child = start(value)
    with value:
        assert value.fetch_add() == 3
        assert value.compare_exchange(4, 5) is True
        child.begin(shared.add_many, value, 1)
        assert value.exchange(7) == 5
    child.result()
    assert value.value == 8


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "Value(plain)"])
def test_two_processes_and_a_thread(ctx, name):
    value = MAKERS[name](ctx, "q")
    processes = [ctx.Process(target=shared.add_many, args=(value, 3000)) for _ in range(2)]
    for process in processes:
        process.start()
    thread = threading.Thread(target=shared.add_many, args=(value, 3000))
    thread.start()
    thread.join()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    assert value.value == 9000


@inside
def test_float_sums_of_two_processes(ctx):
    for value in (mpfast.Atomic("d"), mpfast.Atomic("f"), ctx.Value("d")):
        processes = [ctx.Process(target=shared.add_many, args=(value, 2000)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            process.close()
        assert value.value == 4000.0


def test_an_atomic_in_a_child(ctx, start):
    array = ctx.RawArray("h", [1, 2, 3])
    atomics = [mpfast.Atomic("i", 5), mpfast.Atomic.at(array, 1), mpfast.Atomic.at(ctx.RawValue("i", 5))]
    child = start(*atomics, array)
    for value in atomics:
        old = value.value
        assert child.on(value).fetch_add(3) == old
        assert value.value == old + 3
        value.value = 9
        assert child.on(value).load() == 9
    assert list(array) == [1, 9, 3]
    assert child.run(shared.item, array, 1) == 9


@inside
def test_what_an_atomic_says(ctx):
    assert repr(mpfast.Atomic("i", 5)) == "Atomic('i', 5)"
    assert repr(mpfast.Atomic(ctypes.c_double, 0.5)) == "Atomic('d', 0.5)"
    assert type(mpfast.Atomic("i")).__module__ == "mpfast"
    atomic = mpfast.Atomic("i", 5)
    atomic.value = 7
    assert (atomic.load(), atomic.value) == (7, 7)
    atomic.store(8)
    assert atomic.value == 8
    with pytest.raises(RuntimeError, match="should only be shared between processes through inheritance"):
        pickle.dumps(atomic)
    for bad in (1.5, "1", None):
        assert raised(shared.put, atomic, bad)[0] == "TypeError"


@inside
def test_what_no_atomic_can_be_made_of(ctx):
    assert raised(mpfast.Atomic, "z") == (
        "TypeError",
        "an Atomic is an integer or a float, and 'z' is the type of neither",
    )
    for bad in (5, None, ctypes.c_int(), (ctypes.c_int * 3)()):
        kind, text = raised(mpfast.Atomic.at, bad)
        assert kind == "TypeError"
        assert "is not in shared memory of mpfast's" in text
    for bad in (ctx.Value("i"), ctx.Array("i", 3)):
        assert "has a lock" in raised(mpfast.Atomic.at, bad)[1]
    assert raised(mpfast.Atomic.at, ctx.RawArray("i", 3))[0] == "TypeError"
    assert raised(mpfast.Atomic.at, ctx.RawArray("i", 3), 3)[0] == "IndexError"
    assert mpfast.Atomic.at(ctx.RawArray("i", [1, 2, 3]), -1).value == 3
    assert raised(mpfast.Atomic.at, ctx.RawValue("c"))[0] == "TypeError"
    assert raised(mpfast.Atomic.at, ctx.RawValue("i", 7), 1) == (
        "TypeError",
        "c_int(7) is no array, so it has no item 1",
    )
    with pytest.raises(RuntimeError, match="^Atomic objects should only be shared"):
        pickle.dumps(mpfast.Atomic("i"))
    assert raised(mpfast.Atomic.__new__(mpfast.Atomic).load) == ("RuntimeError", "Atomic.__init__() was not called")


@inside
def test_an_atomic_that_is_not_aligned(ctx):
    class Packed(ctypes.Structure):
        _pack_ = 1
        _layout_ = "ms"
        _fields_ = (("byte", ctypes.c_byte), ("number", ctypes.c_int * 2))

    raw = ctx.RawValue(Packed)
    numbers = raw.number
    numbers._wrapper = raw._wrapper
    assert "is not aligned" in raised(mpfast.Atomic.at, numbers, 0)[1]


@inside
def test_an_atomic_keeps_the_memory(ctx):
    atomics = [mpfast.Atomic.at(ctx.RawArray("i", [5] * size), 1) for size in (4, 1000, 50_000)]
    others = [ctx.RawArray("i", size) for size in (4, 1000, 50_000) for _ in range(10)]
    for other in others:
        other[1] = 1
    assert [atomic.value for atomic in atomics] == [5, 5, 5]
