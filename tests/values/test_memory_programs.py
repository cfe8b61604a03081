# SPDX-License-Identifier: MIT
"""What whole programs with shared memory leave behind, of all kinds: nothing, also if they are killed."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import deny
import memories
import pytest
import watch
from harness import until

import mpfast.shared_memory

ROOT = Path(__file__).parents[2]
SUPPORT = Path(memories.__file__).parent


@pytest.fixture
def mp():
    return mpfast


def members(session):
    """The processes of a session."""
    found = set()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = int(entry)
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.add(pid)
    return found


class Program:
    """A program of the tests, as a session of its own."""

    def __init__(self, text, *words, launcher=(), warnings="error"):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{SUPPORT}", "PYTHONUNBUFFERED": "1"}
        self.before = watch.shared_files()
        self.process = subprocess.Popen(
            [*launcher, sys.executable, "-W", warnings, text, *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment,
        )  # fmt: skip

    def line(self):
        return self.process.stdout.readline().strip()

    def kill(self):
        """All of its processes, at once. Its leader is not reaped yet, so the number still means it."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def may_end(self, seconds):
        """Waits as long at the most, and does not reap it."""
        pidfd = os.pidfd_open(self.process.pid)
        select.select([pidfd], [], [], seconds)
        os.close(pidfd)

    def end(self, code=0):
        """Nothing is left of it, and nobody complains."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == code, err
        assert err == ""
        until(lambda: not members(self.process.pid), "processes of the program are left")
        until(lambda: not watch.shared_files(0) - self.before, "files in /dev/shm are left")
        return out.splitlines()


WHOLE = """
import sys
import {package} as mp
{install}
import {package}.shared_memory
import memories

def work(link, value, array, memory, listed, mapping):
    with value.get_lock():
        value.value += 1
    array[0] += 1
    memory.buf[0] += 1
    listed[0] += 1
    mapping["a"] = 1
    link.send(memories.tracked())

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    say = lambda *words: print(*words, flush=True)
    say("begun")
    manager = ctx.Manager()
    mapping = manager.dict()
    value, array = ctx.Value("i"), ctx.Array("d", 1000)
    memory = mp.shared_memory.SharedMemory(create=True, size=1 << 20)
    listed = mp.shared_memory.ShareableList([0, "text"])
    say("made")
    ours, theirs = ctx.Pipe()
    for step in range(3):
        child = ctx.Process(target=work, args=(theirs, value, array, memory, listed, mapping))
        child.start()
        say("started", ours.recv())
        child.join()
    say(value.value, array[0], memory.buf[0], listed[0], mapping["a"], memories.tracked())
    memory.close()
    manager.shutdown()
    if len(sys.argv) > 2:
        memory.unlink()
"""
PACKAGES = pytest.mark.parametrize("package", ["mpfast", "multiprocessing"])


@pytest.fixture
def whole(package, tmp_path):
    install = "import mpfast; mpfast.install()" if package == "multiprocessing" else ""
    path = tmp_path / "program.py"
    path.write_text(WHOLE.format(package=package, install=install))
    return path


@PACKAGES
@pytest.mark.parametrize("unlinks", [False, True])
def test_a_program_leaves_nothing(method, whole, unlinks):
    """No process, no file, no word, and no resource tracker in any of its processes."""
    lines = Program(whole, method, *["unlink"] * unlinks).end()
    assert lines == ["begun", "made", *["started False"] * 3, "3 3.0 3 3 1 False"]


@PACKAGES
@pytest.mark.parametrize("lines", [1, 4])
def test_a_killed_program_leaves_nothing(method, whole, lines):
    killed_after(whole, method, lines)


def killed_after(whole, method, lines):
    program = Program(whole, method)
    for _ in range(lines):
        assert program.line()
    program.kill()
    program.end(-signal.SIGKILL)


@PACKAGES
@pytest.mark.stress
@pytest.mark.timeout(600)
def test_killed_at_any_time(method, whole):
    for turn in range(60):
        program = Program(whole, method)
        for _ in range(turn % 5):
            program.line()
        program.may_end(turn / 300)
        program.kill()
        program.process.communicate(timeout=60)
        until(lambda group=program.process.pid: not members(group), "processes of the program are left")
        until(lambda before=program.before: not watch.shared_files(0) - before, "files in /dev/shm are left")


NAMED = """
import os, sys
import mpfast as mp
import mpfast.shared_memory
import memories

def name(link, memory):
    link.send((memories.made("mpfast"), memory.name, memories.tracked()))

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    memory = mp.shared_memory.SharedMemory(create=True, size=10)
    ours, theirs = ctx.Pipe()
    child = ctx.Process(target=name, args=(theirs, memory))
    child.start()
    theirs.close()
    made, told, tracked = ours.recv()
    child.join()
    print(tracked, memories.tracked(), told == memory.name, memories.tracked())
    other = mp.shared_memory.SharedMemory(made)
    print(other.buf[0], flush=True)
    if sys.argv[2] == "unlinks":
        other.close()
        other.unlink()
        memory.close()
        memory.unlink()
    elif sys.argv[2] == "killed":
        memories.die()
"""


AT_ONCE = """
import mpfast.shared_memory
import memories

if __name__ == "__main__":
    made = [mpfast.shared_memory.SharedMemory(create=True, size=10) for _ in range(8)]
    for memory in made:
        memory.name
        memory.close()
        memory.unlink()
    memory = mpfast.shared_memory.SharedMemory(create=True, size=10)
    print(memory, memory._known is not None, flush=True)
    memories.die()
"""


def test_killed_with_a_name_that_nobody_read(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(AT_ONCE)
    program = Program(path, warnings="default")
    out, err = program.process.communicate(timeout=60)
    assert program.process.returncode == -signal.SIGKILL, err
    assert out.split() == ["SharedMemory(None,", "size=10)", "True"]
    assert "1 leaked shared_memory objects" in err
    until(lambda: not members(program.process.pid), "processes of the program are left")
    until(lambda: not watch.shared_files(0) - program.before, "files in /dev/shm are left")


@pytest.mark.parametrize("end", ["unlinks", "killed", "forgets"])
def test_what_a_child_named_stays(method, tmp_path, end):
    """The tracker that the child started is that of all processes, and is there until all have ended."""
    path = tmp_path / "program.py"
    path.write_text(NAMED)
    program = Program(path, method, end, warnings="default")  # where they are errors, the tracker loses its own
    out, err = program.process.communicate(timeout=60)
    assert program.process.returncode == (-signal.SIGKILL if end == "killed" else 0), err
    assert out.splitlines() == ["True False True True", "9"]
    if end == "unlinks":
        assert err == ""
    else:
        assert "2 leaked shared_memory objects" in err
        assert "Error" not in err
    until(lambda: not members(program.process.pid), "processes of the program are left")
    until(lambda: not watch.shared_files(0) - program.before, "files in /dev/shm are left")


TMPFILE = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | os.O_EXCL
REFUSED = """
import sys
from mpfast.shared_memory import ShareableList, SharedMemory
memory = SharedMemory(create=True, size=10)
memory.buf[0] = 1
print(memory, memory._nameless)
copy = SharedMemory(memory.name)
print(copy.buf[0])
listed = ShareableList(["a\\0"])
print(list(listed))
for each in (copy, memory, listed.shm):
    each.close()
memory.unlink()
listed.shm.unlink()
"""


@pytest.mark.skipif(not deny.possible(), reason="the numbers of the system calls are not known")
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
@pytest.mark.parametrize("call", ["linkat", f"openat@2:{TMPFILE}", "fchmod", "fcntl@1:6", "flock"])
def test_refused(tmp_path, call, error):
    """Without links or such files it is multiprocessing's way. The rest no single process misses."""
    path = tmp_path / "program.py"
    path.write_text(REFUSED)
    program = Program(path, launcher=(sys.executable, deny.__file__, f"{call}={error}", "--"))
    named, *rest = program.end()
    assert rest == ["1", "['a\\x00']"]
    if call.startswith(("linkat", "openat")):
        assert named.startswith("SharedMemory('psm_")
        assert named.endswith(" False")
    else:
        assert named == "SharedMemory(None, size=10) True"


ATTACHES = """
import sys
from mpfast.shared_memory import ShareableList, SharedMemory
import memories
memory = SharedMemory(sys.argv[1], track=False)
print(memory.buf[0], memories.tracked())
"""


def test_a_program_of_its_own_attaches(tmp_path):
    """python/cpython#82300: its tracker would take the memory from others, so with track=False it has none."""
    path = tmp_path / "program.py"
    path.write_text(ATTACHES)
    memory = mpfast.shared_memory.SharedMemory(create=True, size=10)
    memory.buf[0] = 5
    assert Program(path, memory.name).end() == ["5 False"]
    assert memories.attach("multiprocessing", memory.name)[0] == 5
    memory.close()
    memory.unlink()
