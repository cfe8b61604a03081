# SPDX-License-Identifier: MIT
"""A pool that has nothing to do: no thread of it wakes up, and there are no more threads than need be."""

import os
import time

import pooled
import pytest
from harness import until

import mpfast

SECONDS = 10
pytestmark = pytest.mark.stress


@pytest.fixture
def mp():
    return mpfast


def switches(pids, others):
    """How often each thread of these processes has gone to sleep or lost its CPU, but for those others."""
    found = {}
    for pid in pids:
        for thread in set(os.listdir(f"/proc/{pid}/task")) - others:
            with open(f"/proc/{pid}/task/{thread}/status") as file:
                found[thread] = sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return found


def threads():
    return set(os.listdir("/proc/self/task"))


def sleep_on(pids, others):
    """When all is quiet, memory of the last burst was given back too. Then nothing happens for so long."""
    seen = [switches(pids, others)]

    def quiet():
        time.sleep(1.5)
        seen.append(switches(pids, others))
        return seen[-1] == seen[-2]

    until(quiet, "it is quiet")
    before = switches(pids, others)
    time.sleep(SECONDS)
    assert switches(pids, others) == before


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_pool(make_pool, asynchronous):
    before = threads()
    pool = make_pool(2)
    assert pool.map(pooled.square, range(2000), 1) == [n * n for n in range(2000)]
    assert threads() == before
    if asynchronous:
        assert [pool.apply_async(pooled.same, (n,)).get() for n in range(2000)] == list(range(2000))
        assert len(threads()) == len(before) + 1
    sleep_on([os.getpid(), *(worker.pid for worker in pool._pool)], before)


def test_an_executor(make_executor):
    before = threads()
    executor = make_executor(2)
    assert [future.result() for future in [executor.submit(pooled.same, n) for n in range(2000)]] == list(range(2000))
    assert len(threads()) == len(before) + 1
    sleep_on([os.getpid(), *executor._processes], before)
