# SPDX-License-Identifier: MIT
"""Deaths are noticed, and entries given back, whoever forks when, and whatever became of descriptors."""

import contextlib
import gc
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import time
import warnings

import forks
import pytest
from harness import DEATH_LIMIT, Noise, until

import mpfast
from mpfast.family import census


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(autouse=True)
def forked():
    yield
    forks.dispose()


def check_death_is_heard(lock, kill):
    with Noise() as noise:
        begin = time.monotonic()
        kill()
        with pytest.raises(mpfast.LockOwnerDied):
            lock.acquire(timeout=10)
        seconds = time.monotonic() - begin
    assert seconds < noise.limit(DEATH_LIMIT)


def test_a_childs_own_children_do_not_keep_it_alive(start, ctx):
    """They inherit its mapping of the segment."""
    lock = ctx.Lock()
    victim = start(lock)
    orphan = victim.run(forks.fork_sleeper)
    pidfd = os.pidfd_open(orphan)
    try:
        victim.on(lock).acquire()
        check_death_is_heard(lock, lambda: os.kill(victim.pid, signal.SIGKILL))
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize("launcher", [mpfast, multiprocessing], ids=["mpfast", "stdlib"])
def test_a_fork_in_the_middle_of_a_launch(launcher, method):
    """The forked child has a copy of what is meant for the other one."""
    ctx = launcher.get_context(method)
    lock, held = mpfast.Lock(), mpfast.Event()
    process = ctx.Process(target=_hold, args=(lock, held, forks.ForksWhenPickled()))
    process.start()
    assert held.wait(20)
    check_death_is_heard(lock, process.kill)
    process.join()
    process.close()


def _hold(lock, held, _):
    lock.acquire()
    held.set()
    time.sleep(60)


@pytest.mark.parametrize("who", ["self", "child"])
def test_without_descriptors_deaths_are_heard(ctx, who):
    """As daemons do, which close all that they know nothing of."""
    lock, held, told = mpfast.Lock(), mpfast.Event(), mpfast.Semaphore(0)
    holder = os.fork()
    if holder == 0:
        lock.acquire()
        held.set()
        signal.pause()
    assert held.wait(20)
    waiter = os.fork()
    if waiter == 0:
        os.closerange(3, 4096)
        if who == "child" and (pid := os.fork()):
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        told.release()
        try:
            os._exit(2 if lock.acquire(timeout=10) else 1)
        except mpfast.LockOwnerDied:
            os._exit(0)
    assert told.acquire(timeout=20)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(waiter, 0)[1]) == 0
    lock.release()


ONE_CHILD_AT_A_TIME = """
import os, mpfast
from mpfast.family import census

keep = mpfast.Lock()
if %r:
    os.closerange(3, 4096)
for _ in range(200):
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
assert keep.acquire(False)
print(census.usage()[0])
"""


@pytest.mark.parametrize("closed", [False, True])
def test_entries_come_back(closed):
    """One child at a time needs one entry, or the table would be full in the end."""
    script = [sys.executable, "-c", ONE_CHILD_AT_A_TIME % closed]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert int(done.stdout) < 60


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_a_handler_that_forks_while_its_process_waits(kind):
    """Its child goes on waiting, under its own name."""
    thing, waits, held = getattr(mpfast, kind)(), mpfast.Event(), mpfast.Event()
    thing.acquire()
    waiter = os.fork()
    if waiter == 0:
        try:
            os._exit(_wait_in_a_child(thing, kind, waits, held))
        finally:
            os._exit(3)
    assert waits.wait(20)
    thing.release()
    assert os.waitstatus_to_exitcode(os.waitpid(waiter, 0)[1]) == 0


class _InParent(Exception):
    pass


def _wait_in_a_child(thing, kind, waits, held):
    children = []
    warnings.simplefilter("ignore")  # the permit of a killed child comes back with one

    def fork(*_):
        children.append(os.fork())
        if children[0]:
            raise _InParent

    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        thing.acquire()
        held.set()
        signal.pause()
    except _InParent:
        waits.set()
    assert held.wait(20)
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
    try:
        return not thing.acquire(timeout=10) or kind != "BoundedSemaphore"
    except mpfast.LockOwnerDied as died:
        return died.pid != children[0]


SIZES = [0, 100, 100_000]  # of an item: none, as it is an int; in a small block; in a large one


@pytest.mark.parametrize("size", SIZES)
def test_a_handler_that_forks_in_put(size):
    """Parent and child put one item each."""
    item = b"x" * size if size else 7
    q, forked = mpfast.Queue(1), mpfast.Event()
    q.put("first")
    putter = os.fork()
    if putter == 0:
        _end_in_two(forked, lambda: q.put(item, timeout=20))
    assert forked.wait(20)
    assert [q.get(timeout=20) for _ in range(3)] == ["first", item, item]
    assert os.waitstatus_to_exitcode(os.waitpid(putter, 0)[1]) == 0
    q.put("last")
    assert q.get(timeout=20) == "last"
    q.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_handler_that_forks_in_put_and_raises_in_the_child(size):
    """What the parent is about to put is not the child's to give back, nor to write over."""
    item, other = (b"x" * size, b"y" * size) if size else (7, 8)
    q, forked = mpfast.Queue(1), mpfast.Event()
    q.put("first")
    putter = os.fork()
    if putter == 0:

        def put():
            try:
                q.put(item, timeout=20)
            except _InChild:
                with contextlib.suppress(queue.Full):
                    q.put(other, timeout=0.01)
                forked.set()

        _end_in_two(None, put, _InChild)
    assert forked.wait(20)
    assert [q.get(timeout=20) for _ in range(2)] == ["first", item]
    assert os.waitstatus_to_exitcode(os.waitpid(putter, 0)[1]) == 0
    q.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_handler_that_forks_in_get(size):
    """Parent and child get one item each, and no record of a wait is left."""
    item = b"x" * size if size else 7
    q, forked = mpfast.Queue(), mpfast.Event()
    getter = os.fork()
    if getter == 0:
        _end_in_two(forked, lambda: q.get(timeout=20) == item or os._exit(4))
    assert forked.wait(20)
    q.put(item)
    q.put(item)
    assert os.waitstatus_to_exitcode(os.waitpid(getter, 0)[1]) == 0
    assert q.empty()
    assert not any(lock.waiters for lock in mpfast.locks())
    q.close()


class _InChild(Exception):
    pass


def _end_in_two(forked, action, raised=None):
    """In a child: does it, and forks in a signal's handler meanwhile. Ends both; 0 if all went well."""
    children = []

    def fork(*_):
        children.append(os.fork())
        if children[0] and forked:
            forked.set()
        if not children[0] and raised:
            raise raised

    try:
        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        action()
        os._exit(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) if children[0] else 0)
    finally:
        os._exit(3)


@pytest.mark.parametrize("launcher", [mpfast, multiprocessing], ids=["mpfast", "stdlib"])
def test_a_thread_that_outlives_the_target(launcher, method):
    """The process has not left before its threads have ended."""
    ctx = launcher.get_context(method)
    lock, held, let_go = mpfast.Lock(), mpfast.Event(), mpfast.Event()
    victim = ctx.Process(target=forks.hold_in_a_thread, args=(lock, held))
    victim.start()
    assert held.wait(20)
    check_death_is_heard(lock, victim.kill)
    victim.join()
    lock.release()
    held.clear()
    process = ctx.Process(target=forks.hold_in_a_thread, args=(lock, held, let_go))
    process.start()
    assert held.wait(20)
    let_go.set()
    process.join()
    assert process.exitcode == 0
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False  # left, holding
    lock.release()
    for p in (victim, process):
        p.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize("launcher", [mpfast, multiprocessing], ids=["mpfast", "stdlib"])
@pytest.mark.parametrize("how", ["ends", "unpicklable"])
def test_children_that_never_arrive(launcher, method, how):
    """Whatever was reserved for them comes back."""
    ctx = launcher.get_context(method)
    keep = mpfast.Lock()

    def launch():
        spoiler = forks.EndsWhenUnpickled() if how == "ends" else lambda: None
        process = ctx.Process(target=forks.release_when, args=(spoiler, keep, mpfast.Lock()))
        try:
            process.start()
        except Exception:
            assert how == "unpicklable"
        else:
            process.join()
            process.close()

    def back():
        if (newcomer := os.fork()) == 0:  # whoever comes looks whose entry is to be had
            os._exit(0)
        os.waitpid(newcomer, 0)
        return census.usage()[0] <= entries + 4 and len(mpfast.locks()) <= locks

    entries, locks = census.usage()[0], len(mpfast.locks())
    for _ in range(10):
        launch()
    gc.collect()
    until(back, "entries and slots are back")


@pytest.mark.parametrize("kind", ["Lock", "BoundedSemaphore"])
def test_a_held_lock_that_is_given_away(ctx, kind):
    """Its slot comes back when the child is done with it, though the giver's object went while it was held."""
    go = ctx.Event()

    def hand_over():
        thing = getattr(ctx, kind)()
        thing.acquire()
        process = ctx.Process(target=forks.release_when, args=(go, thing))
        process.start()
        process._args = ()
        del thing
        gc.collect()
        go.set()
        process.join()
        process.close()
        go.clear()

    hand_over()
    before = len(mpfast.locks())
    for _ in range(5):
        hand_over()
    mpfast.Lock()
    assert len(mpfast.locks()) <= before
