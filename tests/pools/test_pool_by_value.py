# SPDX-License-Identifier: MIT
"""Functions without a name that a worker could import. cloudpickle sends them, where it is installed."""

import subprocess
import sys
import threading

import pooled
import pytest
from harness import PATIENCE

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def cloudpickle():
    return pytest.importorskip("cloudpickle")


def test_lambdas_and_closures(pool, executor, cloudpickle):
    three = 3
    add = lambda number, other=0: number + other + three  # noqa: E731
    assert pool.apply(add, (4,), {"other": 1}) == 8
    assert pool.map(add, range(100)) == list(range(3, 103))
    assert pool.map(add, range(100), 7) == list(range(3, 103))
    assert list(pool.imap(add, range(100))) == list(range(3, 103))
    assert executor.submit(add, 4).result(PATIENCE) == 7
    assert list(executor.map(add, range(100), chunksize=7)) == list(range(3, 103))


def test_as_arguments(pool, cloudpickle):
    assert pool.apply(pooled.call, (lambda: 5,)) == 5
    assert pool.map(pooled.call, [lambda n=n: n for n in range(20)], 1) == list(range(20))
    assert pool.map(pooled.call, [lambda n=n: n for n in range(20)], 5) == list(range(20))


def test_the_newest_value_counts(pool, cloudpickle):
    """A closure is pickled for each call, since what it refers to may change."""
    number = 1

    def get():
        return number

    assert pool.apply(get) == 1
    number = 2
    assert pool.apply(get) == 2


def test_what_nothing_can_pickle(pool, cloudpickle):
    """The error is pickle's own, and the result's."""
    with pytest.raises(TypeError, match="cannot pickle"):
        pool.apply(pooled.same, (threading.Lock(),))
    assert pool.apply(pooled.square, (3,)) == 9


@pytest.mark.parametrize("how", ["strict", "without"])
def test_as_multiprocessing_has_it(pool, monkeypatch, how):
    """By choice, and where cloudpickle is not installed."""
    if how == "strict":
        monkeypatch.setattr(mpfast, "strict_pickling", True)
    else:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(Exception, match="pickle|local object"):  # 3.13 words it so
        pool.apply(lambda: 5)
    assert pool.apply(pooled.square, (3,)) == 9


PROGRAM = """
import mpfast as mp

three = 3

def add(number):
    return number + three

if __name__ == "__main__":
    with mp.get_context({method!r}).Pool(2) as pool:
        print(pool.map(add, range(5)), pool.apply(add, (1,)))
"""


def test_functions_of_a_program_without_a_file(method, cloudpickle):
    """As a notebook or a REPL has them. No worker could import such a main module."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(method=method)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[3, 4, 5, 6, 7] 4\n", "")
