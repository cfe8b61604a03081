# SPDX-License-Identifier: MIT
"""Processes are killed at any moment of what they do with locks, conditions, events and semaphores.

MPFAST_STORM_KILLS says how many there are for each start method in the long storm.
"""

import os
import subprocess
import sys
import textwrap

import pytest
from storm import Storm

import mpfast

KILLS = int(os.environ.get("MPFAST_STORM_KILLS", "150"))


def run(method, kills, capsys):
    with Storm(mpfast.get_context(method)) as storm:
        storm.kill(kills)
    summary = storm.check()
    with capsys.disabled():
        print(f"\n{method}: {summary}", end=" ")


@pytest.mark.timeout(60)
def test_a_short_storm(capsys):
    run("fork", 40, capsys)


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_long_storm(method, capsys):
    run(method, KILLS, capsys)


@pytest.mark.stress
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ["lock", "rlock", "permit"])
def test_a_storm_on_one_kind(role, capsys):
    """Nearly every kill hits somebody inside, or about to be."""
    with Storm(mpfast.get_context("fork"), [role] * 4) as storm:
        storm.kill(KILLS, pause=0.005)
    with capsys.disabled():
        print(f"\n{role}: {storm.check()}", end=" ")


CROWD = """
import os, mpfast
lock = mpfast.Lock()
reader, writer = os.pipe()
pids = []
for number in range(4094):
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    pids.append(pid)
def tell():
    pid = os.fork()
    if pid == 0:
        try:
            print(lock.acquire(), flush=True)
        except RuntimeError as e:
            print("participant table was full" in str(e), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
tell()
os.close(writer)
for pid in pids:
    os.waitpid(pid, 0)
tell()
"""


@pytest.mark.stress
@pytest.mark.timeout(300)
def test_four_thousand_processes_at_once():
    """As many as the table has places for; one more is told so, and once they are gone there is room again."""
    code = textwrap.dedent(CROWD)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["True", "True"]
