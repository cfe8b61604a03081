# SPDX-License-Identifier: MIT
"""Processes are killed and stopped at any moment of what they do with a queue.

MPFAST_QUEUE_KILLS says how many there are in each of the nine long storms.
"""

import os
import queue

import pytest
from harness import until
from queue_storm import QueueStorm

import mpfast

KILLS = int(os.environ.get("MPFAST_QUEUE_KILLS", "240"))
MIB = 1 << 20
KINDS = {"plain": {}, "bounded": {"maxsize": 7}, "zero-copy": {"zero_copy": True}}


def run(method, kind, kills, capsys):
    ctx = mpfast.get_context(method)
    q = ctx.Queue(**KINDS[kind])
    with QueueStorm(ctx, q) as storm:
        storm.kill(kills)
    summary = storm.check()
    assert q.empty()
    assert q.qsize() == 0
    until(lambda: given_back(q), "the memory of the dead comes back to a queue that is used")
    q.close()
    with capsys.disabled():
        print(f"\n{method}, {kind}: {summary}", end=" ")


def given_back(q):
    """Who waits looks after the memory: what the dead had, and what nobody needs any more."""
    with pytest.raises(queue.Empty):
        q.get(timeout=0.1)
    return q.stats().bytes < 4 * MIB


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_a_short_storm(kind, capsys):
    run("fork", kind, 20, capsys)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_storm(method, kind, capsys):
    run(method, kind, KILLS, capsys)
