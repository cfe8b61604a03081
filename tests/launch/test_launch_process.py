# SPDX-License-Identifier: MIT
"""Process objects as their parent sees them: every method and property, before start(), while the child runs, after its
end, and after close()."""

import math
import multiprocessing.process
import os
import re
import select
import signal
from multiprocessing import connection

import launched
import pytest
import watch
import workers
from harness import PATIENCE, Thread, aside, until

CLOSED = "^process object is closed$"


def prefix(method):
    return {"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[method]


@pytest.fixture
def process(ctx):
    """A process whose target returns at once, not started."""
    return ctx.Process(target=workers.nothing)


@pytest.fixture
def running(start):
    return start().process


@pytest.fixture
def ended(process):
    process.start()
    process.join(PATIENCE)
    yield process
    process.close()


# Before start() ------------------------------------------------------------------------------------------------------


def test_a_new_process(process, method):
    assert (process.pid, process.ident, process.exitcode) == (None, None, None)
    assert process.is_alive() is False
    assert process.daemon is False
    assert re.fullmatch(rf"{prefix(method)}-\d+", process.name)
    assert repr(process) == f"<{prefix(method)} name='{process.name}' parent={os.getpid()} initial>"
    assert process not in multiprocessing.active_children()
    assert multiprocessing.current_process().name == "MainProcess"


def test_what_a_new_process_cannot_do(process):
    with pytest.raises(AssertionError, match="^can only join a started process$"):
        process.join()
    with pytest.raises(ValueError, match="^process not started$"):
        _ = process.sentinel
    for signaller in ("terminate", "kill"):
        with pytest.raises(AttributeError, match=f"^'NoneType' object has no attribute '{signaller}'$"):
            getattr(process, signaller)()


def test_closed_before_it_started(process):
    process.close()
    check_closed(process)


def test_names_and_numbers(ctx, method):
    """Each process of this parent has a number of its own, also if it is never started."""
    first, second = ctx.Process(), ctx.Process()
    assert second._identity == (first._identity[0] + 1,)
    assert second.name == f"{prefix(method)}-{second._identity[0]}"
    third = ctx.Process(name="third")
    assert third.name == "third"
    third.name = "another"
    assert third.name == "another"
    with pytest.raises(AssertionError, match="^name must be a string$"):
        third.name = 5
    assert ctx.Process(name="").name == f"{prefix(method)}-{third._identity[0] + 1}"


def test_arguments_of_the_constructor(ctx):
    with pytest.raises(AssertionError, match="^group argument must be None for now$"):
        ctx.Process("group")
    with pytest.raises(TypeError):
        ctx.Process(None, None, None, (), {}, True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        ctx.Process(nonsense=5)
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        ctx.Process(args=5)
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        ctx.Process(kwargs=5)
    process = ctx.Process(None, print, "name", [1, 2], {"key": 3}, daemon=True)
    assert (process._target, process._args, process._kwargs) == (print, (1, 2), {"key": 3})
    assert (process.name, process.daemon) == ("name", True)


def test_daemon_until_it_is_started(process):
    process.daemon = True
    assert process.daemon is True
    assert repr(process).endswith(" initial daemon>")
    process.daemon = False
    process.start()
    with pytest.raises(AssertionError, match="^process has already started$"):
        process.daemon = True
    process.join()
    with pytest.raises(AssertionError, match="^process has already started$"):
        process.daemon = True
    process.close()
    process.daemon = True


def test_authkey(process):
    assert process.authkey == multiprocessing.current_process().authkey
    process.authkey = b"another"
    assert type(process.authkey) is multiprocessing.process.AuthenticationString
    assert process.authkey == b"another"
    assert multiprocessing.current_process().authkey != b"another"
    with pytest.raises(TypeError):
        process.authkey = "text"


# While it runs -------------------------------------------------------------------------------------------------------


def test_a_running_process(running, method):
    pid = running.pid
    assert pid == running.ident
    assert type(pid) is int
    assert running.is_alive() is True
    assert running.exitcode is None
    assert running in multiprocessing.active_children()
    assert repr(running) == f"<{prefix(method)} name='{running.name}' pid={pid} parent={os.getpid()} started>"
    running.name = "renamed"
    assert f"name='renamed' pid={pid}" in repr(running)
    assert not hasattr(running, "_target"), "what the target refers to can be collected"


def test_start_returns_nothing_and_is_for_once(process):
    assert process.start() is None
    with pytest.raises(AssertionError, match="^cannot start a process twice$"):
        process.start()
    assert process.join() is None
    with pytest.raises(AssertionError, match="^cannot start a process twice$"):
        process.start()
    process.close()


def test_a_running_process_cannot_be_closed(running):
    text = r"^Cannot close a process while it is still running\. You should first call join\(\) or terminate\(\)\.$"
    with pytest.raises(ValueError, match=text):
        running.close()
    assert running.is_alive() is True


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -1e9, -math.inf, 0.01, False])
def test_join_that_gives_up(running, timeout):
    assert aside(running.join, timeout) is None
    assert running.is_alive() is True
    assert running.exitcode is None


def test_join_of_nonsense(running):
    with pytest.raises(ValueError, match="^cannot convert float NaN to integer$"):
        running.join(math.nan)
    for timeout in (math.inf, 1e10, 2**70):
        with pytest.raises(OverflowError):
            running.join(timeout)
    for timeout in ("1", b"1", [1]):
        with pytest.raises(TypeError, match="unsupported operand type"):
            running.join(timeout)
    assert running.is_alive() is True


@pytest.mark.parametrize("timeout", [None, PATIENCE, 2_000_000])
def test_join_that_waits(start, timeout):
    child = start()
    waiter = Thread(child.process.join, timeout).asleep()
    child.link.send(None)
    assert waiter.result() is None
    assert child.process.exitcode == 0


def test_several_threads_join(start):
    child = start()
    waiters = [Thread(child.process.join, PATIENCE).asleep() for _ in range(3)]
    child.process.kill()
    assert [waiter.result() for waiter in waiters] == [None] * 3
    until(lambda: child.process.exitcode is not None, "whichever thread reaped it has noted the exit code")


@pytest.mark.parametrize(("call", "code"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)])
def test_signals(start, call, code):
    process = start().process
    assert getattr(process, call)() is None
    process.join(PATIENCE)
    assert process.exitcode == code
    assert repr(process).endswith(f" stopped exitcode=-{signal.Signals(-code).name}>")
    assert getattr(process, call)() is None, "there is nothing left to signal"


@pytest.mark.skipif(not hasattr(multiprocessing.Process, "interrupt"), reason="Process.interrupt() is of 3.14")
def test_interrupt(ctx):
    event = ctx.Event()
    process = ctx.Process(target=launched.quietly, args=(launched.nap, event))
    process.start()
    assert event.wait(PATIENCE)
    process.interrupt()
    process.join(PATIENCE)
    assert process.exitcode == 1
    process.close()


def test_terminate_that_is_ignored(ctx):
    event = ctx.Event()
    process = ctx.Process(target=launched.ignore, args=(signal.SIGTERM, event))
    process.start()
    assert event.wait(PATIENCE)
    process.terminate()
    process.join(0.05)
    assert process.is_alive()
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    process.close()


# Its end -------------------------------------------------------------------------------------------------------------


def test_an_ended_process(ended, method):
    assert ended.exitcode == 0
    assert ended.is_alive() is False
    assert ended not in multiprocessing.active_children()
    assert ended.join() is ended.join(0) is ended.join(math.nan) is None
    pid = ended.pid
    parts = f"name='{ended.name}' pid={pid} parent={os.getpid()} stopped exitcode=0"
    assert repr(ended) == f"<{prefix(method)} {parts}>"
    assert not os.path.exists(f"/proc/{pid}"), "it was reaped"


def check_closed(process):
    for name in ("exitcode", "ident", "pid", "sentinel"):
        with pytest.raises(ValueError, match=CLOSED):
            getattr(process, name)
    for name in ("start", "join", "is_alive", "terminate", "kill"):
        with pytest.raises(ValueError, match=CLOSED):
            getattr(process, name)()
    assert process.close() is None
    assert process.name
    assert process.daemon is False
    assert process.authkey == multiprocessing.current_process().authkey
    assert repr(process) == f"<{type(process).__name__} name='{process.name}' parent={os.getpid()} closed>"
    assert process not in multiprocessing.active_children()


def test_a_closed_process(process):
    process.start()
    sentinel = process.sentinel
    what = os.fstat(sentinel)
    process.join(PATIENCE)
    assert process.close() is None
    check_closed(process)
    assert sentinel not in watch.descriptors() or os.fstat(sentinel) != what


def test_closed_without_join(process):
    process.start()
    until(lambda: process.exitcode == 0, "the child ends")
    assert process.close() is None
    check_closed(process)


@pytest.mark.parametrize("how", ["join", "is_alive", "exitcode", "repr", "active_children", "start another"])
def test_looking_reaps(ctx, process, how):
    """No zombie is left by whatever shows that the process has ended."""
    process.start()
    connection.wait([process.sentinel], PATIENCE)
    look = {
        "join": lambda: process.join() is None,
        "is_alive": lambda: not process.is_alive(),
        "exitcode": lambda: process.exitcode == 0,
        "repr": lambda: "stopped exitcode=0" in repr(process),
        "active_children": lambda: process not in multiprocessing.active_children(),
        "start another": lambda: start_another(ctx),
    }[how]
    until(lambda: look() and not os.path.exists(f"/proc/{process.pid}"), f"{how} reaps")
    process.close()


def start_another(ctx):
    another = ctx.Process(target=workers.nothing)
    another.start()
    another.join()
    another.close()
    return True


def test_dropped_processes_are_reaped(ctx):
    """Nobody has a reference but the table of children, which forgets those that have ended."""
    for _ in range(5):
        ctx.Process(target=workers.nothing).start()
    until(lambda: not multiprocessing.active_children(), "all of them end")


# Sentinels -----------------------------------------------------------------------------------------------------------


def test_the_sentinel_is_ready_at_the_end(start):
    child = start()
    sentinel = child.process.sentinel
    assert type(sentinel) is int
    assert sentinel == child.process.sentinel
    poll = select.poll()
    poll.register(sentinel, select.POLLIN)
    assert connection.wait([sentinel], 0) == []
    assert select.select([sentinel], [], [], 0) == ([], [], [])
    assert poll.poll(0) == []
    waiter = Thread(connection.wait, [sentinel], PATIENCE).asleep()
    child.kill()
    assert waiter.result() == [sentinel]
    for _ in range(2):
        assert connection.wait([sentinel], PATIENCE) == [sentinel]
        assert select.select([sentinel], [], [], PATIENCE)[0] == [sentinel]
        assert poll.poll(PATIENCE * 1000)[0][0] == sentinel
    with select.epoll() as epoll:
        epoll.register(sentinel, select.EPOLLIN)
        assert epoll.poll(PATIENCE)[0][0] == sentinel


def test_sentinels_tell_which_process_ended(start):
    children = [start() for _ in range(4)]
    sentinels = [child.process.sentinel for child in children]
    assert len(set(sentinels)) == 4
    children[2].kill()
    assert connection.wait(sentinels, PATIENCE) == [sentinels[2]]


def test_sentinels_beside_connections(ctx, start):
    """What a program waits for that talks to its children."""
    child, (reader, writer) = start(), ctx.Pipe(duplex=False)
    both = [reader, child.process.sentinel]
    writer.send(1)
    assert connection.wait(both, PATIENCE) == [reader]
    assert reader.recv() == 1
    child.kill()
    assert connection.wait(both, PATIENCE) == [child.process.sentinel]
    reader.close()
    writer.close()


# Others' processes ---------------------------------------------------------------------------------------------------


def test_a_sibling(mp, start):
    """A child that inherits the object of another process of its parent: it is not its own."""
    ctx = mp.get_context("fork")
    process = start(context=ctx).process
    child = start(process, context=ctx)
    texts, state = child.run(launched.join_sibling, process)
    assert texts == [
        "AssertionError: can only join a child process",
        "AssertionError: can only test a child process",
        "AssertionError: cannot start a process twice",
    ]
    assert state == "unknown>"


def test_a_process_of_the_parent_cannot_be_started(ctx, process):
    """It was made here, and only here it can be started."""
    reader, writer = ctx.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        writer.send(launched.raised(process.start))
        os._exit(0)
    assert reader.poll(PATIENCE)
    assert reader.recv() == "AssertionError: can only start a process object created by current process"
    os.waitpid(pid, 0)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()
    reader.close()
    writer.close()


def test_started_by_a_thread(ctx):
    """A thread may start a process and end: the process lives on, and is the program's."""

    def make():
        event = ctx.Event()
        process = ctx.Process(target=launched.wait_for, args=(event,))
        process.start()
        return event, process

    event, process = aside(make)
    process.join(0.05)
    assert process.is_alive()
    event.set()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


def test_threads_start_at_the_same_time(ctx):
    def run():
        for _ in range(3):
            process = ctx.Process(target=launched.exit_with, args=(7,))
            process.start()
            process.join(PATIENCE)
            # 255 is what multiprocessing has if another thread took the answer of its fork server
            until(lambda: process.exitcode in (7, 255), "whichever thread reaped it has noted the exit code")  # noqa: B023
            process.close()

    for thread in [Thread(run) for _ in range(4)]:
        thread.result()
