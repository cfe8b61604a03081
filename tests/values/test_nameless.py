# SPDX-License-Identifier: MIT
"""SharedMemory without a name: when it gets one, who knows it, and what is left of it."""

import contextlib
import errno
import gc
import importlib
import os
import pickle
import sys
from pathlib import Path

import memories
import pytest
import watch
from harness import PATIENCE, ChildRaised, Thread
from test_shared_memory import tracks_nothing
from test_values import inside, raised

import mpfast
from mpfast.shared_memory import ShareableList, SharedMemory
from mpfast.values import nameless


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(autouse=True)
def no_habit():
    """What tests before this one have read does not count."""
    nameless.habit.ends()


@pytest.fixture
def memory():
    made = SharedMemory(create=True, size=100)
    yield made
    made.close()
    with contextlib.suppress(FileNotFoundError):
        made.unlink()


def links(memory):
    return os.fstat(memory._file()).st_nlink


# Names ----------------------------------------------------------------------------------------------------------------


@inside
def test_it_has_none_until_it_is_read(ctx, memory):
    before = watch.shared_files()
    shared = ShareableList(["a"])
    assert repr(memory) == "SharedMemory(None, size=100)"
    assert repr(shared) == "ShareableList(['a'], name=None)"
    assert (links(memory), links(shared.shm)) == (0, 0)
    assert watch.shared_files() == before
    assert os.path.exists(nameless.path_of(memory.name))
    assert links(memory) == 1
    assert repr(memory) == f"SharedMemory({memory.name!r}, size=100)"
    shared.shm.close()
    shared.shm.unlink()


def test_started_children_get_the_file(ctx, memory, start):
    """It has no name, here and there, and the memory is the same."""
    shared = ShareableList([1, "two"])
    child = start(memory, shared, shared.shm)
    assert child.run(memories.look, memory)[0] == "SharedMemory(None, size=100)"
    child.run(memories.put, memory, 7)
    child.run(memories.put_item, shared, 0, 5)
    assert (memory.buf[0], list(shared)) == (7, [5, "two"])
    assert (links(memory), links(shared.shm)) == (0, 0)
    child.on(shared.shm).close()
    shared.shm.close()
    shared.shm.unlink()


def test_a_grandchild(ctx, memory, start):
    child = start(memory)
    assert child.run(grandchild, ctx, memory) == 0
    assert memory.buf[0] == 9
    assert links(memory) == 0


def grandchild(ctx, memory):
    process = ctx.Process(target=memories.put, args=(memory, 9))
    process.start()
    process.join(PATIENCE)
    return process.exitcode


@inside
@pytest.mark.parametrize("pickled", ["memory", "list"])
def test_sent_to_a_process_that_runs(ctx, memory, start, pickled):
    shared = ShareableList([3])
    child = start()
    if pickled == "memory":
        memory.buf[0] = 3
        assert child.run(memories.first, memory) == 3
        assert links(memory) == 1
    else:
        assert child.run(memories.items, shared) == [3]
        assert links(shared.shm) == 1
    shared.shm.close()
    shared.shm.unlink()


@pytest.mark.parametrize("first", ["parent", "child"])
def test_all_processes_say_the_same_name(ctx, memory, start, first):
    child = start(memory)
    if first == "parent":
        name = memory.name
        assert child.run(memories.name_of, memory) == name
    else:
        name = child.run(memories.name_of, memory)
        assert memory.name == name
    assert links(memory) == 1
    child.end()
    assert memories.attach("multiprocessing", name) == bytes(4)


def test_two_processes_name_it_at_once(ctx, start):
    for _ in range(5):
        memory = SharedMemory(create=True, size=10)
        barrier = ctx.Barrier(3)
        children = [start(barrier, memory) for _ in range(2)]
        for child in children:
            child.send(memories.name_at, barrier, memory)
        names = {memories.name_at(barrier, memory), *(child.result() for child in children)}
        assert len(names) == 1
        assert links(memory) == 1
        memory.close()
        memory.unlink()
        for child in children:
            child.on(memory).close()
            child.end()


@inside
def test_two_threads_name_it_at_once(ctx, memory):
    threads = [Thread(memories.name_of, memory) for _ in range(4)]
    assert len({thread.result() for thread in threads}) == 1
    assert links(memory) == 1


def test_killed_while_it_names(ctx, memory):
    """Who is killed there lets the others in."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=memories.hold_names, args=(memory, theirs))
    process.start()
    assert ours.poll(PATIENCE)
    waiting = Thread(memories.name_of, memory).asleep()
    process.kill()
    process.join(PATIENCE)
    assert os.path.exists(nameless.path_of(waiting.result()))
    process.close()
    ours.close()
    theirs.close()


@inside
def test_a_signal_handler_names_it(ctx, memory, monkeypatch):
    """In the middle of naming it. One name stays, that of the handler."""
    drawn, theirs = [], importlib.import_module("multiprocessing.shared_memory")
    draw = theirs._make_filename

    def interrupted():
        if not drawn:
            drawn.append(None)
            drawn[0] = memory.name
        return draw()

    monkeypatch.setattr(theirs, "_make_filename", interrupted)
    assert memory.name == drawn[0]
    assert links(memory) == 1


# At once --------------------------------------------------------------------------------------------------------------


def read_and_drop(times=8):
    for _ in range(times):
        read = SharedMemory(create=True, size=10)
        assert read.name
        read.close()
        read.unlink()


def read_together(times=20):
    made = [SharedMemory(create=True, size=10) for _ in range(times)]
    assert len({each.name for each in made}) == times
    dropped(*made)


def dropped(*made):
    """The names that they had, as far as others see."""
    names = [each._known for each in made]
    for each in made:
        each.close()
        each.unlink()
    return names


@inside
def test_who_reads_each_name_gets_the_next_at_once(ctx):
    """It is like any other one. Its process knows the name when it is read."""
    read_and_drop()
    memory = SharedMemory(create=True, size=10)
    assert links(memory) == 1
    assert repr(memory) == "SharedMemory(None, size=10)"
    memory.close()
    name = memory.name
    assert memory._name == f"/{name}"
    assert repr(memory) == f"SharedMemory({name!r}, size=10)"
    assert os.path.exists(nameless.path_of(name))
    memory.unlink()
    assert raised(memory.unlink)[0] == "FileNotFoundError"


@inside
def test_who_reads_none_gets_none(ctx):
    """However many it makes, keeps, drops and unlinks, and whatever a few others are read for."""
    made = [SharedMemory(create=True, size=10) for _ in range(40)]
    assert {links(each) for each in made} == {0}
    assert dropped(*made) == [None] * 40
    for _ in range(3):
        read_and_drop(7)
        memory = SharedMemory(create=True, size=10)
        assert links(memory) == 0
        dropped(memory)


@inside
@pytest.mark.parametrize("end", ["close", "unlink", "drop"])
@pytest.mark.parametrize("at_once", [False, True])
def test_one_that_nobody_reads_ends_the_habit(ctx, end, at_once):
    read_and_drop(8 if at_once else 7)
    memory = SharedMemory(create=True, size=10)
    assert links(memory) == at_once
    unlink = memory.unlink
    if end == "close":
        memory.close()
    elif end == "unlink":
        unlink()
    else:
        name = memory._known
        del memory, unlink
        gc.collect()
        if name:
            SharedMemory(name[1:]).unlink()
    read_and_drop(1)
    after = SharedMemory(create=True, size=10)
    assert links(after) == 0
    after.unlink()
    if end == "close":
        unlink()


@inside
def test_few_have_a_name_that_nobody_reads(ctx):
    for _ in range(5):
        read_together()
    made = [SharedMemory(create=True, size=10) for _ in range(40)]
    assert sum(links(each) for each in made) == 9
    dropped(*made)


def test_a_started_child_ends_the_habit(ctx, start, method):
    """Without a name, the child would have had the file itself."""
    read_and_drop()
    memory = SharedMemory(create=True, size=10)
    child = start(memory)
    child.run(memories.put, memory, 7)
    assert memory.buf[0] == 7
    if method != "fork":
        after = SharedMemory(create=True, size=10)
        assert links(after) == 0
        dropped(after)
    child.on(memory).close()
    memory.close()
    memory.unlink()


@inside
@pytest.mark.parametrize("at_once", [False, True])
def test_the_tracker_knows_the_name_first(ctx, monkeypatch, at_once):
    """So a process that is killed between the two leaves no file."""
    if at_once:
        read_and_drop()
    tracker = importlib.import_module("multiprocessing.resource_tracker")
    told, register = [], tracker.register

    def first(name, kind):
        told.append((name, os.path.exists(nameless.path_of(name))))
        register(name, kind)

    monkeypatch.setattr(tracker, "register", first)
    memory = SharedMemory(create=True, size=10)
    assert len(told) == at_once
    assert told == [(memory._name, False)] or not told
    assert (memory._name, False) in told
    dropped(memory)


@inside
def test_at_once_by_the_functions_of_the_program(ctx, monkeypatch):
    """Names that exist already are nobody's loss."""
    read_together()
    theirs = importlib.import_module("multiprocessing.shared_memory")
    names = [f"/psm_mpfast{n}-{os.getpid()}" for n in range(2)]
    monkeypatch.setattr(theirs, "_make_filename", iter([names[0], names[0], names[1]]).__next__)
    first, second = (SharedMemory(create=True, size=1) for _ in range(2))
    assert (links(first), links(second)) == (1, 1)
    assert [first._name, second._name] == names
    dropped(first, second)


@inside
def test_at_once_and_too_much(ctx, monkeypatch):
    read_and_drop()
    tracker = importlib.import_module("multiprocessing.resource_tracker")
    told = []
    for call in (tracker.register, tracker.unregister):
        monkeypatch.setattr(tracker, call.__name__, lambda name, kind, call=call: told.append(name) or call(name, kind))
    assert raised(lambda: SharedMemory(create=True, size=1 << 62))[0] in ("OSError", "MemoryError")
    assert told[0] == told[1]
    assert not os.path.exists(nameless.path_of(told[0]))


# The end of it --------------------------------------------------------------------------------------------------------


def shut_out(memory):
    return raised(lambda: memory.name)


@inside
@pytest.mark.parametrize("closed", [False, True])
def test_unlink_closes_the_door(ctx, memory, closed):
    if closed:
        memory.close()
    assert memory.unlink() is None
    assert shut_out(memory)[0] == "FileNotFoundError"
    assert "unlinked before its name was read" in shut_out(memory)[1]
    assert raised(pickle.dumps, memory)[0] == "FileNotFoundError"
    assert raised(memory.unlink)[0] == "FileNotFoundError"
    assert memory._kept == -1


@pytest.mark.parametrize("closed", [False, True])
def test_unlink_closes_the_door_for_all(ctx, memory, start, closed):
    """Also if this process closed it before."""
    child = start(memory)
    if closed:
        memory.close()
    memory.unlink()
    for call in (memories.name_of, pickle.dumps):
        with pytest.raises(ChildRaised, match="unlinked before its name was read"):
            child.run(call, memory)
    with pytest.raises(ChildRaised, match="FileNotFoundError"):
        child.on(memory).unlink()
    assert child.run(memories.first, memory) == 0


def test_unlink_of_what_a_child_has_named(ctx, memory, start):
    child = start(memory)
    name = child.run(memories.name_of, memory)
    memory.close()
    memory.unlink()
    assert not os.path.exists(nameless.path_of(name))
    assert child.run(memories.name_of, memory) == name
    with pytest.raises(ChildRaised, match="FileNotFoundError"):
        child.on(memory).unlink()


@inside
def test_unlinked_by_others(ctx, memory, start):
    """By multiprocessing in another process, which knows nothing of doors. The kernel permits no second name."""
    child = start(memory)
    os.unlink(nameless.path_of(child.run(memories.name_of, memory)))
    assert shut_out(memory)[0] == "FileNotFoundError"
    child.run(forget, child.run(memories.name_of, memory))


def forget(name):
    from multiprocessing import resource_tracker

    resource_tracker.unregister(f"/{name}", "shared_memory")


@inside
def test_named_after_close(ctx, memory):
    memory.buf[0] = 6
    memory.close()
    assert memory._fd == -1
    copy = pickle.loads(pickle.dumps(memory))
    assert copy.buf[0] == 6
    assert memory._kept == -1
    copy.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_child_gets_what_is_closed_here(ctx, memory, start):
    memory.buf[0] = 6
    memory.close()
    child = start(memory)
    assert child.run(memories.first, memory) == 6
    child.on(memory).close()


@inside
@pytest.mark.parametrize("closed", [False, True])
def test_dropped_with_a_view(ctx, monkeypatch, closed):
    """The view keeps the memory, and no descriptor stays. multiprocessing keeps one for ever."""
    before = memories.descriptors()
    memory = SharedMemory(create=True, size=100)
    view = memory.buf[:10]
    view[0] = 5
    if closed:
        with pytest.raises(BufferError):
            memory.close()
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # __del__ says that there is a view
    del memory
    gc.collect()
    assert view[0] == 5
    del view
    gc.collect()
    assert memories.descriptors() == before


@inside
def test_untracked(ctx, monkeypatch):
    """On all versions."""
    tracks_nothing(mpfast.shared_memory, monkeypatch)


@inside
def test_untracked_travels_so(ctx, memory):
    memory._track = False
    copy = pickle.loads(pickle.dumps(memory))
    assert copy._track is False
    copy.close()


@inside
def test_bad_arguments_without_a_tracker(ctx):
    for arguments in ({"create": True, "size": 0}, {}, {"create": True, "size": -1}):
        assert raised(lambda arguments=arguments: SharedMemory(track=False, **arguments))[0] == "ValueError"
    assert raised(lambda: SharedMemory("mpfast-no-such", track=False))[0] == "FileNotFoundError"


def make_and_drop(times, named):
    """(descriptors, mappings, names) before and after."""

    def look():
        gc.collect()
        return memories.descriptors(), Path("/proc/self/maps").read_text().count("/dev/shm"), watch.candidates()

    def one():
        memory = SharedMemory(create=True, size=4096)
        memory.buf[0] = 1
        assert named is False or memory.name
        memory.unlink()

    for _ in range(10):
        one()
    before = look()
    for _ in range(times):
        one()
    after, names = look(), watch.shared_files()  # which waits for files of others that look like ours
    return before[:2], after[:2], names - before[2]


@inside
@pytest.mark.parametrize("named", [False, True])
def test_made_and_dropped(ctx, named):
    before, after, names = make_and_drop(2000, named)
    assert (after, names) == (before, set())


@inside
@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("named", [False, True])
def test_a_hundred_thousand(ctx, named):
    before, after, names = make_and_drop(100_000, named)
    assert (after, names) == (before, set())


# Managers -------------------------------------------------------------------------------------------------------------


def test_a_manager_unlinks(ctx):
    """What has a name and what has none."""
    managers = importlib.import_module("mpfast.managers")
    with managers.SharedMemoryManager(ctx=ctx) as manager:
        named, bare, shared, dropped = (manager.SharedMemory(n) for n in (10, 20, 30, 40))
        listed = manager.ShareableList([1, "two"])
        name, other = named.name, shared.name
        dropped.name and dropped.unlink()
        assert os.path.exists(nameless.path_of(name))
        del dropped, shared
    for gone in (name, other):
        assert not os.path.exists(nameless.path_of(gone))
    assert named.name == name
    for memory in (bare, listed.shm):
        assert shut_out(memory)[0] == "FileNotFoundError"
        memory.close()
    named.close()


@inside
def test_a_manager_is_told_when_the_name_is_read(ctx, monkeypatch):
    """Also if the memory had it at once. Read or not, it is gone with the manager."""
    managers = importlib.import_module("mpfast.managers")
    told, tell = [], managers._tell
    monkeypatch.setattr(managers, "_tell", lambda *args: told.append(args[-1]) or tell(*args))
    read_together()
    with managers.SharedMemoryManager(ctx=ctx) as manager:
        read, unread = manager.SharedMemory(10), manager.SharedMemory(20)
        assert (links(read), links(unread), told) == (1, 1, [])
        assert (read.name, *told) == (read.name, read.name)
        names = read._known, unread._known
    assert not any(map(os.path.exists, map(nameless.path_of, names)))
    assert told == [read.name]
    read.close()
    unread.close()


def test_a_manager_that_is_not_started(ctx):
    managers = importlib.import_module("mpfast.managers")
    manager = managers.SharedMemoryManager(ctx=ctx)
    assert raised(lambda: manager.SharedMemory(10))[0] == "ValueError"
    assert raised(lambda: manager.ShareableList([1]))[0] == "ValueError"


@inside
def test_a_link_that_is_refused_later(ctx, memory, monkeypatch):
    """One sentence names the call, and nothing is left."""

    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(nameless.os, "link", refuse)
    with pytest.raises(PermissionError, match="cannot give shared memory a name: linkat"):
        memory.name  # noqa: B018
    monkeypatch.undo()
    assert memory.name


@inside
def test_who_waits_for_one_file_keeps_nobody_from_another(ctx, memory):
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=memories.hold_names, args=(memory, theirs))
    process.start()
    assert ours.poll(PATIENCE)
    waiting = Thread(memories.name_of, memory).asleep()
    other = SharedMemory(create=True, size=10)
    assert other.name
    other.close()
    other.unlink()
    process.kill()
    process.join(PATIENCE)
    assert waiting.result() == memory.name
    process.close()
    ours.close()
    theirs.close()


@inside
def test_a_descriptor_that_the_program_closed(ctx):
    """What is left of it complains of nothing."""
    memory = SharedMemory(create=True, size=10)
    memory.close()
    os.close(memory._kept)
    del memory
    gc.collect()
