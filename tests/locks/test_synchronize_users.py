# SPDX-License-Identifier: MIT
"""What is built from locks works with a context's locks inside: the contract, and whose locks they are."""

import concurrent.futures
import contextlib
import functools
import importlib

import ends
import jobs
import pytest
import workers
from harness import PATIENCE


@pytest.fixture
def made_by(mp):
    """Is this object of the package under test?"""
    return lambda thing: type(thing).__module__.partition(".")[0] == mp.__name__


@contextlib.contextmanager
def closing(queue):
    """A queue whose feeder and descriptors are gone afterwards."""
    with contextlib.closing(queue):
        yield queue
    if hasattr(queue, "join_thread"):
        queue.join_thread()


@pytest.mark.parametrize("timeout", ["x", float("nan")])
def test_a_timeout_that_is_no_time(ctx, timeout):
    """It is an error where there is something to wait for."""
    error, text = (TypeError, "must be real number, not str") if timeout == "x" else (OSError, "Invalid argument")
    lock, semaphore, bounded, event = ctx.Lock(), ctx.Semaphore(1), ctx.BoundedSemaphore(1), ctx.Event()
    for thing in (lock, semaphore, bounded):
        assert thing.acquire() is True
        with pytest.raises(error, match=text):
            thing.acquire(timeout=timeout)
        thing.release()
        if error is OSError:
            assert thing.acquire(timeout=timeout) is True
            assert thing.acquire(False, timeout) is False
            thing.release()
    if error is OSError:
        with pytest.raises(error, match=text):
            event.wait(timeout)
    event.set()
    assert event.wait(timeout) is True


@pytest.mark.parametrize("lock", [True, "Lock", "RLock"])
def test_value(ctx, start, made_by, lock):
    guard = lock if lock is True else getattr(ctx, lock)()
    value = ctx.Value("q", 5, lock=guard)
    assert made_by(value.get_lock())
    assert lock is True or value.get_lock() is guard
    child = start(value)
    with value.get_lock():
        child.begin(jobs.add_to_value, value, 7)
        assert value.get_obj().value == 5
    child.result()
    assert value.value == 12


def test_array(ctx, start, made_by):
    array = ctx.Array("i", [1, 2, 3])
    assert made_by(array.get_lock())
    child = start(array)
    with array:
        child.begin(workers.invoke, array, "__setitem__", 1, 20)
    child.result()
    assert array[:] == [1, 20, 3]
    assert ctx.Array("i", 2, lock=False)[:] == [0, 0]


def test_queue(ctx, start, made_by):
    with closing(ctx.Queue(2)) as queue:
        assert made_by(queue)
        child = start(queue)
        child.off(queue).get(timeout=PATIENCE)
        queue.put("first")
        assert child.result() == "first"
        child.on(queue).put([1, 2])
        assert queue.get(timeout=PATIENCE) == [1, 2]
        queue.put(1)
        queue.put(2)
        assert queue.full() is True
        assert queue.qsize() == 2
        child.run(jobs.drain, queue, 2)
        assert queue.empty() is True


def test_joinable_queue(ctx, start, made_by):
    with closing(ctx.JoinableQueue()) as queue:
        assert made_by(queue)
        child = start(queue)
        for number in range(3):
            queue.put(number)
        child.send(jobs.take_and_finish, queue, 3)
        queue.join()
        assert child.result() == [0, 1, 2]
        with pytest.raises(ValueError, match="^task_done\\(\\) called too many times$"):
            queue.task_done()


def test_simple_queue(ctx, start, made_by):
    with closing(ctx.SimpleQueue()) as queue:
        assert made_by(queue)
        child = start(queue)
        child.off(queue).get()
        queue.put({"a": 1})
        assert child.result() == {"a": 1}
        child.on(queue).put("b")
        assert queue.get() == "b"


def test_pool(mp, ctx):
    counter = ctx.Value("q", 0)
    with ctx.Pool(2, initializer=jobs.keep, initargs=(counter,)) as pool:
        assert isinstance(pool, importlib.import_module(mp.__name__ + ".pool").Pool)
        assert pool.map(jobs.square, range(20)) == [n * n for n in range(20)]
        assert pool.apply_async(jobs.square, (7,)).get(PATIENCE) == 49
        assert sorted(pool.imap_unordered(jobs.add_to_kept, [1] * 50)) == list(range(1, 51))
        with pytest.raises(ZeroDivisionError, match="the action failed"):
            pool.apply(jobs.fail)
        pool.close()
        pool.join()
    assert counter.value == 50


def test_manager(ctx, start):
    with ctx.Manager() as manager:
        names = manager.list(["a"])
        lock, barrier, queue = manager.Lock(), manager.Barrier(2), manager.Queue()
        child = start(names, lock, barrier, queue)
        child.on(names).append("b")
        assert list(names) == ["a", "b"]
        with lock:
            child.off(queue).get(True, PATIENCE)
            queue.put(1)
            assert child.result() == 1
            assert child.on(lock).acquire(False) is False
        child.off(barrier).wait()
        barrier.wait()
        child.result()


def test_pipe(ctx, start):
    ours, theirs = ctx.Pipe()
    with ours, theirs:
        child = start(theirs)
        child.on(theirs).send("hello")
        assert ours.recv() == "hello"
        child.off(theirs).recv_bytes()
        ours.send_bytes(b"xyz")
        assert child.result() == b"xyz"
    reader, writer = ctx.Pipe(duplex=False)
    with reader, writer:
        writer.send(1)
        assert reader.poll(0) is True
        assert reader.recv() == 1


def test_executor(ctx):
    lock, counter = ctx.Lock(), ctx.RawArray("q", 1)
    executor = concurrent.futures.ProcessPoolExecutor(
        2, mp_context=ctx, initializer=jobs.keep, initargs=((lock, counter),)
    )
    with executor:
        assert list(executor.map(jobs.square, range(20))) == [n * n for n in range(20)]
        list(executor.map(jobs.increment_kept, [100] * 8))
        with pytest.raises(ZeroDivisionError):
            executor.submit(jobs.fail).result(PATIENCE)
    assert counter[0] == 800


def test_an_executor_whose_worker_is_killed(ctx):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=ctx) as executor:
        assert executor.submit(jobs.square, 3).result(PATIENCE) == 9
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            executor.submit(ends.kill_myself).result(PATIENCE)


def test_locks_inside_of_locks(ctx, start):
    """Values that share a lock, and an action of a barrier that uses one."""
    lock = ctx.RLock()
    one, two = ctx.Value("q", 1, lock=lock), ctx.Value("q", 2, lock=lock)
    barrier = ctx.Barrier(2, functools.partial(jobs.add_to_value, one, 10))
    child = start(one, two, barrier)
    child.off(barrier).wait()
    assert barrier.wait() == 1
    assert child.result() == 0
    with one, two:
        child.begin(jobs.add_to_value, two, 1)
    child.result()
    assert (one.value, two.value) == (11, 3)
