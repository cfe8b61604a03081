# SPDX-License-Identifier: MIT
"""Small values of plain types, which have a way of their own through a connection, and what is only nearly one."""

import pickle
import random
import string

import pytest

WORD, BLOB, LIST = "a word", b"a blob", [1, 2]
SPECIAL = float("inf"), -0.0, 1e-320
INTS = [
    sign * (1 << bits) + more for bits in (7, 8, 15, 16, 31, 32, 63, 64, 70) for more in (-1, 0, 1) for sign in (1, -1)
]
TEXTS = [
    "",
    "é",
    "中",
    "Zoë",
    "🦀" * 30,
    "\x00",
    "\ud800",
    "x" * 254,
    "x" * 255,
    "x" * 256,
    "é" * 128,
    "x" * 980,
    "x" * 2000,
]
LEVELS = eval("[" * 12 + "1" + "]" * 12)
VALUES = [
    INTS,
    *INTS,
    SPECIAL,
    *TEXTS,
    [TEXTS],
    {text: text for text in TEXTS},
    *(text.encode("utf-8", "replace") for text in TEXTS),
    [bytes(255), bytes(256), b"", b"1"],
    (WORD, WORD),
    {"a": WORD, WORD: [WORD, (WORD,)], "b": BLOB, "c": BLOB},
    [f"word {i}" for i in range(62)] + [WORD, WORD],
    [f"word {i}" for i in range(70)] + [WORD, WORD],
    [LIST, LIST],
    {"one": LIST, "two": (LIST,), "three": [LIST]},
    [(), (), [], [], {}, {}],
    [[i] for i in range(30)],
    {(1, "a"): 1, None: 2, True: 3, 1.5: 4, b"b": 5, (): 6, ((WORD,), WORD): 7},
    {i: i for i in range(64)},
    {i: i for i in range(200)},
    list(range(400)),
    list(range(2000)),
    [None, True, False, 0, 1, -1],
    LEVELS,
]


def shape(value, seen):
    """The types and values of a tree, and which of its strings, bytes and containers are one object."""
    kind = type(value)
    if kind in (str, bytes, list, dict) or (kind is tuple and value):
        if id(value) in seen and (kind not in (str, bytes) or len(value) > 1):
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
    if kind is dict:
        return kind, [(shape(key, seen), shape(item, seen)) for key, item in value.items()]
    if kind in (list, tuple):
        return kind, [shape(item, seen) for item in value]
    return kind, repr(value)


def test_small_values(reader, writer):
    """They come out as pickle would have them, and what is on the wire is a pickle."""
    for value in VALUES:
        for _ in range(2):
            writer.send(value)
            assert shape(reader.recv(), {}) == shape(value, {})
        writer.send(value)
        assert shape(pickle.loads(reader.recv_bytes()), {}) == shape(value, {})


def test_pickles_of_the_stdlib(reader, writer):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in VALUES:
            data = pickle.dumps(value, protocol)
            writer.send_bytes(data)
            assert shape(reader.recv(), {}) == shape(pickle.loads(data), {})


def test_a_value_that_contains_itself(reader, writer):
    one = []
    one += [one, {"one": one}]
    two = ([],)
    two[0].append(two)
    writer.send(one)
    result = reader.recv()
    assert result[0] is result
    assert result[1]["one"] is result
    writer.send(two)
    result = reader.recv()
    assert result[0][0] is result


def made(generator, pool, depth):
    """A random value of plain types. Now and then it is one that was made before."""
    choice = generator.randrange(12 if depth else 8)
    if choice == 0 and pool:
        return generator.choice(pool)
    if choice < 3:
        value = generator.randint(-(1 << generator.randrange(1, 80)), 1 << generator.randrange(1, 80))
    elif choice < 5:
        letters = generator.choice((string.ascii_letters, "aé", "x中🦀"))
        value = "".join(generator.choices(letters, k=generator.choice((0, 1, 2, 9, 90, 300))))
    elif choice < 8:
        value = generator.choice((None, True, 1.5, b"", b"12", bytes(300), float(generator.random())))
    else:
        parts = [made(generator, pool, depth - 1) for _ in range(generator.choice((0, 1, 2, 3, 4, 9)))]
        if choice == 11:
            value = {part: parts[0] for part in parts if not isinstance(part, list | dict | tuple)}
        else:
            value = parts if choice < 10 else tuple(parts)
    pool.append(value)
    return value


def test_random_values(reader, writer):
    generator = random.Random(7)
    for _ in range(1000):
        value = made(generator, [], 4)
        data = pickle.dumps(value)
        if len(data) > 30000:
            continue
        writer.send(value)
        assert shape(reader.recv(), {}) == shape(value, {})
        writer.send_bytes(data)
        assert shape(reader.recv(), {}) == shape(value, {})


BROKEN = [
    b"\x80\x05h\x00.",  # a number that nothing has
    b"\x80\x05]\x94(h\x00e.",  # a list in itself
    b"\x80\x05(\x94.",  # nothing to number
    b"\x80\x05]h\x00.",
    b"\x80\x05\x8a\x09123456789.",
    b"\x80\x05\x8a\x00.",
    b"\x80\x05\x8a\x08123.",
    b"\x80\x05](X\xff\xff\xff\xffe.",
    b"\x80\x05](X\x02\x00\x00\x00\xff\xffe.",
    b"\x80\x05}(]Nu.",  # a key that cannot be one
    b"\x80\x05(\x8c\x02ab\x94l.",
]


def test_pickles_that_are_odd(reader, writer):
    """pickle says what they are."""
    for data in BROKEN:
        writer.send_bytes(data)
        try:
            expected = pickle.loads(data)
        except Exception as error:
            with pytest.raises(type(error)):
                reader.recv()
        else:
            assert repr(reader.recv()) == repr(expected)
        writer.send("next")
        assert reader.recv() == "next"
