# SPDX-License-Identifier: MIT
"""The stdlib's own users of queues, and waiting for several queues at once."""

import concurrent.futures
import itertools
import multiprocessing.pool
import os
import select
import signal
import threading
from multiprocessing.connection import wait

import jobs
import pytest
import queuers
from harness import PATIENCE, Thread, until


class TestWait:
    def test_nothing_there(self, make):
        assert wait([make()._reader, make()._reader], 0.01) == []

    def test_what_is_there(self, make):
        one, two = make(), make()
        two.put(1)
        assert wait([one._reader, two._reader], PATIENCE) == [two._reader]
        assert wait([one._reader, two._reader], PATIENCE) == [two._reader]
        assert two.get() == 1
        assert wait([one._reader, two._reader], 0) == []

    def test_woken(self, make, start):
        q = make()
        child = start(q)
        for i in range(5):
            waiter = Thread(wait, [q._reader]).asleep()
            child.on(q).put(i)
            assert waiter.result() == [q._reader]
            assert q._reader.recv() == i

    def test_taken_by_another(self, make, start):
        """Waiting again does not find the readiness of an item that is gone."""
        q = make()
        child = start(q)
        q.put(1)
        assert wait([q._reader], PATIENCE) == [q._reader]
        assert child.on(q).get() == 1
        assert wait([q._reader], 0.01) == []
        q.put(2)
        assert wait([q._reader], PATIENCE) == [q._reader]
        assert q.get() == 2

    def test_readable_means_an_item(self, make, start):
        """Also when the one before was taken without waiting for it, and so recv() does not block."""
        q, rounds = make(), 1000
        child = start(q)
        child.send(queuers.put_when_empty, q, rounds)
        got = []
        while len(got) < rounds:
            if wait([q._reader], PATIENCE if len(got) % 2 else 0):
                assert not q.empty()
                got.append(q._reader.recv())
            elif not q.empty():
                got.append(q.get())
        assert got == list(range(rounds))
        child.result()

    def test_in_a_child(self, make, start):
        q = make()
        child = start(q)
        child.begin(queuers.wait_for_reader, q)
        q.put("x")
        assert child.result() is True
        assert child.on(q).get() == "x"

    def test_with_processes(self, ctx, make, start):
        q = make()
        child = start(q)
        waiter = Thread(wait, [q._reader, child.process.sentinel]).asleep()
        child.kill()
        assert waiter.result() == [child.process.sentinel]

    def test_poll_of_the_system(self, make):
        q = make()
        poll = select.poll()
        poll.register(q._reader.fileno(), select.POLLIN)
        assert poll.poll(0) == []
        q.put(1)
        assert until(lambda: poll.poll(0), "readiness")
        assert q.get() == 1
        assert q.empty()
        assert poll.poll(0) == []


class TestPool:
    @pytest.fixture(params=["own", "theirs"])
    def pool(self, request, ctx):
        pool = ctx.Pool(2) if request.param == "own" else multiprocessing.pool.Pool(2, context=ctx)
        yield pool
        pool.terminate()
        pool.join()

    def test_map(self, pool):
        assert pool.map(jobs.square, range(100)) == [n * n for n in range(100)]
        assert pool.map(jobs.square, range(100), chunksize=1) == [n * n for n in range(100)]
        pool.close()
        pool.join()

    def test_large(self, pool):
        assert pool.map(len, [b"x" * 3_000_000] * 5) == [3_000_000] * 5
        assert [len(b) for b in pool.map(bytes, [3_000_000] * 5)] == [3_000_000] * 5

    def test_errors(self, pool):
        with pytest.raises(ZeroDivisionError):
            pool.apply(jobs.fail)
        with pytest.raises(TypeError, match="lock"):
            pool.apply(id, (threading.Lock(),))
        assert pool.apply(jobs.square, (3,)) == 9

    def test_imap_of_an_endless_iterator(self, pool):
        """The input is read as it is needed, more or less."""
        results = pool.imap(jobs.square, itertools.count())
        assert [next(results) for _ in range(200)] == [n * n for n in range(200)]

    def test_terminate_while_busy(self, pool):
        pool.map_async(jobs.square, range(1_000_000), chunksize=1)
        pool.terminate()
        pool.join()

    @pytest.mark.parametrize("method", ["fork"], indirect=True)
    def test_a_killed_worker_is_replaced(self, mp, pool):
        if mp.__name__ == "multiprocessing":
            pytest.skip("there the next one may wait for the lock of the dead")
        assert pool.apply(jobs.square, (2,)) == 4
        victims = list(pool._pool)
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        until(lambda: len(pool._pool) == 2 and not set(victims) & set(pool._pool), "new workers")
        assert pool.apply(jobs.square, (3,)) == 9


def test_maxtasksperchild(ctx):
    with ctx.Pool(1, maxtasksperchild=1) as pool:
        assert len({pool.apply(os.getpid) for _ in range(3)}) == 3
        pool.close()
        pool.join()


class TestExecutor:
    @pytest.fixture
    def executor(self, ctx):
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=ctx) as executor:
            yield executor

    def test_results(self, executor):
        assert list(executor.map(jobs.square, range(50))) == [n * n for n in range(50)]
        assert executor.submit(len, b"x" * 3_000_000).result(PATIENCE) == 3_000_000

    def test_errors(self, executor):
        with pytest.raises(ZeroDivisionError):
            executor.submit(jobs.fail).result(PATIENCE)
        with pytest.raises(Exception, match="lambda"):
            executor.submit(lambda: 1).result(PATIENCE)
        assert executor.submit(jobs.square, 3).result(PATIENCE) == 9

    def test_broken(self, executor):
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            executor.submit(os._exit, 1).result(PATIENCE)


def test_a_pool_inside_a_queue_user(ctx, make, start):
    q = make()
    child = start(ctx, q)
    child.run(queuers.map_into, ctx, q)
    assert q.get() == [0, 1, 4]
