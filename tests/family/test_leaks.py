# SPDX-License-Identifier: MIT
"""Nothing grows: descriptors, processes, mappings, /dev/shm, the family's memory and tables. (Every other test looks
for what it left behind itself; here it is about numbers.)"""

import gc
import os
import pickle

import ends
import jobs
import pytest
import watch
import workers

import mpfast
from mpfast.family import census

MIB = 1 << 20


@pytest.fixture
def mp():
    return mpfast


def family_bytes():
    """The memory that the family of this process really has."""
    (size,) = {
        os.stat(f"/proc/self/fd/{fd}").st_blocks * 512
        for fd, target in watch.descriptors().items()
        if target.startswith("/memfd:mpfast")
    }
    return size


def test_a_family_costs_one_descriptor():
    """Whatever this process did before: one family, one descriptor, one memory file."""
    files = [target for target in watch.descriptors().values() if "memfd" in target]
    assert len(files) == 1
    assert sum(watch.memory_files().values()) <= 2 + 11  # the heap of arrays has its words and ten classes: see warm()


def test_ten_thousand_locks(method):
    ctx = mpfast.get_context(method)
    descriptors, memory, bytes_before = watch.descriptors(), watch.memory_files(), family_bytes()
    locks = [ctx.Lock() for _ in range(10_000)]
    assert watch.descriptors() == descriptors
    assert watch.memory_files() == memory
    assert family_bytes() - bytes_before < MIB
    assert all(lock.acquire(False) for lock in locks)
    del locks


@pytest.mark.parametrize(
    ("kind", "args", "limit"),
    [
        ("RLock", (), 1),
        ("Semaphore", (3,), 1),
        ("BoundedSemaphore", (3,), 1),
        ("Event", (), 1),
        ("Barrier", (2,), 1),
        ("BoundedSemaphore", (400,), 12),
        ("Condition", (), 12),
        ("Barrier", (100,), 12),
    ],
)
def test_ten_thousand_of_each(kind, args, limit):
    """Small ones take less than 1 MiB, large ones 1 KiB each."""
    before, descriptors = family_bytes(), watch.descriptors()
    things = [getattr(mpfast, kind)(*args) for _ in range(10_000)]
    assert family_bytes() - before < limit * MIB
    assert watch.descriptors() == descriptors
    del things


@pytest.mark.parametrize("kind", ["Lock", "Condition"])
def test_a_hundred_thousand_made_and_dropped(kind):
    make = getattr(mpfast, kind)
    for _ in range(100):
        make()
    before = family_bytes(), census.usage(), len(mpfast.locks())
    for _ in range(100_000):
        make()
    assert (family_bytes(), census.usage(), len(mpfast.locks())) == before


def test_dropped_in_a_cycle():
    before = len(mpfast.locks())
    for _ in range(100):
        box = jobs.Box(None)
        box.content = [box, mpfast.Condition(mpfast.Lock())]
    del box
    gc.collect()
    assert len(mpfast.locks()) <= before  # less, if one that was left held has gone, as it does with new ones


def look():
    return watch.descriptors(), watch.memory_files(), watch.descendants(), watch.shared_files(), census.usage()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("fork", 150),
        ("forkserver", 100),
        ("spawn", 30),
        pytest.param("fork", 1000, marks=pytest.mark.stress),
        pytest.param("forkserver", 200, marks=pytest.mark.stress),
        pytest.param("spawn", 60, marks=pytest.mark.stress),
    ],
    indirect=["method"],
)
def test_many_processes(ctx, count):
    """A third ends normally and holds nothing, a third holds a lock, and a third dies with one. The dead are found by
    newcomers, each of which looks at one entry of the table: some dozens stay, however many there were."""
    lock = ctx.Lock()
    run(ctx, lock, 20)
    before = look()
    participants, small, large = census.usage()
    run(ctx, lock, count)
    assert look()[:4] == before[:4]
    after = census.usage()
    assert after[0] <= participants + 50
    assert after[1] <= small + 50
    assert after[2] == large
    assert lock.acquire(False) is True


def run(ctx, lock, count):
    for number in range(count):
        own = ctx.Lock()
        target = (workers.nothing, ends.acquire_all, ends.acquire_and_die)[number % 3]
        process = ctx.Process(target=target, args=([own], lock) if number % 3 == 0 else ([own],))
        process.start()
        process.join()
        process.close()


def test_processes_by_twenties(ctx):
    """Alive at the same time: the table holds them all, and has room for as many again afterwards."""
    event = ctx.Event()
    sizes = []
    for _ in range(4):
        processes = [ctx.Process(target=event.wait) for _ in range(20)]
        for process in processes:
            process.start()
        event.set()
        for process in processes:
            process.join()
            assert process.exitcode == 0
            process.close()
        event.clear()
        sizes.append(census.usage()[0])
    assert sizes[-1] <= sizes[1] + 4


def test_what_only_the_dead_had_is_given_back(ctx, start):
    """Children make a thousand locks each and are killed. The slots are free once newcomers have found them dead."""
    before = len(mpfast.locks())
    for _ in range(3):
        child = start(ctx.Lock())
        child.run(jobs.make_many, 1000)
        child.kill()
    newcomers = 0
    while len(mpfast.locks()) > before + 10:
        assert newcomers <= census.usage()[0], "each newcomer looks at one entry: by now they saw all"
        run(ctx, None, 1)
        newcomers += 1


def test_children_have_no_more_than_they_need(ctx, start):
    """One descriptor for the family, however many locks."""
    few, many = start(ctx.Lock()), start(*[ctx.Lock() for _ in range(300)])
    assert few.run(jobs.family_descriptors) == many.run(jobs.family_descriptors) == 1


def test_descriptors_are_not_inherited(ctx, start):
    """A program that a child runs gets none of the family's."""
    child = start(ctx.Lock())
    assert child.run(jobs.descriptors_of_a_program) == []
    assert jobs.descriptors_of_a_program() == []


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_child_that_could_not_be_started(ctx):
    """Something that cannot be pickled comes after the lock: the lock was promised to a child that will never be."""
    before = len(mpfast.locks())
    for _ in range(50):
        lock = ctx.Lock()
        process = ctx.Process(target=workers.nothing, args=(lock, (i for i in ())))
        with pytest.raises((TypeError, pickle.PicklingError)):
            process.start()
        del lock, process
    gc.collect()
    assert len(mpfast.locks()) <= before  # less, as in test_dropped_in_a_cycle
