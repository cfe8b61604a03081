# SPDX-License-Identifier: MIT
"""A manager's server that is killed or stopped, and clients that are."""

import gc
import os
import pickle
import signal
import socket
import sys

import pytest
import served
import workers
from harness import ChildRaised, Thread, until

import mpfast
from mpfast import ManagerDied, managers
from mpfast.proxies import link


@pytest.fixture(params=["fork", "forkserver", "spawn", "fork, with rings"])
def method(request, monkeypatch):
    """Rings come with the second call then, so everything happens over shared memory."""
    method, _, rings = request.param.partition(", ")
    if rings:
        monkeypatch.setattr(link, "RING_AFTER", 2)
    return method


@pytest.fixture
def ctx(method):
    return mpfast.get_context(method)


@pytest.fixture
def manager(ctx):
    manager = ctx.Manager()
    yield manager
    manager.shutdown()
    if os.path.exists(manager.address):
        os.unlink(manager.address)


def kill(manager):
    pid = manager._process.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_the_error():
    """It is every error that multiprocessing raises then, survives a pickle, and says who died and how."""
    error = ManagerDied(7, -9)
    for kind in (BrokenPipeError, ConnectionResetError, ConnectionRefusedError, FileNotFoundError, EOFError):
        assert isinstance(error, kind)
    assert isinstance(error, mpfast.ProcessError)
    assert str(error) == "[Errno 32] the manager's server, process 7, was killed by SIGKILL"
    assert "process 7, ended with exit code 3" in str(ManagerDied(7, 3))
    assert "process 7, is gone" in str(ManagerDied(7))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.pid, again.exitcode, str(again)) == (ManagerDied, 7, -9, str(error))


def test_in_every_call(manager):
    mapping, other = manager.dict(a=1), manager.list()
    waiting = Thread(manager.Event().wait).asleep()
    assert mapping["a"] == 1
    pid = kill(manager)
    calls = [
        waiting.result,
        lambda: mapping["a"],
        lambda: mapping["a"],
        mapping.copy,
        lambda: mapping.call_many([("copy", ())]),
        lambda: other.append(1),
        manager.dict,
        manager.Lock,
        Thread(mapping.copy).result,
        manager._number_of_objects,
        manager._debug_info,
    ]
    for call in calls:
        with pytest.raises(ManagerDied, match=f"process {pid}, was killed by SIGKILL") as caught:
            call()
        assert (caught.value.pid, caught.value.exitcode) == (pid, -9)
    assert str(mapping).endswith("; '__str__()' failed>")


def test_an_exit_code(method):
    """A server may also end by itself, in the middle of a call."""
    manager = OddManager(ctx=mpfast.get_context(method))
    with manager:
        odd = manager.Odd()
        with pytest.raises(ManagerDied, match="ended with exit code 3"):
            odd.ends()
    os.unlink(manager.address)


class OddManager(managers.BaseManager):
    pass


OddManager.register("Odd", served.Odd)


def test_in_children(manager, start):
    """A process that has not started the server knows which one it was, and not how it ended."""
    mapping = manager.dict(a=1)
    child, late = start(mapping), start(mapping)
    assert child.run(workers.invoke, mapping, "copy") == {"a": 1}
    blocked = start(event := manager.Event())
    blocked.begin(workers.invoke, event, "wait")
    pid = kill(manager)
    for call in (
        lambda: blocked.result(),
        lambda: child.run(workers.invoke, mapping, "copy"),
        lambda: child.run(workers.invoke, mapping, "copy"),
        lambda: late.run(workers.invoke, mapping, "copy"),
    ):
        with pytest.raises(ChildRaised, match=f"ManagerDied: .*process {pid}, is gone"):
            call()


def test_after_os_fork(manager):
    mapping = manager.dict(a=1)
    assert mapping["a"] == 1
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.read(read, 1)
            mapping["a"]
        except ManagerDied:
            code = 0
        finally:
            os._exit(code)
    kill(manager)
    manager._process.join()
    os.write(write, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(read)
    os.close(write)


def test_what_still_works(manager):
    """shutdown() and join(), before and after each other, and the end of a with block."""
    mapping = manager.dict()
    kill(manager)
    manager.join()
    manager.shutdown()
    manager.shutdown()
    manager.join()
    with pytest.raises(ManagerDied):
        mapping.copy()


def test_the_end_of_a_with_block(ctx):
    with ctx.Manager() as manager:
        mapping = manager.dict()
        kill(manager)
    with pytest.raises(ManagerDied):
        mapping.copy()
    os.unlink(manager.address)


def test_proxies_die_in_silence(manager, monkeypatch):
    things = [manager.dict() for _ in range(3)]
    things.append(things[0].copy)
    kill(manager)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    things.clear()
    gc.collect()
    assert not unraisable


def test_a_program_ends_in_silence(ctx, start, capfd):
    """With proxies of a dead server, and of a living one."""
    dead, alive = ctx.Manager(), ctx.Manager()
    child = start(dead.dict(), alive.dict())
    kill(dead)
    child.end()
    dead.shutdown()
    alive.shutdown()
    os.unlink(dead.address)
    assert capfd.readouterr().err == ""


def test_after_shutdown(ctx):
    with ctx.Manager() as manager:
        mapping = manager.dict(a=1)
    with pytest.raises(ManagerDied, match="ended with exit code 0"):
        Thread(mapping.copy).result()


def test_a_closed_connection_is_no_death(manager):
    """The thread makes a new one for its next call."""
    mapping = manager.dict(a=1)
    assert mapping["a"] == 1
    with socket.socket(fileno=os.dup(mapping._tls.connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
    if mapping._tls.connection.ring is not None:
        assert mapping["a"] == 1  # the server may not have looked at the socket yet
        return
    with pytest.raises((EOFError, OSError)) as caught:
        mapping["a"]
    assert not isinstance(caught.value, ManagerDied)
    assert mapping["a"] == 1


def test_a_new_server_at_the_same_address(ctx, tmp_path):
    """A thread that had a connection to the old one is told of its death, and then has one to the new one."""
    address = str(tmp_path / "socket")
    first = managers.SyncManager(address, authkey=b"key", ctx=ctx)
    first.start()
    mapping = first.dict(a=1)
    assert mapping["a"] == 1
    kill(first)
    first.join()
    os.unlink(address)
    with managers.SyncManager(address, authkey=b"key", ctx=ctx) as second:
        with pytest.raises(ManagerDied):
            mapping["a"]
        other = second.dict(a=2)
        assert other["a"] == 2
        first.shutdown()
        assert other["a"] == 2


def test_a_stopped_server_is_shut_down(ctx):
    manager = managers.SyncManager(ctx=ctx, shutdown_timeout=0.1)
    manager.start()
    process = manager._process
    os.kill(process.pid, signal.SIGSTOP)
    manager.shutdown()
    assert process.exitcode == -signal.SIGKILL
    os.unlink(manager.address)


def test_a_server_that_goes_on(manager):
    """A call waits while the server is stopped, and is answered afterwards."""
    mapping = manager.dict(a=1)
    waiting = Thread(mapping.copy)
    waiting.result()
    os.kill(manager._process.pid, signal.SIGSTOP)
    waiting = Thread(mapping.copy).asleep()
    os.kill(manager._process.pid, signal.SIGCONT)
    assert waiting.result() == {"a": 1}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_clients(manager, start, how):
    """One that is killed or stopped in a call harms nobody, and a dead one's thread in the server ends."""
    mapping, queue = manager.dict(a=1), manager.Queue()
    assert mapping["a"] == 1
    tasks = f"/proc/{manager._process.pid}/task"
    before = len(os.listdir(tasks))
    children = [start(mapping, queue) for _ in range(2)]
    for child in children:
        assert child.run(workers.invoke, mapping, "copy") == {"a": 1}
    children[0].begin(workers.invoke, queue, "get")
    for child in children:
        child.kill() if how == signal.SIGKILL else os.kill(child.pid, how)
    mapping["b"] = 2
    assert mapping.copy() == {"a": 1, "b": 2}
    for child in children:
        how == signal.SIGKILL or child.kill()
    queue.put(1)  # the dead one's call takes it
    until(lambda: len(os.listdir(tasks)) <= before, "their threads in the server have ended")
