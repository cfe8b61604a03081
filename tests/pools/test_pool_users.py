# SPDX-License-Identifier: MIT
"""What programs and libraries do with a Pool beyond its calls. They inherit from it, and look inside."""

import multiprocessing.pool
import os
import threading

import abilities
import pooled
import pytest
from harness import PATIENCE, until


def test_a_subclass_with_calls_of_its_own(pools, ctx):
    """Keeps them, whatever engine is below."""

    class Counting(pools.Pool):
        calls = 0

        def __init__(self, *args, **options):
            super().__init__(*args, context=ctx, **options)
            self.mine = "mine"

        def apply_async(self, *args, **options):
            self.calls += 1
            return super().apply_async(*args, **options)

        def apply(self, func, args=(), kwds={}):  # noqa: B006
            return self.apply_async(func, args, kwds).get()

    with Counting(2) as pool:
        assert pool.apply(pooled.square, (3,)) == 9
        assert pool.map(pooled.square, range(3)) == [0, 1, 4]
        assert (pool.calls, pool.mine) == (1, "mine")
        assert "Counting state=RUN pool_size=2" in repr(pool)
        pool.terminate()
        pool.join()


def test_a_subclass_with_queues_of_its_own(pools, ctx):
    """As joblib's. All tasks and results go through them."""
    sent, received = [], []

    class Listening(pools.Pool):
        def _setup_queues(self):
            super()._setup_queues()
            put, get = self._quick_put, self._quick_get
            self._quick_put = lambda task: (sent.append(task), put(task))
            self._quick_get = lambda: (received.append(None), get())[1]

    with Listening(2, context=ctx) as pool:
        assert pool.map(pooled.square, range(10), 2) == [n * n for n in range(10)]
        assert pool.apply(pooled.square, (3,)) == 9
        pool.terminate()
        pool.join()
    assert len([task for task in sent if task is not None]) == 6
    assert len(received) >= 6


def test_a_subclass_that_starts_its_workers(pools, ctx):
    """As torch's, with the loop that the module offers."""
    started = []

    class Starting(pools.Pool):
        def _repopulate_pool(self):
            while len(self._pool) < self._processes:
                given = (self._inqueue, self._outqueue, self._initializer, self._initargs, self._maxtasksperchild)
                process = self.Process(self._ctx, target=pools.worker, args=(*given, self._wrap_exception))
                process.daemon = True
                process.start()
                started.append(process)
                self._pool.append(process)

    with Starting(2, pooled.keep, (5,), context=ctx) as pool:
        assert pool.map(pooled.get_kept, range(4), 1) == [(5,)] * 4
        assert pool._pool == started
        pool.terminate()
        pool.join()


@pytest.mark.parametrize("method", ["fork"])
def test_workers_that_are_no_daemons(pools, mp, method):
    """The recipe for pools in pools that many programs have."""

    class Free(mp.get_context(method).Process):
        @property
        def daemon(self):
            return False

        @daemon.setter
        def daemon(self, value):
            pass

    class Context(type(mp.get_context(method))):
        Process = Free

    class Nestable(pools.Pool):
        def __init__(self, *args, **options):
            super().__init__(*args, context=Context(), **options)

    with Nestable(2) as pool:
        assert pool.apply(pooled.use_a_pool, (mp.__name__, method)) == [0, 1, 4]
        pool.close()
        pool.join()


def test_a_pool_in_a_worker(mp, ctx, method, pool):
    """multiprocessing refuses it, because its daemons would leave their children behind."""
    found = pool.apply(pooled.use_a_pool, (mp.__name__, method))
    if abilities.NESTED and mp.__name__ == "mpfast":
        assert found == [0, 1, 4]
    else:
        assert found == "daemonic processes are not allowed to have children"


def test_threads_instead_of_processes(pools):
    with pools.ThreadPool(2) as pool:
        assert isinstance(pool, multiprocessing.pool.ThreadPool)
        assert pool.map(lambda n: n + 1, range(5)) == [1, 2, 3, 4, 5]
        assert pool.apply(os.getpid) == os.getpid()
        assert list(pool.imap(pooled.square, range(4))) == [0, 1, 4, 9]
        assert pool.apply_async(threading.get_ident).get(PATIENCE) != threading.get_ident()
        pool.close()
        pool.join()


def test_the_module_has_the_others_names(pools):
    """What programs import from it."""
    for name in ("RUN", "CLOSE", "TERMINATE", "MaybeEncodingError", "RemoteTraceback", "ExceptionWithTraceback"):
        assert getattr(pools, name) is getattr(multiprocessing.pool, name)
    for name in ("Pool", "ThreadPool", "ApplyResult", "AsyncResult", "MapResult", "IMapIterator", "worker", "mapstar"):
        assert hasattr(pools, name)


def test_progress_by_looking_inside(held, gate):
    """As programs do that show how much is left."""
    results = [held.apply_async(pooled.hold, (n,)) for n in range(6)]
    gate.wait(2)
    assert len(held._cache) == 6
    gate.open(2)
    until(lambda: len(held._cache) == 4, "two are done")
    assert sum(result.ready() for result in results) == 2
    gate.open(4)
    assert [result.get(PATIENCE) for result in results] == list(range(6))
    until(lambda: not held._cache, "nothing is left")
