# SPDX-License-Identifier: MIT
"""The gate's eyesight: slowdowns of a known size in each primitive in turn, and no slowdown at all.

Takes a quiet machine and some patience; prints what it finds.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import drill
import pytest

import bench
from bench.gate.builds import FOLDER
from bench.suites.plan import find

ROOT = Path(bench.ROOT)
IDENTITY = ("-c", "user.name=drill", "-c", "user.email=drill@localhost")
GUESS = {"alone": 20, "duo": 1000, "crowd": 1000, "launch": 100_000}

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]


def git(folder, *arguments):
    done = subprocess.run(("git", *IDENTITY, *arguments), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone for commits: its HEAD has the loops, and its HEAD~1 is this commit."""
    folder = tmp_path_factory.mktemp("drill") / "clone"
    git(ROOT, "clone", "--quiet", "--shared", ROOT, folder)
    drill.prepare(folder / "mpfast")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Slower, to order")
    yield folder
    forget_builds()


def forget_builds():
    for build in FOLDER.glob("*-*"):
        shutil.rmtree(build)


def run_gate(clone, base, head, *arguments):
    found = clone / "found.json"
    program = (sys.executable, ROOT / "bench" / "run.py", "gate")
    gate = (*program, "--base", base, "--head", head, "--no-count", "--json", found)
    commits = {**os.environ, "GIT_DIR": str(clone / ".git")}
    done = subprocess.run((*gate, *arguments), env=commits, capture_output=True, text=True, timeout=1200)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, done.stdout, json.loads(found.read_text())


def factor(clone, cell):
    _, _, data = run_gate(clone, "HEAD~1", "HEAD", "--only", cell)
    assert data["first"][0]["status"] == "ok", data["first"][0]["reason"]
    return data["first"][0]["factor"]


def turns_for(monkeypatch, clone, which, cell, wanted):
    """How many turns make the cell take `wanted` times as long, by two corrections of a guess."""
    monkeypatch.delenv("MPFAST_DRILL", raising=False)
    before = factor(clone, cell)
    turns = GUESS[find(cell).scenario.kind]
    for _ in range(2):
        monkeypatch.setenv("MPFAST_DRILL", f"{which}:{turns}")
        gained = max(factor(clone, cell) / before - 1, 0.01)
        turns = max(1, round(turns * (wanted - 1) / gained))
    return turns


@pytest.mark.parametrize("wanted", [1.3, 1.2])
@pytest.mark.parametrize("which", range(len(drill.PLACES)), ids=[place[2] for place in drill.PLACES])
def test_slowdown_is_caught(clone, monkeypatch, capsys, which, wanted):
    cell, header, function = drill.PLACES[which]
    turns = turns_for(monkeypatch, clone, which, cell, wanted)
    monkeypatch.setenv("MPFAST_DRILL", f"{which}:{turns}")
    status, said, data = run_gate(clone, "HEAD~1", "HEAD", "--only", cell)
    with capsys.disabled():
        measured = data["first"][0]["factor"]
        print(f"\n{function} ({header}) x {wanted}: exit {status}, measured {measured:.2f}, {turns} turns")
    if wanted >= 1.3:
        assert status == 1, said
        assert f"slower: {cell}" in said
        assert git(clone, "rev-parse", "HEAD")[:12] in said


@pytest.mark.parametrize("number", range(10))
def test_equals_are_equal(clone, monkeypatch, number):
    """The same commit, built twice; every cell. Each round of the gate has fresh copies of the builds."""
    monkeypatch.delenv("MPFAST_DRILL", raising=False)
    if number % 5 == 0:
        forget_builds()
    status, said, _ = run_gate(clone, "HEAD~1", "HEAD~1")
    assert status == 0, said
