# SPDX-License-Identifier: MIT
"""The rooms of the benchmark harness: each imports only what the table in bench/__init__.py allows it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench

HARNESS = Path(bench.ROOT, "bench")
ROW = re.compile(r"^ {4}(\w+) {2,}\S.*? {2,}(\w+(?: \w+)*)$", re.M)
MODULE = re.compile(r"bench(?:\.\w+)+")


def table() -> dict[str, list[str]]:
    """The room or file of each row, and what it may import."""
    rows = dict(ROW.findall(bench.__doc__ or ""))
    assert rows.pop("room") == "may import"
    return {room: [] if allowed == "nothing" else allowed.split() for room, allowed in rows.items()}


ROOMS = table()


def room_of(path: str) -> str:
    """The room of a file below bench/, or the file's own name at the top."""
    return Path(path).parts[0].removesuffix(".py")


def imported(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a file imports, at any depth, and of modules that a string names."""
    package = ("bench", *Path(path).parent.parts)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (start, node.module)))
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
            yield node.lineno, node.value


def imported_room(words: list[str]) -> str:
    """The room of an imported name, or "" if it is not of the harness."""
    if words[0].startswith("mpfb_"):
        return "_support"
    return words[1] if words[0] == "bench" and words[1:] else ""


def forbidden(path: str, text: str) -> Iterator[str]:
    here = room_of(path)
    for line, name in imported(path, text):
        words = name.split(".")
        if words[0] == "mpfast" and words[1:]:
            yield f"line {line}: {name}: only `import mpfast` works with each commit that asv measures"
        room = imported_room(words)
        if room in ROOMS and room != here and room not in ROOMS[here]:
            yield f"line {line}: {here} may not import {name}"


def files() -> dict[str, str]:
    """All Python files of the harness but its own __init__.py, which every room may import."""
    paths = (path for path in HARNESS.rglob("*.py") if path != HARNESS / "__init__.py")
    return {path.relative_to(HARNESS).as_posix(): path.read_text() for path in paths}


def test_every_import_is_allowed():
    assert not [f"{path}, {problem}" for path, text in files().items() for problem in forbidden(path, text)]


def test_every_file_has_a_room_and_every_room_a_file():
    assert {room_of(path) for path in files()} == set(ROOMS)


def test_the_table_allows_no_more_than_is_needed():
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path, text in files().items():
        used[room_of(path)] |= {imported_room(name.split(".")) for _, name in imported(path, text)}
    assert {room: sorted(set(ROOMS) & found - {room}) for room, found in used.items()} == {
        room: sorted(allowed) for room, allowed in ROOMS.items()
    }


def test_a_row_names_rows_above_it_only():
    rows = list(ROOMS)
    for number, room in enumerate(rows):
        assert set(ROOMS[room]) <= set(rows[:number]), room


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("base/units.py", "from ..kinds.scenario import Cell"),
        ("base/units.py", "from .. import ROOT, page"),
        ("base/units.py", "import bench.measure.results"),
        ("base/units.py", "from bench import suites"),
        ("base/facts.py", "def f():\n    from ..history import asv"),
        (
            "base/facts.py",
            "def f():\n    try:\n        import bench.gate.builds as b\n    finally: pass",
        ),
        ("kinds/duo.py", "if TYPE_CHECKING:\n    from ..suites.plan import Budget"),
        ("kinds/duo.py", "class A:\n    from ..measure import worker"),
        ("suites/plan.py", "importlib.import_module('bench.measure.pairs')"),
        ("page/table.py", "from ..gate.versus import Comparison"),
        ("gate/gate.py", "from ..page import table"),
        ("costs.py", "from .main import parser"),
        ("base/impls.py", "import mpfb_play"),
        ("_support/mpfb_play.py", "from bench.base import units"),
        ("gate/bout.py", "def f():\n    from mpfast.family.family import Family"),
        ("gate/bout.py", "import mpfast.synchronize"),
    ],
)
def test_forbidden_import_is_seen(path, text):
    assert len(list(forbidden(path, text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("page/table.py", "from .. import ROOT\nfrom ..base import units\nfrom .templates import Html"),
        ("measure/worker.py", "def f():\n    import mpfast, mpfb_peer\n    import statistics"),
        ("main.py", "from .page import table\nfrom . import ROOT"),
    ],
)
def test_allowed_import_is_not(path, text):
    assert list(forbidden(path, text)) == []


def test_suites_are_lists_of_scenarios():
    """A new shape of scenario is a class in kinds/."""
    suites = {path: text for path, text in files().items() if room_of(path) == "suites" and path != "suites/plan.py"}
    assert len(suites) > 5
    assert not [path for path, text in suites.items() if re.search(r"^\s*class ", text, re.M)]
