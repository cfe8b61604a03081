# SPDX-License-Identifier: MIT
"""The contract of multiprocessing's queues inside one process, whatever the start method."""

import copy
import itertools
import pickle
import queue
import threading
import time

import pytest
from harness import PATIENCE, Noise, Thread, until

QUEUES = ["Queue", "JoinableQueue"]
ALL = [*QUEUES, "SimpleQueue"]
INHERITANCE = "^{} objects should only be shared between processes through inheritance$"


@pytest.fixture(params=["fork"])  # queues that no child gets have no use for the others
def method(request):
    return request.param


@pytest.fixture(params=QUEUES)
def kind(request):
    return request.param


def fill(q, items):
    """Puts, and waits until they can be seen: multiprocessing's come by way of a thread."""
    for item in items:
        q.put(item)
    until(lambda: not q.empty(), "the first item")


def test_first_in_first_out(make):
    q = make()
    fill(q, range(100))
    assert [q.get() for _ in range(100)] == list(range(100))


def test_size_empty_full(make):
    q = make(2)
    assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
    fill(q, ["a"])
    assert (q.qsize(), q.empty(), q.full()) == (1, False, False)
    q.put("b")
    assert (q.qsize(), q.empty(), q.full()) == (2, False, True)
    assert q.get() == "a"
    until(lambda: not q.empty(), "the second item")
    assert (q.qsize(), q.full()) == (1, False)
    assert q.get() == "b"
    assert (q.qsize(), q.empty(), q.full()) == (0, True, False)


@pytest.mark.parametrize("maxsize", [0, -1, -100])
def test_unbounded(make, maxsize):
    q = make(maxsize)
    fill(q, range(1000))
    assert q.full() is False
    assert [q.get() for _ in range(1000)] == list(range(1000))


def test_get_nowait_of_an_empty_queue(make):
    q = make()
    for call in (q.get_nowait, lambda: q.get(False), lambda: q.get(block=False), lambda: q.get(timeout=0)):
        with pytest.raises(queue.Empty):
            call()
    with pytest.raises(queue.Empty):
        q.get(True, -1)


def test_put_nowait_to_a_full_queue(make):
    q = make(1)
    fill(q, ["only"])
    for call in (q.put_nowait, lambda x: q.put(x, False), lambda x: q.put(x, timeout=0), lambda x: q.put(x, True, -1)):
        with pytest.raises(queue.Full):
            call("more")
    assert q.get() == "only"


def test_put_by_keywords(make):
    q = make(maxsize=3)
    q.put(obj=1, block=True, timeout=None)
    q.put(2, True, 1.5)
    q.put_nowait(obj=3)
    assert [q.get(block=True, timeout=PATIENCE), q.get(True, PATIENCE), q.get()] == [1, 2, 3]


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_get_timeout(make, seconds):
    q = make()
    with Noise() as noise:
        begin = time.monotonic()
        with pytest.raises(queue.Empty):
            q.get(timeout=seconds)
        took = time.monotonic() - begin
    assert seconds <= took < noise.limit(seconds + 0.05)


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_put_timeout(make, seconds):
    q = make(1)
    q.put(0)
    with Noise() as noise:
        begin = time.monotonic()
        with pytest.raises(queue.Full):
            q.put(1, timeout=seconds)
        took = time.monotonic() - begin
    assert seconds <= took < noise.limit(seconds + 0.05)
    assert q.get() == 0


def test_a_timeout_is_ignored_without_block(make):
    q = make()
    begin = time.monotonic()
    with pytest.raises(queue.Empty):
        q.get(False, 60)
    assert time.monotonic() - begin < PATIENCE


def test_arguments_are_checked(make):
    q = make()
    with pytest.raises(TypeError):
        q.get(timeout="long")
    with pytest.raises(TypeError):
        q.get(True, 1, 2)
    with pytest.raises(TypeError):
        q.put()
    with pytest.raises(TypeError):
        q.put_nowait(1, False)
    with pytest.raises(TypeError):
        make("many")
    with pytest.raises(TypeError):
        make(1, 2)


def test_a_blocked_get_is_woken_by_a_thread(make):
    q = make()
    getter = Thread(q.get).asleep()
    q.put("woken")
    assert getter.result() == "woken"


def test_a_blocked_put_is_woken_by_a_thread(make):
    q = make(1)
    q.put(1)
    putter = Thread(q.put, 2).asleep()
    assert q.get() == 1
    putter.result()
    assert q.get() == 2


def test_many_threads(make):
    q = make(7)
    putters = [Thread(lambda n=n: [q.put((n, i)) for i in range(200)]) for n in range(3)]
    getters = [Thread(lambda: [q.get() for _ in range(200)]) for _ in range(3)]
    for putter in putters:
        putter.result()
    got = [getter.result() for getter in getters]
    assert sorted(itertools.chain(*got)) == [(n, i) for n in range(3) for i in range(200)]
    for items in got:
        for n in range(3):
            mine = [i for m, i in items if m == n]
            assert mine == sorted(mine)
    assert q.empty()


def test_closed(make):
    q = make()
    fill(q, [1])
    assert q.close() is None
    q.close()
    for call in (q.get, lambda: q.put(2), q.get_nowait, lambda: q.put_nowait(2), lambda: q.get(timeout=0)):
        with pytest.raises(ValueError, match=r"^Queue <multiprocessing.queues|^Queue <mpfast.queues") as caught:
            call()
        assert str(caught.value) == f"Queue {q!r} is closed"
    q.join_thread()


def test_repr(make, mp, kind):
    assert repr(make()).startswith(f"<{mp.__name__}.queues.{kind} object at 0x")


def test_join_thread(make):
    q = make()
    q.put(1)
    with pytest.raises(AssertionError, match="^Queue <.*> not closed$"):
        q.join_thread()
    assert q.get() == 1
    q.close()
    assert q.join_thread() is None
    q.join_thread()


def test_cancel_join_thread(make):
    q = make()
    assert q.cancel_join_thread() is None
    fill(q, [1])
    q.cancel_join_thread()
    assert q.get() == 1


def test_closing_a_queue_never_used(make):
    q = make()
    q.close()
    q.join_thread()
    assert q.empty() is True


@pytest.mark.parametrize("kind", ALL, indirect=True)
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_no_pickling_but_for_a_child(make, kind, how):
    with pytest.raises(RuntimeError, match=INHERITANCE.format(kind)):
        how(make())


@pytest.mark.parametrize("kind", ALL, indirect=True)
def test_classes_by_name(mp, make, kind):
    import importlib

    module = importlib.import_module(f"{mp.__name__}.queues")
    q = make()
    assert type(q) is getattr(module, kind)
    assert kind in module.__all__
    assert module.Empty is queue.Empty
    assert module.Full is queue.Full


@pytest.mark.parametrize("kind", ALL, indirect=True)
def test_weak_references(make):
    import weakref

    q = make()
    assert weakref.ref(q)() is q


@pytest.mark.parametrize("kind", ALL, indirect=True)
def test_made_by_their_class(ctx, make, kind):
    class_ = type(make())
    q = class_(ctx=ctx)
    q.put("item")
    assert q.get() == "item"
    q.close()
    with pytest.raises(TypeError):
        class_()
    with pytest.raises(TypeError):
        class_(1, 2, ctx=ctx)


@pytest.mark.parametrize("kind", ALL, indirect=True)
def test_reader_and_writer(make):
    """What libraries touch: to wait for several queues, or to end them."""
    q = make()
    assert q._reader.closed is q._writer.closed is False
    assert q._reader.poll() is False
    q.put({"a": 1})
    assert q._reader.poll(PATIENCE) is True
    assert q._reader.recv() == {"a": 1}


class TestSimpleQueue:
    @pytest.fixture
    def kind(self):
        return "SimpleQueue"

    def test_first_in_first_out(self, make):
        q = make()
        assert q.empty() is True
        for i in range(100):
            assert q.put(i) is None
        assert q.empty() is False
        assert [q.get() for _ in range(100)] == list(range(100))
        assert q.empty() is True

    def test_a_blocked_get(self, make):
        q = make()
        getter = Thread(q.get).asleep()
        q.put("woken")
        assert getter.result() == "woken"

    def test_closed(self, make):
        q = make()
        q.put(1)
        q.close()
        q.close()
        for call in (q.get, lambda: q.put(1), q.empty):
            with pytest.raises(OSError, match="handle is closed"):
                call()
        assert q._reader.closed
        assert q._writer.closed

    def test_no_timeouts(self, make):
        q = make()
        with pytest.raises(TypeError):
            q.put(1, False)
        with pytest.raises(TypeError):
            q.get(False)
        with pytest.raises(TypeError):
            make(1)
        for name in ("qsize", "full", "get_nowait", "put_nowait", "join_thread", "task_done"):
            assert not hasattr(q, name)

    def test_generic_alias(self, make):
        assert type(make())[int].__origin__ is type(make())


class TestJoinable:
    @pytest.fixture
    def kind(self):
        return "JoinableQueue"

    def test_join(self, make):
        q = make()
        q.join()
        for i in range(3):
            q.put(i)
        joiner = Thread(q.join).asleep()
        for _ in range(2):
            q.get()
            q.task_done()
        joiner.asleep()
        q.get()
        joiner.asleep()
        q.task_done()
        joiner.result()
        q.join()

    def test_task_done_too_often(self, make):
        q = make()
        with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
            q.task_done()
        q.put(1)
        q.task_done()  # as queue.Queue, it counts what was put and not what was got
        with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
            q.task_done()
        q.get()

    def test_several_joiners(self, make):
        q = make()
        q.put(1)
        joiners = [Thread(q.join).asleep() for _ in range(3)]
        q.get()
        q.task_done()
        for joiner in joiners:
            joiner.result()

    def test_workers(self, make):
        q = make(3)
        done = []

        def work():
            while (item := q.get()) is not None:
                done.append(item)
                q.task_done()
            q.task_done()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(100):
            q.put(i)
        q.join()
        assert sorted(done) == list(range(100))
        for _ in threads:
            q.put(None)
        for thread in threads:
            thread.join(PATIENCE)
        q.join()


def test_the_stdlib_agrees_on_signatures(ctx, kind):
    """Positional names are part of the contract."""
    import inspect
    import multiprocessing.queues

    theirs = getattr(multiprocessing.queues, kind)
    ours = type(getattr(ctx, kind)())
    for name in ("put", "get", "put_nowait", "get_nowait"):
        expected = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(inspect.signature(getattr(ours, name)).parameters) == expected
