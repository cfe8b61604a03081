# SPDX-License-Identifier: MIT
"""How processes end: the exit code, what is run and said on the way, and what becomes of a program's children at its
own end."""

import functools
import os
import signal
import sys

import ends
import launched
import programs
import pytest
import workers
from harness import PATIENCE, thread_state, until

ATEXIT_IN_CHILDREN = sys.version_info >= (3, 13)


def run(ctx, function, *args, **options):
    """The exit code of a process with that target."""
    process = ctx.Process(target=function, args=args, **options)
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.close()
    return code


# Exit codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, 0),
        (0, 0),
        (3, 3),
        (255, 255),
        (256, 0),
        (-1, 255),
        (True, 1),
        ("", 1),
        ("text", 1),
        (2.0, 1),
        ((1, 2), 1),
    ],
)
def test_sys_exit(ctx, code, expected):
    assert run(ctx, launched.quietly, launched.exit_with, code) == expected


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, GeneratorExit, SystemError])
def test_exceptions(ctx, kind):
    assert run(ctx, launched.quietly, launched.throw, kind) == 1


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_os_exit(ctx, code):
    assert run(ctx, os._exit, code) == code


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT, signal.SIGALRM, signal.SIGRTMIN + 3]
)
def test_signals(ctx, signum):
    process = ctx.Process(target=ends.crash, args=(signum,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signum
    named = isinstance(signum, signal.Signals)
    assert repr(process).endswith(f" exitcode=-{signum.name}>" if named else f" exitcode={-signum}>")
    process.close()


def test_killed(ctx):
    assert run(ctx, ends.kill_myself) == -signal.SIGKILL


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_killed_before_its_target_runs(ctx):
    """While its arguments are unpickled."""
    assert run(ctx, workers.nothing, launched.Ends(functools.partial(os._exit, 9))) == 9
    assert run(ctx, workers.nothing, launched.Ends(ends.kill_myself)) == -signal.SIGKILL


def test_a_child_that_stops_has_not_ended(ctx):
    event = ctx.Event()
    process = ctx.Process(target=launched.nap, args=(event,))
    process.start()
    assert event.wait(PATIENCE)
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: thread_state(process.pid, process.pid) == "T", "the child stops")
    process.join(0.05)
    assert process.is_alive()
    assert process.exitcode is None
    os.kill(process.pid, signal.SIGCONT)
    process.join(0.05)
    assert process.is_alive()
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    process.close()


# What is said and run ------------------------------------------------------------------------------------------------

PROGRAM = """
import {mp} as mp, os, signal, sys, threading, time
sys.path.insert(0, {tests})
import launched
{definitions}
if __name__ == "__main__":
    out = sys.stdout
    ctx = mp.get_context({method})
    {main}
"""


@pytest.fixture
def program(mp, method, tmp_path):
    """Runs a program: definitions, and statements of its main part, which are indented as this needs it."""

    def run_program(main, definitions="", *arguments, **options):
        tests = os.path.dirname(os.path.abspath(launched.__file__))
        names = {"mp": mp.__name__, "tests": repr(tests), "method": repr(method), "definitions": definitions}
        main = main.strip("\n").replace("\n", "\n    ")
        script = programs.write(tmp_path / "program.py", PROGRAM, main=main, **names)
        # 3.15 has a DeprecationWarning for the source lines of a main that a child has imported
        return programs.run("-W", "error", "-W", "ignore::DeprecationWarning", script, *arguments, **options)

    return run_program


START = """
process = ctx.Process(target=target, name="a name"{more})
process.start()
process.join()
print("exit code", process.exitcode, file=out)
"""


def start(more=""):
    return START.replace("{more}", more)


def test_a_traceback(program):
    """The name of the process, then what an exception looks like elsewhere."""
    done = program(start(), "def target():\n    raise ValueError('on purpose')")
    assert (done.code, done.out) == (0, "exit code 1\n")
    lines = done.err.splitlines()
    assert lines[:2] == ["Process a name:", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: on purpose"
    assert "    raise ValueError('on purpose')" in lines
    assert done.err.count("Traceback") == 1


def test_a_message_of_sys_exit(program):
    done = program(start(), "def target():\n    sys.exit('the message')")
    assert done == (0, "exit code 1\n", "the message\n")


def test_what_cannot_be_loaded(program, method):
    """The exception of the child is on standard error, and its exit code is 1."""
    done = program(start(", args=(launched.Unloadable(),)"), "def target(x):\n    pass")
    if method == "fork":
        assert done == (0, "exit code 0\n", "")
    else:
        assert (done.code, done.out) == (0, "exit code 1\n")
        assert done.err.splitlines()[-1] == "ValueError: on purpose"


def test_output_is_complete(program):
    """What was written and not flushed, by parent and child, comes out once."""
    text = "def target():\n    print('child', end='.'); sys.stderr.write('error')"
    done = program("print('parent', end='.')\n" + start(), text)
    assert done == (0, "parent.child.exit code 0\n", "error")


def test_standard_input(program):
    """A child has none: what there is to read is its parent's."""
    text = "def target():\n    print(repr(sys.stdin.read()), flush=True)"
    done = program(start() + "print(sys.stdin.read())", text, stdin="for the parent")
    assert done.lines() == ["''", "exit code 0", "for the parent"]


FIRST_USES = {  # of standard input, and what each of them shows
    "input()": "EOFError",
    "input('prompt')": "EOFError",
    "import code; code.interact('', exitmsg='end'); print('on')": "on",
    "exec('import pdb; pdb.set_trace()\\npass')": "BdbQuit",
    "print(repr(sys.stdin.readline()))": "''",
    "print(sys.stdin.encoding, sys.stdin.mode, sys.stdin.isatty())": "utf-8 r False",
    "before = sys.stdin; before.read(); print(before is sys.stdin)": "True",
    "import pickle; pickle.dumps(sys.stdin)": "TypeError",
    "del sys.stdin.nonsense": "AttributeError",
    "print([*sys.stdin])": "[]",
    "print('closed' in dir(sys.stdin))": "True",
    "print(sys.stdin.__enter__() is sys.stdin, sys.stdin.close(), sys.stdin.closed)": "True None True",
}


@pytest.mark.parametrize("use", FIRST_USES)
def test_first_use_of_standard_input(program, use):
    """Whatever a child does with it first, it meets the end of the file, and goes on."""
    call = f"try:\n        {use}\n    except BaseException as e:\n        print(type(e).__name__)"
    done = program(start(), f"def target():\n    {call}\n    sys.stdout.flush()")
    assert (done.code, done.out.endswith(f"{FIRST_USES[use]}\nexit code 0\n")) == (0, True), done


@pytest.mark.parametrize("closed", ["sys.stdin.close()", "sys.stdin = None", "os.close(0)"])
def test_without_standard_input(program, closed):
    """As daemons are: there is nothing to close, and a child starts all the same."""
    done = program(closed + start(), "def target():\n    print('in the child', flush=True)")
    assert (done.code, done.out) == (0, "in the child\nexit code 0\n")


@pytest.mark.parametrize(("missing", "there"), [("stdout", "stderr"), ("stderr", "stdout")])
def test_without_standard_output(program, missing, there):
    """Somebody has replaced the stream by None, as it is in programs without a console."""
    definitions = f"def target():\n    print('in the child', file=sys.{there}, flush=True)"
    done = program(f"out, sys.{missing} = sys.{there}, None\n" + start(), definitions)
    assert done.code == 0
    assert getattr(done, there[3:]) == "in the child\nexit code 0\n"


def test_threads_are_waited_for(ctx):
    """Those of the child that are no daemons, at its end."""
    value, event = ctx.RawArray("q", 1), ctx.Event()
    assert run(ctx, launched.in_thread, value, event) == 0
    assert value[0] == 2


def test_finalizers(ctx):
    """Those that the child has made, by priority, and the last first; not those without, which wait for an object."""
    value = ctx.RawArray("q", 6)
    assert run(ctx, launched.finalize, value) == 0
    assert list(value) == [4, 0, 3, 2, 4, 1]


def test_what_runs_at_the_end_of_a_child(ctx, method, tmp_path):
    """Functions of atexit: in children from 3.13 on, and in spawned ones since ever."""
    path = tmp_path / "notes"
    assert run(ctx, launched.remember, path) == 0
    expected = ["finalizer", "thread"]
    if ATEXIT_IN_CHILDREN or method == "spawn":
        expected.append("atexit")
    assert sorted(path.read_text().split()) == sorted(expected)


def test_what_the_parent_has_registered_is_the_parents(program):
    """A child runs none of it: neither finalizers nor functions of atexit."""
    definitions = "import atexit, multiprocessing.util\ndef target():\n    print('child', flush=True)"
    done = program(
        "atexit.register(print, 'atexit', flush=True)\n"
        "multiprocessing.util.Finalize(None, print, ('finalizer',), {'flush': True}, exitpriority=0)" + start(),
        definitions,
    )
    assert done.lines()[:2] == ["child", "exit code 0"]
    assert sorted(done.lines()[2:]) == ["atexit", "finalizer"]


# The end of the program ----------------------------------------------------------------------------------------------

WATCH = """
def target(link=None):
    signal.signal(signal.SIGTERM, lambda *_: (print("terminated", flush=True), os._exit(5)))
    link.send(os.getpid())
    {work}
    print("done", flush=True)
"""
PARENT = """
ours, theirs = ctx.Pipe()
process = ctx.Process(target=target, args=(theirs,), daemon={daemon})
process.start()
ours.recv()
theirs.close()
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)"])
def test_daemons_are_terminated(program, end):
    """At the end of the program, by SIGTERM, and waited for."""
    done = program(PARENT.format(daemon=True, end=end), WATCH.replace("{work}", "time.sleep(60)"))
    assert done.lines() == ["terminated"]


def test_others_are_waited_for(program):
    work = "threading.Event().wait(0.05)"
    done = program(PARENT.format(daemon=False, end="print('main is over', flush=True)"), WATCH.replace("{work}", work))
    assert done.lines() == ["main is over", "done"]


def test_a_program_that_fails_waits_all_the_same(program):
    work = "threading.Event().wait(0.05)"
    done = program(PARENT.format(daemon=False, end="raise ValueError('the end')"), WATCH.replace("{work}", work))
    assert (done.code, done.out) == (1, "done\n")
    assert done.err.splitlines()[-1] == "ValueError: the end"


def test_os_exit_waits_for_nobody(program):
    """The children live on: they see that their parent is gone."""
    work = "mp.parent_process().join()"
    done = program(PARENT.format(daemon=False, end="os._exit(3)"), WATCH.replace("{work}", work))
    assert (done.code, done.out, done.err) == (3, "done\n", "")


def test_the_daemons_of_a_child(program, method):
    """A child that ends takes its daemons along as a program does."""
    definitions = """
def grandchild(link):
    link.send(os.getpid())
    time.sleep(60)
def target(method):
    ctx = mp.get_context(method)
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=grandchild, args=(theirs,), daemon=True)
    process.start()
    print(ours.recv() == process.pid, flush=True)
"""
    assert program(start(f", args=({method!r},)"), definitions).lines() == ["True", "exit code 0"]


AROUND = """
from multiprocessing.process import BaseProcess
original = BaseProcess._bootstrap
def around(self, *args, **kwargs):
    print("before", flush=True)
    try:
        return original(self, *args, **kwargs)
    finally:
        print("after", flush=True)
BaseProcess._bootstrap = around
def target():
    print(mp.parent_process().is_alive(), mp.current_process().name, flush=True)
"""


def test_a_tool_around_the_bootstrap(program):
    """As coverage.py has one to measure children. Once for each child, and not for those that only wait."""
    main = """
process = ctx.Process(target=target, name="it")
process.start()
process.join()
print(process.exitcode)
"""
    assert program(main, AROUND).lines() == ["before", "True it", "after", "0"]
