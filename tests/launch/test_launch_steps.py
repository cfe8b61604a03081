# SPDX-License-Identifier: MIT
"""The user's process, the fork server and a child of it are killed before and after each system call of the protocol.

make test does so at some of them, make stress at all.
"""

import json
import signal

import pytest
import stepping
import steps

MOST = 400  # moments; there are fewer
STRIDE = {"user": 9, "server": 7, "child": 2}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return steps.compiled(tmp_path_factory)


def user(said):
    """Nobody is left, as programs.run() has seen to."""
    assert said.code == -signal.SIGKILL, said


def server(said):
    """Nothing is to be seen: each process runs and ends as it should."""
    assert said.code == 0, said
    found = json.loads(said.out)
    assert (found["codes"], found["errors"]) == ([5] * 6, []), said
    assert found["descriptors"] <= 12


def child(said):
    """One process, if it was one by then, ended by the signal; the others as they should."""
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["errors"] == [], said
    assert sorted(found["codes"]) in ([5] * 6, [-9] + [5] * 5), said
    assert found["descriptors"] <= 12


OUTCOMES = {"user": user, "server": server, "child": child}


def sweep(library, place, role, moments, tells):
    return steps.sweep(library, place, role, moments, stepping.__file__, OUTCOMES[role], tells)


@pytest.mark.parametrize("tells", ["kernel", "table"])
@pytest.mark.parametrize("role", OUTCOMES)
def test_killed_at_some_steps(library, tmp_path, role, tells):
    """tells: how the exit codes are known, by the kernel or, as on older ones, by the exit table."""
    assert sweep(library, tmp_path, role, range(0, MOST, STRIDE[role]), tells) > 2


@pytest.mark.stress
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tells", ["kernel", "table"])
@pytest.mark.parametrize("role", OUTCOMES)
def test_killed_at_every_step(library, tmp_path, role, tells, capsys):
    count = sweep(library, tmp_path, role, range(MOST), tells)
    with capsys.disabled():
        print(f"{role}, {tells}: killed at {count} moments", end=" ", flush=True)
    assert 5 < count < MOST
