# SPDX-License-Identifier: MIT
"""Workers of a pool are killed and stopped at any moment of what they do.

MPFAST_POOL_KILLS says how many there are in each of the long storms.
"""

import os

import abilities
import pytest
from pool_storm import PoolStorm

import mpfast

KILLS = int(os.environ.get("MPFAST_POOL_KILLS", "200"))
KINDS = {
    "plain": {},
    "one worker": {"workers": 1},
    "few tasks a worker": {"maxtasksperchild": 3},
    "one task a worker": {"maxtasksperchild": 1},
}
TASKS = 40_000  # of a storm in which every second victim is stopped as well

pytestmark = abilities.deaths


def run(method, kind, kills, capsys, tasks=0, **options):
    with PoolStorm(mpfast.get_context(method), **KINDS[kind], **options) as storm:
        storm.kill(kills)
        storm.go_on(tasks)
    with capsys.disabled():
        print(f"\n{method}, {kind}: {storm.check()}", end=" ")
    return storm


@pytest.mark.timeout(60)
def test_a_short_storm(capsys):
    run("fork", "plain", 20, capsys)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_storm(method, kind, capsys):
    run(method, kind, KILLS, capsys)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_storm_of_many_tasks(method, capsys):
    storm = run(method, "plain", 2 * KILLS + 40, capsys, TASKS, stop_every=2)
    assert len(storm.killed) >= 1.5 * KILLS
    assert storm.stops >= KILLS
