# SPDX-License-Identifier: MIT
"""What may be put, and what comes out: the contract of multiprocessing's queues for values."""

import array
import collections
import copyreg
import datetime
import decimal
import enum
import fractions
import math
import pickle
import random
import threading
from multiprocessing.reduction import ForkingPickler

import pytest
from harness import Thread
from queuers import through

MIB = 1 << 20


class Colour(enum.IntEnum):
    RED = 1


class Word(str):
    pass


class Blob(bytes):
    pass


class Number(int):
    pass


class Ratio(float):
    pass


Point = collections.namedtuple("Point", "x y")


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __eq__(self, other):
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None


@pytest.fixture(params=["fork"])
def method(request):
    return request.param


INTS = [0, 1, -1, 255, 256, -256]
INTS += [sign * (1 << bits) + more for bits in (15, 31, 32, 33, 63, 64, 100) for more in (-1, 0, 1) for sign in (1, -1)]
FLOATS = [0.0, -0.0, 1.5, -1e308, 5e-324, math.inf, -math.inf]
TEXTS = ["", "a", "ascii", "ä", "\x00", "\x7f", "\x80", "日本語", "\U0001f600", "\ud800", "a" * 100, "ä" * 100]
OTHERS = [
    *(None, True, False, ..., NotImplemented, 1j, (), [], {}, set(), frozenset({1}), (1,), [None, [True]]),
    *({"a": {"b": 1}}, range(3), slice(1, 2, 3), bytearray(b"xyz"), array.array("d", [1.0, 2.0])),
    *(decimal.Decimal("1.1"), fractions.Fraction(1, 3), datetime.datetime(2020, 1, 2, 3), Colour.RED, Word("w")),
    *(Blob(b"b"), Number(7), Ratio(0.5), Point(1, 2), Plain(a=1, b=[2]), int, len, math.sin, Plain),
    *(collections.OrderedDict(a=1), collections.deque([1, 2], 3)),
]


def short(value):
    return repr(value)[:30].encode("ascii", "replace").decode()


@pytest.mark.parametrize("value", [*INTS, *FLOATS, *TEXTS, *OTHERS], ids=short)
def test_values(q, value):
    result = through(q, value)
    assert type(result) is type(value)
    assert result == value
    assert repr(result) == repr(value) or type(value) is Plain


def test_not_a_number(q):
    assert math.isnan(through(q, math.nan))


def test_singletons(q):
    for value in (None, True, False, ..., NotImplemented, Colour.RED):
        assert through(q, value) is value


def tree(chance, depth):
    """A random value of plain types, and now and then of another."""
    leaves = [None, True, chance.randrange(-200, 200), chance.randrange(-(1 << 70), 1 << 70), chance.random()]
    leaves += [b"\0x", "", chance.choice(TEXTS), "k" * chance.randrange(300), b"b" * chance.randrange(300)]
    leaves += [1j, Word("w")]
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(leaves)
    items = [tree(chance, depth - 1) for _ in range(chance.randrange(6))]
    kind = chance.randrange(7)
    if kind < 2:
        return items if kind else tuple(items)
    if kind == 2:
        return [items, items]
    if kind == 3:
        return frozenset(item for item in items if not isinstance(item, (list, dict, tuple)))
    return {chance.choice([str(i), i, (i,), b"i", None]): item for i, item in enumerate(items)}


def same(one, two):
    if type(one) is not type(two):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return same(list(one.items()), list(two.items()))
    return one == two


@pytest.mark.parametrize("seed", range(20))
def test_trees(q, seed):
    chance = random.Random(seed)
    for _ in range(100):
        value = tree(chance, chance.randrange(6))
        assert same(through(q, value) if seed == 0 else (q.put(value), q.get())[1], value)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("count", [0, 1, 23, 24, 25, 63, 64, 65, 200, 332, 333, 334, 1000])
def test_containers_of_all_sizes(q, count):
    for value in (
        list(range(count)), tuple(range(count)), {i: str(i) for i in range(count)}, [[i] for i in range(count)],
        [{}] * count, [()] * count, "x" * count, ["x" * count], ["\U0001f600" * count], (b"x" * count, 1.5),
    ):  # fmt: skip
        assert same(through(q, value), value)


@pytest.mark.parametrize("depth", [1, 6, 7, 8, 9, 20, 50])
def test_nesting(q, depth):
    assert through(q, nested(depth)) == nested(depth)


def test_one_container_twice_in_an_item(q):
    for shared in ([1], (1, 2), {"a": 1}):
        one, two = through(q, [shared, shared])
        assert one is two
        three = through(q, {"x": shared, "y": [shared]})
        assert three["x"] is three["y"][0]


SIZES = [0, 1, 7, 8, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 4071, 4072, 4073, 4079, 4080, 4081, 4095, 4096, 4097,
         65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 3]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_bytes_and_text_of_all_sizes(q, size):
    pattern = bytes(range(256)) * (size // 256 + 1)
    for value in (pattern[:size], bytearray(pattern[:size]), "x" * size, "ä" * size, [pattern[:size], size]):
        result = through(q, value)
        assert type(result) is type(value)
        assert result == value


def test_one_of_each_in_order(q):
    values = [1, "two", b"3" * 100, None, [4] * 1000, b"5" * MIB, True, 6.0, "7" * 70000, {"eight": 8}]
    putter = Thread(lambda: [q.put(value) for value in values])
    assert [q.get() for _ in values] == values
    putter.result()


def test_identity_within_an_item(q):
    shared = [1]
    one, two = through(q, (shared, shared))
    assert one is two
    loop = []
    loop.append(loop)
    result = through(q, loop)
    assert result[0] is result


def test_items_know_nothing_of_each_other(q):
    """A pickler that is used again must forget what it has seen."""
    shared = [1]
    first, second = through(q, [shared]), through(q, [shared])
    assert first == second == [shared]
    assert first[0] is not second[0]
    assert through(q, ["text"] * 2) == through(q, ["text"] * 2)


def test_many_distinct_objects(q):
    value = [str(n) for n in range(200_000)]
    assert through(q, value) == value
    assert through(q, {"small": 1}) == {"small": 1}


class Reduced:
    """Can only be pickled by a registered reducer."""

    def __init__(self, value):
        self.value = value

    def __reduce_ex__(self, protocol):
        raise TypeError("not by itself")


@pytest.fixture
def registry():
    reducers, table = ForkingPickler._extra_reducers.copy(), copyreg.dispatch_table.copy()
    yield
    for live, before in ((ForkingPickler._extra_reducers, reducers), (copyreg.dispatch_table, table)):
        live.clear()
        live.update(before)


def doubled(thing):
    return Reduced, (thing.value * 2,)


def tripled(thing):
    return Reduced, (thing.value * 3,)


def test_reducers_registered_at_any_time(registry, q):
    assert through(q, [1]) == [1]
    ForkingPickler.register(Reduced, doubled)
    assert through(q, Reduced(1)).value == 2
    ForkingPickler.register(Reduced, tripled)
    assert through(q, [Reduced(1)])[0].value == 3
    del ForkingPickler._extra_reducers[Reduced]
    copyreg.pickle(Reduced, doubled)
    assert through(q, Reduced(1)).value == 2
    ForkingPickler.register(Reduced, tripled)  # which wins
    assert through(q, Reduced(1)).value == 3


class Nested:
    """Its reducer uses the queue while it is being put."""

    def __init__(self, queue):
        self.queue = queue

    def __reduce__(self):
        self.queue.put({"from": "the reducer"})
        return dict, ((("outer", (1, 2)),),)


def test_a_reducer_that_puts(ctx, q):
    inner = ctx.SimpleQueue()
    assert through(q, [Nested(inner), "x", "x"]) == [{"outer": (1, 2)}, "x", "x"]
    assert inner.get() == {"from": "the reducer"}
    inner.close()


def load_and_put(queue, value):
    queue[0].put([value])
    return value


_queues = []


def put_again(value):
    _queues[0].put([value, "again"])
    return value


class PutsWhenLoaded:
    def __reduce__(self):
        return put_again, ("loaded",)


def test_an_item_that_puts_when_it_is_loaded(q):
    _queues[:] = [q]
    assert through(q, PutsWhenLoaded()) == "loaded"
    assert q.get() == ["loaded", "again"]
    _queues.clear()


def fails():
    raise ZeroDivisionError("while loading")


class FailsToLoad:
    def __reduce__(self):
        return fails, ()


def test_an_item_that_cannot_be_loaded(q):
    """The error is the getter's, and the queue goes on."""
    putter = Thread(lambda: [q.put(FailsToLoad()), q.put(2)])
    with pytest.raises(ZeroDivisionError, match="^while loading$"):
        q.get()
    assert q.get() == 2
    putter.result()


class FailsToPickle:
    def __reduce__(self):
        raise ZeroDivisionError("while pickling")


class TestErrorsWhilePutting:
    """multiprocessing's SimpleQueue raises in put(), as all of ours do; its Queue prints a traceback later."""

    @pytest.fixture(params=["Queue", "JoinableQueue", "SimpleQueue"])
    def kind(self, request, mp):
        if mp.__name__ == "multiprocessing" and request.param != "SimpleQueue":
            pytest.skip("there a thread prints the error")
        return request.param

    @pytest.mark.parametrize(
        ("value", "error", "text"),
        [
            (FailsToPickle(), ZeroDivisionError, "while pickling"),
            ([1, (FailsToPickle(),)], ZeroDivisionError, "while pickling"),
            (lambda: 1, (AttributeError, pickle.PicklingError), "lambda"),
            (threading.Lock(), TypeError, "cannot pickle '_thread.lock' object"),
        ],
        ids=["object", "nested", "lambda", "lock"],
    )
    def test_raised_and_nothing_put(self, q, value, error, text):
        for _ in range(2):
            with pytest.raises(error, match=text):
                q.put(value)
        assert q.empty() is True
        q.put([1])
        assert q.get() == [1]

    def test_too_deep(self, q):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises((RecursionError, MemoryError)):
            q.put(deep)
        assert through(q, [1]) == [1]
        while deep:
            deep = deep.pop()


def test_mutation_after_put(ctx):
    """What was put is what it was when put() returned."""
    q = ctx.SimpleQueue()
    value = [1]
    q.put(value)
    value.append(2)
    assert q.get() == [1]
    q.close()
