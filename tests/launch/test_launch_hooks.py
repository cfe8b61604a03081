# SPDX-License-Identifier: MIT
"""Functions of the standard library that tools replace are called by mpfast's launchers as by multiprocessing's."""

import re
from pathlib import Path

import hooked
import programs
import pytest

ROOT = Path(__file__).resolve()
while not (ROOT / "docs").is_dir():
    ROOT = ROOT.parent
# Small parts of multiprocessing's launchers: there is nothing that a tool could do with them.
PARTS = {
    *("context._force_start_method", "context.get_spawning_popen", "context.set_spawning_popen"),
    *("process.current_process", "reduction.sendfds", "spawn._check_not_importing_main"),
    *("forkserver.read_signed", "forkserver.write_signed", "util.close_fds", "util.debug", "util.info"),
    *(
        "util.get_temp_dir",
        "util._get_base_temp_dir",
        "util._remove_temp_dir",
        "util.is_abstract_socket_namespace",
        "util.sub_debug",
    ),
}


def rows():
    """The table in the document: (function, [fork, spawn, forkserver])."""
    text = (ROOT / "docs/launching.md").read_text().partition("## What tools replace")[2].partition("\n## ")[0]
    for name, methods, *cells in re.findall(r"^\| `([\w.]+)`('s methods)? \| (\S+) \| (\S+) \| (\S+) \|$", text, re.M):
        yield name + (".*" if methods else ""), dict(zip(["fork", "spawn", "forkserver"], cells, strict=True))


def record(path, package, method, *names):
    """The functions that were called, and by name who launched while it was replaced."""
    done = programs.run(hooked.__file__, package, method, path, *names)
    return set(path.read_text().split()), dict(line.split() for line in done.lines())


def row_of(name, table):
    return name if name in table else f"{name.rpartition('.')[0]}.*"


def test_every_function(tmp_path, method):
    """The table has all that multiprocessing calls; mpfast calls them too, by the launcher that the table says."""
    table = {name: cells[method] for name, cells in rows()}
    called, _ = record(tmp_path / "stdlib", "multiprocessing", method)
    wanted = called - PARTS
    if method == "forkserver":
        wanted.discard("os.waitpid")  # to stop the server, in hooked.py
    assert {row_of(name, table) for name in wanted} == {
        name for name, cell in table.items() if cell != "no" and (name, method) != ("os.waitpid", "forkserver")
    }
    passed, launchers = record(tmp_path / "mpfast", "mpfast", method, *sorted(wanted))
    assert wanted - passed == set()
    assert launchers == {name: table[row_of(name, table)] for name in wanted}


HOOK = """
import {mp} as mp, multiprocessing.connection, multiprocessing.popen_fork, os, sys
calls = []
def note(owner, name):
    real = getattr(owner, name)
    def hook(*args):
        calls.append(name)
        return real(*args)
    setattr(owner, name, hook)
def target(code):
    sys.exit(code + len(calls))
if __name__ == "__main__":
    ctx = mp.get_context({method})
    {main}
"""


@pytest.fixture
def program(mp, method, tmp_path):
    """What a program prints that has replaced functions with note()."""

    def run(main, *arguments):
        main = main.strip("\n").replace("\n", "\n    ")
        path = programs.write(tmp_path / "program.py", HOOK, mp=mp.__name__, method=repr(method), main=main)
        return programs.run(*arguments, path).lines()

    return run


LIFE = """
process = ctx.Process(target=target, args=(5,), daemon=True)
process.start()
process.join()
print(process.exitcode, process.is_alive(), process in mp.active_children())
print(*sorted(set(calls)))
"""


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_fork_through_the_hook(program):
    """The child has seen the call, as its parent has."""
    assert program("note(os, 'fork')" + LIFE) == ["6 False False", "fork"]


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_fork_that_the_hook_refuses(program):
    lines = program("""
os.fork = lambda: 1 / 0
before = len(os.listdir("/proc/self/fd"))
try:
    ctx.Process(target=target).start()
except ZeroDivisionError:
    print("refused", len(os.listdir("/proc/self/fd")) - before)
""")
    assert lines[0] in ("refused 0", "refused 4")  # multiprocessing leaves its pipes behind


def test_a_child_that_the_hook_has_reaped(program):
    """As an event loop does, which then answers from its notes."""
    assert program("""
real, notes = os.waitpid, {}
def waitpid(pid, flags):
    if pid not in notes:
        notes[pid] = real(pid, flags)
    answer = notes[pid]
    if not answer[0]:
        del notes[pid]
    return answer
os.waitpid = waitpid
process = ctx.Process(target=target, args=(7,))
process.start()
process.join()
print(process.exitcode)
""") == ["7"]


def test_a_join_with_a_timeout_waits_by_the_selector(program):
    """Which an event loop has replaced together with waitpid()."""
    assert program("""
import signal
note(os, "waitpid")
class Selector(multiprocessing.connection._WaitSelector):
    def select(self, timeout=None):
        calls.append("select")
        return super().select(timeout)
multiprocessing.connection._WaitSelector = Selector
process = ctx.Process(target=signal.pause)
process.start()
process.join(.01)
print(process.exitcode, "select" in calls)
process.kill()
process.join(60)
print(process.exitcode)
""") == ["None True", "-9"]


@pytest.mark.parametrize("mp", ["mpfast"], indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_stand_in_is_no_tool(program, method, when):
    """What it has replaced itself changes nothing; what a tool replaces before or after it does."""
    if method == "fork":
        pytest.skip("the stand-in replaces nothing that fork calls")
    install = "mp.install()"
    plain = program(f"{install}\nprint(type(ctx.Process(target=int)._Popen).__name__)" + LIFE)
    assert plain[1:] == ["5 False False", ""]
    note = "import multiprocessing.util\nnote(multiprocessing.util, 'spawnv_passfds')"
    lines = program(f"{note}\n{install}" + LIFE if when == "before" else f"{install}\n{note}" + LIFE)
    assert lines == ["5 False False", "spawnv_passfds"]


GEVENT = """
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(.01)
gevent.spawn(tick)
gevent.sleep(0)
process = ctx.Process(target=gevent.sleep, args=(.5,))
process.start()
before = ticks
process.join()
print(process.exitcode, ticks - before > 5)
process = ctx.Process(target=gevent.sleep, args=(30,))
process.start()
before = ticks
process.join(.3)
print(process.exitcode, ticks - before > 5)
process.terminate()
process.join()
print(process.exitcode, process.is_alive())
"""


def test_gevent(program, mp, method):
    """Its loop goes on during join(): with multiprocessing for forked children, or where there is a timeout."""
    pytest.importorskip("gevent")
    lines = program("import gevent.monkey; gevent.monkey.patch_all(); import gevent" + GEVENT)
    always = mp.__name__ == "mpfast" or method != "spawn"
    assert lines == [f"0 {always}", "None True", "-15 False"]
