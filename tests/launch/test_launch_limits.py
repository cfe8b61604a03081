# SPDX-License-Identifier: MIT
"""Starting processes where there is little room, many at a time, again and again, and with another state than at first:
it works, or an error says what happened, and nothing is leaked."""

import gc
import os
import signal
import sys

import launched
import little_room
import programs
import pytest
import watch
import workers
from harness import PATIENCE, until

# Again and again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["join", "kill", "drop"])
@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("fork", 60),
        ("forkserver", 40),
        ("spawn", 20),
        pytest.param("forkserver", 60, marks=pytest.mark.stress),
        pytest.param("spawn", 60, marks=pytest.mark.stress),
    ],
    indirect=["method"],
)
def test_processes_one_by_one(ctx, count, end):
    """Descriptors, children, mappings and /dev/shm are as before."""
    before = None
    for number in range(count):
        process = ctx.Process(target=workers.nothing if end != "kill" else signal.pause)
        process.start()
        if end == "kill":
            process.kill()
        process.join(PATIENCE)
        assert process.exitcode == (-signal.SIGKILL if end == "kill" else 0)
        if end != "drop":
            process.close()
        del process
        if number == 9:  # by now there is whatever the context keeps
            before = watch.Snapshot()
    gc.collect()
    until(lambda: not before.news(), "everything is as it was")


def test_failures_leave_nothing(ctx, method):
    """Processes that could not be started, for all the reasons there are."""
    before = watch.Snapshot()
    for kind in (ValueError, MemoryError, KeyboardInterrupt):
        for _ in range(10):
            process = ctx.Process(target=workers.nothing, args=(launched.Unpicklable(kind),))
            if method == "fork":
                process.run = launched.throw
                continue
            with pytest.raises(kind):
                process.start()
    del process
    until(lambda: not before.news(), "everything is as it was")


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("fork", 300),
        ("forkserver", 100),
        ("spawn", 40),
        pytest.param("fork", 1000, marks=pytest.mark.stress),
        pytest.param("forkserver", 1000, marks=[pytest.mark.stress, pytest.mark.timeout(600)]),
        pytest.param("spawn", 300, marks=[pytest.mark.stress, pytest.mark.timeout(600)]),
    ],
    indirect=["method"],
)
def test_many_at_a_time(ctx, count):
    """Each is alive until it is told to end, and each end is seen."""
    reader, writer = ctx.Pipe(duplex=False)
    before = len(watch.descriptors())
    processes = [ctx.Process(target=launched.read_one, args=(reader,)) for _ in range(count)]
    for process in processes:
        process.start()
    assert len({process.pid for process in processes}) == count
    assert all(process.is_alive() for process in processes)
    assert len(watch.descriptors()) - before <= 2 * count + 10
    for number in range(count):
        os.write(writer.fileno(), bytes([number % 7]))
    for process in processes:
        process.join(PATIENCE)
    codes = [process.exitcode for process in processes]
    assert sorted(codes) == sorted(number % 7 for number in range(count))
    for process in processes:
        process.close()
    reader.close()
    writer.close()


# Little room ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_few_descriptors(program):
    """64 of them: start() raises EMFILE once they are used up, and works again when there is room."""
    assert program(little_room.FEW_DESCRIPTORS).lines() == ["EMFILE True", "True {-9}", "set()"]


def test_few_descriptors_from_the_start(program):
    """Also what a context makes at its first use has room, or start() says that it has none and leaves nothing."""
    done = program("""
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
before = descriptors()
kept = [os.dup(0) for _ in range(24 - before + 1 - 4)]
try:
    print(run(ctx))
except OSError as e:
    print(errno.errorcode[e.errno])
for fd in kept:
    os.close(fd)
print(run(ctx))
""")
    assert (done.code, done.out.splitlines()[-1]) == (0, "3"), done
    assert done.out.splitlines()[0] in ("3", "EMFILE")


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_few_processes(program):
    """start() raises EAGAIN when there may be no more processes, and works again when there may."""
    done = program(little_room.FEW_PROCESSES, *little_room.few_rights(), cwd="/")
    assert done.lines() == ["BlockingIOError EAGAIN", "True True {-9}", "set()"]


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_no_memory(program, no_memory):
    """start() raises what fork() did, and works again afterwards."""
    assert program(little_room.NO_MEMORY, **no_memory).lines()[0] == "OSError ENOMEM True"


# Descriptors that somebody closes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_all_descriptors_are_closed(program):
    """As programs do that become daemons: what a context kept is gone, and its numbers are soon somebody else's."""
    done = program("""
assert run(ctx) == 3
os.closerange(3, 256)
mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
print(run(ctx))
""")
    assert (done.code, done.out) == (0, "3\n")


def test_a_child_closes_all_descriptors(ctx):
    """Its end is seen all the same, and its exit code known."""
    event = ctx.Event()
    process = ctx.Process(target=launched.close_all, args=(event, 7))
    process.start()
    assert event.wait(PATIENCE)
    process.join(PATIENCE)
    until(lambda: process.exitcode == 7, "the exit code is known")
    process.close()


# What a child is given -----------------------------------------------------------------------------------------------

STATE = """
def state(link):
    import logging
    logger = logging.getLogger("multiprocessing")
    link.send((os.getcwd(), sys.argv, sys.path[0], logger.level, bytes(mp.current_process().authkey)))
def tell():
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=state, args=(writer,))
    process.start()
    said = reader.recv()
    process.join()
    return said
"""


def test_state_that_changes_between_starts(mp, method, tmp_path):
    """A child has its parent's directory, arguments, search path, log level and key of the moment it was started."""
    text = (
        "import {mp} as mp, multiprocessing.util, os, sys\n"
        + STATE
        + """
if __name__ == "__main__":
    ctx = mp.get_context({method})
    first = tell()
    print(first == (os.getcwd(), sys.argv, sys.path[0], 0, bytes(mp.current_process().authkey)))
    os.chdir("/")
    sys.argv = ["other", "arguments"]
    sys.path.insert(0, "/nowhere")
    multiprocessing.util.get_logger().setLevel(50)
    mp.current_process().authkey = b"key"
    print(tell())
    os.chdir("/usr")
    sys.path.remove("/nowhere")
    print(tell()[::2])
"""
    )
    script = programs.write(tmp_path / "program.py", text, mp=mp.__name__, method=repr(method))
    lines = programs.run("-W", "error", script, "an argument").lines()
    assert lines[0] == "True"
    assert lines[1] == "('/', ['other', 'arguments'], '/nowhere', 50, b'key')"
    assert lines[2] == f"('/usr', {str(tmp_path)!r}, b'key')"


def test_flags_of_the_interpreter(mp, method, tmp_path):
    text = """
import {mp} as mp, sys
def flags(link):
    link.send((list(sys.flags), sys.warnoptions, sorted(sys._xoptions)))
if __name__ == "__main__":
    ctx = mp.get_context({method})
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=flags, args=(writer,))
    process.start()
    flags, warnings, options = reader.recv()
    process.join()
    print(flags == list(sys.flags), warnings == sys.warnoptions, options == sorted(sys._xoptions))
"""
    script = programs.write(tmp_path / "program.py", text, mp=mp.__name__, method=repr(method))
    done = programs.run("-O", "-B", "-W", "error", "-X", "faulthandler", script)
    assert done.lines() == ["True True True"]


def test_the_directory_is_gone(mp, method, tmp_path):
    """os.getcwd() raises: that is what start() says where it needs it."""
    text = """
import {mp} as mp, os, sys
def target():
    print("target", flush=True)
if __name__ == "__main__":
    ctx = mp.get_context({method})
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    process = ctx.Process(target=target)
    try:
        process.start()
        process.join()
        print(process.exitcode)
    except FileNotFoundError as e:
        print(type(e).__name__)
"""
    script = programs.write(tmp_path / "program.py", text, mp=mp.__name__, method=repr(method))
    done = programs.run(script, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out in ("target\n0\n", "FileNotFoundError\n")
    if method == "fork":
        assert done.out == "target\n0\n"


def test_a_stack_that_is_deep(ctx):
    """start() works from wherever it is called."""

    def dive(depth):
        if depth:
            return dive(depth - 1)
        process = ctx.Process(target=workers.nothing)
        process.start()
        process.join(PATIENCE)
        code = process.exitcode
        process.close()
        return code

    assert dive(sys.getrecursionlimit() // 2) == 0
