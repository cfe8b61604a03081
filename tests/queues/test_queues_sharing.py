# SPDX-License-Identifier: MIT
"""How queues get to other processes, and what these do with them: the contract of multiprocessing's."""

import itertools
import queue
import signal

import jobs
import pytest
import queuers
import workers
from harness import PATIENCE, Noise, Thread, run_process, until

KINDS = ["Queue", "JoinableQueue", "SimpleQueue"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_there_and_back(q, start):
    child = start(q)
    q.put({"from": "parent"})
    assert child.on(q).get() == {"from": "parent"}
    child.on(q).put(["from", "child"])
    assert q.get() == ["from", "child"]
    assert child.on(q).empty() is True


def test_a_blocked_get_is_woken_by_another_process(q, start):
    one, two = start(q), start(q)
    one.off(q).get()
    two.on(q).put("woken")
    assert one.result() == "woken"


def test_each_item_goes_to_one(q, start):
    children = [start(q) for _ in range(3)]
    for child in children:
        child.send(jobs.drain, q, 100)
    for i in range(300):
        q.put(i)
    got = [child.result() for child in children]
    assert sorted(itertools.chain(*got)) == list(range(300))
    assert all(items == sorted(items) for items in got)


def test_producers_and_consumers(q, start):
    producers, consumers = [start(q) for _ in range(2)], [start(q) for _ in range(2)]
    for number, producer in enumerate(producers):
        producer.send(queuers.produce, q, number, 300)
    for consumer in consumers:
        consumer.send(jobs.drain, q, 300)
    got = [consumer.result() for consumer in consumers]
    for producer in producers:
        producer.result()
    assert sorted(itertools.chain(*got)) == [(n, i) for n in range(2) for i in range(300)]
    for items in got:
        for n in range(2):
            mine = [i for m, i in items if m == n]
            assert mine == sorted(mine)


def test_maxsize_is_everybodys(make, start):
    q = make(2, kind="Queue")
    child = start(q)
    child.on(q).put(1)
    q.put(2)
    assert child.on(q).full() is True
    assert child.on(q).qsize() == 2
    with pytest.raises(Exception, match="Full"):
        child.on(q).put_nowait(3)
    child.off(q).put(3)
    assert q.get() in (1, 2)  # multiprocessing's order is each process's own
    child.result()
    assert q.qsize() == 2
    assert [q.get(), q.get()] in ([2, 3], [1, 3], [3, 2], [3, 1])


def test_timeouts_in_a_child(make, start):
    q = make(1, kind="Queue")
    child = start(q)
    with Noise() as noise:
        outcome, seconds = child.run(workers.timed, q, "get", timeout=0.2)
    assert outcome.kind == "Empty"
    assert 0.2 <= seconds < noise.limit(0.3)
    q.put(1)
    with Noise() as noise:
        outcome, seconds = child.run(workers.timed, q, "put", 2, timeout=0.2)
    assert outcome.kind == "Full"
    assert 0.2 <= seconds < noise.limit(0.3)
    assert q.get() == 1


def test_what_a_process_put_survives_its_end(ctx, q):
    """A producer may end at once: multiprocessing waits for its feeder thread, mpfast's item is in shared memory."""
    process = ctx.Process(target=queuers.produce, args=(q, 0, 50))
    run_process(process)
    assert [q.get() for _ in range(50)] == [(0, i) for i in range(50)]


def test_used_by_the_children_of_a_child(ctx, q):
    run_process(ctx.Process(target=queuers.produce_by_child, args=(ctx, q, 3)))
    assert sorted(q.get() for _ in range(4)) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert q.empty()


def test_nested_arguments(ctx, q):
    process = ctx.Process(target=queuers.put_by_all_ways, args=(q, {"list": [q, (q,)], "object": jobs.Box(q)}))
    run_process(process)
    assert [q.get() for _ in range(4)] == [True, True, True, True]


def test_in_attributes_of_a_process(ctx, q):
    process = queuers.process_class(ctx)(q)
    run_process(process)
    assert q.get() == "from run()"


def test_not_through_a_queue(make):
    q, other = make(), make(kind="SimpleQueue")
    with pytest.raises(RuntimeError, match="objects should only be shared between processes through inheritance"):
        other.put(q)


def test_the_ends_alone(q, start):
    """Some programs hand over the connections behind a queue."""
    child = start(q._reader, q._writer)
    q.put([1])
    assert child.on(child.objects[0]).recv() == [1]
    child.on(child.objects[1]).send([2])
    assert q._reader.recv() == [2]


def test_closed_in_one_process_only(make, start):
    q = make(kind="Queue")
    child = start(q)
    child.on(q).close()
    with pytest.raises(Exception, match="ValueError: Queue .* is closed"):
        child.on(q).put(1)
    q.put(2)
    assert q.get() == 2


def test_a_queue_closed_before_its_child_starts_is_open_there(make, start):
    """With fork the child inherits that it is closed."""
    q = make(kind="Queue")
    q.put(1)
    child = start(q)
    q.close()
    q.join_thread()
    assert child.on(q).get() == 1


def test_terminated_while_it_waits(make, start):
    """A getter that is killed in get() takes nothing with it; multiprocessing's may keep the queue's lock."""
    q = make(kind="Queue")
    child = start(q)
    child.begin(workers.invoke, q, "get", True, 60)
    if type(q).__module__.startswith("multiprocessing"):
        child.signal(signal.SIGINT)
        assert child.outcome().kind == "KeyboardInterrupt"
    else:
        child.kill()
    q.put("still")
    assert q.get(timeout=PATIENCE) == "still"


def test_joinable_over_processes(make, start):
    q = make(kind="JoinableQueue")
    child = start(q)
    for i in range(10):
        q.put(i)
    joiner = Thread(q.join).asleep()
    assert child.run(jobs.take_and_finish, q, 9) == list(range(9))
    joiner.asleep()
    child.run(jobs.take_and_finish, q, 1)
    joiner.result()
    with pytest.raises(Exception, match=r"ValueError: task_done\(\) called too many times"):
        child.on(q).task_done()
    child.on(q).put("another")
    child.off(q).join()
    q.task_done()
    child.result()
    assert q.get() == "another"


def test_subclasses(mp, make, ctx, start):
    q = queuers.subclass(mp)(5, ctx=ctx, label="mine")
    child = start(q)
    child.on(q).put_twice("x")
    assert [q.get(), q.get()] == ["x", "x"]
    assert child.run(getattr, q, "label") == q.label == "mine"
    q.close()


def test_get_nowait_sees_what_a_child_has_put(q, start):
    child = start(q)
    child.on(q).put(1)
    until(lambda: not q.empty(), "the item")
    if hasattr(q, "get_nowait"):
        assert q.get_nowait() == 1
        with pytest.raises(queue.Empty):
            q.get_nowait()
    else:
        assert q.get() == 1


@pytest.mark.parametrize("signum", [signal.SIGSTOP])
def test_a_stopped_getter_does_not_stop_others(mp, make, start, signum):
    """multiprocessing's stopped getter has the queue's lock."""
    if mp.__name__ == "multiprocessing":
        pytest.skip("there it hangs")
    q = make()
    child = start(q).begin(workers.invoke, q, "get")
    child.signal(signum)
    q.put(1)
    assert q.get() == 1
    q.put(2)
    child.signal(signal.SIGCONT)
    assert child.result() == 2
