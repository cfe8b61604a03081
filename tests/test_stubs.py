# SPDX-License-Identifier: MIT
"""The stubs: every extension has one, and what `make lint` runs on them sees one that is not true."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mpfast

ROOT = Path(__file__).parents[1]
ALLOWED = ROOT / "tests/stubtest.txt"
MODULE = "mpfast.launch.forkserver.exit_table"  # it is small, and imports nothing of mpfast's


@pytest.fixture
def package(tmp_path):
    """A copy of the package that is tested. mpfast's own stub is empty there, because mypy takes longest for that."""
    shutil.copytree(Path(mpfast.__file__).parent, tmp_path / "mpfast", ignore=shutil.ignore_patterns("*.c", "*.pyc"))
    (tmp_path / "mpfast/__init__.pyi").write_text("")
    return tmp_path


def stubtest(folder):
    """(status, output) of what `make lint` runs, on one module."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", MODULE, "--concise", "--allowlist", str(ALLOWED)]
    command += ["--ignore-unused-allowlist", "--mypy-config-file", str(ROOT / "pyproject.toml")]
    environment = {**os.environ, "PYTHONPATH": str(folder), "MYPYPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout + done.stderr


def test_every_extension_has_a_stub():
    sources = list((ROOT / "mpfast").rglob("*.pyx"))
    assert sources
    assert not [path.name for path in sources if not path.with_suffix(".pyi").exists()]


def test_a_true_stub_passes(package):
    assert stubtest(package) == (0, "")


def test_stubs_that_are_not_true_are_refused(package):
    stub = package / Path(*MODULE.split(".")).with_suffix(".pyi")
    text = stub.read_text()
    for old, new in (("def said(", "def did_say("), ("def reaped(self, token: int, code: int)", "def reaped(self)")):
        assert old in text
        text = text.replace(old, new)
    stub.write_text(text)
    status, output = stubtest(package)
    assert status == 1, output
    assert f"{MODULE}.Table.did_say is not present at runtime" in output
    assert f"{MODULE}.Table.said is not present in stub" in output
    assert f"{MODULE}.Table.reaped is inconsistent" in output
