# SPDX-License-Identifier: MIT
"""The clients. What each is given to do, and what must come of it. `expected` is what a good run says."""

import importlib.metadata
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import running

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"
PROGRAMS = HERE / "programs"
CHILDREN = PROGRAMS / "children.py"
METHODS = ("fork", "forkserver", "spawn")
WAYS = ("multiprocessing", "import", "launcher")
DEADLINE = 90


class Skipped(Exception):
    """This cannot be tried here, and its text says why."""


class Case(NamedTuple):
    """One run of a client. Plain multiprocessing, `import mpfast as mp`, or `python -m mpfast`."""

    way: str
    method: str
    folder: Path  # an empty one, of this run alone
    shared: Path  # of all runs of this client

    @property
    def package(self):
        return "mpfast" if self.way == "import" else "multiprocessing"

    @property
    def launcher(self):
        return ["-m", "mpfast"] if self.way == "launcher" else []

    def words(self, program, *more):
        """What follows `python`, or a tool that runs programs and modules as Python does."""
        return [*self.launcher, program, self.package, self.method, *more]

    def run(self, *words, deadline=DEADLINE, **environment):
        return running.run([sys.executable, *words], deadline, cwd=self.folder, **environment)


class Client(NamedTuple):
    name: str  # of its distribution
    check: Callable[[Case], object]
    expected: str
    methods: tuple[str, ...] = METHODS
    ways: tuple[str, ...] = WAYS

    @property
    def version(self):
        return importlib.metadata.version(self.name)


def program(name):
    """A client that takes no more than to run a program."""
    return lambda case: case.run(*case.words(PROGRAMS / f"{name}.py"))


def debugpy(case):
    """A breakpoint in each child is hit, and the program goes on."""
    line = 1 + next(i for i, text in enumerate(CHILDREN.read_text().splitlines()) if "# a breakpoint" in text)
    return case.run(SUPPORT / "debugged.py", line, *case.words(CHILDREN), PYDEVD_DISABLE_FILE_VALIDATION="1")


def viztracer(case):
    said = case.run("-m", "viztracer", "--quiet", "-o", "trace.json", *case.words(CHILDREN))
    if said.code != 0:
        return said
    events = json.loads((case.folder / "trace.json").read_text())["traceEvents"]
    return f"{said}, {len({event['pid'] for event in events if event['name'].startswith('target ')})} traced"


def coverage(case):
    """The lines of the program that were run, in all processes together."""
    rc = f"[run]\nconcurrency = multiprocessing\nparallel = True\ninclude = {CHILDREN}\n"
    (case.folder / ".coveragerc").write_text(rc)
    said = case.run("-m", "coverage", "run", *case.words(CHILDREN))
    files = len(list(case.folder.glob(".coverage.*")))
    case.run("-m", "coverage", "combine", "--quiet")
    case.run("-m", "coverage", "json", "--quiet")
    report = case.folder / "coverage.json"
    if said.code != 0 or not report.exists():
        return f"{said}, no data"
    (found,) = json.loads(report.read_text())["files"].values()
    lines = CHILDREN.read_text().splitlines()
    missing = ", ".join(lines[number - 1].strip() for number in found["missing_lines"])
    return f"{said}, {files} files, {'missing: ' + missing if missing else 'all lines'}"


def memray(case):
    """It follows forks only. So nobody sees the children of the other methods."""
    said = case.run("-m", "memray", "run", "--quiet", "--follow-fork", "-o", "out", *case.words(CHILDREN))
    if said.code != 0:
        return said
    code = "import memray, sys; print(sum(memray.FileReader(f).metadata.total_allocations > 0 for f in sys.argv[1:]))"
    return f"{said}, records of {case.run('-c', code, *case.folder.glob('out*'))} processes"


def py_spy(case):
    """The children's stacks, by ptrace of all processes below the program's."""
    tool = Path(sys.executable).with_name("py-spy")
    words = ["record", "--subprocesses", "--format", "raw", "--rate", "50", "--output", "out", "--"]
    said = running.run([tool, *words, sys.executable, *case.words(CHILDREN, 2)], DEADLINE, cwd=case.folder)
    if "ermission denied" in said.out or "Operation not permitted" in said.out:
        raise Skipped("ptrace is forbidden here")
    stacks = (case.folder / "out").read_text() if (case.folder / "out").exists() else ""
    # The nearest process before the frame. What runs a server is a text of several lines, so lines are no stacks.
    seen = {re.findall(r"process (\d+):", before)[-1] for before in stacks.split("target (children.py")[:-1]}
    return f"target seen in {len(seen)} processes"


def pyinstaller(case):
    """The program is frozen once, with a copy of mpfast. FROZEN says what it uses."""
    folder = case.shared
    executable = folder / "dist/frozen/frozen"
    if not executable.exists():
        places = [f"--{name}path={folder / name}" for name in ("dist", "work", "spec")]
        words = ["-m", "PyInstaller", *places, "--log-level=ERROR", SUPPORT / "frozen.py"]
        said = case.run(*words, deadline=300)
        if said.code != 0:
            return f"cannot freeze: {said}"
    how = {"launcher": "install", "import": "mpfast"}.get(case.way, case.way)
    said = running.run([executable, case.method], DEADLINE, cwd=case.folder, FROZEN=how)
    name = {"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[case.method]
    package = "multiprocessing" if how == "multiprocessing" else "mpfast"
    return str(said).replace(f"{name} {package}", "its child")


def module(name, *words):
    """A program of many processes that uses multiprocessing itself, so only the launcher can put mpfast below it."""

    def check(case):
        for number in range(4):
            (case.folder / f"file{number}.py").write_text(f"import os\nx = {{  'a':{number} }}\n")
        said = case.run(*case.launcher, "-m", name, *words)
        lines = sorted(line for line in said.out.splitlines() if line.strip() and "rated" not in line)
        return f"exit {said.code}, {len(lines)} lines: {lines[0] if lines else ''}"

    return check


FILES = [f"file{number}.py" for number in range(4)]
CLIENTS = (
    Client("debugpy", debugpy, "0 0 / exit code 0, 2 stops"),
    Client("viztracer", viztracer, "0 0, 2 traced"),
    Client("coverage", coverage, "0 0, 3 files, all lines"),
    Client("memray", memray, "0 0, records of 3 processes", ("fork",)),
    Client("memray", memray, "0 0, records of 1 processes", ("forkserver", "spawn")),
    Client("py-spy", py_spy, "target seen in 2 processes"),
    Client("gevent", program("greenlets"), "the loop ran done 0 / signal served"),
    Client("python-daemon", program("service"), "queue [0, 1] pool [1, 2] 0 0"),
    Client("pyinstaller", pyinstaller, "its child / 0 / [1, 2]"),
    Client("joblib", program("parallel"), "[0, 9000, 18000, 27000] ZeroDivisionError"),
    Client("loky", program("executor"), "[0, 1, 4, 9, 16, 25] TerminatedWorkerError"),
    Client("tqdm", program("bars"), "[0, 2, 4, 6, 8] [0, 2, 4, 6, 8]"),
    Client("multiprocess", program("beside"), "[0, 1, 4, 9] [2, 1] grandchild 0"),
    Client("black", module("black", "--check", "--workers=2", *FILES), "", ("-",), ("multiprocessing", "launcher")),
    Client("pylint", module("pylint", "-j2", *FILES), "", ("-",), ("multiprocessing", "launcher")),
)
