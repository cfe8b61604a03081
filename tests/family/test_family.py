# SPDX-License-Identifier: MIT
"""The family: who is in it, how locks travel in it, and what multiprocessing refuses."""

import gc
import importlib
import itertools
import os
import signal
import subprocess
import sys
import threading

import jobs
import pytest
import subclasses
import workers
from harness import PATIENCE, Thread

import mpfast

METHODS = ["fork", "forkserver", "spawn"]
KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]


@pytest.fixture
def mp():
    return mpfast


def make_all(ctx):
    return [getattr(ctx, kind)(*([2] if kind == "Barrier" else [])) for kind in KINDS]


@pytest.mark.parametrize(("maker", "starter"), list(itertools.product(METHODS, METHODS)))
def test_any_contexts_locks_for_any_contexts_processes(start, maker, starter):
    things = make_all(mpfast.get_context(maker))
    lock, condition, event, barrier = things[0], things[4], things[5], things[6]
    child = start(*things, context=mpfast.get_context(starter))
    assert [child.on(thing).acquire(False) for thing in things[:5]] == [True] * 5
    assert [thing.acquire(False) for thing in things[:5]] == [False] * 5
    for thing in things[:5]:
        child.on(thing).release()
    child.off(event).wait()
    event.set()
    assert child.result() is True
    child.off(barrier).wait()
    assert barrier.wait() == 1
    assert child.result() == 0
    child.begin(workers.wait_under, condition)
    workers.notify_under(condition)
    assert child.result() is True
    child.on(lock).acquire()
    child.kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()


def test_the_default_contexts_locks_go_anywhere(start, ctx):
    lock = mpfast.Lock()
    child = start(lock)
    with lock:
        assert child.on(lock).acquire(False) is False


def test_a_lock_that_the_parent_drops_at_once(ctx):
    """multiprocessing unlinks its semaphore before the child has opened it."""
    seen = ctx.RawArray("q", 4)
    for _ in range(5):
        lock = ctx.Lock()
        process = ctx.Process(
            target=jobs.try_all,
            args=(seen, lock, {"list": [lock, (lock,)], "object": jobs.Box(lock)}),
            kwargs={"keyword": lock},
        )
        process.start()
        del lock
        process._args = process._kwargs = None
        gc.collect()
        others = [ctx.Lock() for _ in range(20)]  # might be given its place
        assert all(other.acquire(False) for other in others)
        process.join(PATIENCE)
        assert process.exitcode == 0
        process.close()
        assert list(seen) == [1, 1, 1, 1]


def test_a_lock_that_only_children_have(ctx, start):
    """The parent drops it; it lives until the last child has."""
    lock = ctx.Lock()
    slot = lock.handle
    one, two = start(lock), start(lock)
    one.objects = two.objects = ()
    del lock
    gc.collect()
    reference = workers.Reference(0)
    assert one.run(workers.invoke, reference, "acquire") is True
    assert two.run(workers.invoke, reference, "acquire", False) is False
    assert slot in [info.slot for info in mpfast.locks()]
    assert all(ctx.Lock().handle != slot for _ in range(100))
    one.end()
    two.end()


def test_locks_of_a_child_and_of_its_parent(ctx, start):
    """A module that makes a lock when it is imported, before the child knows what family it is in."""
    lock = ctx.Lock()
    children = [start(lock) for _ in range(2)]
    for child in children:
        assert child.run(subclasses.use_both, lock) == (False, False, True, child.pid)
    with lock:
        children[0].begin(subclasses.use_both, lock)
        assert children[1].on(lock).acquire(False) is False
    assert children[0].result()[:3] == (False, False, True)
    children[0].on(lock).acquire()
    children[0].kill()
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    children[1].send(subclasses.use_both, lock)
    assert children[1].outcome().kind == "LockOwnerDied"


def test_what_a_child_makes_its_child_gets(ctx):
    """Each generation adds a lock of its own to those it was given, and all of them work in the last."""
    seen = ctx.RawArray("q", 1)
    process = ctx.Process(target=jobs.add_generation, args=(ctx, [ctx.Lock()], seen, 3))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()
    assert seen[0] == 4


def test_subclasses_keep_their_state(ctx, start):
    barrier = subclasses.FastBarrier(2, "a label")
    child = start(barrier)
    assert child.run(getattr, barrier, "label") == "a label"
    child.off(barrier).wait()
    assert barrier.wait() == 1
    assert child.result() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_constructors_know_contexts(kind):
    """multiprocessing's own code passes one."""
    class_ = getattr(importlib.import_module("mpfast.synchronize"), kind)
    args = (2,) if kind == "Barrier" else ()
    for ctx in (None, mpfast.get_context("spawn"), importlib.import_module("multiprocessing").get_context("fork")):
        class_(*args, ctx=ctx)
    with pytest.raises(TypeError):
        class_(*args, context=None)


BARE = """
import sys
from mpfast.synchronize import {kind}
bare = {kind}.__new__({kind})
for name in ("__enter__", "__exit__", "__repr__", *dir(bare)):
    if name.startswith("__") and name not in ("__enter__", "__exit__", "__repr__"):
        continue
    print(name, flush=True)
    try:
        value = getattr(bare, name)
        if callable(value):
            value()
    except (RuntimeError, AttributeError, TypeError, ValueError, AssertionError):
        pass
try:
    whole = {kind}({args})
    whole.__init__({args})
except RuntimeError as e:
    print(e)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_objects_without_init_or_with_two(kind):
    """As from a subclass whose __init__ failed or did not call ours: errors, and no crash."""
    code = BARE.format(kind=kind, args="2" if kind == "Barrier" else "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{done.returncode} after {lines[-1]}: {done.stderr}"
    assert "__init__" in lines[-1]


def test_plain_os_fork():
    """Children that multiprocessing knows nothing of are members as well."""
    lock, event, made = mpfast.Lock(), mpfast.Event(), mpfast.Semaphore(0)
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            own = mpfast.Lock()
            made.release()
            event.wait()
            status = 0 if own.acquire(False) and lock.acquire() else 2
            lock.release()
        finally:
            os._exit(status)
    assert made.acquire(timeout=PATIENCE)
    event.set()
    lock.release()
    assert os.waitpid(pid, 0)[1] == 0
    assert lock.acquire(timeout=1) is True


def test_fork_while_other_threads_are_busy():
    """The child of a fork finds no lock of the library's own in the hands of a thread that it does not have."""
    over = threading.Event()
    shared = mpfast.Lock()

    def churn():
        while not over.is_set():
            things = [mpfast.Lock(), mpfast.Condition(), mpfast.Barrier(2)]
            with shared, things[1]:
                things[1].notify()

    threads = [Thread(churn) for _ in range(3)]
    try:
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)  # a deadlock would end here
                ok = mpfast.Lock().acquire(False) and mpfast.Condition().acquire(False)
                os._exit(0 if ok else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        over.set()
    for thread in threads:
        thread.result()
    assert shared.acquire(timeout=PATIENCE) is True  # no child took it with it


def test_a_lock_that_a_thread_holds_during_a_fork():
    """It is the parent's, and the child only sees that somebody else has it."""
    ctx = mpfast.get_context("fork")
    lock, inside, seen = ctx.RLock(), threading.Event(), ctx.RawArray("q", 2)
    leave = threading.Event()

    def hold():
        with lock:
            inside.set()
            leave.wait()

    thread = Thread(hold)
    inside.wait()
    process = ctx.Process(target=workers.look_and_wait, args=(lock, seen))
    process.start()
    process.join()
    assert list(seen) == [0, 0]
    process.close()
    leave.set()
    thread.result()
    assert lock.acquire(False) is True
