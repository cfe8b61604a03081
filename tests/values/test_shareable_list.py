# SPDX-License-Identifier: MIT
"""ShareableList, the contract of multiprocessing's, on both packages, and what multiprocessing's loses."""

import contextlib
import importlib
import pickle
import struct

import memories
import pytest
from test_values import inside, raised

import mpfast.shared_memory
from mpfast.values import items

ITEMS = [
    *(0, 1, -1, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300, True, False, None, "", "a", "abcdefg", "abcdefgh", "a" * 100),
    *(b"", b"a", b"abcdefgh", b"\1" * 100, "\0a", b"\0\0b"),
]
# python/cpython#88336, #145261, #96779, #106939, #101416: what was put, and what multiprocessing gives back.
LOST = [
    *("\u00e9" * 9, "0\U00010000\U00010000", "Boom \U0001f4a5 \U0001f4a5 \U0001f4a5"),
    *("\0", "\0\1\0", "a\0", "a" * 7 + "\0"),
    *(b"\0", b"\0\1\0", bytes(50), b"abc\0\0", b"a" * 7 + b"\0", bytes.fromhex("00112233445566778899aabbccddeeff0000")),
]


@pytest.fixture
def module(mp):
    return importlib.import_module(f"{mp.__name__}.shared_memory")


@pytest.fixture
def make(module):
    """Makes lists that are gone with the test."""
    made = []

    def new(*args, kind=None, **options):
        made.append((kind or module).ShareableList(*args, **options))
        return made[-1]

    yield new
    for each in made:
        each.shm.close()
        with contextlib.suppress(FileNotFoundError):
            each.shm.unlink()
    made.clear()


@pytest.fixture
def ours(make):
    return lambda *args, **options: make(*args, kind=mpfast.shared_memory, **options)


@pytest.fixture
def theirs(make):
    stdlib = importlib.import_module("multiprocessing.shared_memory")
    return lambda *args, **options: make(*args, kind=stdlib, **options)


only_mpfast = pytest.mark.parametrize("mp", ["mpfast"], indirect=True)


@inside
def test_what_it_is(ctx, make):
    shared = make(ITEMS)
    assert list(shared) == ITEMS
    assert list(map(type, shared)) == list(map(type, ITEMS))
    assert len(shared) == len(ITEMS)
    assert [shared[place - len(ITEMS)] for place in range(len(ITEMS))] == ITEMS
    assert shared.index("abcdefg") == ITEMS.index("abcdefg")
    assert shared.count(1) == ITEMS.count(1)
    assert raised(shared.index, "no")[0] == "ValueError"
    assert shared.format.startswith("qqqqqddd")
    assert repr(shared).startswith("ShareableList([0, 1, -1,")
    name = shared.shm.name
    assert repr(shared).endswith(f", name={name!r})")


@inside
@pytest.mark.parametrize("sequence", [None, (), [], [None], "abc", range(3), b"abc"], ids=repr)
def test_sequences(ctx, make, sequence):
    assert list(make(sequence)) == list(sequence or ())


@inside
def test_assignment(ctx, make):
    shared = make(["abcdefgh", 5, b"x", None])
    for value in ("", "abcdefgh", b"12345678", 7, 0.5, True, None, "a" * 16, "z"):
        shared[0] = value
        assert shared[0] == value
        assert type(shared[0]) is type(value)
        assert list(shared)[1:] == [5, b"x", None]
    shared[-1] = "text"
    assert shared[3] == "text"
    assert raised(shared.__setitem__, 0, "a" * 17) == ("ValueError", "bytes/str item exceeds available storage")
    assert raised(shared.__setitem__, 4, 1) == ("IndexError", "assignment index out of range")
    assert raised(shared.__getitem__, 4) == ("IndexError", "index out of range")
    assert raised(shared.__setitem__, 0, [])[0] == "KeyError"
    assert shared[0] == "z"


@inside
@pytest.mark.parametrize("bad", [[object()], [[1]], [2**63], ["\ud800"]], ids=["object", "list", "large", "surrogate"])
def test_what_cannot_be_in_it(ctx, module, bad):
    if module is not mpfast.shared_memory and isinstance(bad[0], (int, str)):
        pytest.skip("it leaves the name of a list that it could not fill")
    assert raised(module.ShareableList, bad)[0] in ("KeyError", "error", "UnicodeEncodeError")


@inside
def test_pickled_by_name(ctx, make):
    shared = make([1, "two"])
    copy = pickle.loads(pickle.dumps(shared))
    assert type(copy) is type(shared)
    assert list(copy) == [1, "two"]
    copy[0] = 5
    assert shared[0] == 5
    copy.shm.close()


def test_a_child_gets_it(make, start):
    shared = make([1, "two", None])
    child = start(shared, shared.shm)
    assert child.run(memories.items, shared) == [1, "two", None]
    child.run(memories.put_item, shared, 1, "drei")
    assert shared[1] == "drei"
    child.on(shared.shm).close()


@inside
def test_subscripts(ctx, module):
    assert module.ShareableList[int].__origin__ is module.ShareableList


# What multiprocessing's loses -----------------------------------------------------------------------------------------


@inside
@only_mpfast
@pytest.mark.parametrize("value", LOST, ids=ascii)
def test_comes_back(ctx, make, value):
    shared = make(["before", value, "after"])
    assert list(shared) == ["before", value, "after"]
    shared[1] = value
    copy = make(name=shared.shm.name)
    assert list(copy) == ["before", value, "after"]
    again = make([b"\0" * 200, "", 0.5])
    again[0] = value
    assert list(again) == [value, "", 0.5]


@inside
@only_mpfast
def test_a_failed_assignment_changes_nothing(ctx, make):
    shared = make(["text", 5])
    for value in (2**70, "\ud800", [], object()):
        assert raised(shared.__setitem__, 0, value)[0] in ("error", "UnicodeEncodeError", "KeyError")
        assert list(shared) == ["text", 5]


@inside
@only_mpfast
def test_negative_positions_end(ctx, make):
    shared = make([1, 2])
    assert raised(shared.__getitem__, -3) == ("IndexError", "index out of range")
    assert raised(shared.__setitem__, -3, 1) == ("IndexError", "assignment index out of range")


@inside
@only_mpfast
def test_multiprocessing_reads_ours(ctx, ours, theirs):
    there = ours([*ITEMS, "\u00e9" * 9, b"abc\0\0", "x\0"])
    here = theirs(name=there.shm.name)
    assert list(here) == [*ITEMS, "\u00e9" * 9, b"abc", "x"]


@inside
@only_mpfast
def test_ours_reads_multiprocessings(ctx, ours, theirs):
    there = theirs([*ITEMS, b"abc\0"])
    here = ours(name=there.shm.name)
    assert list(here) == [*ITEMS, b"abc"]
    assert here.format == there.format


@inside
@only_mpfast
def test_both_write(ctx, ours, theirs):
    """A text that multiprocessing writes where a shorter one ended in NUL is whole."""
    here = ours([b"12345678", "abc", 5])
    there = theirs(name=here.shm.name)
    here[0] = b"a\0"
    assert (here[0], there[0]) == (b"a\0", b"a")
    there[0] = b"1234567890"
    assert (here[0], there[0]) == (b"1234567890", b"1234567890")
    there[0] = 7
    here[0] = "\0"
    there[0] = "abcdef"
    assert here[0] == "abcdef"
    here[2] = 0.5
    assert there[2] == 0.5


@inside
@only_mpfast
def test_lengths_that_a_later_multiprocessing_writes(ctx, ours):
    """python/cpython#145266 writes the exact length of bytes."""
    here = ours([b"12345678"])
    struct.pack_into("8s", here.shm.buf, here._offset_packing_formats, b"3s")
    struct.pack_into("8s", here.shm.buf, here._offset_data_start, b"a\0\0")
    assert here[0] == b"a\0\0"


@inside
@only_mpfast
@pytest.mark.parametrize("size", [999_999, 1_000_000, 1_000_001, 1_000_007, 1_000_008])
def test_large_ones(ctx, make, size):
    """A format has 8 characters."""
    for value in (b"a" * size, b"a" * (size - 1) + b"\0"):
        shared = make([value])
        assert shared[0] == value
        assert len(shared._get_packing_format(0)) <= items.MOST


@inside
@only_mpfast
def test_what_no_format_says(ctx, make):
    shared = make([b"a" * 1_000_000])
    room = shared._allocated_offsets[1]
    shared[0] = b"a" * room
    assert shared[0] == b"a" * room
    assert raised(shared.__setitem__, 0, bytes(room)) == (
        "ValueError",
        f"a ShareableList cannot say that an item has {room} bytes in {room}",
    )
    assert shared[0] == b"a" * room
    assert raised(make, [b"a" * 10_000_000])[0] == "ValueError"


@inside
@only_mpfast
def test_damage(ctx, make):
    """Formats that are none raise what struct raises, and nothing outside an item is read."""
    for form in (b"99s", b"-1s", b"zzz", b"", b"8s8s", b"\xff", b"1s1"):
        shared = make(["text"])
        struct.pack_into("8s", shared.shm.buf, shared._offset_packing_formats, form)
        kind, _ = raised(shared.__getitem__, 0)
        assert kind in ("error", "ValueError", "UnicodeDecodeError", "IndexError", "AttributeError"), form
