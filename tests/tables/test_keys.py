# SPDX-License-Identifier: MIT
"""The bytes of a key. Keys that are equal have the same, and all others have different ones."""

import enum
import itertools
import math
import sys
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import pytest

from mpfast.tables import keys

Point = namedtuple("Point", "x y")


class Text(str):
    pass


class Colour(enum.IntEnum):
    RED = 1


NUMBERS = [
    *(0, 1, -1, 7, 255, 256, -128, 2**31, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**200),
    *(0.0, -0.0, 1.0, 0.5, -0.5, 1e16, 1e300, -1e300, 5e-324, 2.0**63, -(2.0**63), 2.0**64, math.inf, -math.inf),
    *(True, False, sys.float_info.max, int(sys.float_info.max), 10**400),
]
OTHERS = [
    *("", "a", "b", "ab", "a\0", "\0", "é", "\xff", "ā", "日本", "😀", "\ud800", "\udc00\ud800", "\ud83d\ude00"),
    *(b"", b"a", b"\0", b"a\0", "1", b"1", None, "x" * 255, "x" * 256, "x" * 10_000, b"x" * 10_000, "é" * 1000),
    *((), ((),), (None,), (1, 2), (2, 1), (12,), ("1", 2), ((1,), 2), (1, (2,)), ("a", "b"), ("ab",), ("ab", "")),
    *((b"a",), ("a",), ("日",), (0.5,), (2**70,), (1, None, "a", b"b", 2.5, (True, ("deep",)))),
]
KEYS = [*NUMBERS, *OTHERS, *((number,) for number in NUMBERS), *((1, (number, "x")) for number in NUMBERS)]


def canonical(key):
    """The key as iteration returns it, by another way than the code's."""
    if isinstance(key, tuple):
        return tuple(map(canonical, key))
    if isinstance(key, bool):
        return int(key)
    if isinstance(key, float) and key.is_integer():
        return int(key)
    return key


def types(key):
    return tuple(map(types, key)) if isinstance(key, tuple) else type(key)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:30])
def test_what_comes_back(key):
    found = keys.decoded(keys.encoded(key))
    assert found == key
    assert found == canonical(key)
    assert types(found) == types(canonical(key))
    assert keys.encoded(found) == keys.encoded(key)
    assert hash(found) == hash(key)


def test_equal_keys_have_equal_bytes():
    for a, b in itertools.product(KEYS, KEYS):
        assert (keys.encoded(a) == keys.encoded(b)) == (a == b), (a, b)


@pytest.mark.parametrize("key", [math.nan, (1, math.nan), ((math.nan,),)], ids=repr)
def test_nan_is_refused(key):
    with pytest.raises(ValueError, match=r"nan is equal to nothing"):
        keys.encoded(key)


@pytest.mark.parametrize(
    "key",
    [
        *([], {}, set(), frozenset(), object(), 1j, Decimal(1), Fraction(1), range(3), bytearray(b"a")),
        *(memoryview(b"a"), Text("a"), Colour.RED, Point(1, 2), int, len, Ellipsis),
    ],
    ids=lambda key: type(key).__name__,
)
def test_others_are_refused(key):
    with pytest.raises(TypeError, match=r"a key is a str, bytes, an int, a float, a bool, None or a tuple") as caught:
        keys.encoded(key)
    assert type(key).__qualname__ in str(caught.value)
    with pytest.raises(TypeError, match="which is in the key") as caught:
        keys.encoded(("outside", ("inside", key)))
    assert type(key).__qualname__ in str(caught.value)


def test_a_deep_tuple():
    key = ()
    for _ in range(200):
        key = (key,)
    assert keys.decoded(keys.encoded(key)) == key
    for _ in range(100_000):
        key = (key,)
    with pytest.raises(RecursionError):
        keys.encoded(key)
    while key:  # piece by piece, because to free it at once is deep too
        (key,) = key


def test_damaged_bytes_are_refused():
    """Whatever they are, there is a key or a ValueError. tests/tables has fuzzers for whole tables."""
    for key in KEYS:
        good = keys.encoded(key)
        for at in range(min(len(good), 40)):
            for value in (0, 1, 7, 8, 0x7F, 0xFF):
                decode(good[:at] + bytes([value]) + good[at + 1 :])
            decode(good[:at])
        decode(good + b"\0")
    assert decode(b"") is ValueError
    assert decode(b"\x09") is ValueError


def decode(data):
    try:
        return keys.decoded(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        return type(error)
