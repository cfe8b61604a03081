# SPDX-License-Identifier: MIT
"""`make clients` says what it saw. A loss is called one, and what a client leaves behind is ended."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import programs
import pytest

CLIENTS = Path(__file__).parent / "clients"
sys.path.append(str(CLIENTS))

import clients  # noqa: E402
import run  # noqa: E402

LEAVES = """
import sys; sys.path.insert(0, {folder})
import running
running.adopt()
running.GRACE = 0.2
daemon = "import os, time; os.setsid() if os.fork() == 0 else os._exit(3); time.sleep(60)"
said = running.run([sys.executable, "-c", daemon], 20)
print(said.code, said.left, running.below(running.os.getpid()))
hangs = running.run([sys.executable, "-c", "print('on', flush=True); import time; time.sleep(60)"], 1)
print(hangs)
"""

SUITE = """
import os, sys
def test_same(): pass
def test_differs(): assert "mpfast" not in sys.modules
def test_takes_pytest_with_it():
    if "mpfast" in sys.modules:
        os._exit(1)
def test_after(): pass
def test_fails_anyway(): assert False
"""
COMPARES = """
import sys; sys.path.insert(0, {folder})
from pathlib import Path
import running, suites
running.adopt()
plain, ours, bad, suspects = suites.compare(Path.cwd(), sys.argv[1], Path.cwd())
print(plain, ours, suspects, *sorted(test.partition("::")[2] for test in bad))
"""


@pytest.mark.parametrize(
    ("expected", "plain", "ours", "found"),
    [
        ("2", "2", ["2", "2"], "ok"),
        ("2", "1", ["2", "2"], "gain"),
        ("2", "2", ["2", "1"], "loss"),
        ("2", "1", ["1", "1"], "same"),
        ("2", "1", ["0", "1"], "differs"),
        ("", "1", ["1"], "ok"),
        ("", "1", ["2"], "loss"),
        ("2", "2", [clients.Skipped("why"), "2"], "skipped"),
    ],
)
def test_verdicts(expected, plain, ours, found):
    assert run.verdict(SimpleNamespace(expected=expected), plain, ours) == found


def test_a_lost_client_is_the_exit_status(monkeypatch, capsys):
    client = clients.Client("pytest", lambda case: case.way, "multiprocessing", ("fork",))
    monkeypatch.setattr(clients, "CLIENTS", [client])
    assert run.table([]) == 1
    assert "| fork | multiprocessing | import: import; launcher: launcher | loss |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="there is no client pylint"):
        run.table(["pylint"])


def test_what_is_left_is_ended(tmp_path):
    lines = programs.run(programs.write(tmp_path / "program.py", LEAVES, folder=repr(os.fspath(CLIENTS)))).lines()
    assert lines == ["3 1 []", "hangs: on"]


def test_a_suite_is_compared(tmp_path):
    """Test by test. A run goes on behind a test that ended pytest."""
    programs.write(tmp_path / "suite.py", SUITE)
    program = programs.write(tmp_path / "program.py", COMPARES, folder=repr(os.fspath(CLIENTS)))
    lines = programs.run(program, "suite.py", cwd=tmp_path, deadline=100).lines()
    assert lines == ["4 2 2 test_differs test_takes_pytest_with_it"]
