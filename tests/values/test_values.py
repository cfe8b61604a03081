# SPDX-License-Identifier: MIT
"""Value and RawValue, the contract of multiprocessing's."""

import ctypes
import math
import pickle

import pytest
import shared
from harness import run_process

INTEGERS = "bBhHiIlLqQ"
NUMBERS = INTEGERS + "fd"
ALL = NUMBERS + "cu"
BORDERS = [0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, -(2**63), 2**70 + 5]
PLAIN = {
    "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short, "H": ctypes.c_ushort, "i": ctypes.c_int,
    "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong, "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}  # fmt: skip

# What needs no child is tried once.
inside = pytest.mark.parametrize("method", ["fork"], indirect=True)


@pytest.fixture(params=["Value", "RawValue"])
def make(request, ctx):
    return getattr(ctx, request.param)


def raised(function, *args):
    """What a call raises, without the packages' names."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is the question)
        function(*args)
    return type(caught.value).__name__, str(caught.value)


@inside
@pytest.mark.parametrize("code", INTEGERS)
def test_integers_are_those_of_ctypes(make, code):
    value, plain = make(code), PLAIN[code]()
    assert value.value == 0
    for number in [*BORDERS, True]:
        value.value = plain.value = number
        assert (value.value, type(value.value)) == (plain.value, int)
        assert make(code, number).value == plain.value


@inside
@pytest.mark.parametrize("code", "fd")
def test_floats_are_those_of_ctypes(make, code):
    value, plain = make(code), PLAIN[code]()
    for number in (0.0, -0.0, 0.1, 1e300, -1e-320, math.inf, 7, True, 2**60 + 1):
        value.value = plain.value = number
        assert (value.value, type(value.value)) == (plain.value, float)
        assert math.copysign(1, value.value) == math.copysign(1, plain.value)
        assert make(code, number).value == plain.value
    value.value = math.nan
    assert math.isnan(value.value)


@inside
@pytest.mark.parametrize("code", ALL)
def test_errors_are_those_of_ctypes(make, code):
    type_ = {**PLAIN, "c": ctypes.c_char, "u": ctypes.c_wchar}[code]
    for bad in ("text", None, 2.5, [], b"ab", object()):
        if code in "fd" and bad == 2.5:
            continue
        value, plain = make(code), type_()
        expected = raised(shared.put, plain, bad)
        assert raised(shared.put, value, bad) == expected
        assert raised(make, code, bad) == expected
        assert value.value == plain.value


@inside
def test_what_has_an_index_counts_as_an_int(make):
    class Seven:
        def __index__(self):
            return 7

    value = make("i")
    value.value = Seven()
    assert value.value == 7
    assert make("h", Seven()).value == 7


@inside
@pytest.mark.parametrize("type_", [ctypes.c_bool, ctypes.c_char, ctypes.c_void_p, shared.Once, ctypes.c_size_t])
def test_other_simple_types(make, type_):
    value, plain = make(type_), type_()
    assert value.value == plain.value
    one = b"x" if type_ is ctypes.c_char else 1
    value.value = plain.value = one
    assert value.value == plain.value
    assert make(type_, one).value == plain.value


@inside
def test_no_type(make):
    for bad in ("z", "ii", 7, None, object(), b"i", [], int):
        assert raised(make, bad)[0] == "TypeError"


@inside
def test_too_many_arguments(make):
    assert raised(make, "i", 1, 2)[0] == "TypeError"


@inside
def test_the_types(ctx, sharedctypes):
    value = ctx.Value("i", 3)
    assert type(value.get_obj()) is ctypes.c_int
    assert type(ctx.RawValue("i", 3)) is ctypes.c_int
    assert type(ctx.Value("i", 3, lock=False)) is ctypes.c_int
    assert isinstance(value, sharedctypes.Synchronized)
    assert isinstance(value, sharedctypes.SynchronizedBase)
    assert not isinstance(value, sharedctypes.SynchronizedArray)
    assert type(value).__name__ == "Synchronized"


@inside
def test_the_parts_of_a_value(ctx):
    value = ctx.Value("i", 3)
    assert value.get_obj() is value._obj
    assert value.get_lock() is value._lock
    assert value.acquire == value.get_lock().acquire
    assert value.release == value.get_lock().release
    assert value.get_obj().value == 3
    value.get_obj().value = 4
    assert value.value == 4
    value.value = 5
    assert value.get_obj().value == 5
    assert hasattr(value.get_obj(), "_wrapper")


@inside
def test_repr(ctx):
    assert repr(ctx.Value("i", 3)) == "<Synchronized wrapper for c_int(3)>"
    assert repr(ctx.Value("d", 0.5)) == "<Synchronized wrapper for c_double(0.5)>"


@inside
def test_attributes_of_ones_own(ctx):
    value = ctx.Value("i")
    value.note = "mine"
    assert value.note == "mine"
    with pytest.raises(AttributeError):
        del value.value
    assert not hasattr(value, "absent")


@inside
def test_locks(ctx):
    lock, rlock = ctx.Lock(), ctx.RLock()
    for chosen in (lock, rlock):
        value = ctx.Value("i", 3, lock=chosen)
        assert value.get_lock() is chosen
        value.value += 4
        assert value.value == 7
    for own in (True, None):
        value = ctx.Value("i", 3, lock=own)
        with value.get_lock(), value:
            value.value += 1
        assert value.value == 4
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        ctx.Value("i", lock="no lock")
    with pytest.raises(AttributeError):
        ctx.RawValue("i").get_lock()


class Recording:
    """A lock of a program's own."""

    def __init__(self):
        self.calls = []

    def acquire(self):
        self.calls.append("acquire")

    def release(self):
        self.calls.append("release")

    def __enter__(self):
        self.calls.append("enter")

    def __exit__(self, *_):
        self.calls.append("exit")


@inside
def test_a_lock_that_only_has_acquire_and_release(ctx):
    lock = Recording()
    value = ctx.Value("i", 3, lock=lock)
    value.value = value.value + 1
    assert lock.calls == ["acquire", "release"] * 2
    array = ctx.Array("i", [1, 2], lock=lock)
    array[0] = array[1]
    assert list(array[:]) == [2, 2]
    assert lock.calls == ["acquire", "release"] * 2 + ["enter", "exit"] * 3


@inside
def test_functions_in_place_of_the_locks(ctx):
    lock = Recording()
    value = ctx.Value("i", 3)
    value.acquire, value.release = lock.acquire, lock.release
    value.value = value.value + 1
    assert value.value == 4
    assert lock.calls == ["acquire", "release"] * 3


@inside
def test_another_object_in_its_place(ctx):
    value, other = ctx.Value("i", 3), ctx.RawValue("d", 0.5)
    value._obj = other
    assert value.value == 0.5
    value.value = 2
    assert other.value == 2.0
    assert value.get_obj() is other


@inside
def test_another_lock_in_its_place(ctx):
    value, lock = ctx.Value("i", 3), ctx.Lock()
    value._lock = lock
    value.acquire, value.release = lock.acquire, lock.release
    value.value = 9
    assert (value.value, value.get_obj().value) == (9, 9)


def test_while_the_lock_is_held(ctx, start):
    value = ctx.Value("i", 3)
    child = start(value)
    with value:
        child.begin(shared.put, value, 8)
        assert value.value == 3
        value.value = 4
    child.result()
    assert value.value == 8
    with value.get_lock():
        child.begin(shared.get, value)
    assert child.result() == 8


def test_a_child_sees_and_is_seen(ctx, start):
    things = [ctx.Value("q", 5), ctx.RawValue("q", 5), ctx.Value("q", 5, lock=ctx.Lock()), ctx.Value(shared.Once, 5)]
    child = start(*things)
    for thing in things:
        assert child.run(shared.get, thing) == 5
        thing.value = -(2**40) if thing is not things[3] else 6
        assert child.run(shared.get, thing) == thing.value
        child.run(shared.put, thing, 11)
        assert thing.value == 11


def test_what_is_in_a_child_is_of_the_same_type(ctx, start):
    for thing in (ctx.Value("i"), ctx.RawValue("i"), ctx.Array("i", 3), ctx.RawArray("i", 3)):
        child = start(thing)
        assert child.run(shared.kind_of, thing) == shared.kind_of(thing)


def test_the_object_alone_in_a_child(ctx, start):
    value = ctx.Value("i", 3)
    obj, lock = value.get_obj(), value.get_lock()
    child = start(obj, lock, value)
    assert child.run(shared.get, obj) == 3
    child.run(shared.put, obj, 4)
    assert value.value == 4
    with value:
        assert child.on(lock).acquire(False) is False


def test_two_processes_add(ctx):
    value = ctx.Value("i")
    processes = [ctx.Process(target=shared.add, args=(value, 500)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    assert value.value == 1000


@inside
def test_no_pickling_but_for_a_child(ctx):
    things = (ctx.Value("i"), ctx.Value("i", lock=ctx.Lock()), ctx.Array("i", 2), ctx.Value(shared.Point))
    for thing in things:
        with pytest.raises(RuntimeError, match="should only be shared between processes through inheritance"):
            pickle.dumps(thing)


def test_structures(ctx, sharedctypes):
    point = ctx.Value(shared.Point, 3, 0.5)
    assert type(point.get_obj()) is shared.Point
    assert (point.x, point.y) == (3, 0.5)
    point.x = 7
    point.y += 1
    assert (point.get_obj().x, point.get_obj().y) == (7, 1.5)
    assert isinstance(point, sharedctypes.SynchronizedBase)
    assert (type(point).__module__, type(point).__name__) == ("multiprocessing.sharedctypes", "SynchronizedPoint")
    assert type(ctx.Value(shared.Point)) is type(point)
    with pytest.raises(TypeError):
        point.x = "text"
    raw = ctx.RawValue(shared.Large, b"name")
    assert (raw.name, list(raw.sums)) == (b"name", [0] * 8)
    run_process(ctx.Process(target=shared.put, args=(point, 99, "x")))
    run_process(ctx.Process(target=shared.put, args=(raw, b"other", "name")))
    assert (point.x, raw.name) == (99, b"other")


def test_copy(ctx, sharedctypes):
    first = ctx.RawValue(shared.Point, 3, 0.5)
    second = sharedctypes.copy(first)
    first.x = 0
    assert (second.x, second.y) == (3, 0.5)
    run_process(ctx.Process(target=shared.put, args=(second, 5, "x")))
    assert (first.x, second.x) == (0, 5)
    array = sharedctypes.copy(ctx.RawArray("i", [1, 2, 3]))
    assert list(array) == [1, 2, 3]


@inside
def test_synchronized(ctx, sharedctypes):
    obj = ctx.RawValue("i", 3)
    value = sharedctypes.synchronized(obj)
    assert value.get_obj() is obj
    value.value = 4
    assert obj.value == 4
    lock = ctx.Lock()
    assert sharedctypes.synchronized(obj, lock).get_lock() is lock
    with pytest.raises(AssertionError, match="object already synchronized"):
        sharedctypes.synchronized(value)
    plain = ctypes.c_int(5)
    over = sharedctypes.synchronized(plain, lock)
    over.value += 1
    assert (plain.value, over.value) == (6, 6)


@inside
def test_a_class_of_ones_own(ctx, sharedctypes):
    class Counter(sharedctypes.Synchronized):
        def __init__(self, start):
            super().__init__(ctx.RawValue("i", start), ctx.RLock())

        def up(self):
            with self:
                self.value += 1

    counter = Counter(3)
    counter.up()
    assert counter.value == 4


@inside
def test_through_a_thread(ctx):
    from harness import aside

    value = ctx.Value("i")
    aside(shared.add, value, 100)
    with value:
        value.acquire()
        value.value += 1
        value.release()
    assert value.value == 101
