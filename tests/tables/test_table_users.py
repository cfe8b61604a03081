# SPDX-License-Identifier: MIT
"""Code that uses a Dict or List while it is being used: finalizers, pickling, signal handlers, threads."""

import gc
import os
import signal
import threading

import pytest
import tabled
import workers
from harness import ChildRaised, Thread, aside, until

import mpfast
from mpfast.shared import MISSING, Dict, List

inside = pytest.mark.parametrize("method", ["fork"], indirect=True)


@pytest.fixture
def mp():
    return mpfast


def test_pickling_may_use_the_dict():
    table = tabled.Uses.table = Dict()
    for i, store in enumerate(
        (
            lambda: tabled.put(table, "a", tabled.Uses()),
            lambda: table.update(a=tabled.Uses()),
            lambda: table.setdefault("b", tabled.Uses()),
            lambda: table.compare_exchange("c", MISSING, tabled.Uses()),
        )
    ):
        store()
        assert table["pickled"] == i + 1
    assert type(table["a"]) is type(table.pop("b")) is type(table.get("c")) is tabled.Uses
    assert table["unpickled"] == 3
    assert len(table.copy()) == 4
    tabled.Uses.table = None


def test_finalizers_may_use_the_dict():
    """Whenever they run. An object goes in the middle of each call here, and so do collections of garbage."""
    table, items = Dict(n=0), List()

    class Goes:
        def __init__(self):
            self.me = self

        def __del__(self):
            table.add("n")
            items.append(1)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for i in range(300):
            Goes()
            table["key"] = [[i], {i: [i]}]
            assert table["key"] == [[i], {i: [i]}]
            assert table.setdefault(("k", i), [i]) == [i]
            assert table.pop(("k", i)) == [i]
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert table["n"] == len(items) == 300


def test_what_cannot_be_unpickled_is_not_lost():
    refuses = tabled.Refuses
    table, items = Dict(a=refuses()), List([1, refuses(), 2])
    refuses.refusing = True
    for call in (
        *(lambda: table["a"], lambda: table.pop("a"), table.popitem, table.copy, lambda: table.setdefault("a", 1)),
        *(
            lambda: items[1],
            lambda: items.pop(1),
            lambda: items.pop(-2),
            items.copy,
            items.sort,
            lambda: items.remove(2),
        ),
    ):
        with pytest.raises(ValueError, match="refused"):
            call()
    assert "a" in table
    assert (len(table), len(items)) == (1, 3)
    refuses.refusing = False
    try:
        assert table.pop("a") == "at last"
        assert items.copy() == [1, "at last", 2]
    finally:
        refuses.refusing = True


def test_a_signal_handler_may_use_the_dict():
    table = Dict(signals=0, n=0)

    def handler(*_):
        table.add("signals")
        table["large"] = b"x" * 10_000

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while table["signals"] < 50:
            table.add("n")
        with table:
            at = table["signals"]
            until(lambda: table["signals"] > at + 3, "no signals under the lock")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_wait_serves_signals(ctx, start):
    table = Dict()
    waiter = start(table)
    waiter.run(workers.raise_on, signal.SIGUSR1)
    with table:
        waiter.begin(tabled.put, table, "a", 1)
        waiter.signal(signal.SIGUSR1)
        with pytest.raises(ChildRaised, match="Interrupted"):
            waiter.result()
    assert "a" not in table
    waiter.run(tabled.put, table, "a", 2)
    assert table["a"] == 2


def test_a_wait_lets_other_threads_run(start):
    table = Dict()
    child = start(table)
    child.run(tabled.enter, table)
    waiter = Thread(tabled.put, table, "a", 1).asleep()
    assert aside(lambda: sum(range(1000))) == 499_500
    child.run(tabled.leave, table)
    waiter.result()
    assert table["a"] == 1


def test_readers_do_not_wait(start):
    table, items = Dict(a=1), List([1])
    child = start(table, items)
    child.run(tabled.enter, table)
    child.run(tabled.enter, items)
    child.run(tabled.put, table, "b", 2)
    assert (table["a"], table["b"], len(table), "c" in table) == (1, 2, 2, False)
    assert (table.copy(), table.keys()) == ({"a": 1, "b": 2}, ["a", "b"])
    assert (items[0], items.copy(), len(items), 1 in items, items.index(1)) == (1, [1], 1, True, 0)


@inside
def test_the_lock_is_reentrant(ctx):
    for table in (Dict(), List()):
        lock = table.get_lock()
        with table as same, lock, table:
            assert same is table
            assert lock.acquire(False) is True
            tabled.add_one(table)
            assert aside(lock.acquire, False) is False
            assert aside(lock.acquire, True, 0.01) is False
            assert lock.locked()
            lock.release()
        assert not lock.locked()
        with pytest.raises(AssertionError, match="not owned"):
            lock.release()
        with pytest.raises(ZeroDivisionError), table:
            1 / 0  # noqa: B018
        assert aside(lock.acquire, False) is True
        with pytest.raises(AssertionError, match="not owned"):
            lock.release()


def test_a_condition_on_its_lock(ctx, start):
    """A process waits for what another one writes, without polling."""
    table = Dict()
    changed = ctx.Condition(table.get_lock())
    child = start(table, changed)
    child.begin(tabled.wait_for_key, table, changed, "a")
    with changed:
        table["a"] = "written"
        changed.notify()
    assert child.result() == "written"


@pytest.mark.parametrize("function", [tabled.add_many, tabled.add_locked, tabled.compete])
def test_nothing_is_lost(ctx, function):
    """Two processes with two threads each."""
    table = Dict(n=0)
    threads = [Thread(function, table, "n", 300) for _ in range(2)]
    child = ctx.Process(target=tabled.two_threads, args=(function, table, "n", 300))
    child.start()
    child.join()
    assert child.exitcode == 0
    child.close()
    for thread in threads:
        thread.result()
    assert table["n"] == 1200


@inside
def test_threads_with_large_values(ctx):
    """They copy without the interpreter's lock."""
    table = Dict()

    def work(name):
        for i in range(30):
            value = bytes([i]) * 300_000
            table["both"] = value
            table[name] = value
            assert table[name] == value
            assert len(set(table["both"])) == 1

    threads = [Thread(work, i) for i in range(4)]
    for thread in threads:
        thread.result()


@inside
def test_forks_among_threads(ctx):
    """A thread changes the dict while another one forks. The children use it at once."""
    table, over = Dict(n=0, key=b"x" * 100_000), threading.Event()

    def change():
        while not over.is_set():
            table["key"] = b"x" * 100_000
            table.add("n")

    thread = Thread(change)
    try:
        for i in range(20):
            pid = os.fork()
            if pid == 0:
                try:
                    table[i] = len(table["key"])
                finally:
                    os._exit(table.get(i) != 100_000)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        over.set()
    thread.result()
    assert [table[i] for i in range(20)] == [100_000] * 20


def test_add():
    table = Dict(f=1.5, s="ab", big=2**61 - 1, none=None)
    assert table.add("new") == table["new"] == 1
    assert table.add("new", -5) == -4
    assert table.add("f") == 2.5
    assert table.add("new", 0.5) == -3.5
    assert table.add("s", "c") == "abc"
    assert table.add("big") == 2**61
    assert table.add("big", 2**70) == table["big"] == 2**61 + 2**70
    assert table.add("big", -(2**70)) == 2**61
    assert table.add("empty", 2**80) == 2**80
    assert table.add("text", "x") == table["text"] == "x"
    for wrong in ("none", "s"):
        with pytest.raises(TypeError):
            table.add(wrong)
    assert (table["none"], table["s"]) == (None, "abc")


def test_compare_exchange():
    table = Dict(a=1)
    assert table.compare_exchange("a", 1, [2]) is True
    assert table.compare_exchange("a", [3], 4) is False
    assert table["a"] == [2]
    assert table.compare_exchange("a", MISSING, 4) is False
    assert table.compare_exchange("a", [2], MISSING) is True
    assert "a" not in table
    assert table.compare_exchange("a", 1, 2) is False
    assert table.compare_exchange("a", MISSING, MISSING) is True
    assert table.compare_exchange("a", MISSING, None) is True
    assert table.compare_exchange("a", MISSING, MISSING) is False
    assert table.compare_exchange("a", None, b"x" * 100_000) is True
    assert table.compare_exchange("a", b"x" * 100_000, True) is True
    assert table.compare_exchange("a", 1, "one") is False  # another kind of value
    assert table.copy() == {"a": True}
    assert repr(MISSING) == "MISSING"
