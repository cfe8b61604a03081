# SPDX-License-Identifier: MIT
"""The contexts: the contract of multiprocessing's, and that mpfast's state is its own.

The start method of a program is global and set once, so most tests here are programs.
"""

import importlib
import multiprocessing.context
import multiprocessing.process
import os
import subprocess
import sys

import jobs
import pytest

DEFAULT = "forkserver" if sys.version_info >= (3, 14) else "fork"
TIMEOUT = 60


@pytest.fixture
def program(mp, tmp_path):
    """Runs a program, `mp` in it is the package under test, and returns what it prints, line by line."""

    def run(text):
        script = tmp_path / "program.py"
        script.write_text(f"import {mp.__name__} as mp, os, sys\n" + text)
        done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


MAIN = "\nif __name__ == '__main__':\n"


def test_get_context(mp, method):
    ctx = mp.get_context(method)
    assert ctx is mp.get_context(method)
    assert ctx.get_start_method() == method
    assert isinstance(ctx, multiprocessing.context.BaseContext)
    assert ctx.get_context() is ctx
    assert ctx.get_context("spawn") is mp.get_context("spawn")
    assert ctx.get_start_method(allow_none=True) == method


def test_names_of_types(mp, ctx, method):
    prefix = {"fork": "Fork", "forkserver": "ForkServer", "spawn": "Spawn"}[method]
    context = importlib.import_module(mp.__name__ + ".context")
    assert type(ctx).__name__ == prefix + "Context"
    assert type(ctx) is getattr(context, prefix + "Context")
    assert ctx.Process.__name__ == prefix + "Process"
    assert ctx.Process is getattr(context, prefix + "Process")
    assert issubclass(ctx.Process, multiprocessing.process.BaseProcess)
    assert ctx.Process._start_method == method
    assert mp.Process.__name__ == "Process"
    assert mp.Process is context.Process
    assert issubclass(mp.Process, multiprocessing.process.BaseProcess)


@pytest.mark.parametrize("of", ["module", "context"])
@pytest.mark.parametrize("wrong", ["thread", "", 5, "Fork"])
def test_an_unknown_method(mp, of, wrong):
    where = mp if of == "module" else mp.get_context("spawn")
    with pytest.raises(ValueError, match=f"^cannot find context for {wrong!r}$"):
        where.get_context(wrong)


def test_a_concrete_context_has_its_method_for_good(ctx):
    with pytest.raises(ValueError, match="^cannot set start method of concrete context$"):
        ctx.set_start_method("spawn")


def test_exceptions_are_the_stdlibs(mp, ctx):
    for name in ("ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"):
        assert getattr(mp, name) is getattr(ctx, name) is getattr(multiprocessing, name)


def test_processes_are_everybodys(mp, ctx, start):
    """There is one table of children, whoever started them."""
    child = start()
    assert child.process in multiprocessing.active_children()
    assert child.process in mp.active_children()
    assert mp.current_process() is multiprocessing.current_process()
    assert mp.parent_process() is None
    assert child.run(jobs.parent_pid) == os.getpid()


def test_all_start_methods(mp):
    expected = ["fork", "spawn", "forkserver"]
    if DEFAULT == "forkserver":
        expected = ["forkserver", "fork", "spawn"]
    assert sorted(mp.get_all_start_methods()) == sorted(expected)
    assert mp.get_all_start_methods()[0] == DEFAULT
    assert mp.get_all_start_methods() == multiprocessing.get_all_start_methods()


def test_the_default_method(program):
    lines = program("""
print(mp.get_start_method(allow_none=True))
print(mp.get_start_method())
print(mp.get_start_method(True))
print(mp.get_context().get_start_method(), type(mp.get_context()).__name__)
""")
    name = {"fork": "ForkContext", "forkserver": "ForkServerContext"}[DEFAULT]
    assert lines == ["None", DEFAULT, DEFAULT, f"{DEFAULT} {name}"]


def test_the_method_can_be_set_once(program, method):
    lines = program(f"""
mp.set_start_method({method!r})
print(mp.get_start_method(), mp.get_context() is mp.get_context({method!r}))
for again in ({method!r}, "spawn"):
    try:
        mp.set_start_method(again)
    except RuntimeError as e:
        print(e)
mp.set_start_method("spawn", force=True)
print(mp.get_start_method())
mp.set_start_method(None, force=True)
print(mp.get_start_method(allow_none=True))
mp.set_start_method(method="fork", force=False)
print(mp.get_start_method())
""")
    refused = "context has already been set"
    assert lines == [f"{method} True", refused, refused, "spawn", "None", "fork"]


def test_the_method_is_in_use_once_it_was_asked_for(program):
    lines = program("""
try:
    mp.set_start_method("nonsense")
except ValueError as e:
    print(e)
mp.get_start_method()
try:
    mp.set_start_method("spawn")
except RuntimeError as e:
    print(e)
""")
    assert lines == ["cannot find context for 'nonsense'", "context has already been set"]


def test_children_inherit_the_method(program, method):
    """Children and theirs, also where only the parent said which."""
    lines = program(
        """
def child(depth):
    print(depth, mp.get_start_method(), type(mp.current_process()).__name__, flush=True)
    if depth:
        process = mp.Process(target=child, args=(depth - 1,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""
        + MAIN
        + f"""
    mp.set_start_method({method!r})
    child(2)
"""
    )
    assert lines == [f"2 {method} _MainProcess", f"1 {method} Process", f"0 {method} Process"]


@pytest.mark.parametrize("of_parent", [None, "fork", "spawn"])
def test_children_of_a_context_have_it_too(program, method, of_parent):
    """Whatever the parent's default is: what a child starts, it starts as it was started itself."""
    lines = program(
        """
def child():
    print(mp.get_start_method(), type(mp.current_process()).__name__, flush=True)
"""
        + MAIN
        + f"""
    if {of_parent!r}:
        mp.set_start_method({of_parent!r})
    process = mp.get_context({method!r}).Process(target=child)
    process.start()
    process.join()
    print(process.exitcode)
"""
    )
    name = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}[method]
    assert lines == [f"{method} {name}", "0"]


def test_module_level_functions_use_the_method(mp, program, method):
    """Everything that a program makes without naming a context works in a child."""
    lines = program(
        """
def child(lock, event, queue, value):
    event.wait(60)
    with lock, value.get_lock():
        queue.put(value.value)
"""
        + MAIN
        + f"""
    mp.set_start_method({method!r})
    lock, event, queue, value = mp.Lock(), mp.Event(), mp.SimpleQueue(), mp.Value("i", 42)
    process = mp.Process(target=child, args=(lock, event, queue, value))
    process.start()
    event.set()
    print(queue.get())
    process.join()
    with mp.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
    print([type(x).__module__.partition(".")[0] for x in (lock, event, value.get_lock())])
"""
    )
    assert lines == ["42", "[1, 2]", str([mp.__name__] * 3)]


class TestOwnState:
    @pytest.fixture
    def mp(self):
        import mpfast

        return mpfast

    def test_the_stdlib_is_not_touched(self, program):
        lines = program("""
import multiprocessing
mp.set_start_method("spawn")
print(multiprocessing.get_start_method(allow_none=True))
multiprocessing.set_start_method("forkserver")
print(mp.get_start_method(), multiprocessing.get_start_method())
print(type(multiprocessing.Lock()).__module__, type(mp.Lock()).__module__.partition(".")[0])
print(multiprocessing.get_context("fork") is mp.get_context("fork"))
print(type(multiprocessing.get_context("fork")).__module__)
""")
        assert lines == [
            "None",
            "spawn forkserver",
            "multiprocessing.synchronize mpfast",
            "False",
            "multiprocessing.context",
        ]

    def test_the_stdlibs_names_are_unchanged(self, program):
        """Importing mpfast patches nothing."""
        lines = program("""
import subprocess
code = '''
import multiprocessing, sys
%s
import concurrent.futures.process
from multiprocessing import context, managers, pool, queues, reduction, synchronize, util
futures = concurrent.futures.process
for module in (multiprocessing, context, managers, pool, queues, reduction, synchronize, util, futures):
    for name, value in sorted(vars(module).items()):
        if callable(value) or name.startswith("_"):
            print(module.__name__, name, getattr(value, "__module__", None), getattr(value, "__qualname__", None))
'''
outputs = [subprocess.run([sys.executable, "-c", code % line], capture_output=True, text=True, check=True).stdout
           for line in ("", "import mpfast")]
print(len(outputs[0]) > 1000, outputs[0] == outputs[1])
""")
        assert lines == ["True True"]

    def test_a_stdlib_process_takes_our_locks(self, method):
        """A context that is not ours hands a lock over as well."""
        import mpfast

        ctx = multiprocessing.get_context(method)
        lock, seen = mpfast.Lock(), ctx.RawArray("q", 4)
        nested = {"list": [lock, (lock,)], "object": jobs.Box(lock)}
        for expected in (1, 0):
            process = ctx.Process(target=jobs.try_all, args=(seen, lock, nested), kwargs={"keyword": lock})
            process.start()
            process.join(TIMEOUT)
            assert process.exitcode == 0
            process.close()
            assert list(seen) == [expected] * 4
            lock.acquire(False)

    def test_a_sub_interpreter(self, program):
        """It is told why it cannot have mpfast's objects. The main one goes on."""
        lines = program("""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
objects = mp.Lock(), mp.Queue(), mp.Pipe(), mp.active_children()
mp.get_context("fork").Process(target=int).start()
code = '''
import mpfast as mp
for make in (mp.Lock, mp.Event, mp.Condition, mp.Queue, mp.Pipe, mp.get_context("fork").Process(target=int).start):
    try:
        made = make()
    except ImportError as error:
        assert str(error).startswith("mpfast works in one interpreter of a process only"), error
        print("told", flush=True)
'''
other = interpreters.create()
assert interpreters.run_string(other, code) is None
interpreters.destroy(other)
[process.join() for process in mp.active_children()]
with objects[0]:
    print("main")
""")
        assert lines == ["told"] * 6 + ["main"]
