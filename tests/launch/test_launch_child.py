# SPDX-License-Identifier: MIT
"""A child from inside: who it is, who its parent is, what it was given, what it may not do."""

import gc
import multiprocessing
import os
import pickle
import threading
import weakref

import launched
import pytest
import workers
from harness import PATIENCE, thread_state, until


def tell(ctx, function, *args, **options):
    """What a function returns in a child of its own, and the child's process object, closed."""
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=launched.sees, args=(writer, function, *args), **options)
    process.start()
    writer.close()
    try:
        assert reader.poll(PATIENCE), "the child says nothing"
        told = reader.recv()
    finally:
        reader.close()
        process.join(PATIENCE)
    pid = process.pid
    assert process.exitcode == 0
    process.close()
    return told, process, pid


def test_who_a_child_is(ctx):
    told, process, pid = tell(ctx, launched.describe, name="a name")
    assert told["pid"] == (pid, pid, pid)
    assert told["name"] == process.name == "a name"
    assert told["identity"] == process._identity
    assert told["repr"] == f"<{type(process).__name__} name='a name' parent={os.getpid()} started>"
    assert told["authkey"] == multiprocessing.current_process().authkey
    assert told["daemon"] is False
    assert told["alive"] is True
    assert told["children"] == []
    assert told["thread"] == (True, pid)


def test_who_the_parent_is(ctx):
    told, _, _ = tell(ctx, launched.describe)
    name, pid, ident, alive, text = told["parent"]
    assert (name, pid, ident, alive) == ("MainProcess", os.getpid(), os.getpid(), True)
    assert text == "<_ParentProcess name='MainProcess' parent=None unknown>"


def test_a_daemon_knows(ctx):
    told, _, _ = tell(ctx, launched.describe, daemon=True)
    assert told["daemon"] is True
    assert told["repr"].endswith(" started daemon>")


def test_another_authkey(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=launched.sees, args=(writer, launched.describe))
    process.authkey = b"another"
    process.start()
    assert reader.recv()["authkey"] == b"another"
    process.join(PATIENCE)
    process.close()
    reader.close()
    writer.close()


def test_what_a_child_cannot_do_with_itself(ctx, method):
    texts, _, _ = tell(ctx, launched.forbidden)
    assert texts == [
        "AssertionError: can only start a process object created by current process",
        "AssertionError: can only join a child process",
        "AttributeError: 'NoneType' object has no attribute 'terminate'",
        "ValueError: process not started",
        "None",
    ]


@pytest.mark.parametrize("daemon", [None, False])
def test_generations(ctx, daemon):
    told, process, _ = tell(ctx, launched.start_child_of, ctx, daemon)
    assert told == (f"{type(process).__name__}-{process._identity[0]}:1", (*process._identity, 1), 0, False)


def test_a_daemon_has_no_children(ctx):
    text = "daemonic processes are not allowed to have children"
    for daemon in (None, True):
        assert tell(ctx, launched.start_child_of, ctx, daemon, daemon=True)[0] == text


def test_daemons_beget_daemons(ctx):
    """Whether a process is one is inherited, before it is said otherwise."""
    me = multiprocessing.current_process()
    me._config["daemon"] = True
    try:
        assert ctx.Process().daemon is True
        assert ctx.Process(daemon=False).daemon is False
    finally:
        del me._config["daemon"]
    assert ctx.Process().daemon is False


def test_a_parent_that_ends(ctx):
    """parent_process() says so, and can be waited for."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=launched.have_child_watch, args=(ctx, theirs))
    process.start()
    assert ours.poll(PATIENCE)
    pid, parent = ours.recv()
    assert parent == process.pid
    process.kill()
    process.join(PATIENCE)
    assert ours.poll(PATIENCE), "the grandchild is not told that its parent has ended"
    assert ours.recv() == (True, False, "None")
    until(lambda: thread_state(pid, pid) in ("", "Z"), "the grandchild ends")
    process.close()
    ours.close()
    theirs.close()


# Arguments -----------------------------------------------------------------------------------------------------------


def test_arguments(ctx):
    shared = [1]
    value = {"twice": [shared, shared], b"bytes": bytearray(b"x" * 100_000), "none": None, "nested": [[(1, 2.5)]]}
    told, _, _ = tell(ctx, launched.same, value)
    assert told == value
    assert told["twice"][0] is told["twice"][1]


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 131_072, 1 << 20, 24 << 20])
def test_large_arguments(ctx, size):
    """Also more than a pipe or a socket takes at once."""
    assert tell(ctx, len, bytes(size))[0] == size


def test_arguments_arrive_once_and_are_let_go(ctx):
    watched = launched.Watched()
    process = ctx.Process(target=workers.nothing, args=(watched,))
    watched = weakref.ref(watched)
    process.start()
    gc.collect()
    assert watched() is None, "the parent keeps nothing of what it sent"
    process.join(PATIENCE)
    process.close()


def test_a_subclass(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    process = launched.adder_class(ctx)([1, 2, 3], writer, name="adder")
    process.start()
    writer.close()
    assert reader.recv() == (6, "adder", None, type(process).__name__)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert process.summands == [1, 2, 3]
    process.close()
    reader.close()


def test_run_can_be_called(ctx):
    """In the parent it is a method like any other."""
    seen = []
    process = ctx.Process(target=seen.append, args=(1,))
    process.run()
    assert seen == [1]
    assert ctx.Process().run() is None


def test_without_target(ctx):
    process = ctx.Process()
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize("where", ["target", "args", "kwargs", "attribute"])
def test_what_cannot_be_sent(ctx, where):
    """start() raises, nothing was started, and the process is as new."""
    lock = threading.Lock()
    options = {
        "target": {"target": lock},
        "args": {"target": print, "args": (1, [lock])},
        "kwargs": {"target": print, "kwargs": {"key": lock}},
        "attribute": {"target": workers.nothing},
    }[where]
    process = ctx.Process(**options)
    if where == "attribute":
        process.culprit = lock
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^cannot pickle '_thread\.lock' object"):
            process.start()
        assert repr(process).endswith(" initial>")
        assert process not in multiprocessing.active_children()
    if where == "attribute":
        del process.culprit
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_reducer_that_raises(ctx):
    """Whatever it raises comes out of start() as it is."""
    for kind in (ZeroDivisionError, KeyboardInterrupt, pickle.PicklingError):
        process = ctx.Process(target=workers.nothing, args=(launched.Unpicklable(kind),))
        with pytest.raises(kind) as caught:
            process.start()
        assert caught.value.args == ("on purpose",)  # 3.14 adds notes
        assert process.pid is None


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_authkeys_are_for_children_only(ctx):
    """They are sent to a child in start(), and nowhere else."""
    key = multiprocessing.current_process().authkey
    with pytest.raises(TypeError, match="^Pickling an AuthenticationString object is disallowed for security reasons$"):
        pickle.dumps(key)
    told, _, _ = tell(ctx, launched.key_and_type, key)
    assert told == (bytes(key), "AuthenticationString")
