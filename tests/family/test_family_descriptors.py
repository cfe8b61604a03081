# SPDX-License-Identifier: MIT
"""The family's descriptor: a program that closes all it has goes on, and it is never a standard stream."""

import sys

import deny
import programs
import pytest

DAEMON = """
import os, sys, mpfast as mp

def use(lock, queue):
    with lock:
        queue.put(os.getpid())

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    old = ctx.Lock()
    os.closerange(3, 1024)
    with old:
        print("old")
    with ctx.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
    lock, queue = ctx.Lock(), ctx.Queue()
    process = ctx.Process(target=use, args=(lock, queue))
    process.start()
    print(queue.get(timeout=20) == process.pid)
    process.join()
    print(process.exitcode)
"""
FORKED = """
import os, sys, mpfast as mp

def use(lock):
    with lock:
        print("used")

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    old = ctx.Lock()
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 1024)
        process = ctx.Process(target=use, args=(ctx.Lock(),))
        process.start()
        process.join()
    else:
        print(os.waitpid(pid, 0)[1])
"""
OLD = """
import os, sys, mpfast as mp

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    old = ctx.Lock()
    os.closerange(3, 1024)
    try:
        ctx.Process(target=print, args=(old,)).start()
    except OSError as error:
        print(error)
    process = ctx.Process(target=print, args=(type(ctx.Lock()).__name__,))
    process.start()
    process.join()
"""
STREAMS = """
import os, sys, mpfast as mp
from multiprocessing.connection import wait

def stream(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None

if __name__ == "__main__":
    before = [stream(fd) for fd in range(3)]
    lock, queue, simple = mp.Lock(), mp.Queue(), mp.SimpleQueue()
    queue.put(1)
    wait([queue._reader, simple._reader], 10)
    same = [[stream(fd) for fd in range(3)] == before]
    pid = os.fork()
    if pid == 0:
        wait([queue._reader], 10)
        simple.put(1)
        os._exit([stream(fd) for fd in range(3)] != before)
    same.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0)
    with open(sys.argv[1], "w") as file:
        file.write(repr(same))
"""
DENY = [sys.executable, deny.__file__]
CLOSED = "the descriptor of the family segment was closed by other code in this process"


def test_all_closed(method, tmp_path):
    program = programs.write(tmp_path / "program.py", DAEMON)
    assert programs.run(program, method).lines() == ["old", "[1, 2]", "True", "0"]


def test_a_daemon_hands_its_first_lock_over(method, tmp_path):
    """It forks, closes all, and makes a lock. No queue has found before that the descriptor is gone."""
    program = programs.write(tmp_path / "program.py", FORKED)
    assert programs.run(program, method).lines() == ["used", "0"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_was_made_before_says_so(method, tmp_path):
    program = programs.write(tmp_path / "program.py", OLD)
    said, name = programs.run(program, method).lines()
    assert (said, name) == (f"[Errno 9] cannot hand mpfast objects to a child: {CLOSED}", "Lock")


@pytest.mark.parametrize("closed", ["<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_none_is_a_standard_stream(closed, tmp_path):
    program, log = programs.write(tmp_path / "program.py", STREAMS), tmp_path / "log"
    programs.run(program, log, before=["sh", "-c", f'exec "$@" {closed}', "sh"])
    assert log.read_text() == "[True, True]"


@pytest.mark.parametrize(
    ("refused", "service"),
    [
        ("memfd_create=EPERM", "a memory file, memfd_create"),
        ("fcntl@1:37=EINVAL", "locks of open file descriptions, F_OFD_SETLK"),
    ],  # 37: F_OFD_SETLK
)
def test_a_refused_call_is_named_truly(refused, service, tmp_path):
    program = programs.write(tmp_path / "program.py", "import mpfast\nmpfast.Lock()\n")
    done = programs.run(program, before=[*DENY, refused, "--"])
    assert done.err.endswith(f"this system refuses {service} (see python -m mpfast doctor)\n")


def test_without_getrandom(tmp_path):
    program = programs.write(tmp_path / "program.py", "import mpfast\nprint(mpfast.Lock())\n")
    assert programs.run(program, before=[*DENY, "getrandom=ENOSYS", "--"]).lines() == ["<Lock(owner=None)>"]
