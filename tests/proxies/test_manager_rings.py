# SPDX-License-Identifier: MIT
"""A thread that calls often talks to a server of its family through shared memory, and to others through the socket."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import harness
import pytest
import served
import workers
from harness import Thread, until

import mpfast
from mpfast import ManagerDied, managers
from mpfast.family import census
from mpfast.proxies import link, ring


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


@pytest.fixture
def mapping(manager):
    """A dict which this thread calls through a ring."""
    mapping = manager.dict(a=1)
    return with_ring(mapping)


def with_ring(mapping):
    for _ in range(link.RING_AFTER):
        mapping.get("a")
    assert has_ring(mapping)
    return mapping


def has_ring(mapping):
    return mapping._tls.connection.ring is not None


def has_ring_after(mapping, times=link.RING_AFTER + 1):
    for _ in range(times):
        mapping.get("a")
    return has_ring(mapping)


def slots():
    """How many objects the family has."""
    gc.collect()
    return len(census.objects())


def test_in_each_child(mapping, start, ctx):
    """Nobody has given it an object of mpfast's but the proxy."""
    assert start(mapping).run(has_ring_after, mapping) is True
    with ctx.Pool(1) as pool:
        assert pool.apply(has_ring_after, (mapping,)) is True
        pool.close()
        pool.join()


def test_in_each_thread(mapping):
    assert served.in_threads(has_ring_after, mapping) == [True] * 4


def test_what_travels(mapping, manager):
    large = {"bytes": bytes(3_000_000), "list": list(range(1000))}
    for value in (None, True, 5, -(1 << 70), 2.5, "text", b"bytes", (), {"a": [1, {2}]}, large):
        mapping["b"] = value
        assert mapping["b"] == value
    with pytest.raises(KeyError, match="absent"):
        mapping["absent"]
    mapping["inner"] = manager.list([1])
    mapping["inner"].append(2)
    assert mapping["inner"][:] == [1, 2]
    assert list(iter(mapping)) == ["a", "b", "inner"]
    assert mapping.call_many([("get", ("a",)), ("__len__", ())]) == [1, 3]
    assert has_ring(mapping)


def test_what_does_not_travel(mapping):
    with pytest.raises((TypeError, AttributeError), match="pickle"):
        mapping["b"] = threading.Lock()
    assert mapping.copy() == {"a": 1}
    with OddManager() as other:
        odd = other.Odd()
        for _ in range(link.RING_AFTER):
            odd.answer()
        assert has_ring(odd)
        with pytest.raises(managers.RemoteError, match="Unserializable"):
            odd.unpicklable()
        with pytest.raises(OSError, match="does not unpickle"):
            odd.unloadable()
        assert (odd.answer(), has_ring(odd)) == (42, True)


class OddManager(managers.BaseManager):
    pass


OddManager.register("Odd", served.Odd)


def test_the_same_thread_of_the_server(manager):
    """It goes over to the ring, so what it owns stays its own."""
    lock = manager.RLock()
    with lock:
        for _ in range(link.RING_AFTER):
            assert lock.acquire()
            lock.release()
        assert has_ring(lock)
        assert Thread(lock.acquire, False).result() is False
    assert Thread(lock.acquire, False).result() is True


def test_after_os_fork(mapping):
    assert served.wrong_in_both(mapping) == (0, 0)
    assert has_ring(mapping)


def test_a_forked_child_ends_no_ring_of_its_parents(mapping):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            del mapping._tls.connection
            gc.collect()
            code = 0
        except AttributeError:  # the hook was first
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (mapping["a"], has_ring(mapping)) == (1, True)


@pytest.mark.parametrize("how", ["blocked", "between"])
def test_the_servers_death(mapping, manager, how):
    event = manager.Event()
    pid = manager._process.pid
    if how == "blocked":
        threading.Timer(0.05, os.kill, (pid, signal.SIGKILL)).start()
        call = event.wait
    else:
        os.kill(pid, signal.SIGKILL)
        manager._process.join()
        call = event.is_set
    with harness.Noise() as noise:
        begin = time.monotonic()
        with pytest.raises(ManagerDied, match="SIGKILL"):
            call()
        seconds = time.monotonic() - begin
    assert seconds < noise.limit(0.05 + harness.DEATH_LIMIT)


def test_a_stopped_server(mapping, manager):
    ready = threading.Event()

    def call():
        with_ring(mapping)
        ready.set()
        return mapping.copy()

    os.kill(manager._process.pid, signal.SIGSTOP)
    os.kill(manager._process.pid, signal.SIGCONT)
    thread = Thread(call)
    assert ready.wait(harness.PATIENCE)
    assert thread.result() == {"a": 1}


@pytest.mark.parametrize("how", ["killed", "stopped, killed", "ended"])
def test_a_clients_end(mapping, manager, start, how):
    """Its thread in the server ends, and its two queues are given back."""
    tasks = f"/proc/{manager._process.pid}/task"
    before = len(os.listdir(tasks)), slots()
    child = start(mapping)
    child.run(has_ring_after, mapping)
    if how == "ended":
        child.end()
    else:
        if how.startswith("stopped"):
            child.signal(signal.SIGSTOP)
        child.kill()
    until(lambda: len(os.listdir(tasks)) <= before[0], "its thread in the server has ended")
    until(lambda: mpfast.Lock() and slots() <= before[1], "its queues are given back")
    assert mapping["a"] == 1


def test_threads_give_their_rings_back(mapping):
    with_ring(mapping)
    before = slots()
    for _ in range(5):
        Thread(has_ring_after, mapping).result()
    until(lambda: slots() <= before, "the queues of threads that have ended are given back")


def test_an_interrupted_call(mapping, manager):
    queue = manager.Queue()
    main = threading.get_native_id()

    def interrupt():
        harness.wait_asleep(os.getpid(), main)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = Thread(interrupt)
        with pytest.raises(KeyboardInterrupt):
            queue.get()
    finally:
        signal.signal(signal.SIGINT, before)
    thread.result()
    assert mapping["a"] == 1
    queue.put("for the call that goes on in the server")


CLIENT = """
import mpfast.managers, sys
mpfast.current_process().authkey = KEY
manager = mpfast.managers.SyncManager(ADDRESS, authkey=KEY)
manager.connect()
mapping = manager.dict(a=1)
assert [mapping["a"] for _ in range(50)] == [1] * 50
print(mapping._tls.connection.ring)
"""


def test_a_client_of_another_family(manager):
    """It is refused, and stays with the socket."""
    program = f"ADDRESS, KEY = {manager.address!r}, {bytes(manager._authkey)!r}\n{CLIENT}"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (found.stdout, found.stderr) == ("None\n", "")


def test_offers_that_are_no_good(manager):
    """The server says no, and goes on with the socket."""
    mapping = manager.dict(a=1)
    mapping.get("a")
    half, (there, back) = ring.propose()
    for offers in (
        ((b"x" * 16, *there[1:]), back),
        ((there[0], there[1], there[2] + 1, *there[3:]), back),
        ((there[0], 1 << 31, *there[2:]), back),
        ((*there[:4], 4000), back),
        ((*there[:3], 1, there[4]), back),
        (there, (b"", *back[1:])),
        (),
    ):
        kind, text = mapping._tls.connection.ask(("0", "#RING", (offers,), {}))
        assert kind == "#TRACEBACK"
        assert "Error" in text
    assert mapping["a"] == 1
    del half


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_hand_over_in_trouble(ctx, monkeypatch, when, how):
    """The server is killed or stopped right before, or right after, it is asked for a ring."""
    manager = managers.SyncManager(ctx=ctx, shutdown_timeout=0.1)
    manager.start()
    process = manager._process
    mapping = manager.dict(a=1)
    propose, opened = ring.propose, ring.opened

    def hit():
        os.kill(process.pid, how)
        if how == signal.SIGSTOP:
            threading.Timer(0.1, os.kill, (process.pid, signal.SIGCONT)).start()

    def troubled_propose():
        if when == "before":
            hit()
        return propose()

    def troubled_opened(*args):
        if when == "after":
            hit()
        return opened(*args)

    monkeypatch.setattr(ring, "propose", troubled_propose)
    monkeypatch.setattr(ring, "opened", troubled_opened)
    if how == signal.SIGKILL:
        with pytest.raises(ManagerDied, match="SIGKILL"):
            has_ring_after(mapping)
    else:
        assert has_ring_after(mapping) is True
    monkeypatch.undo()
    manager.shutdown()
    if os.path.exists(manager.address):
        os.unlink(manager.address)


def test_a_client_killed_in_the_hand_over(mapping, manager, start):
    tasks = f"/proc/{manager._process.pid}/task"
    before = len(os.listdir(tasks)), slots()
    child = start(mapping)
    child.send(die_before_the_ring, mapping)
    child.process.join(harness.PATIENCE)
    until(lambda: len(os.listdir(tasks)) <= before[0], "its thread in the server has ended")
    until(lambda: mpfast.Lock() and slots() <= before[1], "its queues are given back")
    assert workers.invoke(mapping, "get", "a") == 1


def die_before_the_ring(mapping):
    def opened(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    ring.opened = opened
    has_ring_after(mapping)
