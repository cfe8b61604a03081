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
KINDS = {"plain": {}, "one worker": {"workers": 1}, "few tasks a worker": {"maxtasksperchild": 3}}

pytestmark = [abilities.deaths, pytest.mark.stress]


def run(method, kind, kills, capsys):
    with PoolStorm(mpfast.get_context(method), **KINDS[kind]) as storm:
        storm.kill(kills)
    with capsys.disabled():
        print(f"\n{method}, {kind}: {storm.check()}", end=" ")


@pytest.mark.timeout(60)
def test_a_short_storm(capsys):
    run("fork", "plain", 20, capsys)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_storm(method, kind, capsys):
    run(method, kind, KILLS, capsys)
