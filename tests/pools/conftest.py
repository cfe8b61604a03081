# SPDX-License-Identifier: MIT
"""Pools and executors to test. They end with the test, whatever state it leaves them in."""

import importlib

import abilities
import pooled
import pytest
from abilities import executor_class


@pytest.fixture
def pools(mp):
    """The module of pools of multiprocessing or mpfast."""
    return importlib.import_module(f"{mp.__name__}.pool")


@pytest.fixture
def make_pool(ctx):
    """make_pool(processes=2, ...): a pool that is terminated when the test ends."""
    made = []

    def make(processes=2, *args, **options):
        made.append(ctx.Pool(processes, *args, **options))
        return made[-1]

    yield make
    for pool in made:
        pool.terminate()
        pool.join()
    made.clear()


@pytest.fixture
def pool(make_pool):
    return make_pool()


@pytest.fixture
def gate(ctx):
    return pooled.Gate(ctx)


@pytest.fixture
def held(make_pool, gate):
    """A pool whose tasks can wait at the gate."""
    return make_pool(2, pooled.keep, (gate,))


@pytest.fixture
def make_executor(mp, ctx):
    """make_executor(max_workers=2, ...): an executor that is shut down when the test ends.

    breaking: a dead worker breaks it, as in the standard library, whose executors know nothing else.
    """
    made = []

    def make(max_workers=2, *, breaking=False, **options):
        if breaking and executor_class(mp) is abilities.EXECUTOR:
            options["on_worker_death"] = "break"
        made.append(executor_class(mp)(max_workers, mp_context=ctx, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)
    made.clear()


@pytest.fixture
def executor(make_executor):
    return make_executor()


@pytest.fixture
def held_executor(make_executor, gate):
    yield make_executor(initializer=pooled.keep, initargs=(gate,))
    gate.open(100)  # an executor waits for its tasks, those of a test that failed too


@pytest.fixture(autouse=True)
def with_own_engine(own_engine):
    """All tests of this folder are about that engine."""


def pytest_collection_modifyitems(items):
    """The engine is not the default yet, so its tests are long ones: make stress."""
    for item in items:
        if "tests/pools/" in item.path.as_posix():
            item.add_marker(pytest.mark.stress)
