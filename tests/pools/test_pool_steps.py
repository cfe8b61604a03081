# SPDX-License-Identifier: MIT
"""A pool's process, its template and a spare are killed before and after each system call of their conversation.

make test does so at some of them, make stress at all.
"""

import json
import signal

import pytest
import stepping_pool
import steps

MOST = 400  # moments; there are fewer
STRIDE = {"user": 9, "server": 7, "child": 5}
RESULTS = list(range(stepping_pool.ROUNDS))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return steps.compiled(tmp_path_factory)


def user(said):
    """Nobody is left, as programs.run() has seen to."""
    assert said.code == -signal.SIGKILL, said


def found_by(said):
    assert said.code == 0, said
    assert said.err == ""
    found = json.loads(said.out)
    assert found["descriptors"] <= 0, said
    assert found["outcomes"][0::2] == ["died of 9"] * stepping_pool.ROUNDS, said
    return found["outcomes"][1::2]


def server(said):
    """Nothing is to be seen."""
    assert found_by(said) == RESULTS, said


def child(said):
    """If it was a worker by then, its task is lost, but no other one."""
    found = found_by(said)
    assert sum(one != result for one, result in zip(found, RESULTS, strict=True)) <= 1, said
    assert set(found) <= {*RESULTS, "died of 9"}, said


OUTCOMES = {"user": user, "server": server, "child": child}


def sweep(library, place, role, moments, tells):
    return steps.sweep(library, place, role, moments, stepping_pool.__file__, OUTCOMES[role], tells)


@pytest.mark.timeout(300)
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
