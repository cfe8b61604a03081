# SPDX-License-Identifier: MIT
"""The fork server: what it imports, who can ask it, and what becomes of it where processes multiply in other ways."""

import os

import launched
import programs
import pytest
from harness import PATIENCE

import mpfast


@pytest.fixture
def mp():
    return mpfast


def run(ctx):
    process = ctx.Process(target=launched.exit_with, args=(7,))
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.close()
    return code


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
    return programs.run("-W", "default::ImportWarning", programs.write(tmp_path / "script.py", PRELOAD, **names))


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


def test_a_server_without_a_name(program, tmp_path):
    """Nothing in the file system, no socket with a name: no stranger can ask it for a process."""
    done = program(
        """
import tempfile
names = lambda: {line.split()[-1] for line in open("/proc/net/unix") if len(line.split()) > 7}
files = lambda: set(os.listdir(tempfile.gettempdir())) | set(os.listdir("/dev/shm"))
before = names(), files()
assert run(ctx) == 3
print({name for name in names() - before[0] if tempfile.gettempdir() in name or str(os.getpid()) in name})
print({name for name in files() - before[1] if name.startswith("pymp")})
""",
        TMPDIR=str(tmp_path),
    )
    assert done.lines() == ["set()", "set()"]


def test_children_of_children(ctx, method):
    """Three generations, each started by its parent's own means."""
    process = ctx.Process(target=launched.descend, args=(ctx, 3))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 3
    process.close()


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_a_server_that_is_stopped(program):
    """Is replaced when a start finds no spare. Its children live on."""
    done = program(
        """
import time, signal
from mpfast.launch.forkserver.client import client
assert run(ctx) == 3
before = ctx.Process(target=time.sleep, args=(600,), daemon=True)
before.start()
server = client._process.pid
os.kill(server, signal.SIGSTOP)
print([run(ctx) for _ in range(4)], client._process.pid != server, before.is_alive())
before.kill()
before.join()
print(before.exitcode)
"""
    )
    assert done.lines() == ["[3, 3, 3, 3] True True", "-9"]


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_after_a_fork_of_the_user(ctx):
    """A child of os.fork() has the parent's server in its memory, but must not take the parent's spares."""
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
