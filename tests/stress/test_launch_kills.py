# SPDX-License-Identifier: MIT
"""Whoever takes part in launching is killed: the outcome is the one that docs/launching.md names for the case, nobody
is left who should be gone, and the next start() works.

MPFAST_LAUNCH_KILLS says how many rounds the long storms have.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import killing
import programs
import pytest
from harness import PATIENCE, until


@pytest.fixture(autouse=True, params=["kernel", "table"])
def tells(request, monkeypatch):
    """Who tells the exit codes of the fork server's children: the kernel or, as on older ones, the exit table."""
    if request.param == "table":
        method = getattr(request.node, "callspec", None) and request.node.callspec.params.get("method")
        if method in ("fork", "spawn"):
            pytest.skip("it has no server")
        monkeypatch.setenv("MPFAST_LAUNCH", "table")


PROGRAM = Path(killing.__file__)
ROUNDS = int(os.environ.get("MPFAST_LAUNCH_KILLS", "1000"))


def outcome(scenario, method="forkserver", *arguments, deadline=60):
    done = programs.run(PROGRAM, scenario, method, *arguments, deadline=deadline)
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.parametrize("scenario", ["one_spare", "all_spares"])
def test_spares_are_killed(scenario):
    assert outcome(scenario) == [4, 5] * 5


def test_spares_are_stopped():
    assert outcome("stopped_spare") == 0


def test_the_server_is_killed():
    assert outcome("the_server") == [True, None, 8, True, 7]


def test_the_server_is_killed_while_it_is_idle():
    assert outcome("the_server_while_idle") == [4, 5] * 3


def test_the_server_is_killed_in_a_burst():
    assert outcome("the_server_in_a_burst") == [9]


@pytest.mark.not_asan
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_are_killed(method):
    assert outcome("its_children", method) == [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV]


INIT = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
_, status = os.waitpid(process.pid, 0)
os._exit(os.waitstatus_to_exitcode(status) & 255)
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a PID namespace is root's")
def test_the_server_is_killed_where_nobody_reaps_orphans():
    """The first process of a container is often some program that never looks after children it did not start."""
    init = [*("unshare", "--pid", "--fork", "--mount-proc"), sys.executable, "-c", INIT]
    done = programs.run(PROGRAM, "the_server", "forkserver", before=init, deadline=60)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == [True, None, 8, True, 7]


@contextlib.contextmanager
def killed_program(scenario, method):
    """A program that has killed itself: what it said before, and the number of its session."""
    command = [sys.executable, str(PROGRAM), scenario, method]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        line = process.stdout.readline()
        assert process.wait(PATIENCE) == -signal.SIGKILL
        yield json.loads(line), process.pid
    finally:
        programs.end(process)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_program_is_killed(method):
    """Its daemons end, and the server with its spares; the others live on, as other programs' children do."""
    with killed_program("user", method) as ((daemon, other, _), session):
        until(lambda: programs.session(session) <= {other}, "only the child that is no daemon is left")
        assert programs.session(session) == {other}
        assert daemon not in programs.session(session)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_program_is_killed_after_the_thread_that_started(method):
    with killed_program("user_after_thread", method) as (_, session):
        until(lambda: not programs.session(session), "nobody is left")


def storm(method, rounds, deadline):
    found = outcome("anybody", method, rounds, deadline=deadline)
    assert found["problems"] == []
    assert found["kills"] > rounds / 4, "hardly anybody was there to be killed"


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_short_storm(method):
    storm(method, 60, 60)


@pytest.mark.stress
@pytest.mark.timeout(1300)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_long_storm(method):
    storm(method, ROUNDS, 1200)
