# SPDX-License-Identifier: MIT
"""The core of launching: children by pidfd, hand-offs of descriptors, and where multiprocessing takes over."""

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
from harness import PATIENCE, until

from mpfast.launch import child as launch
from mpfast.launch import handoff

TIMEOUT = 60


def ignore(*_):
    pass


class Forked(launch.Child):
    """A child that runs a function and ends with what it returns."""

    def __init__(self, function):
        self._config = {}
        self._function = function
        self._fork(self)

    def _bootstrap(self, parent_sentinel):
        return self._function()


@pytest.fixture
def forked():
    """forked(function); all children end with the test. Forked is its own process_obj, so nobody else knows of it."""
    from multiprocessing import process

    children = []

    def fork(function):
        children.append(Forked(function))
        process._children.discard(children[-1])
        return children[-1]

    yield fork
    for child in children:
        child.kill()
        child.wait(PATIENCE)
        child.close()
        child.__dict__.clear()


def sleep():
    signal.pause()
    return 0


def children():
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return file.read()


def readable(fd, timeout=0):
    return bool(select.select([fd], [], [], timeout)[0])


def test_a_child(forked):
    child = forked(lambda: 7)
    assert child.poll(0) == 7
    assert child.wait() == child.wait(0) == child.poll() == 7
    assert readable(child.sentinel)


def test_a_child_that_lives(forked):
    child = forked(sleep)
    assert child.poll() is None
    assert child.wait(0) is None
    assert child.wait(0.01) is None
    assert not readable(child.sentinel)
    child.terminate()
    assert child.wait(PATIENCE) == -signal.SIGTERM
    child.kill()  # nobody has its number now
    child.close()
    child.close()


def test_a_child_that_somebody_else_reaped(forked):
    """The kernel keeps the exit code with the pidfd; where it does not, nobody knows it, as with multiprocessing."""
    child = forked(lambda: 9)
    os.waitpid(child.pid, 0)
    assert child.wait(PATIENCE) in (9, None)
    assert child.poll() in (9, None)


def test_a_child_that_nobody_reaps(forked):
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        for _ in range(50):
            child = forked(lambda: 3)
            assert child.wait(PATIENCE) in (3, None)
            assert readable(child.sentinel)
    finally:
        signal.signal(signal.SIGCHLD, old)


def test_a_sentinel_that_was_closed_behind_our_back(forked):
    child = forked(lambda: 5)
    spare = os.dup(child.sentinel)
    os.close(child.sentinel)
    until(lambda: readable(spare), "the child has ended")
    assert child.wait() == 5
    os.dup2(spare, child.sentinel)
    os.close(spare)


def test_no_descriptor_for_the_sentinel(forked):
    import resource

    before = children()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fd = os.open("/", os.O_RDONLY)
    os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            forked(sleep)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert children() == before


@pytest.mark.parametrize("wait", [lambda c: c.wait(), lambda c: c.wait(PATIENCE), lambda c: c.poll(0)])
def test_signals_are_served_while_waiting(forked, wait):
    child = forked(sleep)
    old = signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(ZeroDivisionError):
            wait(child)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert child.poll() is None


def test_signals_work_in_the_child(forked):
    """None is blocked that was not."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert forked(lambda: int(signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask)).wait() == 1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


# Hand-offs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("count", [0, 1, 2, 249, 250, 251, 499, 500, 501, 700])
def test_descriptors_of_a_hand_off(pair, count):
    ours, theirs = pair
    ends = os.pipe()
    handoff.send(ours.fileno(), b"data", [ends[n % 2] for n in range(count)])
    data, fds = handoff.receive(theirs.fileno())
    try:
        assert data == b"data"
        assert len(set(fds)) == count
        assert all(os.path.sameopenfile(fd, ends[n % 2]) for n, fd in enumerate(fds))
        assert not any(os.get_inheritable(fd) for fd in fds)
    finally:
        for fd in (*fds, *ends):
            os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 100_000, 131_072])
def test_data_of_a_hand_off(pair, size):
    ours, theirs = pair
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    handoff.send(ours.fileno(), data)
    handoff.send(ours.fileno(), b"next")
    assert handoff.receive(theirs.fileno()) == (data, [])
    assert handoff.receive(theirs.fileno()) == (b"next", [])


def test_a_hand_off_to_nobody(pair):
    ours, theirs = pair
    handoff.send(ours.fileno(), b"last")
    ours.close()
    assert handoff.receive(theirs.fileno()) == (b"last", [])
    with pytest.raises(EOFError):
        handoff.receive(theirs.fileno())
    with pytest.raises(BrokenPipeError):
        handoff.send(theirs.fileno(), b"data")


def test_a_hand_off_that_is_no_hand_off(pair):
    ours, theirs = pair
    for wrong in (b"abc", b"\1\0\0\0data", b"\xff\xff\xff\xffdata"):
        ours.send(wrong)
        with pytest.raises(OSError, match=os.strerror(errno.EBADMSG)):
            handoff.receive(theirs.fileno())


def test_a_hand_off_that_is_too_long_leaves_no_descriptor(pair):
    ours, theirs = pair
    before = os.listdir("/proc/self/fd")
    handoff.send(ours.fileno(), bytes(100), [0, 1, 2])
    with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
        handoff.receive(theirs.fileno(), 10)
    assert os.listdir("/proc/self/fd") == before


def test_no_room_for_the_descriptors(pair):
    import resource

    ours, theirs = pair
    before = os.listdir("/proc/self/fd")
    handoff.send(ours.fileno(), b"data", [0] * 250)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + 1, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            handoff.receive(theirs.fileno())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/proc/self/fd") == before


def test_a_signal_while_nothing_comes(pair):
    old = signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(ZeroDivisionError):
            handoff.receive(pair[0].fileno())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


# Who launches --------------------------------------------------------------------------------------------------------


def program(tmp_path, text, **environment):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(text))
    command = [sys.executable, "-W", "error", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=os.environ | environment)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


WHO = """
    import multiprocessing.spawn, sys
    import mpfast
    def child(lock):
        print(lock.acquire(False), mpfast.parent_process().is_alive(), flush=True)
    if __name__ == "__main__":
        {before}
        for method in ("fork", "spawn"):
            ctx = mpfast.get_context(method)
            process = ctx.Process(target=child, args=(ctx.Lock(),))
            process.start()
            print(type(process._popen).__module__.partition(".")[0], flush=True)
            process.join()
            print(process.exitcode)
"""


def test_mpfast_launches(tmp_path):
    lines = program(tmp_path, WHO.format(before="pass"))
    assert sorted(lines[:3]) == sorted(lines[3:]) == ["0", "True True", "mpfast"]


def test_multiprocessing_launches_if_it_is_told_to(tmp_path):
    """As it does where the kernel has no pidfd."""
    lines = program(tmp_path, WHO.format(before="pass"), MPFAST_LAUNCH="stdlib")
    assert sorted(lines[:3]) == ["0", "True True", "multiprocessing"]
    assert sorted(lines[3:]) == ["0", "True True", "mpfast"]  # SpawnPopen, a subclass of multiprocessing's


def test_another_interpreter_is_multiprocessings_business(tmp_path):
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    before = f"multiprocessing.spawn.set_executable({os.fspath(wrapper)!r})"
    lines = program(tmp_path, WHO.format(before=before))
    assert sorted(lines[3:]) == ["0", "True True", "mpfast"]
    done = program(
        tmp_path,
        f"""
        import multiprocessing.spawn
        from mpfast.launch import spawn as spawning
        print(spawning.usable())
        {before}
        print(spawning.usable())
        """,
    )
    assert done == ["True", "False"]


DAEMON = """
    import os, signal, sys, threading, time
    import mpfast
    def forever():
        print(os.getpid(), flush=True)
        time.sleep({seconds})
    def start(processes):
        process = mpfast.get_context({method!r}).Process(target=forever, daemon=True)
        process.start()
        processes.append(process)
    if __name__ == "__main__":
        processes = []
        if {thread}:
            thread = threading.Thread(target=start, args=(processes,))
            thread.start()
            thread.join()
        else:
            start(processes)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemon_ends_with_its_killed_parent(tmp_path, method, thread):
    """And not with the thread that started it."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(DAEMON).format(seconds=TIMEOUT, method=method, thread=thread))
    command = [sys.executable, "-W", "ignore", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        fd = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert not readable(fd, 0.1)
            parent.kill()
            assert readable(fd, PATIENCE)
        finally:
            if not readable(fd):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)
