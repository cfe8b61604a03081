# SPDX-License-Identifier: MIT
"""The judge of histories finds what is wrong with them and nothing else: plain cases, and chance ones in all orders."""

import random

import pytest
from histories import NEVER, Call, faults, linearizable


def call(text):
    """ "put 7 3-5" or "empty 3-5" """
    kind, *value, span = text.split()
    begin, end = span.split("-")
    number = int(value[0]) if value and value[0] != "?" else None
    return Call(kind, number, int(begin), int(end) if end else NEVER)


def calls(text):
    return [call(part.strip()) for part in text.split(",")]


GOOD = [
    ("put 1 0-1, put 2 2-3, get 1 4-5, get 2 6-7, empty 8-9", 0),
    ("put 1 0-5, put 2 0-5, get 2 6-7, get 1 8-9", 0),  # who was first is open
    ("put 1 0-1, put 2 2-3, get 2 4-9, get 1 4-9", 0),
    ("put 1 0-5, empty 1-4", 0),
    ("put 1 0-1, get 1 2-9, empty 3-4", 0),
    ("put 1 0-1, get 1 2-5, put 2 3-6, empty 4-5, get 2 7-8", 0),
    ("put 1 0-1, put 2 2-3, full 4-5, get 1 6-7, put 3 8-9", 2),
    ("put 1 0-1, get 1 2-5, put 2 3-4", 1),
    ("put 1 0-1, get 1 2-5, full 3-4", 1),
    ("put 1 0-, get 1 4-5", 0),  # its putter was killed
    ("put 1 0-1, get ? 2-, put 2 3-4, get 2 5-6, empty 7-8", 0),  # a getter was
    ("put 1 0-1, get ? 2-, put 2 3-4", 1),
]

BAD = [
    ("put 1 0-1, get 1 2-3, get 1 4-5", 0, "1 came twice"),
    ("put 1 0-1, get 2 2-3", 0, "2 was never put"),
    ("get 1 0-1, put 1 2-3", 0, "1 came before it was put"),
    ("put 1 0-1, put 2 2-3, get 2 4-5, get 1 6-7", 0, "2 overtook 1"),
    ("put 1 0-1, put 2 2-3, get 2 4-5", 0, "1 was lost: 2 came"),
    ("put 1 0-1, empty 2-3", 0, "Empty from 2 to 3"),
    ("put 1 0-1, put 2 4-5, get 1 6-7, empty 2-9, get 2 10-11", 0, "Empty from 2 to 9"),
    ("put 1 0-1, put 2 2-3", 1, "2 items at 3"),
    ("put 1 0-1, get 1 2-3, full 4-5", 1, "Full from 4 to 5"),
    ("full 0-1, put 1 2-3", 1, "Full from 0 to 1"),
    ("put 1 0-1, get ? 2-, put 2 3-4, put 3 5-6, get 3 7-8", 0, "2 was lost: 3 came"),
]


@pytest.mark.parametrize(("text", "maxsize"), GOOD)
def test_good(text, maxsize):
    assert faults(calls(text), maxsize) == []
    assert linearizable(calls(text), maxsize)


@pytest.mark.parametrize(("text", "maxsize", "says"), BAD)
def test_bad(text, maxsize, says):
    assert any(fault.startswith(says) for fault in faults(calls(text), maxsize))
    assert not linearizable(calls(text), maxsize)


def chance_history(chance, maxsize):
    """Four processes on a real queue, whose answers are now and then spoilt; in begin and end half of it is noise."""
    inside, history, fresh = [], [], 0
    for time in range(0, 10 * chance.randrange(4, 9), 10):
        begin, end = time - chance.randrange(15), time + chance.randrange(15)
        if chance.random() < 0.5:
            fresh += 1
            is_full = 0 < maxsize <= len(inside)
            history.append(Call("full" if is_full else "put", None if is_full else fresh, begin, end))
            if not is_full:
                inside.append(fresh)
        else:
            at = chance.random() < 0.4 and len(inside) > 1
            value = inside.pop(at) if inside else None
            history.append(Call("get" if value else "empty", value, begin, end))
    if chance.random() < 0.4 and history:
        victim = chance.randrange(len(history))
        if history[victim].kind != "put":
            history[victim] = Call("full" if maxsize and chance.random() < 0.5 else "empty", None, *history[victim][2:])
    return history


@pytest.mark.parametrize("maxsize", [0, 2])
def test_against_all_orders(maxsize):
    """Without maxsize both judges agree; with it, what the fast one finds is a fault indeed."""
    chance, verdicts = random.Random(5), []
    for _ in range(3000):
        history = chance_history(chance, maxsize)
        found, good = faults(history, maxsize), linearizable(history, maxsize)
        assert not (found and good), (history, found)
        if maxsize == 0:
            assert found or good, history
        verdicts.append(good)
    assert 300 < sum(verdicts) < 2700
