# SPDX-License-Identifier: MIT
"""Each thread of each process has a connection of its own to a manager's server, and gets its own answers."""

import gc
import os
import signal
import threading

import harness
import pytest
import served
import workers
from harness import Thread, until

import mpfast
from mpfast import managers


@pytest.fixture
def ctx(method):
    return mpfast.get_context(method)


@pytest.fixture
def manager(ctx):
    with ctx.Manager() as manager:
        yield manager


@pytest.fixture
def mapping(manager):
    return manager.dict()


def fds():
    return len(os.listdir("/proc/self/fd"))


def test_after_os_fork(mapping):
    assert served.wrong_in_both(mapping) == (0, 0)


def test_after_os_fork_in_a_thread(mapping):
    mapping["a"] = 1
    assert served.forked_in_a_thread(mapping) == (0, 0)


def test_after_os_fork_in_a_child(mapping, start):
    """The proxy has arrived by fork or in a pickle."""
    child = start(mapping)
    assert child.run(served.wrong_in_both, mapping) == (0, 0)
    assert child.run(served.forked_in_a_thread, mapping) == (0, 0)


def test_after_two_forks(mapping):
    mapping["a"] = 1
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = int(served.wrong_in_both(mapping) != (0, 0))
        finally:
            os._exit(code)
    assert served.wrong_in_both(mapping)[0] == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_nested_proxies_after_os_fork(manager, mapping, start):
    mapping["inner"] = manager.dict()
    assert served.nested(mapping) == (0, 0)
    assert start(mapping).run(served.nested, mapping) == (0, 0)


def test_threads(mapping):
    mapping.update({str(n): n for n in range(4)})
    threads = [Thread(served.wrong_in_threads, mapping, str(n), n) for n in range(4)]
    assert [thread.result() for thread in threads] == [[0] * 4] * 4


def test_threads_of_children(mapping, start):
    children = [start(mapping) for _ in range(2)]
    mapping.update({"0": 0, "1": 1})
    for number, child in enumerate(children):
        child.send(served.wrong_in_threads, mapping, str(number), number)
    assert [child.result() for child in children] == [[0] * 4] * 2


def test_proxies_in_pool_workers(ctx, mapping):
    with ctx.Pool(2) as pool:
        results = pool.map(served.task, [(mapping, n) for n in range(40)], chunksize=1)
        assert [number for number, _ in results] == list(range(40))
        pool.close()
        pool.join()
    assert mapping.copy() == {n: n for n in range(40)}


def test_a_call_inside_a_call(mapping):
    """A signal handler calls the proxy whose call it interrupts."""
    mapping.update(inner="inner", outer="outer")
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(mapping["inner"]))
    try:
        for count in range(30):
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + count * 0.00001)
            until(lambda: mapping["outer"] != "outer" or len(seen) > count, "a signal in a call")  # noqa: B023
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(seen) == {"inner"}
    assert mapping["outer"] == "outer"


def test_an_interrupted_call(manager, mapping):
    """Ctrl-C leaves no answer for the next call, even if the interrupted one never ends."""
    queue, mapping["a"] = manager.Queue(), 1
    interrupter = threading.get_native_id()

    def interrupt():
        harness.wait_asleep(os.getpid(), interrupter)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = Thread(interrupt)
        with pytest.raises(KeyboardInterrupt):
            queue.get()
    finally:
        signal.signal(signal.SIGINT, before)
    thread.result()
    assert mapping["a"] == 1
    queue.put("first")  # for the get() that goes on in the server
    queue.put("second")
    assert queue.get() in ("first", "second")


def test_many_interrupted_calls(mapping):
    """Whenever the signal comes, the next answer is that of the next call."""
    mapping.update({str(n): n for n in range(10)})

    class Now(Exception):
        pass

    def handler(*_):
        raise Now

    wrong = interrupted = 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        while interrupted < 100:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + interrupted % 10 * 0.00002)
                for n in range(10):
                    wrong += mapping[str(n)] != n
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Now:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert wrong == 0


def test_what_cannot_be_pickled_costs_no_connection(manager, mapping):
    """The server's thread stays the same, and with it the owner of a lock."""
    lock = manager.RLock()
    with lock:
        with pytest.raises((TypeError, AttributeError), match="pickle"):
            mapping["a"] = threading.Lock()
        with pytest.raises(KeyError):
            mapping["a"]
    assert Thread(lock.acquire, False).result() is True


def test_what_cannot_be_unpickled_costs_no_connection(method):
    with OddManager(ctx=mpfast.get_context(method)) as manager:
        odd = manager.Odd()
        with pytest.raises(OSError, match="does not unpickle"):
            odd.unloadable()
        link = odd._tls.connection
        assert odd.answer() == 42
        assert odd._tls.connection is link


class OddManager(managers.BaseManager):
    pass


OddManager.register("Odd", served.Odd)


def test_a_connection_per_thread_and_no_more(mapping):
    mapping["a"] = 1
    before = fds()
    for _ in range(30):
        Thread(mapping.copy).result()
    until(lambda: gc.collect() is not None and fds() <= before, "connections of threads that have ended are closed")


def test_proxies_leave_nothing(manager, mapping, start):
    """10,000 of them, made and dropped: no descriptor, no thread and no object stays."""
    mapping["a"] = 1
    server = manager._process.pid
    before = fds(), len(os.listdir(f"/proc/{server}/task")), len(os.listdir(f"/proc/{server}/fd"))
    objects = manager._number_of_objects()
    for _ in range(10):
        things = [manager.list() for _ in range(100)]
        assert manager._number_of_objects() == objects + 100
        del things
    until(lambda: manager._number_of_objects() == objects, "no object is left")
    until(
        lambda: (fds(), len(os.listdir(f"/proc/{server}/task")), len(os.listdir(f"/proc/{server}/fd"))) <= before,
        "no descriptor and no thread is left",
    )


@pytest.mark.stress
def test_ten_thousand_proxies(manager, mapping):
    mapping["a"] = 1
    before = fds()
    for _ in range(10_000):
        manager.dict()
    assert fds() == before
    assert manager._number_of_objects() == 1


def test_objects_live_while_a_child_has_them(manager, start):
    """References are counted by the connection that a thread has."""
    mapping = manager.dict(a=1)
    child = start(mapping)
    ident = mapping._id
    assert child.run(workers.invoke, mapping, "copy") == {"a": 1}
    mapping = None
    gc.collect()
    assert f"{ident}:" in manager._debug_info()
    child.objects = ()
