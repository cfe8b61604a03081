# SPDX-License-Identifier: MIT
"""The memory of queues that are used for long by several processes, with items of all sizes, and are never empty.

MPFAST_MEMORY_SECONDS says how long each of them is used; an hour is 3600.
"""

import os
import random
import time

import pytest
from harness import PATIENCE

import mpfast

SECONDS = float(os.environ.get("MPFAST_MEMORY_SECONDS", "40"))
MIB = 1 << 20
SIZES = {"small": [10, 40, 100], "mixed": [10, 100, 1000, 3000], "large": [100, 5000, 20_000]}
PUTTERS = GETTERS = 2
PERIOD = 3  # seconds of one backlog

pytestmark = [pytest.mark.stress, pytest.mark.timeout(10 * SECONDS + 120)]


def put_on(q, wanted, sizes, seed):
    """Keeps so many items in the queue, about; 0 ends it."""
    draw = random.Random(seed)
    while (backlog := wanted.value) > 0:
        if q.qsize() >= backlog:
            time.sleep(0.001)
            continue
        for _ in range(draw.randrange(1, 200)):
            q.put(draw.randbytes(draw.choice(sizes)))


def get_on(q, wanted, seed):
    draw = random.Random(seed)
    while (backlog := wanted.value) > 0:
        if q.qsize() <= backlog * 0.9:
            time.sleep(0.0001)
            continue
        for _ in range(draw.randrange(1, 100)):
            q.get(timeout=PATIENCE)


def allowed(backlog, sizes):
    """A block is up to twice as large as its item, and half as many again are free; and some pieces of each class."""
    return 3 * (backlog + 1000) * sum(sizes) / len(sizes) + 64 * backlog + 6 * MIB


@pytest.mark.parametrize("sizes", SIZES)
def test_never_empty(sizes, capsys):
    ctx = mpfast.get_context("fork")
    q, wanted, draw = ctx.Queue(), ctx.Value("q", 1), random.Random(7)
    crew = [ctx.Process(target=put_on, args=(q, wanted, SIZES[sizes], n)) for n in range(PUTTERS)]
    crew += [ctx.Process(target=get_on, args=(q, wanted, n)) for n in range(GETTERS)]
    for process in crew:
        process.start()
    most, worst, end = 0, 0.0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            before, wanted.value = wanted.value, draw.choice([20, 200, 2000, 20_000])
            ebb = time.monotonic() + PERIOD  # until then the memory of the last backlog may still be there
            while time.monotonic() < ebb + PERIOD:
                time.sleep(0.05)
                least = max(wanted.value, before) if time.monotonic() < ebb else wanted.value
                stats = q.stats()
                bound = allowed(max(least, stats.size), SIZES[sizes])
                most, worst = max(most, stats.bytes), max(worst, stats.bytes / bound)
                assert stats.bytes <= bound, (stats, wanted.value, before)
        items = q.stats().put
    finally:
        wanted.value = 0
        for process in crew:
            process.join(PATIENCE)
            process.kill()
        q.close()
    with capsys.disabled():
        print(f"\n{sizes}: {items:,} items, at most {most / MIB:.1f} MiB, {worst:.0%} of what is allowed", end=" ")
