# SPDX-License-Identifier: MIT
"""Programs that PyInstaller has frozen, and what it is told of mpfast."""

import ast
import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import programs
import pytest

import mpfast

PACKAGE = Path(mpfast.__file__).parent
HOOK = PACKAGE / "integrations/pyinstaller/hook-mpfast.py"
PROGRAM = Path(programs.__file__).with_name("frozen.py")


def test_freeze_support_is_that_of_the_moment(monkeypatch):
    """Tools replace multiprocessing's function, before mpfast is imported or after."""
    calls = []
    monkeypatch.setattr(multiprocessing, "freeze_support", lambda: calls.append(1))
    mpfast.freeze_support()
    mpfast.get_context("spawn").freeze_support()
    assert calls == [1, 1]


def test_freeze_support_does_nothing_otherwise():
    assert mpfast.freeze_support() is None
    code = "import mpfast; mpfast.install(); import multiprocessing; multiprocessing.freeze_support(); print('on')"
    assert programs.run("-c", code).lines() == ["on"]


def test_the_hook_is_found():
    """By the entry point, in the directory that it names."""
    project = PACKAGE.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("mpfast is installed without its sources")
    entry = tomllib.loads(project.read_text())["project"]["entry-points"]["pyinstaller40"]["hook-dirs"]
    module, _, function = entry.partition(":")
    assert getattr(importlib.import_module(module), function)() == [str(HOOK.parent)]
    assert HOOK.exists()


def test_the_hook_names_what_extensions_import():
    sources = list(PACKAGE.rglob("*.pyx"))
    if not sources:
        pytest.skip("mpfast is installed without its sources")
    imported = set()
    for path in sources:
        for words in re.findall(r"^\s*(?:from ([\w.]+) import|import ([\w., ]+?))(?: |$)", path.read_text(), re.M):
            imported |= {name.strip() for word in words for name in word.split(",") if name.strip()}
    imported = {name for name in imported if not name.startswith((".", "mpfast", "multiprocessing"))}
    assigned = next(node for node in ast.parse(HOOK.read_text()).body if isinstance(node, ast.Assign))
    named = {node.value for node in ast.walk(assigned.value) if isinstance(node, ast.Constant)}
    assert imported - named - {"numpy"} == set()  # a program that has no numpy does not ask for its arrays


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The executable that PyInstaller has made of the program."""
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("PyInstaller is not installed")
    folder = tmp_path_factory.mktemp("frozen")
    places = [f"--{name}path={folder / name}" for name in ("dist", "work", "spec")]
    more = [f"--additional-hooks-dir={HOOK.parent}", f"--paths={PACKAGE.parent}", "--log-level=ERROR"]
    subprocess.run([sys.executable, "-m", "PyInstaller", *places, *more, PROGRAM], check=True, timeout=300)
    return folder / "dist/frozen/frozen"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["mpfast", "install"])
def test_a_frozen_program(frozen, method, how):
    """Children run their targets, and not the program again, whatever starts them."""
    environment = os.environ | {"FROZEN": how}
    done = subprocess.run([frozen, method], capture_output=True, text=True, timeout=100, env=environment)
    name = {"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[method]
    assert (done.stdout.splitlines(), done.returncode) == ([f"{name} mpfast", "0", "[1, 2]"], 0), done.stderr
