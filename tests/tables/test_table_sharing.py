# SPDX-License-Identifier: MIT
"""How a Dict or List gets to other processes, and what it is there."""

import copy
import pickle
import random

import pytest
import tabled
from harness import run_process

import mpfast
from mpfast.shared import MISSING, Dict, List, TableStats


@pytest.fixture
def mp():
    return mpfast


class Counts(Dict):
    """A class of a program's own, with an attribute that travels."""

    def __init__(self, *args, label="none", **kwargs):
        super().__init__(*args, **kwargs)
        self.label = label

    def __getitem__(self, key):
        return (self.label, super().__getitem__(key))


class Log(List):
    def append(self, value):
        super().append(f"log: {value}")


def look(counts, log):
    assert (type(counts), type(log)) == (Counts, Log)
    assert counts["a"] == ("mine", 1)
    log.append("child")
    counts["b"] = 2


def test_subclasses(ctx):
    counts, log = Counts(a=1, label="mine"), Log()
    run_process(ctx.Process(target=look, args=(counts, log)))
    assert counts["b"] == ("mine", 2)
    assert counts.copy() == {"a": 1, "b": 2}
    assert log.copy() == ["log: child"]
    assert repr(log) == "Log(['log: child'])"
    counts.label = "other"
    assert counts["a"] == ("other", 1)


@pytest.mark.parametrize("make", [Dict, List, Counts])
def test_pickled_only_for_a_child(make):
    """With the words that multiprocessing has for its locks."""
    table = make()
    text = f"{make.__name__} objects should only be shared between processes through inheritance"
    for call in (pickle.dumps, copy.copy, copy.deepcopy, lambda table: Dict(a=table), lambda table: List([table])):
        with pytest.raises(RuntimeError, match=text):
            call(table)
    with pytest.raises(RuntimeError, match="WritersLock objects should only be shared"):
        pickle.dumps(table.get_lock())


def use_both(tables, lock):
    with lock:
        tables["dict"]["a"] = tables["list"].pop()


def test_inside_of_other_arguments(ctx):
    tables = {"dict": Dict(), "list": List([1])}
    run_process(ctx.Process(target=use_both, args=(tables, tables["dict"].get_lock())))
    assert tables["dict"].copy() == {"a": 1}
    assert tables["list"].copy() == []


def test_many_for_one_child(ctx):
    tables = [Dict(i=i) for i in range(30)]
    run_process(ctx.Process(target=add_to_all, args=(tables,)))
    assert [table["i"] for table in tables] == [i + 1 for i in range(30)]


def add_to_all(tables):
    for table in tables:
        table.add("i")


def test_in_a_pool(ctx):
    table = Dict()
    with ctx.Pool(2, initializer=keep, initargs=(table,)) as pool:
        assert sorted(pool.map(store, range(20))) == list(range(20))
        pool.close()
        pool.join()
    assert sorted(table.items()) == [(i, i * i) for i in range(20)]


def keep(table):
    global _table
    _table = table


def store(i):
    _table[i] = i * i
    return i


def test_after_its_maker_is_gone(ctx):
    """A child hands its dict to a child of its own, and ends first. Memory lives as long as somebody has it."""
    outer = Dict()
    run_process(ctx.Process(target=make_and_hand_on, args=(ctx, outer)))
    assert outer["inner"] == {"a": 1, "b": 2}


def make_and_hand_on(ctx, outer):
    inner = Dict(a=1)
    child = ctx.Process(target=finish, args=(inner, outer))
    child.start()
    del inner
    child.join()
    child.close()


def finish(inner, outer):
    inner["b"] = 2
    outer["inner"] = inner.copy()


def test_not_made():
    for make in (Dict, List):
        bare = make.__new__(make)
        for call in (len, make.copy, make.clear, make.stats, make.get_lock, make.__enter__, tabled.add_one):
            with pytest.raises(RuntimeError, match=rf"{make.__name__}.__init__\(\) was not called"):
                call(bare)
        assert "was not called" in repr(bare)
        made = make()
        with pytest.raises(RuntimeError, match="a second time"):
            made.__init__()


def test_a_failed_start_makes_nothing():
    before = len(mpfast.locks())
    for call in (lambda: Dict(a=lambda: 1), lambda: Dict({(1, []): 1}), lambda: List([lambda: 1]), lambda: Dict(5)):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            call()
    assert len(mpfast.locks()) <= before  # less, if a lock that was left held has gone, as it does with new ones


def test_names():
    table, items = Dict(), List()
    assert table.name.startswith("Dict-")
    assert items.name.startswith("List-")
    assert (Dict.__module__, List.__module__) == ("mpfast.shared", "mpfast.shared")
    assert mpfast.get_context("spawn").shared is mpfast.shared
    assert set(mpfast.shared.__all__) == {"Dict", "List", "MISSING", "TableStats"}
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert repr(table.get_lock()) == f"<WritersLock of {table.name}, owner=None>"
    assert Dict[str, int].__origin__ is Dict
    assert table.get_lock() is table.get_lock()


def test_stats():
    table = Dict(dict.fromkeys(range(1000), "x" * 100))
    stats = table.stats()
    assert type(stats) is TableStats
    assert stats.size == 1000
    assert stats.memory > 100_000
    assert stats.repairs == 0
    table.clear()
    assert table.stats()[:2] == (0, 0)
    assert List([None, 1, 2**60]).stats()[:2] == (3, 0)


def test_huge_values(ctx):
    numbers = random.Random(1)
    for size in (2**16 - 1, 2**16, 2**20 + 1, 40 << 20):
        value = numbers.randbytes(size)
        table, items = Dict(a=value), List([value])
        assert table["a"] == value
        assert items[0] == value
        table["a"] = [value, bytearray(value)]
        assert table.pop("a") == [value, bytearray(value)]
        if size > 2**20:
            break
    run_process(ctx.Process(target=check_huge, args=(items, value)))


def check_huge(items, value):
    assert items[0] == value
    items.append(value[::-1])
    assert items.pop() == value[::-1]


def test_arrays(ctx):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000, dtype="f8").reshape(100, 1000)
    table = Dict(a=array, small=numpy.arange(3))
    found = table["a"]
    assert (found == array).all()
    assert found.flags.writeable
    found += 1
    assert (table["a"] == array).all()
    assert table["small"].tolist() == [0, 1, 2]
    run_process(ctx.Process(target=double, args=(table,)))
    assert (table["a"] == array * 2).all()


def double(table):
    table["a"] = table["a"] * 2


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_million_entries(ctx):
    table = Dict()
    for start in range(0, 1_000_000, 50_000):
        table.update({i: (i, str(i)) for i in range(start, start + 50_000)})
    assert len(table) == 1_000_000
    assert table[777_777] == (777_777, "777777")
    run_process(ctx.Process(target=delete_half, args=(table,)))
    assert len(table) == 500_000
    found = table.copy()
    assert list(found) == list(range(1, 1_000_000, 2))
    assert all(value == (key, str(key)) for key, value in found.items())
    items = List(range(1_000_000))
    items[::2] = [-1] * 500_000
    del items[1::2]
    assert items == [-1] * 500_000


def delete_half(table):
    for i in range(0, 1_000_000, 2):
        del table[i]
