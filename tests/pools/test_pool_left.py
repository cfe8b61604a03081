# SPDX-License-Identifier: MIT
"""What is left alone: results that nobody fetches, memory that nobody uses, elements that wait in a group."""

import gc
import weakref

import abilities
import pooled
import pytest
from harness import PATIENCE, Thread, until

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


def test_results_that_nobody_fetches(pool):
    """They do not stay in shared memory, and the pool does not wait for their owner."""
    for _ in range(200):
        pool.apply_async(pooled.zeros, (100_000,))
    until(lambda: not pool._desk.jobs, "the results are taken")


@pytest.mark.filterwarnings("ignore:unclosed running")
def test_a_pool_whose_results_nobody_fetches(ctx):
    """As in multiprocessing, it ends when it is dropped and its tasks are done."""
    pool = ctx.Pool(1)
    pool.apply_async(pooled.square, (3,))
    dropped = weakref.ref(pool)
    del pool
    until(lambda: gc.collect() >= 0 and dropped() is None, "the pool is collected")


def test_a_future_that_nobody_waits_for(executor):
    staff = executor.submit(pooled.square, 3) and executor._staff
    until(lambda: not staff.desk.jobs, "the result is taken")


def test_large_arguments_wait_in_the_caller(held, gate):
    """The ring has a bound in bytes. Many references to one large object are not as many copies."""
    large = bytes(8 << 20)
    results = [held.apply_async(pooled.hold) for _ in range(2)]
    gate.wait(2)
    results += [held.apply_async(pooled.size, (large,)) for _ in range(50)]
    assert held._taskqueue.qsize() >= 40
    assert held._desk.memory() < 100 << 20
    gate.open(2)
    assert [result.get(PATIENCE) for result in results] == [None] * 2 + [len(large)] * 50


def test_memory_is_given_back(pool):
    """What a burst needed is the system's again when the workers have slept for a while."""
    assert pool.map(len, [bytes(1 << 20)] * 40, 1) == [1 << 20] * 40
    assert pool.map(pooled.zeros, [1 << 20] * 40, 1) == [bytes(1 << 20)] * 40
    results = [pool.apply_async(pooled.same, ("x" * 2000,)) for _ in range(2000)]
    assert {result.get(PATIENCE) for result in results} == {"x" * 2000}
    assert pool._desk.memory() > 4 << 20
    until(lambda: pool._desk.memory() < 2 << 20, "the memory is given back")
    assert pool.map(pooled.zeros, [1 << 20] * 4, 1) == [bytes(1 << 20)] * 4


def test_neighbours_that_wait_for_each_other(ctx, make_pool):
    """They may be in one group. As long as another worker is idle, it gets what waits behind an element."""
    flags = ctx.RawArray("B", 600)
    pool = make_pool(4, pooled.keep, (flags,))
    for turn in range(20):
        for way in (pool.map, pool.imap, pool.imap_unordered):
            flags[:] = [1] * 600
            flags[100 + turn : 106 + turn] = [0] * 6
            found = Thread(lambda way=way: list(way(pooled.meet, range(600), chunksize=1))).result()
            assert sorted(found) == list(range(600))
    assert pool._desk.recalls


def test_groups_that_end_while_they_are_recalled(make_pool):
    """A group's worker may end it, and give its memory back, while the pool takes its rest away."""
    pool = make_pool(2)
    for turn in range(400):
        seconds = [0.0] * 60 + [0.0005 + turn * 5e-7] * 8 + [0.0] * 60
        assert pool.map_async(pooled.spin, seconds, 1).get(PATIENCE) == seconds
    assert pool._desk.recalls > 50


def test_a_pool_that_is_closed_while_its_thread_is_started(make_pool, monkeypatch):
    """The call that comes too late is refused. Else it would wait for workers that have left."""
    pool = make_pool(1)
    crew = pool._desk.crew
    start = crew.butler

    def close_and_start(desk):
        pool.close()
        return start(desk)

    monkeypatch.setattr(crew, "butler", close_and_start)
    with pytest.raises(ValueError, match="Pool not running"):
        pool.map_async(pooled.square, range(5))
    Thread(pool.join).result()


def test_a_reader_that_is_refused(make_pool, monkeypatch):
    """That no thread can be started is the caller's error. The pool does not wait for the call."""
    pool = make_pool(1)

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool._desk.crew, "feeder", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.imap(pooled.square, iter(range(5)))
    pool.close()
    Thread(pool.join).result()


class Abandons:
    """Gives the rest of its iterator up when it is pickled."""

    iterator = None

    def __reduce__(self):
        if self.iterator is not None:
            self.iterator.abandon()
        return int, (5,)


def test_an_iterator_that_is_given_up_while_its_elements_are_dealt(make_pool):
    """What was on its way is run, the rest is not, and the pool does not wait for it."""
    pool, thing = make_pool(1), Abandons()
    thing.iterator = pool.imap(pooled.same, [*range(50), thing, *range(1000)])
    rest = Thread(lambda: list(thing.iterator)).result()
    assert rest[:51] == [*range(50), 5]
    assert len(rest) < 1051
    pool.close()
    Thread(pool.join).result()


def test_an_interrupt_between_a_result_and_the_next_element(make_pool):
    """The result is not lost. The next call gets it."""
    pool = make_pool(1)
    for way in (pool.imap, pool.imap_unordered):
        iterator = way(pooled.same, [1, 2, pooled.Interrupts(), 4, 5], buffersize=2)
        found = []
        while len(found) < 5:
            try:
                found.append(iterator.next(PATIENCE))
            except KeyboardInterrupt:
                continue
        assert found == [1, 2, 7, 4, 5]


def test_a_name_that_means_another_function_by_now(make_pool):
    """A task may give a name in its worker to another function. As in multiprocessing, the next task finds that."""
    pool = make_pool(1)
    assert pool.apply(pooled.renamed, (3,)) == 3
    pool.apply(pooled.rename)
    assert pool.apply(pooled.renamed, (3,)) == 9


def terminate_when_started(pool):
    """Another thread terminates the pool when its next worker was started. Returns the list of that worker."""
    starter, started = pool._desk.crew.starter, []
    start = starter.start

    def start_and_terminate(worker, number):
        start(worker, number)
        started.append(worker)
        Thread(pool.terminate).result()

    starter.start = start_and_terminate
    return started


def test_a_worker_that_is_started_while_the_pool_is_terminated(make_pool):
    pool = make_pool(2, template=False)
    started = terminate_when_started(pool)
    pool.resize(3)
    assert [worker.exitcode is None for worker in started] == [False]


def test_a_call_while_the_pool_is_terminated(make_pool):
    """It needs a worker that has left."""
    pool = make_pool(1, template=False, idle_timeout=0.01, min_workers=0)
    until(lambda: not pool._pool, "the worker has left")
    started = terminate_when_started(pool)
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply_async(pooled.square, (3,))
    assert [worker.exitcode is None for worker in started] == [False]
