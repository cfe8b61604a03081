# SPDX-License-Identifier: MIT
"""The suite of connections: what is sent arrives, and beside it stands what the kernel asks for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.base.errors import Skipped
from bench.base.placement import place
from bench.floors import messages
from bench.floors.messages import Floor
from bench.kinds.talk import Wire
from bench.suites import connections
from bench.suites.connections import DUPLEX, SCENARIOS, TRACKED, proven

ROOT = Path(bench.ROOT)
KEYS = ("connections/poll/", "connections/turns_inet_int/fork/one", "connections/stream_duplex_1MiB/fork/two")

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The raw C program as it will be in this test's folder."""
    monkeypatch.setattr(messages, "PROGRAM", str(tmp_path / "floor"))
    for cached in (messages.build, messages.run):
        cached.cache_clear()
    yield tmp_path / "floor"
    for cached in (messages.build, messages.run):
        cached.cache_clear()


def test_a_run(tmp_path):
    """Each cell has the time of the kernel's part, in the data and in the table."""
    chosen = [word for key in (*KEYS, "connections/manager_store/fork/one") for word in ("--only", key)]
    places = ("--json", str(tmp_path / "data.json"), "--out", str(tmp_path))
    done = subprocess.run(
        (sys.executable, str(ROOT / "bench" / "run.py"), "--aa", "--quick", *chosen, *places),
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "data.json").read_text())["cells"]
    assert len(cells) == 4
    measured = [cell for cell in cells if cell["status"] == "ok"]
    assert len(measured) >= 3  # one may need a second CPU
    assert all(0 < cell["floor_ns"] < 100 * cell["stdlib_ns"] for cell in measured)
    assert "raw C" in done.stdout
    assert "the same in C" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("pattern", ["stream", "turns"])
@pytest.mark.parametrize("wire", ["pipe", "pair", "unix", "inet"])
def test_floors(program, pattern, wire, monkeypatch):
    """More bytes take longer, whatever the wire."""
    monkeypatch.setattr(messages, "MILLISECONDS", 5)
    here = place("one_cpu", frozenset(os.sched_getaffinity(0)))
    small, large = (Floor(pattern, wire, size).nanoseconds(here) for size in (9, 1 << 20))
    assert 0 < small < large
    assert program.exists()


def test_without_a_compiler(program, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert Floor("poll", "pipe", 0).nanoseconds(place("one_cpu", frozenset({0}))) is None
    assert not program.exists()


class Liar:
    """An end that receives something else than was sent."""

    def send(self, thing):
        pass

    def recv(self):
        return 54321


def test_what_is_sent_must_arrive():
    with pytest.raises(ValueError, match="what arrived is not the int that was sent"):
        proven(Wire("liar", "liar", lambda context: (Liar(), Liar()), "pipe"), "int", None)


def test_a_payload_that_cannot_be_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    connections.mpfb_talk.payload.cache_clear()
    with pytest.raises(Skipped, match="the payload cannot be made"):
        proven(DUPLEX, "64 MiB array", None)


def test_the_history_is_of_scenarios_that_exist():
    assert set(TRACKED) <= {scenario.key for scenario in SCENARIOS}
