# SPDX-License-Identifier: MIT
"""Nothing grows and nothing stays: descriptors, mappings, shared memory. And forks in the middle of everything."""

import gc
import os
import threading

import jobs
import pytest
import queuers
import rights
import watch
import workers
from harness import PATIENCE, Thread, until
from queuers import Buffer

import mpfast

MIB = 1 << 20


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["Queue", "JoinableQueue", "SimpleQueue"])
def kind(request):
    return request.param


def look():
    gc.collect()
    return len(watch.descriptors()), sum(watch.memory_files().values()), watch.shared_files()


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_queue_costs_no_descriptor(ctx, kind):
    ctx.Lock()
    before = look()
    q = getattr(ctx, kind)()
    q.put(1)
    q.put(b"x" * MIB)
    assert look()[0] == before[0]
    q.get()
    q.get()
    del q
    assert look() == before


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_thousand_queues(ctx, kind):
    """In use at the same time, each with an item or two."""
    before = look()
    make = getattr(ctx, kind)
    queues = [make() for _ in range(1000)]
    assert look()[0] == before[0]
    for n, q in enumerate(queues):
        q.put(n)
        q.put({"n": n})
    for n, q in enumerate(queues):
        assert (q.get(), q.get()) == (n, {"n": n})
    del q, queues
    assert look() == before


def test_queues_to_a_child(ctx, start):
    queues = [ctx.Queue() for _ in range(100)]
    child = start(*queues)
    assert all(q.empty() for q in queues)  # what is used for the first time is mapped
    before = look()
    for n, q in enumerate(queues):
        q.put(n)
        assert child.on(q).get() == n
    assert look() == before
    child.end()


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_made_and_dropped(ctx, kind):
    make = getattr(ctx, kind)
    make().put(1)
    before = look()
    for n in range(500):
        q = make()
        q.put([n])
        if n % 2:
            q.get()
        if n % 3 == 0:
            q.close()
            q.close()
    del q
    assert look() == before


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_dropped_in_a_cycle_with_items(ctx, kind):
    before = look()
    box = jobs.Box(None)
    box.content = [box, getattr(ctx, kind)()]
    box.content[1].put(b"x" * MIB)
    del box
    assert look() == before


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_memory_goes_back_after_a_peak(ctx):
    q = ctx.Queue()
    for _ in range(40):
        q.put(b"x" * MIB)
    assert q.stats().bytes >= 40 * MIB
    for _ in range(40):
        q.get()
    getter = Thread(q.get)  # those who wait look after the queue
    until(lambda: q.stats().bytes < 2 * MIB, "the memory of forty items")
    q.put(None)
    getter.result()
    q.close()


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_many_small_items(ctx):
    q = ctx.Queue()
    for n in range(200_000):
        q.put(n)
    assert q.qsize() == 200_000
    for n in range(200_000):
        assert q.get() == n
    for n in range(50_000):
        q.put(str(n))
    assert [q.get() for _ in range(50_000)] == [str(n) for n in range(50_000)]
    q.close()


def test_watching_costs_few_descriptors_that_go(ctx, kind):
    before = look()
    q = getattr(ctx, kind)()
    q._reader.fileno()
    assert look()[0] - before[0] <= (4 if rights.hard_to_reach() else 2)  # which is the second way to it
    del q
    assert look() == before


class TestFork:
    @pytest.fixture(params=["fork"])
    def method(self, request):
        return request.param

    def test_in_the_middle_of_other_threads_work(self, ctx):
        """The child's queue works, whatever the other threads of the parent were doing."""
        q, back = ctx.Queue(), ctx.SimpleQueue()
        stop = threading.Event()

        def work():
            while not stop.is_set():
                q.put({"some": "item"})
                q.get()
                q.put(b"x" * 70_000)
                q.get()

        threads = [Thread(work) for _ in range(2)]
        for n in range(20):
            process = ctx.Process(target=queuers.use_and_tell, args=(ctx, back, n))
            process.start()
            process.join(PATIENCE)
            assert process.exitcode == 0
            process.close()
            assert back.get() == n
        stop.set()
        for thread in threads:
            thread.result()

    def test_by_os_fork(self, ctx):
        q, back = ctx.Queue(), ctx.Queue()
        q.put("for the child")
        pid = os.fork()
        if pid == 0:
            back.put([q.get(), os.getpid()])
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert back.get() == ["for the child", pid]

    def test_with_views(self, ctx):
        """What the parent saw through a view at the fork, the child sees as long as it lives."""
        q, event, back = ctx.Queue(zero_copy=True), ctx.Event(), ctx.SimpleQueue()
        q.put(Buffer(bytearray(b"view") * (MIB // 4)))
        result = q.get()
        process = ctx.Process(target=queuers.look_at, args=(result, event, back))
        process.start()
        del result
        gc.collect()
        for _ in range(30):
            q.put(Buffer(bytearray(b"else") * (MIB // 4)))
            assert bytes(q.get().data[:4]) == b"else"
        event.set()
        assert back.get() == b"view" * (MIB // 4)
        process.join(PATIENCE)
        process.close()

    def test_a_watched_queue(self, ctx, kind, start):
        """The child's readiness is its own."""
        q = getattr(ctx, kind)()
        q._reader.fileno()
        child = start(q)
        q.put(1)
        assert child.run(queuers.wait_for_reader, q) is True
        assert child.on(q).get() == 1
        q.put(2)
        assert queuers.wait_for_reader(q)
        assert q.get() == 2

    def test_closed_by_the_parent_before(self, ctx):
        """As in multiprocessing, the child's is open."""
        q, back = ctx.Queue(), ctx.Queue()
        q.close()
        process = ctx.Process(target=queuers.produce, args=(q, 0, 1))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == 0
        process.close()
        back.close()

    def test_grandchildren_one_after_the_other(self, ctx):
        q = ctx.Queue()
        queuers.fork_on(q, 5)
        assert sorted(q.get() for _ in range(5)) == [0, 1, 2, 3, 4]


def test_a_thousand_children_and_a_queue(ctx, method):
    count = {"fork": 200, "forkserver": 60, "spawn": 20}[method]
    q = ctx.Queue()
    assert q.empty()
    before = look()
    for n in range(count):
        process = ctx.Process(target=workers.nothing, args=(q,))
        process.start()
        process.join()
        process.close()
        q.put(n)
        assert q.get() == n
    assert look() == before
