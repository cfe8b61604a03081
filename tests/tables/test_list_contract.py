# SPDX-License-Identifier: MIT
"""The same body on a list, on the proxy of a manager's list, and on mpfast.shared.List."""

import random
from collections.abc import MutableSequence

import pytest
import tabled
from tabled import Point, delete, put
from test_dict_contract import VALUES, outcome

import mpfast

READS = [
    *(lambda s: s[0], lambda s: s[-1], lambda s: s[6], lambda s: s[-7], lambda s: s[2**70], lambda s: s[True]),
    *(lambda s: s["a"], lambda s: s[None], lambda s: s[1:3], lambda s: s[:], lambda s: s[::-1], lambda s: s[5:1]),
    *(
        lambda s: s[-2:],
        lambda s: s[::2],
        lambda s: s[10:],
        lambda s: s[-100:100],
        lambda s: s[4:0:-2],
        lambda s: s[::0],
    ),
    *(
        lambda s: len(s),
        lambda s: list(s),
        lambda s: 3 in s,
        lambda s: "no" in s,
        lambda s: s.index(3),
        lambda s: bool(s),
    ),
    *(
        lambda s: s.index("no"),
        lambda s: s.index(3, 4),
        lambda s: s.index(3, 0, 10),
        lambda s: s.count(3),
        lambda s: str(s),
    ),
    *(
        lambda s: s.count([]),
        lambda s: s.index([1]),
        lambda s: list(reversed(s)),
        lambda s: s + [1] * 2,
        lambda s: s * 2,
    ),
    *(
        lambda s: 2 * s,
        lambda s: s * 0,
        lambda s: s * -1,
        lambda s: s * "a",
        lambda s: s + tuple(s[:1]),
        lambda s: sorted(s[:2]),
    ),
    *(lambda s: s[1.0], lambda s: s["a":], lambda s: s.index(), lambda s: s.pop(1, 2), lambda s: [*s]),
]
WRITES = [
    *(lambda s: put(s, 0, "x"), lambda s: put(s, -1, [2]), lambda s: put(s, 6, 1), lambda s: put(s, "a", 1)),
    *(
        lambda s: put(s, slice(1, 3), [7, 8, 9]),
        lambda s: put(s, slice(0, 0), "ab"),
        lambda s: put(s, slice(9, 9), [1]),
    ),
    *(
        lambda s: put(s, slice(4, 2), [1, 2]),
        lambda s: put(s, slice(None), []),
        lambda s: put(s, slice(None), range(50)),
    ),
    *(lambda s: put(s, slice(None, None, 2), "abc"), lambda s: put(s, slice(None, None, 2), "ab")),
    *(
        lambda s: put(s, slice(None, None, -1), range(6)),
        lambda s: put(s, slice(1, 3), 5),
        lambda s: put(s, slice(1), []),
    ),
    *(
        lambda s: put(s, slice(5, 0, -2), "xyz"),
        lambda s: put(s, slice(0, 2, 3), [0]),
        lambda s: put(s, slice(3, 1, 2), []),
    ),
    *(lambda s: delete(s, 0), lambda s: delete(s, -1), lambda s: delete(s, 6), lambda s: delete(s, "a")),
    *(lambda s: delete(s, slice(1, 3)), lambda s: delete(s, slice(None)), lambda s: delete(s, slice(None, None, 2))),
    *(
        lambda s: delete(s, slice(None, None, -2)),
        lambda s: delete(s, slice(3, 1)),
        lambda s: delete(s, slice(4, 0, -3)),
    ),
    *(
        lambda s: delete(s, slice(5, 5, 2)),
        lambda s: delete(s, slice(1, 100, 4)),
        lambda s: delete(s, slice(None, None, 9)),
    ),
    *(lambda s: s.append(1), lambda s: s.append([1, [2]]), lambda s: s.append(), lambda s: s.extend("abc")),
    *(lambda s: s.extend([]), lambda s: s.extend(5), lambda s: s.extend(range(100)), lambda s: s.extend((1, (2,)))),
    *(
        lambda s: s.insert(0, "x"),
        lambda s: s.insert(-1, "x"),
        lambda s: s.insert(100, "x"),
        lambda s: s.insert(-100, "x"),
    ),
    *(lambda s: s.insert("a", 1), lambda s: s.insert(3, None), lambda s: s.insert(True, 1)),
    *(lambda s: s.pop(), lambda s: s.pop(0), lambda s: s.pop(-6), lambda s: s.pop(6), lambda s: s.pop(-7)),
    *(lambda s: s.pop("a"), lambda s: s.pop(2), lambda s: [s.pop() for _ in range(7)]),
    *(
        lambda s: s.remove(3),
        lambda s: s.remove("no"),
        lambda s: s.remove([1]),
        lambda s: s.reverse(),
    ),
    *(
        lambda s: s.sort(key=str),
        lambda s: s.sort(key=str, reverse=True),
        lambda s: s.sort(key=len),
        lambda s: s.sort(5),
    ),
]
BEYOND_PROXIES = [
    *(
        lambda s: s.clear(),
        lambda s: s.copy(),
        lambda s: s == list(s),
        lambda s: s == [],
        lambda s: s == 5,
        lambda s: s != [1],
    ),
    *(lambda s: s.sort(key=lambda _: 0), lambda s: s.sort(reverse=True, key=lambda x: isinstance(x, int))),
    *(lambda s: list(s) == s, lambda s: hash(s), lambda s: isinstance(s, MutableSequence), lambda s: [0] + s),  # noqa: RUF005
]


def start_content():
    return [3, 1, 3, "text", [1], None]


def content(subject):
    return subject[:]


def check(new_list, functions):
    for i, function in enumerate(functions):
        subject, model = new_list(start_content()), start_content()
        found, want = outcome(function, subject), outcome(function, model)
        assert (i, found, type(found)) == (i, want, type(want))
        assert (i, content(subject)) == (i, model)


def test_reads(new_list):
    check(new_list, READS)


def test_writes(new_list):
    check(new_list, WRITES)


@pytest.mark.parametrize("kind", ["plain", "shared"], indirect=True)
def test_what_proxies_may_lack(new_list):
    check(new_list, BEYOND_PROXIES)


def test_values(new_list):
    for i, value in enumerate(VALUES):
        items = new_list()
        items.append(value)
        items.extend([value, value])
        items[1] = value
        assert (i, items[0], type(items[0])) == (i, value, type(value))
        assert (i, content(items)) == (i, [value] * 3)
        assert (i, items.pop()) == (i, value)
        items.insert(1, value)
        items[1:2] = [value, value]
        assert (i, items[::-1]) == (i, [value] * 4)


def test_an_item_is_a_copy(new_list, kind):
    if kind == "plain":
        pytest.skip("a list has the object itself")
    value = [1]
    items = new_list([value])
    value.append(2)
    items[0].append(3)
    assert content(items) == [[1]]


def test_what_is_refused_changes_nothing(new_list, kind):
    if kind == "plain":
        pytest.skip("it takes all")
    for change in (
        *(lambda s: s.append(lambda: 1), lambda s: s.extend([1, lambda: 1]), lambda s: put(s, 0, lambda: 1)),
        *(lambda s: put(s, slice(0, 2), [1, lambda: 1]), lambda s: s.insert(0, lambda: 1), lambda s: s.sort(key=len)),
    ):
        items = new_list([5, 6])
        with pytest.raises(Exception, match="pickle|local object|len"):
            change(items)
        assert content(items) == [5, 6]


def test_in_place(new_list):
    items = same = new_list([1])
    items += [2]
    items += (3,)
    items *= 2
    assert items is same
    assert content(items) == [1, 2, 3, 1, 2, 3]
    items *= 0
    assert content(items) == []


def test_made_of(new_list):
    assert content(new_list()) == []
    assert content(new_list("abc")) == ["a", "b", "c"]
    assert content(new_list(new_list([1]))) == [1]
    with pytest.raises(Exception, match="not iterable"):  # a manager has an exception of its own for it
        new_list(5)


@pytest.mark.parametrize("kind", ["plain", "shared"], indirect=True)
def test_with_itself(new_list):
    items = new_list([1, 2])
    items.extend(items)
    items += items
    items[1:3] = items
    assert content(items) == [1, *[1, 2] * 4, *[2, 1, 2, 1, 2]]
    assert items + items == content(items) * 2


def test_sorting_is_stable_and_calls_the_key_once(new_list, kind):
    if kind == "proxy":
        pytest.skip("a function that is local cannot be sent")
    calls = []
    items = new_list([(1, "b"), (0, "b"), (1, "a"), (0, "a")])
    items.sort(key=lambda item: calls.append(item) or item[0], reverse=True)
    assert content(items) == [(1, "b"), (1, "a"), (0, "b"), (0, "a")]
    assert len(calls) == 4


def test_sorting_what_the_key_changes():
    """The key function is called again, and the last time under the lock."""
    items = mpfast.shared.List([2, 1])
    with pytest.raises(ValueError, match="list modified during sort"):
        items.sort(key=lambda item: items.append(0) or item)
    calls = []

    def key(item):
        if len(calls) < 2:
            items.append(0)
        calls.append(item)
        return item

    items = mpfast.shared.List([2, 1])
    items.sort(key=key)
    assert content(items) == [0, 0, 1, 2]


def test_removing_what_changes_meanwhile():
    items = mpfast.shared.List([Point(1, 1), 5, 5])

    class Five:
        def __eq__(self, other):
            if len(items) == 3:
                items.insert(0, "new")
            return other == 5

        __hash__ = None

    items.remove(Five())
    assert content(items) == ["new", Point(1, 1), 5]


def random_slice(generator, n):
    def bound():
        return generator.choice((None, generator.randrange(-n - 2, n + 3)))

    return slice(bound(), bound(), generator.choice((None, None, 1, 2, 3, -1, -2)))


def change(generator, items):
    """One change, and what came of it."""
    n, what = len(items), generator.randrange(22)
    value = generator.choice((generator.randrange(-(2**62), 2**62), "x" * generator.randrange(200), [n], None, 0.5))
    try:
        if what < 6:
            items.append(value)
        elif what < 9:
            items.insert(generator.randrange(-n - 2, n + 3), value)
        elif what < 12:
            items[generator.randrange(-n - 2, n + 3)] = value
        elif what < 14:
            return items.pop(generator.randrange(-n - 2, n + 3))
        elif what < 15:
            del items[generator.randrange(-n - 2, n + 3)]
        elif what < 17:
            del items[random_slice(generator, n)]
        elif what < 19:
            items[random_slice(generator, n)] = [value] * generator.randrange(5)
        elif what < 20:
            items.reverse()
        elif what < 21:
            items.extend([value] * generator.randrange(20))
        else:
            items.sort(key=str)
    except (IndexError, ValueError) as error:
        return str(error)
    return len(items), items[-1:], items[random_slice(generator, n)]


@pytest.mark.parametrize("seed", range(4))
def test_many_changes_at_random(seed):
    ours, theirs = random.Random(seed), random.Random(seed)
    items, model = mpfast.shared.List(), []
    for step in range(3000):
        assert change(ours, items) == change(theirs, model)
        if step % 50 == 0:
            assert list(items) == model
            del items[200:], model[200:]
    assert items == model


def test_a_child_writes_and_reads(makers, start):
    items = tabled.new_list(makers, [1])
    child = start(items)
    child.on(items).append([1, "é"])
    child.on(items).extend([Point(1, 2)])
    assert content(items) == [1, [1, "é"], Point(1, 2)]
    items[0] = "x" * 100_000
    assert child.run(tabled.get, items, 0) == "x" * 100_000
    assert child.on(items).pop() == Point(1, 2)
    child.on(items).insert(0, None)
    assert len(items) == 3


def test_two_children_append(makers, ctx):
    items = tabled.new_list(makers)
    children = [ctx.Process(target=tabled.append_many, args=(items, name, 200)) for name in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
        child.close()
    found = content(items)
    for name in "ab":
        assert [i for value, i in found if value == name] == list(range(200))
