# SPDX-License-Identifier: MIT
"""Programs that met a fault in launching: main modules that start threads or look at their name, and warnings."""

import gc
import os
import pkgutil
import sys
import weakref
from typing import NamedTuple

import programs
import pytest

import mpfast
from mpfast.launch import child as launch
from mpfast.launch.forkserver import spares

FORK_BESIDE_A_THREAD = """
import {mp} as mp, threading
if __name__ == "__main__":
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    process = mp.get_context({method}).Process(target=print, args=("child",), kwargs={"flush": True})
    try:
        process.start()
        process.join()
        print(process.exitcode)
    except DeprecationWarning as warning:
        print("This process" in str(warning))
    end.set()
    thread.join()
"""


def test_a_start_beside_a_thread_where_warnings_are_errors(mp, method, tmp_path):
    """os.fork() drops the error up to 3.14. 3.15 raises it."""
    path = programs.write(tmp_path / "program.py", FORK_BESIDE_A_THREAD, mp=mp.__name__, method=repr(method))
    done = programs.run("-W", "error", path)
    if method == "fork" and sys.version_info >= (3, 15):
        assert done.out.splitlines()[-1] == "True"
    else:
        assert done == (0, "child\n0\n", "")


MAIN = """
import {mp} as mp, multiprocessing, os, sys, threading
{definitions}
def target():
    {body}
if __name__ == "__main__":
    {before}
    ctx = mp.get_context({method})
    for _ in range(3):
        process = ctx.Process(target=target)
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode
"""


@pytest.fixture
def main(mp, method, tmp_path):
    """Runs a program whose three children print one after the other what `body` prints."""

    def run(definitions, body, before="pass", *arguments):
        names = {"mp": mp.__name__, "method": repr(method), "definitions": definitions, "before": before}
        path = programs.write(tmp_path / "program.py", MAIN, body=body, **names)
        return programs.run(*arguments, path).lines()

    return run


THREAD = """
lock = threading.Lock()
def beat(event=threading.Event()):
    with lock:
        event.wait()
threading.Thread(target=beat, daemon=True).start()
"""
NATIVE_THREAD = """
import ctypes
lock = threading.Lock()
ROUTINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
libc = ctypes.CDLL(None)
routine = ctypes.cast(libc.pause, ctypes.c_void_p)
handle = ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(handle), None, routine, None) == 0
"""

PREPARED = (
    NATIVE_THREAD
    + """
assert libc.pthread_setname_np(handle, b"jemalloc_bg_thd") == 0  # a library that has fork handlers for its thread
"""
)


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize(("definitions", "free"), [(THREAD, False), (NATIVE_THREAD, True)], ids=["python", "native"])
def test_a_main_module_that_starts_a_thread(mp, main, definitions, free):
    """Each child has the thread: the main module is not imported beforehand."""
    if mp.__name__ == "multiprocessing" and sys.version_info >= (3, 14):
        pytest.skip("multiprocessing imports it beforehand")
    body = 'print(lock.acquire(timeout=.1), len(os.listdir("/proc/self/task")), flush=True)'
    assert main(definitions, body) == [f"{free} 2"] * 3


@pytest.mark.parametrize("mp", ["mpfast"], indirect=True)
@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
@pytest.mark.parametrize("where", ["kernel", "table"])
@pytest.mark.parametrize(
    ("definitions", "expected"), [(THREAD, 3 + 1), (PREPARED, 1), ("", 1)], ids=["thread", "prepared", "plain"]
)
def test_who_imports_the_main_module(main, monkeypatch, where, definitions, expected):
    """The server alone, unless there is a thread: then it begins again, and each child does. It is one process."""
    monkeypatch.setenv("MPFAST_LAUNCH", where)
    definitions += '\nif __name__ != "__main__": print("imported", os.getppid(), flush=True)'
    lines = main(definitions, 'print("child", os.getppid(), flush=True)')
    imported = [line.split() for line in lines if line.startswith("imported")]
    servers = {line.split()[1] for line in lines if line.startswith("child")}
    assert len(imported) == expected
    assert len(servers) == 1
    assert sum(pid in servers for _, pid in imported) == expected - 1


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize("preload", ["pass", "mp.set_forkserver_preload([])"], ids=["preloaded", "not preloaded"])
def test_the_name_that_the_main_module_sees(mp, main, method, preload):
    """The first child's, as if that had imported it; with no preloading, each child's own."""
    if mp.__name__ == "multiprocessing" and sys.version_info >= (3, 14):
        pytest.skip("where multiprocessing imports the main module beforehand, it is MainProcess")
    name = {"forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[method]
    same = mp.__name__ == "mpfast" and method == "forkserver" and preload == "pass"
    lines = main(
        "seen = multiprocessing.current_process().name",
        "print(seen, process_name(), flush=True)".replace("process_name()", "multiprocessing.current_process().name"),
        preload,
    )
    assert lines == [f"{name}-{1 if same else i} {name}-{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
@pytest.mark.parametrize("seeded", [False, True])
def test_numpys_generator(main, seeded):
    """Each child has other numbers, unless the main module has given it a seed."""
    pytest.importorskip("numpy")
    seed = "numpy.random.seed(5)" if seeded else "numpy.random.random()"
    lines = main(f"import numpy.random\n{seed}", "print(numpy.random.random(), flush=True)")
    assert len(lines) == 3
    assert len(set(lines)) == (1 if seeded else 3)


def test_the_end_of_the_program_is_in_its_log_once(mp, method, tmp_path):
    """The servers have ends of their own, of which the program's log says nothing."""
    before = "mp.log_to_stderr(20)"
    names = {"mp": mp.__name__, "method": repr(method), "definitions": "", "before": before, "body": "pass"}
    done = programs.run(programs.write(tmp_path / "program.py", MAIN, **names))
    assert done.code == 0
    assert done.err.count("[INFO/MainProcess] process shutting down") == 1


WITHOUT_PROC = """
import mpfast, mpfast.queues, os, sys
def target():
    try:
        mpfast.Queue().put(1)
    except OSError as error:
        print(error, flush=True)
if __name__ == "__main__":
    context = mpfast.get_context("fork")
    lock = context.Lock()
    for root in ("/", {root}):
        os.chroot(root)
        process = context.Process(target=target)
        process.start()
        process.join()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot()")
def test_a_child_without_proc(tmp_path):
    """It cannot open its family's segment. The error says what is missing."""
    root = tmp_path / "root"
    root.mkdir()
    lines = programs.run(programs.write(tmp_path / "program.py", WITHOUT_PROC, root=repr(str(root)))).lines()
    assert len(lines) == 1
    assert "mpfast needs /proc" in lines[0]


class Source(NamedTuple):
    """Refers to what refers to it. The collector clears no tuple, so it comes to the others."""

    table: None
    keeper: dict


def test_children_that_wait_in_a_cycle(monkeypatch):
    """Their descriptors are closed, whatever the collector has cleared before."""
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: complaints.append(repr(unraisable.exc_value)))
    before = len(os.listdir("/proc/self/fd"))
    fd = os.memfd_create("server")
    source = Source(None, {})
    source.keeper["spares"] = spares.Spares(fd, launch.Child(), source)
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del source
    gc.collect()
    assert (complaints, len(os.listdir("/proc/self/fd"))) == ([], before)


LOCKS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition")
QUEUES = ("Queue", "JoinableQueue", "SimpleQueue")
CLASSES = {  # with an end of their own, and how an object of a subclass is made
    **{name: (f"mpfast.synchronize.{name}", (), {}) for name in LOCKS},
    **{name: (f"mpfast.queues.{name}", (), {"ctx": mpfast.get_context("fork")}) for name in QUEUES},
    "Barrier": ("mpfast.synchronize.Barrier", (2,), {}),
    "Child": ("mpfast.launch.child.Child", (), {}),
    "Table": ("mpfast.launch.forkserver.exit_table.Table", (), {}),
}


@pytest.mark.parametrize("name", CLASSES)
def test_objects_in_a_cycle(monkeypatch, name):
    """The collector clears them before their end, which complains of nothing and leaves no descriptor."""
    path, arguments, options = CLASSES[name]
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: complaints.append(repr(unraisable.exc_value)))
    before = len(os.listdir("/proc/self/fd"))
    cls = pkgutil.resolve_name(path)
    made = type("Derived", (cls,), {})(*arguments, **options)
    made.itself = made
    if name in QUEUES:
        made.put(b"x" * 100_000)
        assert len(made.get()) == 100_000
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
    assert (complaints, len(os.listdir("/proc/self/fd"))) == ([], before)


def test_a_connection_in_a_cycle(monkeypatch):
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: complaints.append(repr(unraisable.exc_value)))
    before = len(os.listdir("/proc/self/fd"))
    ends = mpfast.Pipe()
    for end in ends:
        end.itself = ends
    ends[0].send(bytes(100_000))
    ends[1].recv()
    del ends, end
    gc.collect()
    assert (complaints, len(os.listdir("/proc/self/fd"))) == ([], before)
