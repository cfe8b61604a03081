# SPDX-License-Identifier: MIT
"""The ends of a process that holds a lock: one that ended normally has left it held, any other has died."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import ends
import jobs
import pytest
import workers
from harness import DEATH_LIMIT, PATIENCE, Thread, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def lock(ctx):
    return ctx.Lock()


def run(ctx, function, *args, exitcode=0, **options):
    process = ctx.Process(target=function, args=args, **options)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == exitcode
    pid = process.pid
    process.close()
    return pid


def check_left(lock):
    """It stays locked, as with multiprocessing, until somebody releases it."""
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    assert lock.acquire(False) is False
    assert lock.recover() is False
    assert lock.locked() is True
    assert workers.seen(lock)[0] in ("<Lock(owner=SomeOtherProcess)>", "<Lock(owner=SomeOtherThread)>")
    lock.release()
    assert lock.acquire(False) is True


def check_died(lock, pid):
    with pytest.raises(mpfast.LockOwnerDied) as caught:
        lock.acquire(timeout=PATIENCE)
    assert caught.value.pid == pid


@pytest.mark.parametrize(
    ("how", "exitcode"),
    [
        (workers.nothing, 0),
        (functools.partial(ends.end_with, SystemExit(3)), 3),
        (functools.partial(ends.end_with, SystemExit("bye")), 1),
        (functools.partial(ends.end_with, ValueError("on purpose")), 1),
        (functools.partial(ends.end_with, KeyboardInterrupt()), 1),
    ],
    ids=["return", "exit", "exit with text", "exception", "KeyboardInterrupt"],
)
def test_ends_that_leave_it_held(ctx, lock, how, exitcode):
    run(ctx, ends.end_holding, lock, how, exitcode=exitcode)
    check_left(lock)


def test_an_rlock_is_left_held_for_good(ctx):
    lock = ctx.RLock()
    run(ctx, ends.end_holding, lock, workers.nothing)
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    assert lock.recover() is False


def test_a_thread_that_holds_at_the_end_leaves_it_held(ctx, lock):
    run(ctx, ends.hold_in_thread, lock)
    check_left(lock)


def test_a_finalizer_may_use_locks(ctx, lock):
    seen = ctx.RawArray("q", 1)
    run(ctx, ends.hold_at_exit, lock, seen)
    assert seen[0] == 1
    check_left(lock)


def test_who_waits_goes_on_waiting(ctx, lock, start):
    """Also those who began to wait before the holder left, and even if its place is taken by others."""
    holder = start(lock)
    holder.on(lock).acquire()
    waiter = Thread(lock.acquire).asleep()
    holder.end()
    others = [start(lock) for _ in range(3)]
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    waiter.asleep()
    others[0].on(lock).release()
    assert waiter.result() is True


def test_a_terminated_daemon_has_died(ctx, lock):
    process = ctx.Process(target=ends.hold_and_sleep, args=(lock,), daemon=True)
    process.start()
    until(lock.locked, "the child holds the lock")
    process.terminate()
    process.join()
    check_died(lock, process.pid)
    process.close()


def test_exec_is_no_end(ctx, lock):
    """The process lives on as another program; nobody may say that it died until it does."""
    process = ctx.Process(target=ends.hold_and_exec, args=(lock, "/bin/sleep", "60"))
    process.start()
    program = Path(f"/proc/{process.pid}/cmdline")
    until(lambda: program.read_bytes().startswith(b"/bin/sleep"), "the child is another program")
    assert lock.acquire(timeout=2 * DEATH_LIMIT) is False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    check_died(lock, process.pid)
    process.close()


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_child_of_os_fork(lock, method):
    """sys.exit() runs the hooks that say goodbye; os._exit() is what a killed process looks like."""
    status = ends.fork_and_hold(lock, functools.partial(os._exit, 0))
    assert status == 0
    with pytest.raises(mpfast.LockOwnerDied):
        lock.acquire()
    lock.release()


def test_workers_of_a_pool_that_was_closed_have_left(ctx, lock):
    with ctx.Pool(1, initializer=jobs.keep, initargs=(lock,)) as pool:
        assert pool.apply(jobs.acquire_kept) is True
        pool.close()
        pool.join()
    check_left(lock)


def test_busy_workers_of_a_pool_that_was_terminated_have_died(ctx, lock):
    with ctx.Pool(1, initializer=jobs.keep, initargs=(lock,)) as pool:
        pid = pool.apply(os.getpid)
        pool.apply_async(jobs.hold_kept)
        until(lock.locked, "the worker holds the lock")
    pool.join()
    check_died(lock, pid)


def test_the_census_knows_the_difference(ctx, start):
    def states():
        return {info.state for info in mpfast.locks() if info.slot in (left.handle, died.handle, held.handle)}

    left, died, held = ctx.Lock(), ctx.Lock(), ctx.Lock()
    run(ctx, ends.end_holding, left, workers.nothing)
    pid = run(ctx, ends.end_holding, died, functools.partial(os._exit, 0))
    check_died(died, pid)
    with held:
        assert states() == {"left held", "abandoned", "held"}


SCRIPT = """
import os, signal, sys, time
import mpfast
def inherit(lock, link):
    link.recv()                       # EOF: the main process is gone
def watch(lock, pid_of_main, out):
    fd = os.pidfd_open(pid_of_main)
    out.send("ready")
    import select
    select.select([fd], [], [])
    try:
        result = str(lock.acquire(timeout=1))
    except mpfast.LockOwnerDied as e:
        result = f"died {e.pid == pid_of_main}"
    with open(sys.argv[1], "w") as f:
        f.write(result)
if __name__ == "__main__":
    ctx = mpfast.get_context(sys.argv[2])
    lock = ctx.Lock()
    lock.acquire()
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=watch, args=(lock, os.getpid(), theirs))
    process.start()
    ours.recv()
    {end}
"""


@pytest.mark.parametrize(
    ("end", "result"),
    [
        ("import multiprocessing.process; multiprocessing.process._children.clear()", "False"),
        ("os._exit(0)", "died True"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "died True"),
    ],
    ids=["return", "_exit", "SIGKILL"],
)
def test_the_end_of_the_main_process(tmp_path, method, end, result):
    """Its children outlive it, if they are not joined, and find out what became of it."""
    script, answer = tmp_path / "script.py", tmp_path / "answer"
    script.write_text(textwrap.dedent(SCRIPT).replace("{end}", end))
    place = os.environ | {"TMPDIR": str(tmp_path)}  # the stdlib's fork server leaves its socket there
    subprocess.run([sys.executable, script, answer, method], timeout=PATIENCE, stdin=subprocess.DEVNULL, env=place)
    until(lambda: answer.exists() and answer.read_text(), "the child answers")
    assert answer.read_text() == result
