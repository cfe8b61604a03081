# SPDX-License-Identifier: MIT
"""Processes killed and stopped around a queue: nobody blocks, nothing is lost but what the dead one had taken."""

import os
import signal

import ends
import jobs
import pytest
import queuers
import workers
from harness import PATIENCE, Thread, until

import mpfast

MIB = 1 << 20


@pytest.fixture
def mp():
    return mpfast


def test_a_getter_killed_while_it_waits(q, start):
    for _ in range(3):
        start(q).begin(workers.invoke, q, "get").kill()
    q.put("still")
    assert q.get() == "still"


def test_a_putter_killed_while_it_waits(ctx, start):
    q = ctx.Queue(1)
    q.put("first")
    start(q).begin(workers.invoke, q, "put", "never").kill()
    assert q.get() == "first"
    assert q.empty()
    q.put("second")
    assert q.get() == "second"
    q.close()


def test_what_the_dead_have_put_stays(q, start):
    child = start(q)
    child.run(queuers.produce, q, 1, 100)
    child.on(q).put(b"x" * 3 * MIB)
    child.kill()
    assert [q.get() for _ in range(100)] == [(1, i) for i in range(100)]
    assert q.get() == b"x" * 3 * MIB


@pytest.mark.parametrize("how", [ends.kill_myself, lambda: os._exit(0)], ids=["SIGKILL", "_exit"])
@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_an_end_right_after_put(ctx, q, how):
    """No thread has to finish what put() began."""
    process = ctx.Process(target=queuers.put_and, args=(q, b"y" * MIB, how))
    process.start()
    process.join(PATIENCE)
    process.close()
    assert q.get() == b"y" * MIB
    assert q.empty()


def test_only_what_the_dead_took_is_lost(q, start):
    for i in range(10):
        q.put(i)
    child = start(q)
    assert child.run(jobs.drain, q, 3) == [0, 1, 2]
    child.kill()
    assert [q.get() for _ in range(7)] == list(range(3, 10))
    assert q.empty()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_among_many_one_falls(ctx, start, signum):
    """Two producers and two consumers at work, of which one of each is killed or stopped: the others go on."""
    q, seen = ctx.Queue(50), ctx.SimpleQueue()
    producers, consumers = [start(q) for _ in range(2)], [start(q, seen) for _ in range(2)]
    for number, producer in enumerate(producers):
        producer.send(queuers.produce, q, number, 3000)
    for consumer in consumers:
        consumer.send(queuers.pass_on, q, seen)
    got = [seen.get() for _ in range(500)]
    producers[0].signal(signum)
    consumers[0].signal(signum)
    while len([1 for n, _ in got if n == 1]) < 2990:  # the dead may have taken a few
        got.append(seen.get())
    assert len(set(got)) == len(got)
    producers[1].result()
    q.close()


def test_a_getter_stopped_while_it_waits(q, start):
    child = start(q).begin(workers.invoke, q, "get")
    child.signal(signal.SIGSTOP)
    q.put(1)
    assert q.get() == 1
    child.kill()


def test_a_joinable_queues_joiner_killed(ctx, start):
    q = ctx.JoinableQueue()
    q.put(1)
    start(q).begin(workers.invoke, q, "join").kill()
    joiner = Thread(q.join).asleep()
    q.get()
    q.task_done()
    joiner.result()
    q.close()


def test_a_dead_processs_memory_comes_back(ctx, start):
    """It had taken, or was about to put, large items."""
    q = ctx.Queue(1)
    q.put(b"a" * 8 * MIB)
    for _ in range(5):
        start(q).begin(workers.invoke, q, "put", b"b" * 8 * MIB).kill()
    assert q.get() == b"a" * 8 * MIB
    for _ in range(5):
        q.put(b"c" * 8 * MIB)
        assert q.get() == b"c" * 8 * MIB
    getter = Thread(q.get)  # those who wait look after the queue
    until(lambda: q.stats().bytes < 2 * MIB, "the memory of the dead")
    q.put(None)
    assert getter.result() is None
    q.close()


def test_all_users_of_a_queue_killed_but_one(ctx, q, start):
    children = [start(q) for _ in range(8)]
    for child in children[:4]:
        child.begin(workers.invoke, q, "get")
    for child in children:
        child.kill()
    q.put({"alone": True})
    assert q.get() == {"alone": True}
