# SPDX-License-Identifier: MIT
"""Signals during put() and get(): a handler that raises ends the call and loses nothing, any other does not disturb."""

import queue
import signal
import time

import programs
import pytest
import queuers
import workers
from harness import Noise, Thread

import mpfast


@pytest.fixture(params=["fork"])  # how a process was started makes no difference to its waits
def method(request):
    return request.param


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_keyboard_interrupt_in_get(q, start):
    child = start(q)
    for _ in range(3):
        child.begin(workers.invoke, q, "get")
        child.signal(signal.SIGINT)
        assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
    q.put("after")
    assert child.on(q).get() == "after"


def test_keyboard_interrupt_in_put(ctx, start):
    q = ctx.Queue(1)
    q.put(1)
    child = start(q)
    for _ in range(3):
        child.begin(workers.invoke, q, "put", 2)
        child.signal(signal.SIGINT)
        assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
    assert q.get() == 1
    with pytest.raises(queue.Empty):
        q.get_nowait()
    child.on(q).put(3)
    assert q.get() == 3
    q.close()


def test_an_exception_from_a_handler(q, start):
    child = start(q)
    child.run(workers.raise_on, signal.SIGUSR1)
    child.begin(workers.invoke, q, "get")
    child.signal(signal.SIGUSR1)
    assert child.outcome().kind == "Interrupted"
    child.begin(workers.invoke, q, "get")
    q.put(1)
    assert child.result() == 1


def test_a_handler_that_does_not_raise(q, start):
    child = start(q)
    child.run(workers.signal_counter, signal.SIGUSR1)
    child.begin(workers.invoke, q, "get")
    for _ in range(3):
        child.signal(signal.SIGUSR1)
        child.asleep()
    q.put(1)
    assert child.result() == 1
    assert child.run(workers.signals_seen) == 3


def test_signals_do_not_prolong_a_timeout(ctx, start):
    q = ctx.Queue()
    child = start(q)
    child.run(workers.signal_counter, signal.SIGUSR1)
    with Noise() as noise:
        child.begin(workers.timed, q, "get", timeout=0.4)
        for _ in range(8):
            child.signal(signal.SIGUSR1)
            child.asleep()
        outcome, seconds = child.result()
    assert outcome.kind == "Empty"
    assert 0.4 <= seconds < noise.limit(0.5)
    q.close()


def test_stop_and_continue(q, start):
    child = start(q).begin(workers.invoke, q, "get")
    child.signal(signal.SIGSTOP)
    child.signal(signal.SIGCONT)
    child.asleep()
    q.put(1)
    assert child.result() == 1


def test_keyboard_interrupt_in_join(ctx, start):
    q = ctx.JoinableQueue()
    q.put(1)
    child = start(q).begin(workers.invoke, q, "join")
    child.signal(signal.SIGINT)
    assert child.outcome().kind == "KeyboardInterrupt"
    q.get()
    q.task_done()
    child.on(q).join()
    q.close()


class TestOurs:
    @pytest.fixture
    def mp(self):
        return mpfast

    def test_an_interrupted_getter_passes_its_wake_up_on(self, q, start):
        """Two wait; one is interrupted in the instant in which an item comes: the other one gets it."""
        for _ in range(30):
            first, second = start(q).begin(workers.invoke, q, "get"), Thread(q.get).asleep()
            first.signal(signal.SIGINT)
            q.put("item")
            if first.outcome() == workers.Returned("item"):
                q.put("another")
            assert second.result(patience=5) in ("item", "another")
            first.end()

    def test_nothing_is_lost_under_a_hail_of_exceptions(self, q, start):
        """An exception that comes between the taking of an item and the end of get() loses it, as everywhere in Python:
        that is a moment. In the waits, where nearly all exceptions come, nothing is lost."""
        child = start(q)
        child.send(queuers.get_under_alarms, q, 600)
        for i in range(600):
            q.put(i)
            time.sleep(0.001)  # so that it has to wait for most of them
        more = 0
        while not child.link.poll(0.1):
            q.put(-1)
            more += 1
        got, alarms = child.result()
        numbers = [n for n in got if n >= 0]
        assert numbers == sorted(set(numbers))
        assert len(numbers) + more >= 600
        assert alarms > 50
        assert more < alarms / 10


ASIDE = """
import _thread
done = _thread.allocate_lock()
done.acquire()
def load():
    import threading
    done.release()
_thread.start_new_thread(load, ())
done.acquire()
"""
REPLACED = """
import threading
threading.get_ident = lambda: 1
other = threading._DummyThread()
threading.main_thread = lambda: other
threading.get_ident = lambda: 2
"""
TERMINATED = """
import importlib, os, signal, subprocess, sys
mp = importlib.import_module(sys.argv[1])
def handler(*_):
    print("handler", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, handler)
signal.alarm(30)
killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill {os.getpid()}"])
mp.SimpleQueue().get()
"""


@pytest.mark.parametrize("threads", [ASIDE, REPLACED], ids=["imported-aside", "replaced"])
def test_the_main_thread_is_what_python_says(mp, threads, tmp_path):
    """Not what the threading module says, which a thread may have imported first, or a library have patched."""
    done = programs.run(programs.write(tmp_path / "program.py", threads + TERMINATED), mp.__name__)
    assert (done.code, done.out, done.err) == (0, "handler\n", "")
