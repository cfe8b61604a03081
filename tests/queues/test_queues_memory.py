# SPDX-License-Identifier: MIT
"""A queue that is never empty takes no more memory than a small multiple of what waits in it, however long it runs."""

import random

import pytest
from harness import PATIENCE, until

import mpfast

MIB = 1 << 20
ITEM = {"i": 1, "s": "abc"}
SLACK = MIB  # a piece or two of each size


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def kind():
    return "Queue"


pytestmark = pytest.mark.parametrize("method", ["fork"], indirect=True)


def fill(q, backlog, item=lambda: ITEM):
    for _ in range(backlog):
        q.put(item())
    return q.stats().bytes


def turn_over(q, turns, at_once, item=lambda: ITEM):
    """The most bytes that were seen, while always as many are taken as were put."""
    most = 0
    for _ in range(turns):
        for _ in range(at_once):
            q.put(item())
        for _ in range(at_once):
            q.get()
        most = max(most, q.stats().bytes)
    return most


def test_a_standing_backlog(q):
    filled = fill(q, 5000)
    assert turn_over(q, 4000, 100) <= 2 * filled + SLACK


def test_sizes_at_random(q):
    draw = random.Random(2)
    filled = fill(q, 4000, lambda: draw.randbytes(draw.choice([10, 100, 1000, 5000])))
    assert turn_over(q, 300, 200, lambda: draw.randbytes(draw.choice([10, 100, 1000, 5000]))) <= 2 * filled + 4 * SLACK


def produce(q, count):
    for _ in range(count):
        q.put(ITEM)


def test_a_slower_consumer(ctx, make):
    """The queue is full nearly always, and the two are never at the same place."""
    backlog, count = 5000, 200_000
    q = make(backlog)
    filled = fill(q, backlog)
    child = ctx.Process(target=produce, args=(q, count))
    child.start()
    most = 0
    for i in range(count):
        q.get(timeout=PATIENCE)
        if i % 64 == 0:
            most = max(most, q.stats().bytes)  # which is slow
    child.join()
    assert most <= 2 * filled + SLACK


def test_a_peak_passes(q):
    """The memory comes back although the queue is neither empty nor idle."""
    fill(q, 200_000)
    for _ in range(200_000 - 10):
        q.get()
    assert q.stats().bytes > 8 * MIB

    def is_gone():
        return turn_over(q, 200, 100) < 2 * MIB

    until(is_gone, "the memory of the peak is given back")
    assert q.qsize() == 10
