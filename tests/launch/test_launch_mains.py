# SPDX-License-Identifier: MIT
"""Main modules of every kind start processes whose target they define, or which another module does.

Where a child can import the main module, it does so; where it cannot (-c, standard input, a package's __main__, an
archive), multiprocessing fails in the child: mpfast may do better, and if it does not, it must say as much.
"""

import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
import zipapp

import programs
import pytest
from harness import PATIENCE, until

MAIN = """
import {mp} as mp, os, sys
import {module}
{before}
def target(number):
    print("target", number, flush=True)
{guard}
    ctx = mp.get_context({method})
    process = ctx.Process(target={target}, args=(1,))
    process.start()
    process.join()
    print("exit code", process.exitcode, flush=True)
"""
MODULE = """
def target(number):
    print("target", number, flush=True)
"""
GUARD = 'if __name__ == "__main__":'
WORKED = "target 1\nexit code 0\n"


class Mains:
    """Writes main modules, and runs them as the command line asks for it."""

    def __init__(self, place, mp, method):
        self.place, self.mp, self.method = place, mp, method

    def kills_server(self, error=Exception):
        """multiprocessing's fork server of 3.14 ends if the import of main raises; by SystemExit also that of 3.15."""
        versions = [(3, 14)] if error is Exception else [(3, 14), (3, 15)]
        return self.mp is multiprocessing and self.method == "forkserver" and sys.version_info[:2] in versions

    def text(self, before="", guard=GUARD, module="os", target="target"):
        text = MAIN
        names = {"mp": self.mp.__name__, "method": repr(self.method), "module": module, "target": target}
        for name, value in (names | {"before": before, "guard": guard}).items():
            text = text.replace("{" + name + "}", value)
        return text

    def write(self, path, **options):
        return programs.write(self.place / path, self.text(**options))

    def script(self, *flags, stdin="", **options):
        return programs.run(*flags, self.write("script.py", **options), stdin=stdin)

    def run(self, kind, **options):
        """A main of that kind."""
        return getattr(self, kind)(**options)

    def module(self, **options):
        self.write("module.py", **options)
        return self.inside("-m", "module")

    def module_of_package(self, **options):
        programs.write(self.place / "package" / "__init__.py", "")
        self.write("package/module.py", **options)
        return self.inside("-m", "package.module")

    def package(self, **options):
        programs.write(self.place / "package" / "__init__.py", "")
        self.write("package/__main__.py", **options)
        return self.inside("-m", "package")

    def directory(self, **options):
        self.write("app/__main__.py", **options)
        return programs.run(self.place / "app")

    def archive(self, **options):
        self.write("app/__main__.py", **options)
        zipapp.create_archive(self.place / "app", self.place / "app.pyz")
        (self.place / "app" / "__main__.py").unlink()
        return programs.run(self.place / "app.pyz")

    def command(self, **options):
        return self.inside("-c", self.text(**options))

    def standard_input(self, **options):
        return self.inside("-", stdin=self.text(**options))

    def inside(self, *arguments, **options):
        return programs.run(*arguments, cwd=self.place, **options)


@pytest.fixture
def mains(tmp_path, mp, method):
    return Mains(tmp_path, mp, method)


IMPORTABLE = ["script", "module", "module_of_package"]
NOT_IMPORTABLE = ["package", "directory", "archive", "command", "standard_input"]


@pytest.mark.parametrize("kind", IMPORTABLE)
def test_mains_that_children_import(mains, kind):
    assert mains.run(kind) == (0, WORKED, "")


@pytest.mark.parametrize("kind", NOT_IMPORTABLE)
def test_mains_that_children_cannot_import(mains, kind, method):
    """A function of the main itself: fork has it there. Else it arrives by value, or somebody says what is wrong."""
    done = mains.run(kind)
    if method == "fork" or done.out == WORKED:
        assert done == (0, WORKED, "")
    elif kind == "standard_input" and mains.kills_server():
        check_dead_server(done)
    else:
        check_refusal(done, "<stdin>|target" if kind == "standard_input" else "target")


def check_dead_server(done):
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("ConnectionResetError: [Errno 104] Connection reset by peer\n")


def check_refusal(done, culprit):
    """The child ended with 1, or start() raised; the last error of standard error, or its note, names the culprit."""
    assert (done.code, done.out) in ((0, "exit code 1\n"), (1, "")), done
    assert re.search(culprit, last_error(done.err)), done.err


def last_error(text):
    """Its line and its notes, of which Python 3.14 adds some of its own."""
    found = re.findall(r"^(?:AttributeError|FileNotFoundError|_pickle\.PicklingError)[^\n]*(?:\n[^\n]+)*", text, re.M)
    assert found, text
    return found[-1]


@pytest.mark.parametrize("kind", [*IMPORTABLE, *NOT_IMPORTABLE])
def test_targets_of_another_module(mains, kind, method):
    """They do not need the main module, so it does not matter whether that can be imported."""
    for place in (".", "app"):
        programs.write(mains.place / place / "jobs.py", MODULE)
    done = mains.run(kind, module="jobs", target="jobs.target")
    if kind == "standard_input" and mains.kills_server():
        check_dead_server(done)
    elif kind == "standard_input" and method != "fork" and done.out != WORKED:
        check_refusal(done, "<stdin>")  # the stdlib takes it for the name of a file
    else:
        assert done == (0, WORKED, "")


def test_a_script_in_another_directory(mains):
    """A relative path, and a directory that is no longer the one the program was started in."""
    mains.write("below/script.py", before="os.chdir('/')")
    assert mains.inside("below/script.py") == (0, WORKED, "")


def test_a_script_with_a_strange_name(mains):
    assert mains.inside(mains.write('it\'s a "script".txt')) == (0, WORKED, "")


# Mains that do not behave --------------------------------------------------------------------------------------------


def test_an_unguarded_main(mains, method):
    """A child that imports it would start a process again: it is told how to write that."""
    done = mains.script(guard="if True:")
    if method == "fork":
        assert done == (0, WORKED, "")
    elif mains.kills_server():
        check_dead_server(done)
    else:
        assert (done.code, done.out) == (0, "exit code 1\n")
        assert "if __name__ == '__main__':" in done.err
        assert "current process has finished its bootstrapping phase" in done.err


def test_an_unguarded_main_of_many_processes(mains, method):
    """Each of them fails; no process starts further ones, and the program goes on."""
    loop = "for _ in range(3):"
    done = mains.script(guard=loop)
    if method == "fork":
        assert done == (0, WORKED * 3, "")
    elif mains.kills_server():
        check_dead_server(done)
    else:
        assert (done.code, done.out) == (0, "exit code 1\n" * 3)


def test_a_main_that_raises_in_children(mains, method):
    done = mains.script(before="if __name__ != '__main__':\n    raise ValueError('only I may import this')")
    if method == "fork":
        assert done == (0, WORKED, "")
    elif mains.kills_server():
        check_dead_server(done)
    else:
        assert (done.code, done.out) == (0, "exit code 1\n")
        assert done.err.splitlines()[-1] == "ValueError: only I may import this"


def test_a_main_that_exits_in_children(mains, method):
    """sys.exit() while it is imported ends the child, and no server."""
    done = mains.script(before="if __name__ != '__main__':\n    sys.exit(7)")
    if method == "fork":
        assert done == (0, WORKED, "")
    elif mains.kills_server(SystemExit):
        check_dead_server(done)
    else:
        assert done.code == 0
        assert done.out in ("exit code 1\n", "exit code 7\n")


def test_a_main_that_starts_threads(mains):
    """At import, in parent and child: neither the start nor the end of a process waits for them."""
    before = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    done = mains.script("-W", "ignore::DeprecationWarning", before=before)
    assert (done.code, done.out) == (0, WORKED)


def test_a_main_that_prints(mains, method):
    """What it writes while it is imported comes once for each import, and never from a copied buffer."""
    done = mains.script(before="print('imported', end=' ')")
    assert done.code == 0
    if method == "fork":
        assert done.out == "imported " + WORKED
    else:
        assert sorted(done.out.split()) == sorted(("imported imported " + WORKED).split())


def test_a_main_that_uses_processes_in_a_function(mains):
    """The ordinary program: main() below the guard, results through a queue."""
    guard = "def main():"
    text = mains.text(guard=guard) + "\nif __name__ == '__main__':\n    main()\n"
    script = programs.write(mains.place / "script.py", text)
    assert programs.run("-W", "error", script) == (0, WORKED, "")


# Sessions ------------------------------------------------------------------------------------------------------------


def test_interactive_after_a_script(mains, method):
    """python -i: the script's processes, and then those of the prompt, where its file is no longer the main module."""
    again = "again = ctx.Process(target=target, args=(2,)); again.start(); again.join(); print(again.exitcode)\n"
    done = mains.script("-i", stdin=again)
    assert done.code == 0
    assert done.out.startswith(WORKED)
    rest = done.out.removeprefix(WORKED)
    if method == "fork":
        assert rest == "target 2\n0\n"
    elif rest != "target 2\n0\n":
        assert "target" in done.err
        assert rest in ("1\n", "")


# A background shell may have left SIGINT ignored, and a terminal is only for a session that asks for it.
AT_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-q"])
"""


class Prompt:
    """A Python at a terminal of its own."""

    def __init__(self, place):
        self.ours, theirs = pty.openpty()
        environment = os.environ | {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"}
        command = [sys.executable, "-c", AT_TERMINAL]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(command, cwd=place, env=environment, start_new_session=True, **streams)
        os.close(theirs)
        os.set_blocking(self.ours, False)
        self.text = ""
        self.expect(">>> ")

    def read(self):
        try:
            self.text += os.read(self.ours, 65536).decode()
        except BlockingIOError:
            pass
        except OSError:
            self.text += "(closed)"
        return self.text

    def expect(self, text):
        """Waits for the text, and returns what came before it."""
        try:
            until(lambda: text in self.read(), f"the terminal says {text!r}")
        except AssertionError as e:
            raise AssertionError(f"{e}; it says {self.text!r}") from None
        before, _, self.text = self.text.partition(text)
        return before.replace("\r\n", "\n")

    def type(self, line):
        """Types a line; what comes of it until the next prompt."""
        os.write(self.ours, f"{line}\n".encode())
        return self.expect(">>> ").partition("\n")[2]

    def close(self):
        os.write(self.ours, b"\x04")
        try:
            until(lambda: self.read() and self.process.poll() is not None, "the prompt ends")
            until(lambda: not programs.session(self.process.pid), "nobody is left of its session")
            # 3.14 ends as by SIGINT if a line was interrupted before
            assert self.process.returncode in (0, -signal.SIGINT), self.text
        finally:
            programs.end(self.process)
            os.close(self.ours)


@pytest.fixture
def prompt(mp, method, tmp_path):
    programs.write(tmp_path / "jobs.py", MODULE)
    prompt = Prompt(tmp_path)
    assert prompt.type(f"import {mp.__name__} as mp, jobs, time; ctx = mp.get_context({method!r})") == ""
    yield prompt
    prompt.close()


RUN = "process = ctx.Process(target={}, args=(1,)); process.start(); process.join(); print('code', process.exitcode)"


def test_a_function_of_a_module_at_the_prompt(prompt):
    for _ in range(2):
        assert prompt.type(RUN.format("jobs.target")) == "target 1\ncode 0\n"


def test_a_function_of_the_prompt(prompt, method):
    """With fork it is there. Else it arrives by value, or the child says that there is none of that name."""
    os.write(prompt.ours, b"def target(n): print('target', n, flush=True)\n")
    prompt.expect("... ")
    assert prompt.type("") == ""
    said = prompt.type(RUN.format("target"))
    if method == "fork" or "code 0" in said:
        assert said == "target 1\ncode 0\n"
    else:
        assert "target" in last_error(said), said


def test_ctrl_c_at_the_prompt(prompt, mp):
    """It goes to parent and child; the session goes on, and starts processes as before."""
    assert prompt.type("process = ctx.Process(target=time.sleep, args=(60,)); process.start()") == ""
    os.write(prompt.ours, b"print('joining'); process.join()\n")
    prompt.expect("joining\r\n")
    until_children_run(prompt)
    os.write(prompt.ours, b"\x03")
    prompt.expect("KeyboardInterrupt")
    os.write(prompt.ours, b"process.join(); print('exit' + 'code', process.exitcode)\n")
    prompt.expect("exitcode ")
    # multiprocessing loses the exit code if the signal comes when it has just reaped the child
    assert prompt.expect("\n>>> ") in (("1\r",) if mp.__name__ == "mpfast" else ("1\r", "None\r"))
    assert prompt.type(RUN.format("jobs.target")).endswith("target 1\ncode 0\n")


def until_children_run(prompt):
    """The child sleeps in its target; a signal that comes sooner would not find it ready."""
    until(lambda: any(asleep(pid) for pid in programs.session(prompt.process.pid)), "the child sleeps")


def asleep(pid):
    try:
        with open(f"/proc/{pid}/wchan") as file:
            return "nanosleep" in file.read()
    except OSError:
        return False


# pytest --------------------------------------------------------------------------------------------------------------

TEST = """
import {mp} as mp, multiprocessing
def target(link):
    link.send(__name__)
def test_a_process():
    ctx = mp.get_context({method})
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=target, args=(writer,))
    process.start()
    assert reader.poll({patience})
    assert reader.recv() == __name__
    process.join()
    assert process.exitcode == 0
"""


@pytest.mark.parametrize("how", ["-m pytest", "pytest"])
def test_pytest(mp, method, tmp_path, how):
    """Neither may a child take pytest for a program to run again."""
    path = tmp_path / "test_inner.py"
    programs.write(path, TEST, mp=mp.__name__, method=repr(method), patience=PATIENCE)
    program = ["-m", "pytest"] if how == "-m pytest" else [os.path.join(os.path.dirname(sys.executable), "pytest")]
    done = programs.run(*program, "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, path, cwd=tmp_path)
    assert done.code == 0, done.out
    assert "1 passed" in done.out
