# SPDX-License-Identifier: MIT
"""Programs that PyInstaller has frozen, and what it is told of mpfast."""

import ast
import importlib.util
import multiprocessing
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
    assert imported - named == set()


PROGRAM = """
import sys
import mpfast
import multiprocessing

def child(queue, lock, link):
    with lock:
        queue.put(multiprocessing.current_process().name.split("-")[0])
    link.send(type(lock).__module__.partition(".")[0])

if __name__ == "__main__":
    mpfast.freeze_support()
    mp = mpfast
    if "install" in sys.argv:
        mpfast.install()
        mp = multiprocessing
    ctx = mp.get_context(sys.argv[1])
    queue, lock, (link, other) = ctx.Queue(), ctx.Lock(), ctx.Pipe()
    process = ctx.Process(target=child, args=(queue, lock, other))
    process.start()
    print(queue.get(timeout=60), link.recv())
    process.join()
    print(process.exitcode)
    with ctx.Pool(1) as pool:
        print(pool.map(abs, [-1, -2]))
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """The executable that PyInstaller has made of the program."""
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("PyInstaller is not installed")
    folder = tmp_path_factory.mktemp("frozen")
    script = programs.write(folder / "program.py", PROGRAM)
    places = [f"--{name}path={folder / name}" for name in ("dist", "work", "spec")]
    more = [f"--additional-hooks-dir={HOOK.parent}", f"--paths={PACKAGE.parent}", "--log-level=ERROR"]
    subprocess.run([sys.executable, "-m", "PyInstaller", *places, *more, script], check=True, timeout=300)
    return folder / "dist/program/program"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["", "install"])
def test_a_frozen_program(frozen, method, how):
    """Children run their targets, and not the program again, whatever starts them."""
    done = subprocess.run([frozen, method, how], capture_output=True, text=True, timeout=100)
    name = {"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[method]
    assert (done.stdout.splitlines(), done.returncode) == ([f"{name} mpfast", "0", "[1, 2]"], 0), done.stderr
