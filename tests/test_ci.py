# SPDX-License-Identifier: MIT
""".ci/run: which Pythons it takes, what it does with them, and that it ends at a failure. `make` only takes notes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / ".ci" / "run"
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$NOTES"\ncase "$*" in "$FAILING"*) exit 3;; esac\n'


@pytest.fixture
def ci(tmp_path):
    """ci(**environment): (status, output, what make was told), without a HOME, and with nothing to install."""
    for name in ("make", "apt-get", "sudo"):
        (tmp_path / name).write_text(NOTE)
        (tmp_path / name).chmod(0o755)

    def run(failing="nothing", **environment):
        notes = tmp_path / "notes"
        notes.write_text("")
        path = os.pathsep.join([str(tmp_path), os.path.dirname(sys.executable), os.environ["PATH"]])
        env = {"PATH": path, "NOTES": str(notes), "FAILING": failing, **environment}
        done = subprocess.run([RUN], env=env, capture_output=True, text=True, timeout=100)
        told = [line.removeprefix("make ") for line in notes.read_text().splitlines() if line.startswith("make ")]
        return done.returncode, done.stdout + done.stderr, told

    return run


WITHOUT = " ARGS=--ignore tests/c"  # of the second Python, as the harnesses know none


def test_the_oldest_and_the_newest(ci):
    """Each is tested and counted, and one is what the rest is done with."""
    status, output, told = ci()
    assert status == 0, output
    assert "all steps passed after" in output
    oldest = told[0].removeprefix("lint PYTHON=")
    others = {line.partition("PYTHON=")[2] for line in told if line.startswith("counts")} - {oldest}
    assert len(others) <= 1
    assert [line for line in told if not any(other in line for other in others)] == [
        f"lint PYTHON={oldest}",
        f"test PYTHON={oldest}",
        f"counts PYTHON={oldest}",
        f"test PYTHON={oldest} ARGS=-m sanitize tests/c/test_c.py",
        f"bench PYTHON={oldest} ARGS=--quick --only locks",
        f"asv PYTHON={oldest}",
    ]
    assert all(f"test PYTHON={other}{WITHOUT}" in told for other in others)
    for version in ("3.11", "3.12", "3.13", "3.14", "3.15"):
        assert f"Python {version}: " in output


def test_these_instead(ci):
    status, output, told = ci(MPFAST_CI_PYTHONS="one two")
    assert status == 0, output
    assert told[:5] == [
        "lint PYTHON=one",
        "test PYTHON=one",
        "counts PYTHON=one",
        f"test PYTHON=two{WITHOUT}",
        "counts PYTHON=two",
    ]
    assert "== make counts PYTHON=two" in output


def test_the_first_failure_is_the_end(ci):
    status, output, told = ci(f"test PYTHON=two{WITHOUT}", MPFAST_CI_PYTHONS="one two")
    assert status == 1
    assert told[-1] == f"test PYTHON=two{WITHOUT}"
    assert output.splitlines()[-1].endswith(f"s: make test PYTHON=two{WITHOUT}")
    assert "passed" not in output
