# SPDX-License-Identifier: MIT
"""What README.md and docs/additions.md tell a user to run does run, as it stands.

Each block of Python is a program of its own. It is run as a script under every start method, and prints what the
comments behind its calls of print() say. The README's figures are those of docs/speed.md. Each line of the README's
blocks without a language is a command. The program is run by `python -m mpfast`, make is asked how it would make its
targets, and `pip install .` is run by `make stress`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/additions.md")
METHODS = ("fork", "forkserver", "spawn")
DEADLINE = 60
TO = "\N{EN DASH}"  # in a range

WITH_METHOD = """
import runpy, sys
import mpfast
mpfast.set_start_method(sys.argv.pop(1))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def blocks(text: str, language: str) -> list[str]:
    return [code for named, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if named == language]


def programs() -> Iterator[tuple[str, str]]:
    for name in DOCUMENTS:
        for number, program in enumerate(blocks((ROOT / name).read_text(), "python"), 1):
            yield f"{Path(name).stem}-{number}", program


PROGRAMS = dict(programs())
COMMANDS = [
    line.split("#")[0].strip() for block in blocks((ROOT / "README.md").read_text(), "") for line in block.splitlines()
]


def expected(program: str) -> str:
    """What the comments say that is printed."""
    return "".join(f"{said}\n" for said in re.findall(r"^ *print\(.*\)  # (.*)$", program, re.M))


def run(command: list[str], folder: Path, deadline: int = DEADLINE) -> str:
    """Returns what the command prints. Its process ends before this does."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, method: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    if "import numpy" in program:
        pytest.importorskip("numpy")
    path = tmp_path / "program.py"
    path.write_text(program)
    assert run([sys.executable, "-c", WITH_METHOD, method, str(path)], tmp_path) == expected(program)


def test_programs_say_what_they_print() -> None:
    assert all(expected(program) for program in PROGRAMS.values())
    assert expected("print(1)  # 1\nif x:\n    print(f(2))  # two\nx = 3  # three\n") == "1\ntwo\n"


def test_unmodified_program(tmp_path: Path) -> None:
    assert "python -m mpfast program.py" in COMMANDS
    program = PROGRAMS["README-1"]
    assert "import mpfast as mp" in program
    (tmp_path / "program.py").write_text(program.replace("import mpfast as mp", "import multiprocessing as mp"))
    assert run([sys.executable, "-m", "mpfast", "program.py"], tmp_path) == expected(program)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_the_target(command: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    made = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, timeout=DEADLINE, check=False)
    assert made.returncode == 0, made


def test_every_command_is_tried() -> None:
    tried = ("make ", "python -m mpfast ", "pip install .")
    assert COMMANDS
    assert all(command.startswith(tried) for command in COMMANDS)


def figures(text: str) -> set[str]:
    """The factors in its tables."""
    return set(re.findall(rf"(?<![\w.{TO}])\d[\d.{TO}]*x", "".join(re.findall(r"^\|.*\n", text, re.M))))


def test_figures_are_those_of_the_long_table() -> None:
    short, long = (figures((ROOT / name).read_text()) for name in ("README.md", "docs/speed.md"))
    assert len(short) > 10
    assert not short - long


def test_what_a_figure_is() -> None:
    table = f"2x\n| 3.6{TO}3.8x, 1.8x | a4x |\n| 350{TO}360x | |\n"
    assert figures(table) == {f"3.6{TO}3.8x", "1.8x", f"350{TO}360x"}


@pytest.mark.stress
@pytest.mark.timeout(1200)
def test_install(tmp_path: Path) -> None:
    """From a clone, into an environment of its own. It wants the network, for the tools that the build needs."""
    assert "pip install ." in COMMANDS
    clone, venv = tmp_path / "clone", tmp_path / "venv"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", "."], cwd=clone, check=True)
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS["README-1"])
    assert run([str(venv / "bin/python"), str(program)], tmp_path) == expected(PROGRAMS["README-1"])
