# SPDX-License-Identifier: MIT
"""What mpfast's launching has over multiprocessing's: descriptors, exit codes, state that travels, errors that name the
culprit, many at a time. (Whoever is killed: stress/test_launch_kills.py; Ctrl-C: test_launch_ctrl_c.py.)"""

import importlib.util
import multiprocessing
import os
import pickle
import select
import shutil
import signal
import sys
import threading
from multiprocessing import connection

import launched
import programs
import pytest
import test_launch_limits
import watch
import workers
from harness import PATIENCE, Thread

import mpfast

program = test_launch_limits.program
CLOUDPICKLE = importlib.util.find_spec("cloudpickle") is not None


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
    text = test_launch_limits.FEW_DESCRIPTORS.replace("(64, 64)", "(64, 4096)")
    done = program("assert run(ctx) == 3\nbefore = descriptors()\n" + text + NOTHING_LEFT)
    assert done.lines() == ["EMFILE True", "True {-9}", "set()", "True"]


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_few_processes(program):
    """What the server cannot do comes out of start() as the error that it got."""
    text = test_launch_limits.FEW_PROCESSES.replace("print(1 < len", "print(0 < len").replace("+ 6", "+ 12")
    text = text.replace("< 10", "< 20").replace("while tasks() > limit - 4", "while tasks() > limit - 2")
    done = program(text, *test_launch_limits.few_rights(), cwd="/")
    assert done.lines() == ["BlockingIOError EAGAIN", "True True {-9}", "set()"]


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


# The fork server -----------------------------------------------------------------------------------------------------

IMPORTS = """
import {mp} as mp, os, sys
print("imported by", os.getpid() if __name__ == "__main__" else "another", flush=True)
def target():
    pass
if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    for _ in range(4):
        process = ctx.Process(target=target)
        process.start()
        process.join()
        print(process.exitcode, flush=True)
"""


@pytest.mark.parametrize("how", ["script", "-m", "-m package.module"])
def test_main_is_imported_once(tmp_path, how):
    """By the fork server, for all of its children, whichever way it was found."""
    programs.write(tmp_path / "package" / "__init__.py", "")
    for path in ("script.py", "package/module.py"):
        programs.write(tmp_path / path, IMPORTS, mp="mpfast")
    arguments = {"script": ["script.py"], "-m": ["-m", "script"], "-m package.module": ["-m", "package.module"]}[how]
    lines = programs.run(*arguments, cwd=tmp_path).lines()
    assert sum(line.startswith("imported") for line in lines) == 2
    assert lines.count("0") == 4


PRELOAD = """
import {mp} as mp, sys
def target(link):
    link.send("loud" in sys.modules)
if __name__ == "__main__":
    sys.path.insert(0, {place})
    mp.set_forkserver_preload({modules}{more})
    ctx = mp.get_context("forkserver")
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=target, args=(writer,))
    process.start()
    print(reader.recv(), flush=True)
    process.join()
"""


def preload(tmp_path, modules, more=""):
    programs.write(tmp_path / "modules" / "loud.py", "print('loud', flush=True)")
    names = {"mp": "mpfast", "place": repr(str(tmp_path / "modules")), "modules": repr(modules), "more": more}
    return programs.run(programs.write(tmp_path / "script.py", PRELOAD, **names))


def test_preload(tmp_path):
    assert preload(tmp_path, ["__main__", "loud"]) == (0, "loud\nTrue\n", "")
    assert preload(tmp_path, ["__main__", "no_such_module"]) == (0, "False\n", "")


def test_preload_that_fails(tmp_path):
    """on_error, of 3.15, on all versions."""
    modules = ["__main__", "no_such_module"]
    assert preload(tmp_path, modules, ", on_error='ignore'") == (0, "False\n", "")
    warned = preload(tmp_path, modules, ", on_error='warn'")
    assert (warned.code, warned.out) == (0, "False\n")
    assert "ImportWarning: Failed to preload module 'no_such_module'" in warned.err
    failed = preload(tmp_path, modules, ", on_error='fail'")
    assert failed.code == 1
    assert "no_such_module" in failed.err


def test_preload_of_nonsense():
    with pytest.raises(TypeError):
        mpfast.set_forkserver_preload([5])
    with pytest.raises(ValueError, match="^on_error must be 'ignore', 'warn', or 'fail', not 'nonsense'$"):
        mpfast.set_forkserver_preload(["__main__"], on_error="nonsense")


def test_a_server_without_a_name(program):
    """Nothing in the file system, no socket with a name: no stranger can ask it for a process."""
    done = program("""
import tempfile
names = lambda: {line.split()[-1] for line in open("/proc/net/unix") if len(line.split()) > 7}
files = lambda: set(os.listdir(tempfile.gettempdir())) | set(os.listdir("/dev/shm"))
before = names(), files()
assert run(ctx) == 3
print({name for name in names() - before[0] if "listener" in name or str(os.getpid()) in name})
print({name for name in files() - before[1] if name.startswith("pymp")})
""")
    assert done.lines() == ["set()", "set()"]


def test_children_of_children(ctx, method):
    """Three generations, each started by its parent's own means."""
    process = ctx.Process(target=launched.descend, args=(ctx, 3))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 3
    process.close()


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_after_a_fork_of_the_user(ctx):
    """A child of os.fork() has the parent's server in its memory, but must not take the parent's parked children."""
    run(ctx)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(10 + run(ctx))
        except BaseException:
            os._exit(1)
    assert run(ctx) == 7
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 17
    assert run(ctx) == 7


def run(ctx):
    process = ctx.Process(target=launched.exit_with, args=(7,))
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.close()
    return code


# Many at a time ------------------------------------------------------------------------------------------------------


def test_start_many(ctx):
    processes = [ctx.Process(target=launched.exit_with, args=(number % 5,)) for number in range(40)]
    ctx.start_many(processes)
    assert len({process.pid for process in processes}) == 40
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [number % 5 for number in range(40)]
    for process in processes:
        process.close()


def test_start_many_of_none(ctx):
    ctx.start_many([])
    ctx.start_many(ctx.Process() for _ in range(0))


def test_start_many_checks_them_all_first(ctx, start):
    """One of them cannot be started: what start() says, and none is."""
    fresh = [ctx.Process(target=workers.nothing) for _ in range(3)]
    running = start().process
    for wrong, kind in ((running, AssertionError), (closed(ctx), ValueError), (None, (AttributeError, TypeError))):
        with pytest.raises(kind):
            ctx.start_many([*fresh, wrong])
    with pytest.raises((AssertionError, ValueError)):
        ctx.start_many([fresh[0], fresh[0]])
    assert [process.pid for process in fresh] == [None] * 3


def closed(ctx):
    process = ctx.Process()
    process.close()
    return process


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_start_many_with_one_that_cannot_be_sent(ctx):
    """The error comes out; whatever runs by then has its process object."""
    processes = [ctx.Process(target=workers.nothing) for _ in range(3)]
    processes.insert(1, ctx.Process(target=workers.nothing, args=(threading.Lock(),)))
    with pytest.raises(TypeError):
        ctx.start_many(processes)
    for process in processes:
        if process.pid is not None:
            process.join(PATIENCE)
            assert process.exitcode == 0
    assert processes[1].pid is None


def test_start_many_of_subclasses(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    processes = [launched.adder_class(ctx)([number], writer) for number in range(3)]
    ctx.start_many(processes)
    assert sorted(reader.recv()[0] for _ in processes) == [0, 1, 2]
    for process in processes:
        process.join(PATIENCE)
        process.close()
    reader.close()
    writer.close()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_prewarm(ctx, n):
    """It does no harm with any method, and starts no process."""
    assert ctx.prewarm(n) is None
    assert multiprocessing.active_children() == []
    assert run(ctx) == 7


@pytest.mark.parametrize("wrong", [-1, "two", 1.5])
def test_prewarm_of_nonsense(ctx, wrong):
    with pytest.raises((ValueError, TypeError)):
        ctx.prewarm(wrong)


# By value, and errors that name the culprit --------------------------------------------------------------------------


class Box:
    def __init__(self, content):
        self.cfg = {"log": [1, content]}


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"args": (1, Box(threading.Lock()))}, "args[1].cfg['log'][1] (lock)"),
        ({"args": ([{"key": threading.Lock()}],)}, "args[0][0]['key'] (lock)"),
        ({"kwargs": {"option": threading.Lock()}}, "kwargs['option'] (lock)"),
        ({"args": ((x for x in ()),)}, "args[0] (generator)"),
    ],
)
def test_the_culprit_is_named(ctx, options, path):
    process = ctx.Process(target=workers.nothing, **options)
    with pytest.raises((TypeError, pickle.PicklingError)) as caught:
        process.start()
    assert any(f"{path} cannot be sent to the child" in note for note in caught.value.__notes__), caught.value.__notes__


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_lambda(ctx):
    """With cloudpickle it is sent by value; without, and in strict mode, the error names it."""
    process = ctx.Process(target=lambda: sys.exit(5))
    if CLOUDPICKLE:
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == 5
    else:
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
            process.start()
        assert any("target" in note for note in caught.value.__notes__)
    process.close()


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_strict_pickling(ctx, monkeypatch):
    monkeypatch.setattr(mpfast, "strict_pickling", True)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        ctx.Process(target=lambda: None).start()


COMMAND = """
import mpfast
def target(number):
    print("target", number, flush=True)
process = mpfast.get_context({method}).Process(target=target, args=(1,))
process.start()
process.join()
print("exit code", process.exitcode)
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_function_of_a_command(method):
    """python -c has no file that a child could import."""
    done = programs.run("-c", COMMAND.replace("{method}", repr(method)))
    if CLOUDPICKLE:
        assert done == (0, "target 1\nexit code 0\n", "")
    else:
        assert done.code == 1
        assert "target" in done.err.strip().splitlines()[-1]


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
