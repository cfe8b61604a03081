# SPDX-License-Identifier: MIT
"""Ctrl-C in front of each line of what a pool does: dealing, draining, settling a death, cancelling.

A trace function raises KeyboardInterrupt in front of the n-th line that the pool's Python code runs in the calling
thread, for each n. A signal's handler can run there, or where the thread waits, and nowhere else. Afterwards the pool
must work, have all its workers, and have lost no outcome.
"""

import contextlib
import os
import sys
from pathlib import Path

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

pytestmark = [abilities.deaths, pytest.mark.stress]
FILES = tuple(str(Path(mpfast.__file__).parent / name) for name in ("tasks", "pool.py", "executor.py"))


@pytest.fixture
def mp():
    return mpfast


class Interruption:
    """`with Interruption(5):` raises KeyboardInterrupt in front of the fifth line. `lines` counts them."""

    def __init__(self, at):
        self.at, self.lines, self.pid = at, 0, os.getpid()

    def __enter__(self):
        sys.settrace(self.call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def call(self, frame, event, arg):
        mine = frame.f_code.co_filename.startswith(FILES) and frame.f_code.co_name != "__del__"
        return self.line if mine and os.getpid() == self.pid else None

    def line(self, frame, event, arg):
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.line


def interrupted(at, call):
    """Runs call() with an interrupt at that line. True: it was too short for that."""
    with contextlib.suppress(KeyboardInterrupt, mpfast.WorkerDied), Interruption(at) as interruption:
        call()
    return interruption.lines < at


def is_well(pool):
    assert Thread(pool.map, pooled.square, range(20)).result() == [n * n for n in range(20)]
    until(
        lambda: len(pool._pool) == 2 and all(worker.is_alive() for worker in pool._pool), "there are workers", PATIENCE
    )


def get_later(pool):
    """Results that were dealt before. The interrupt hits the draining."""
    results = [pool.apply_async(pooled.wait_for, (0.01,)) for _ in range(3)]
    yield lambda: [result.get() for result in results]
    assert [result.get(PATIENCE) for result in results] == [0.01] * 3


def deal_and_get(pool):
    """What was dealt before the interrupt is run and collected."""
    yield lambda: pool.map(pooled.same, range(100), 1)
    yield lambda: pool.apply(pooled.same, (3,))


def iterate(pool):
    """No result of an iterator is lost, and it ends."""
    iterator, found = pool.imap(pooled.same, range(60)), []
    yield lambda: found.extend(iterator)
    found += iterator
    assert found == list(range(60))


def settle(pool):
    """A death is told once, and another worker takes the place."""
    results = [pool.apply_async(pooled.die), pool.apply_async(pooled.square, (3,))]
    yield lambda: [result.get() for result in results]
    with pytest.raises(mpfast.WorkerDied):
        results[0].get(PATIENCE)
    assert results[1].get(PATIENCE) == 9


def settle_a_group(pool):
    """The rest of the group is run."""
    result = pool.map_async(pooled.die_if_zero, range(50), 1)
    yield lambda: result.get()
    with pytest.raises(mpfast.WorkerDied):
        result.get(PATIENCE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scene", [get_later, deal_and_get, iterate, settle, settle_a_group])
def test_in_front_of_each_line(make_pool, scene):
    pool, at, short = make_pool(2), 0, False
    while not short:
        at += 1
        short = True
        for call in scene(pool):
            short = interrupted(at, call) and short
        is_well(pool)
    pool.close()
    Thread(pool.join).result()
    assert not pool._cache
    assert at > 3
