# SPDX-License-Identifier: MIT
"""The gate: what is slower is named, what is not is not, and what could not be measured is neither."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import drill
import pytest

import bench
import mpfast
from bench.base.deadline import Limits
from bench.gate import gate, guard, versus
from bench.gate.builds import Build, BuildError, commit_of
from bench.gate.guard import Count
from bench.gate.versus import Comparison
from bench.suites.plan import cells

ROOT = Path(bench.ROOT)
CELL = "locks/event_is_set/fork/one_cpu"
LIMITS = Limits(batch=5, child=10, cell=20)
SLOW = """
def Event(self):
    from .synchronize import Event

    class Slow(Event):
        __module__ = "mpfast.synchronize"

        def is_set(self):
            for _ in range(100):
                pass
            return super().is_set()

    return Slow()

Context.Event = Event
"""

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """A function that makes two builds of the mpfast under test, something appended to modules of the second."""
    monkeypatch.setattr(versus, "PAIRS", dict.fromkeys(versus.PAIRS, 4))
    monkeypatch.setattr(versus, "FOLDER", tmp_path)

    def make(base=None, head=None):
        for name, changes in (("base", base), ("head", head)):
            package = tmp_path / name / "lib" / "mpfast"
            shutil.copytree(Path(mpfast.__file__).parent, package, ignore=shutil.ignore_patterns("*.c", "core"))
            for module, text in (changes or {}).items():
                with (package / module).open("a") as file:
                    file.write(text)
        return tuple(Build(name, "0" * 40, tmp_path / name / "lib") for name in ("base", "head"))

    return make


def compared(builds, *keys):
    found = {c.cell.key: c for c in versus.compare(cells(keys), builds, LIMITS)}
    return [found[key] for key in keys]


def report(first=(), again=(), counted=(), notes=()):
    base, head = Build("base", "b" * 40, Path()), Build("head", "e" * 40, Path())
    return gate.Report(base, head, list(first), list(again), list(counted), list(notes))


def comparison(*factors, status="ok"):
    (cell,) = cells([CELL])
    return Comparison(cell, [[(1.0, factor)] * 6 for factor in factors], status, "a reason")


def test_a_slower_build_is_found(builds):
    (found,) = compared(builds(head={"context.py": SLOW}), CELL)
    assert found.status == "ok", found.reason
    assert found.slower
    assert found.factor > 2
    assert len(found.rounds) == versus.ROUNDS


def test_an_interval_that_says_nothing_is_not_slower():
    (cell,) = cells([CELL])
    wide = [(1.0, factor) for factor in (0.8, 0.9, 1.3, 1.4)]
    assert not Comparison(cell, [wide] * 3).slower
    narrow = [(1.0, factor) for factor in (1.15, 1.2, 1.3, 1.4)]
    assert Comparison(cell, [narrow] * 3).slower


@pytest.mark.stress
def test_a_faster_build_is_not_slower(builds):
    (found,) = compared(builds(base={"context.py": SLOW}), CELL)
    assert not found.slower
    assert found.factor < 0.5


@pytest.mark.parametrize(
    ("base", "head", "status", "reason"),
    [
        (None, {"__init__.py": "\nraise ImportError('cannot be imported')"}, "failed", "head .*cannot be imported"),
        pytest.param(
            {"__init__.py": "\nraise ImportError('cannot be imported')"},
            None,
            "failed",
            "base .*cannot be imported",
            marks=pytest.mark.stress,
        ),
        ({"context.py": "\ndel Context.Event"}, None, "new", "base .*WrongClass.*multiprocessing"),
        pytest.param(
            None,
            {"context.py": "\ndel Context.Event"},
            "failed",
            "head .*WrongClass.*multiprocessing",
            marks=pytest.mark.stress,
        ),
        (None, {"context.py": "\nimport os\nContext.Event = lambda self: os._exit(3)"}, "failed", "head .*died"),
    ],
)
def test_a_build_without_an_answer(builds, base, head, status, reason):
    (found,) = compared(builds(base, head), CELL)
    assert found.status == status
    assert re.search(reason, found.reason, re.DOTALL)
    assert not found.slower


def test_each_build_runs_its_own_code(builds):
    """Also in the children that it starts."""
    key = "launch/start_join/spawn/one_cpu"
    told = "\nimport os; os.path.dirname(__file__) in open({0!r}).read() or print(__file__, file=open({0!r}, 'a'))"
    base, head = builds()
    for build in (base, head):
        seen = build.lib / "seen"
        seen.touch()
        with (build.lib / "mpfast" / "context.py").open("a") as file:
            file.write(told.format(str(seen)))
    (found,) = compared((base, head), key)
    assert found.status == "ok", found.reason
    for build in (base, head):
        folders = {Path(line).parent.parent.name for line in (build.lib / "seen").read_text().split()}
        assert folders == {build.name}


def counted(tool, base, head):
    return report([comparison(1)], counted=[Count(cells([CELL])[0], tool, base, head)])


@pytest.mark.parametrize(
    ("found", "status", "compared", "slower"),
    [
        (report([comparison(1, 1, 1)]), 0, 1, 0),
        (report([comparison(1.3, 1.3, 1.05)]), 0, 1, 0),
        (report([comparison(1.3, 1.3, 1.2)], [comparison(1.3, 1, 1.2)]), 0, 1, 0),
        (report([comparison(1.3, 1.3, 1.2)], [comparison(1.3, 1.3, 1.2)]), 1, 1, 1),
        (report([comparison(status="failed")]), 2, 0, 0),
        (report([comparison(1), comparison(status="failed")]), 2, 1, 0),
        (report([comparison(1), comparison(status="new")]), 0, 1, 0),
        (report([comparison(status="skipped")]), 2, 0, 0),
        (report([comparison(1)], notes=["strace counted nothing"]), 2, 1, 0),
        (counted(guard.CALLS, 2, 3), 1, 1, 1),
        (counted(guard.CALLS, 3, 2), 0, 1, 0),
        (counted(guard.INSTRUCTIONS, 100, 101), 0, 1, 0),
        (counted(guard.INSTRUCTIONS, 100, 110), 1, 1, 1),
    ],
)
def test_verdict(found, status, compared, slower):
    assert found.status() == status
    *lines, end = found.lines()
    assert end == f"{compared} cells compared, {slower} slower"
    named = [line for line in lines if CELL in line and line.startswith(("slower:", "more:"))]
    assert bool(named) == (status == 1)
    assert all("base bbbbbbbbbbbb, head eeeeeeeeeeee" in line for line in named)
    json.dumps([c.as_json() for c in (*found.first, *found.counted)])


@pytest.mark.not_asan
@pytest.mark.parametrize(
    "tool", [pytest.param(tool, marks=[] if tool is guard.CALLS else [pytest.mark.stress]) for tool in guard.TOOLS]
)
def test_counts(builds, tool):
    """A system call more is seen, however little time it takes; the same code counts the same."""
    if not tool.there:
        pytest.skip("neither strace nor valgrind is installed")
    calls = SLOW.replace("for _ in range(100):\n                pass", "__import__('os').getppid()")
    base, head = builds(head={"context.py": calls})
    same, other = (guard.per_operation(*cells([CELL]), build, tool) for build in (base, head))
    assert same == guard.per_operation(*cells([CELL]), base, tool)
    assert Count(*cells([CELL]), tool, same, other).more
    assert tool is not guard.CALLS or (same, other) == (0, 1)


def test_drill_finds_the_functions_that_it_slows_down(tmp_path):
    """The drill itself takes an hour, and would find out only then that a function has moved."""
    shutil.copytree(ROOT / "mpfast" / "core", tmp_path / "core")
    drill.prepare(tmp_path)
    for which, (cell, header, _) in enumerate(drill.PLACES):
        source = (tmp_path / "core" / header).read_text()
        assert f"drill({which});" in source
        assert '#include "core/drill.h"' in source
        assert cells([cell])


@pytest.mark.parametrize("revision", ["no-such-commit", "HEAD:README.md", "--help"])
def test_unknown_commit(revision):
    with pytest.raises(BuildError, match=re.escape(revision)):
        commit_of(revision)


@pytest.mark.parametrize("arguments", [["--base", "no-such-commit"], ["--base", "HEAD", "--only", "no such cell"], []])
def test_not_measured(arguments):
    command = [sys.executable, ROOT / "bench" / "run.py", "gate", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == gate.NOT_MEASURED
