# SPDX-License-Identifier: MIT
"""The same body on a dict, on the proxy of a manager's dict, and on mpfast.shared.Dict."""

import math
import random
from collections import UserDict
from collections.abc import Mapping, MutableMapping

import pytest
import tabled
from harness import run_process
from tabled import Point

import mpfast

VALUES = [
    *(None, True, False, 0, 1, -1, 2**60, 2**61, -(2**61), -(2**61) - 1, 2**63, 2**100, 0.0, -0.0, 2.5, math.inf),
    *("", "text", "é", "日本", "\ud800", "x" * 5000, b"", b"\0bytes", b"x" * 100_000, bytearray(b"abc"), 1j),
    *([], [1, [2, ["x"]]], (), (1, "a", None), {}, {"a": {1: [2.5]}}, {1, 2}, frozenset("ab"), range(5), Point(1, 2)),
    *(list(range(1000)), {i: str(i) for i in range(300)}, bytearray(b"y" * 100_000), int, len, Ellipsis, ValueError),
]
READS = [
    *(lambda d: d["a"], lambda d: d["missing"], lambda d: d[1], lambda d: d[True], lambda d: d[1.0], lambda d: d[0.5]),
    *(lambda d: d[(1, "x")], lambda d: d[(1.0, "x")], lambda d: d[None], lambda d: d[b"a"], lambda d: d["é"]),
    *(lambda d: d.get("a"), lambda d: d.get("missing"), lambda d: d.get("missing", 7)),
    *(lambda d: "a" in d, lambda d: "missing" in d, lambda d: len(d), lambda d: list(d), lambda d: list(d.keys())),
    *(lambda d: list(d.values()), lambda d: list(d.items()), lambda d: d.copy(), lambda d: dict(d), lambda d: str(d)),
    *(lambda d: d[[]], lambda d: d.get({}), lambda d: [] in d, lambda d: {**d}, lambda d: sorted(map(str, d))),
    *(lambda d: d.get(), lambda d: d.get(1, 2, 3), lambda d: [k for k in d if k == "a"], lambda d: bool(d)),
]
WRITES = [
    *(lambda d: put(d, "new", 1), lambda d: put(d, "a", "other"), lambda d: put(d, 1.0, "one")),
    *(lambda d: put(d, (), 0), lambda d: d.pop([])),
    *(lambda d: tabled.delete(d, "a"), lambda d: tabled.delete(d, "missing"), lambda d: tabled.delete(d, (True, "x"))),
    *(lambda d: d.pop("a"), lambda d: d.pop("missing"), lambda d: d.pop("missing", 1), lambda d: d.pop("a", 1)),
    *(lambda d: d.popitem(), lambda d: [d.popitem() for _ in range(20)], lambda d: d.clear(), lambda d: d.pop()),
    *(lambda d: d.setdefault("a", 1), lambda d: d.setdefault("new"), lambda d: d.setdefault("new", [])),
    *(lambda d: d.update({"a": 2, "b": 3}), lambda d: d.update([("x", 1), ("y", 2)]), lambda d: d.update(z=1)),
    *(lambda d: d.update({"q": 1}, r=2), lambda d: d.update(), lambda d: d.update(5), lambda d: d.update([1, 2])),
    *(lambda d: d.update([("y",)]), lambda d: d.update({}, {}), lambda d: put(d, [], 1)),
    *(lambda d: put(d, (1, []), 1), lambda d: d.setdefault([], 1), lambda d: tabled.delete(d, {})),
]
COPIES = [
    *(lambda d: put(d, "f", lambda: 1), lambda d: d["list"].append(3), lambda d: d.setdefault("f", lambda: 1)),
    *(lambda d: d.update(f=lambda: 1), lambda d: d.copy().clear(), lambda d: d["(1, 'x')"].clear()),
]
BEYOND_PROXIES = [
    *(lambda d: d | {"a": 0, "z": 1}, lambda d: {"a": 0, "z": 1} | d, lambda d: d | 5, lambda d: list(reversed(d))),
    *(lambda d: 5 | d, lambda d: d == d.copy(), lambda d: d == {}, lambda d: d == 5, lambda d: d != {}),
    *(lambda d: d == {}, lambda d: UserDict(d.copy()) == d, lambda d: isinstance(d, MutableMapping)),
    *(lambda d: isinstance(d, Mapping), lambda d: d.popitem(1)),
]
put = tabled.put


def start_content():
    return {"a": 1, 1: "one", 0.5: "half", None: "nothing", (1, "x"): [1], "list": [1, 2], b"a": b"b", "é": "ü"}


def outcome(function, subject):
    """What it returns, or the type and text of what it raises, in the words that all three have in common."""
    try:
        return function(subject)
    except Exception as error:  # the comparison is what counts
        return type(error).__name__, error.args if isinstance(error, KeyError) else None


def expected(function):
    subject = start_content()
    found = outcome(function, subject)
    return found, subject


def read(new_dict, functions):
    for i, function in enumerate(functions):
        found = outcome(function, new_dict(start_content()))
        want = expected(function)[0]
        assert (i, found, type(found)) == (i, want, type(want))


def test_reads(new_dict):
    read(new_dict, READS)


@pytest.mark.parametrize("kind", ["plain", "shared"], indirect=True)
def test_what_proxies_may_lack(new_dict):
    read(new_dict, BEYOND_PROXIES)


def test_writes(new_dict):
    for i, function in enumerate(WRITES):
        subject = new_dict(start_content())
        found = outcome(function, subject)
        want, after = expected(function)
        assert (i, found) == (i, want)
        assert (i, list(subject.copy().items())) == (i, list(after.items()))


def test_what_is_refused_changes_nothing(new_dict, kind):
    """A dict takes any value, and keeps what it had stored of an update."""
    if kind == "plain":
        pytest.skip("it takes all")
    for i, function in enumerate(COPIES):
        subject = new_dict(start_content())
        outcome(function, subject)
        assert (i, subject.copy()) == (i, start_content())


def test_values(new_dict):
    for i, value in enumerate(VALUES):
        table = new_dict()
        table["key"] = value
        found = table["key"]
        assert (i, found, type(found)) == (i, value, type(value))
        assert (i, table.pop("key")) == (i, value)
        table.update({"other": value, "one more": value})
        assert (i, table.copy()) == (i, {"other": value, "one more": value})
        assert (i, table.setdefault("other", 1)) == (i, value)
        assert (i, table.popitem()) == (i, ("one more", value))


def test_a_value_is_a_copy(new_dict, kind):
    if kind == "plain":
        pytest.skip("a dict has the object itself")
    value = [1]
    table = new_dict(a=value)
    value.append(2)
    assert table["a"] == [1]
    assert table["a"] is not table["a"]
    table["a"] += [3]
    assert table["a"] == [1, 3]


def test_in_place(new_dict):
    table = same = new_dict(a=1)
    try:
        table |= {"b": 2}
    except TypeError:
        pytest.skip("proxies of this version have no |=")
    assert table is same
    assert table.copy() == {"a": 1, "b": 2}
    table |= [("c", 3)]
    assert list(table.items()) == [("a", 1), ("b", 2), ("c", 3)]


def test_made_of(new_dict):
    assert new_dict().copy() == {}
    assert new_dict({"a": 1}, b=2).copy() == {"a": 1, "b": 2}
    assert new_dict([("a", 1), ("a", 2)]).copy() == {"a": 2}
    assert new_dict(new_dict(a=1)).copy() == {"a": 1}
    with pytest.raises(Exception, match="argument|sequence|iterable"):
        new_dict(5)


def test_order_is_that_of_insertion(new_dict):
    table = new_dict()
    for key in "zyxabc":
        table[key] = 1
    table["y"] = 2
    del table["x"]
    table["x"] = 3
    assert "".join(table.keys()) == "zyabcx"
    assert table.popitem() == ("x", 3)


def test_iteration_while_it_changes():
    table = mpfast.shared.Dict({i: i for i in range(10)})
    for key in table:
        del table[key]
        table[key + 100] = 1
    assert len(table) == 10


def test_fromkeys():
    assert mpfast.shared.Dict.fromkeys("abc", [1]).copy() == {key: [1] for key in "abc"}
    assert type(mpfast.shared.Dict.fromkeys("a")) is mpfast.shared.Dict


def change(generator, table, keys):
    """One change of a table, and what came of it."""
    key = generator.choice(keys)
    value = generator.choice((generator.randrange(-(2**62), 2**62), "x" * generator.randrange(200), [key], None, 0.5))
    what = generator.randrange(20)
    if what < 8:
        table[key] = value
    elif what < 13:
        return table.pop(key, "missing")
    elif what < 15:
        return table.setdefault(key, value)
    elif what < 16:
        table.update(dict.fromkeys(generator.sample(keys, 5), value))
    elif what < 17 and len(table):
        return table.popitem()
    elif what < 18 and generator.random() < 0.05:
        table.clear()
    return key in table, table.get(key), len(table)


@pytest.mark.parametrize("seed", range(4))
def test_many_changes_at_random(seed):
    keys = [*range(40), *map(str, range(40)), *((i, "x" * i) for i in range(40)), *(i + 0.5 for i in range(40))]
    ours, theirs = random.Random(seed), random.Random(seed)
    table, model = mpfast.shared.Dict(), {}
    for step in range(4000):
        assert change(ours, table, keys) == change(theirs, model, keys)
        if step % 100 == 0:
            assert list(table.items()) == list(model.items())
    assert table.copy() == model


# With children --------------------------------------------------------------------------------------------------------


def test_a_child_writes_and_reads(makers, start):
    table = tabled.new_dict(makers, {"a": 1})
    child = start(table)
    child.run(tabled.put, table, "b", [1, 2])
    child.run(tabled.put, table, (1, "é"), Point(3, 4))
    assert table["b"] == [1, 2]
    assert table[(1, "é")] == Point(3, 4)
    table["c"] = "x" * 100_000
    assert child.run(tabled.get, table, "c") == "x" * 100_000
    assert child.on(table).pop("a") == 1
    assert "a" not in table
    assert child.run(tabled.content, table) == table.copy()


def test_two_children_fill_it(makers, ctx):
    table = tabled.new_dict(makers)
    children = [ctx.Process(target=tabled.fill, args=(table, prefix, 200)) for prefix in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
        child.close()
    assert table.copy() == {f"{prefix}{i}": i for prefix in "ab" for i in range(200)}


def test_a_child_of_a_child(makers, ctx):
    table = tabled.new_dict(makers)
    run_process(ctx.Process(target=hand_on, args=(ctx, table)))
    assert table["grandchild"] == 1


def hand_on(ctx, table):
    run_process(ctx.Process(target=tabled.put, args=(table, "grandchild", 1)))


def test_an_exception_in_a_child_changes_nothing(makers, start):
    table = tabled.new_dict(makers, {"a": 1})
    child = start(table)
    with pytest.raises(Exception, match="missing"):
        child.run(tabled.get, table, "missing")
    with pytest.raises(Exception, match="unhashable|a key is"):
        child.run(tabled.put, table, [], 1)
    assert table.copy() == {"a": 1}
