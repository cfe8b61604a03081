# SPDX-License-Identifier: MIT
"""What mpfast's launching has over multiprocessing's: descriptors, exit codes, state that travels, errors that name the
culprit, many at a time. (Whoever is killed: tests/stress/test_launch_kills.py; Ctrl-C: test_launch_ctrl_c.py.)"""

import os
import select
import shutil
import signal
import sys
from multiprocessing import connection

import launched
import little_room
import programs
import pytest
import watch
from harness import PATIENCE, Thread

import mpfast


@pytest.fixture
def mp():
    return mpfast


# The child, seen from its parent -------------------------------------------------------------------------------------


def test_one_descriptor_for_a_child(start):
    """The sentinel. (The harness's pipe is another, and the context may keep something ready.)"""
    start()
    before = len(watch.descriptors())
    children = [start() for _ in range(20)]
    assert len(watch.descriptors()) - before <= 2 * len(children) + 8


def test_several_joins_know_the_exit_code(start):
    """Whichever thread reaps it: once join() is over, the exit code is there."""
    for _ in range(20):
        process = start().process

        def join(process=process):
            process.join()
            return process.exitcode

        waiters = [Thread(join) for _ in range(3)]
        process.kill()
        assert [waiter.result() for waiter in waiters] == [-signal.SIGKILL] * 3


def test_the_sentinel_is_no_pipe(ctx, start):
    """It is ready when the process has ended, whatever became of its descriptors."""
    event = ctx.Event()
    process = ctx.Process(target=launched.close_all_and_sleep, args=(event,))
    process.start()
    assert event.wait(PATIENCE)
    assert connection.wait([process.sentinel], 0.1) == []
    assert process.is_alive()
    process.kill()
    assert connection.wait([process.sentinel], PATIENCE) == [process.sentinel]
    process.join()
    process.close()


def test_descendants_do_not_keep_the_sentinel(ctx):
    """A child ends and leaves a process of os.fork() behind, which has all of its descriptors."""
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=launched.leave_one_behind, args=(writer,))
    process.start()
    pid = int(reader.recv_bytes())
    try:
        assert connection.wait([process.sentinel], PATIENCE) == [process.sentinel]
        process.join(PATIENCE)
        assert process.exitcode == 0
    finally:
        os.kill(pid, signal.SIGKILL)
    process.close()
    reader.close()
    writer.close()


def test_the_sentinel_is_a_pidfd(start):
    """So that it can be used as one."""
    child = start()
    signal.pidfd_send_signal(child.process.sentinel, signal.SIGKILL)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -signal.SIGKILL


def test_edge_triggered(start):
    """An event loop that is told only of changes gets the end."""
    child = start()
    with select.epoll() as epoll:
        epoll.register(child.process.sentinel, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(0) == []
        child.kill()
        assert epoll.poll(PATIENCE)[0][0] == child.process.sentinel


def test_no_servants_nobody_needs(program, method):
    """No resource tracker; but for the fork server and what it has ready, only the process itself."""
    done = program("""
process = start(ctx)
lines = [open(f"/proc/{pid}/cmdline").read() for pid in children()]
print(any("resource_tracker" in line for line in lines), len(lines))
end([process])
""")
    assert done.lines() == ["False 1"]


# Little room ---------------------------------------------------------------------------------------------------------

NOTHING_LEFT = """
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
del processes, error
print(descriptors() <= before + 8)
"""


def test_few_descriptors(program):
    """Also the fork server says what is missing, and nothing that start() had opened stays."""
    text = little_room.FEW_DESCRIPTORS.replace("(64, 64)", "(64, 4096)")
    done = program("assert run(ctx) == 3\nbefore = descriptors()\n" + text + NOTHING_LEFT)
    assert done.lines() == ["EMFILE True", "True {-9}", "set()", "True"]


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_few_processes(program):
    """What the server cannot do comes out of start() as the error that it got."""
    text = little_room.FEW_PROCESSES.replace("print(1 < len", "print(0 < len").replace("+ 6", "+ 12")
    text = text.replace("< 10", "< 20").replace("while tasks() > limit - 4", "while tasks() > limit - 2")
    both = "for pid in {os.getpid(), *servants}:\n    resource.prlimit(pid, resource.RLIMIT_NPROC, (limit, limit))"
    text = text.replace("resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))", both)
    done = program(text, *little_room.few_rights(), cwd="/")
    assert done.lines() == ["BlockingIOError EAGAIN", "True True {-9}", "set()"]


def test_no_memory(program, no_memory):
    """What fork() says where it is called comes out of start(), and nothing that was opened for it stays."""
    lines = program(little_room.NO_MEMORY, **no_memory).lines()
    assert lines == ["OSError ENOMEM True", "False set()"]


def test_all_descriptors_are_closed(program):
    """It works, and what has their numbers by then is left alone."""
    done = program("""
assert run(ctx) == 3
os.closerange(3, 256)
mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
print(run(ctx), run(ctx))
print(all(os.readlink(f"/proc/self/fd/{fd}") == "/dev/null" for fd in mine))
""")
    assert (done.code, done.out) == (0, "3 3\nTrue\n"), done.err


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="mounting is root's")
def test_without_proc(program):
    """It works, or an error says what is missing."""
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "-"]
    done = program("print(run(ctx))", *hide)
    if done.err.startswith(("unshare:", "mount:")):
        pytest.skip(done.err)
    if done.out != "3\n":
        assert "/proc" in done.err.strip().splitlines()[-1], done.err


# State that travels --------------------------------------------------------------------------------------------------

STATE = """
def state(link):
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    link.send((os.environ.get("MPFAST_TEST_STATE"), sorted(os.sched_getaffinity(0)), sorted(map(int, masked))))
def tell():
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=state, args=(writer,))
    process.start()
    said = reader.recv()
    process.join()
    process.close()
    return said
def mine():
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return os.environ.get("MPFAST_TEST_STATE"), sorted(os.sched_getaffinity(0)), sorted(map(int, masked))
if __name__ == "__main__":
    ctx = mp.get_context({method})
    print(tell() == mine())
    os.environ["MPFAST_TEST_STATE"] = "set"
    print(tell() == mine())
    del os.environ["MPFAST_TEST_STATE"]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    print(tell() == mine())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    print(tell() == mine())
    os.sched_setaffinity(0, cpus)
    print(tell() == mine())
"""


def test_state_of_the_moment(method, tmp_path):
    """Environment, signal mask and CPUs are the parent's when start() is called, however old the fork server is."""
    text = "import mpfast as mp, os, signal, sys\n" + STATE
    script = programs.write(tmp_path / "program.py", text, method=repr(method))
    assert programs.run(script).lines() == ["True"] * 5


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("method", ["fork", "forkserver"], indirect=True)
def test_another_user(program):
    """A program that gives its rights away: no child has them afterwards."""
    done = program("""
assert run(ctx) == 3
os.setresgid(61234, 61234, 61234)
os.setresuid(61234, 61234, 61234)
try:
    process = start(ctx)
    print([line.split()[1:] for line in open(f"/proc/{process.pid}/status") if line.startswith(("Uid", "Gid"))])
    end([process])
except PermissionError:
    print("only root can read the interpreter")
""")
    assert done.code == 0, done.err
    assert done.out in (f"{[['61234'] * 4] * 2}\n", "only root can read the interpreter\n")


@pytest.mark.parametrize("count", [10, 249, 250, 251, 600])
@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_many_descriptors_travel(ctx, count):
    """More than the kernel takes at once, and more than multiprocessing does."""
    pipes = [ctx.Pipe(duplex=False) for _ in range(count)]
    process = ctx.Process(target=launched.tell_numbers, args=([writer for _, writer in pipes],))
    process.start()
    for number, (reader, _) in enumerate(pipes):
        assert reader.poll(PATIENCE)
        assert reader.recv() == number
    process.join(PATIENCE)
    assert process.exitcode == 0
    process.close()
    for pair in pipes:
        for end in pair:
            end.close()


# Where the kernel does not have it -----------------------------------------------------------------------------------


def test_the_stdlibs_launchers(program, method):
    """By request, as where pidfds are forbidden: everything works, by the stdlib's means."""
    text = "print(run(ctx), type(start(ctx, exit_with, 0)._popen).__mro__[-2].__module__)"
    done = program(text, MPFAST_LAUNCH="stdlib")
    assert done.lines() == ["3 multiprocessing.popen_fork"]


def test_another_executable(method, tmp_path):
    """set_executable() is for spawn and the fork server: whatever it is, it is used."""
    log = tmp_path / "log"
    python = programs.write(tmp_path / "python", f'#!/bin/sh\necho used >> {log}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    text = """
    import mpfast, sys
    if __name__ == "__main__":
        mpfast.set_executable({python})
        process = mpfast.get_context({method}).Process(target=sys.exit, args=(4,))
        process.start()
        process.join()
        print(process.exitcode)
    """
    script = programs.write(tmp_path / "script.py", text, python=repr(str(python)), method=repr(method))
    assert programs.run(script).lines() == ["4"]
    assert log.exists() == (method != "fork")
