# SPDX-License-Identifier: MIT
"""Workers that cannot start, beside others that can. And many pools, one after the other, which leave nothing."""

import gc
import os
import subprocess
import sys
import time

import abilities
import hostile
import pooled
import pytest
import watch
from harness import PATIENCE, until

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


def test_an_initializer_that_fails_in_one_worker(ctx, make_pool, capfd):
    """The other one works on. The start is tried again, later each time."""
    counter = ctx.Value("q", 0)
    pool = make_pool(2, pooled.fail_but_first, (counter,))
    assert pool.apply_async(pooled.square, (3,)).get(PATIENCE) == 9
    until(lambda: pool._pool and counter.value >= 3, "two have failed")
    begun = time.monotonic()
    until(lambda: pool._pool and counter.value >= 6, "five have failed")
    assert time.monotonic() - begun > 0.1  # without delay they fail as quickly as they start
    assert pool._desk.crew.setbacks.delay >= 0.2
    assert pool.map(pooled.square, range(20), 1) == [n * n for n in range(20)]


@pytest.mark.not_asan  # it has more addresses than any limit allows
def test_workers_that_cannot_take_a_task(make_pool, capfd):
    """They start, but are too small for the pool's rings. They are not started again and again."""
    pool = make_pool(2, hostile.allow_memory, (600 << 20,))
    with pytest.raises(mpfast.BrokenPool, match="could not start"):
        pool.map_async(pooled.square, range(4)).get(PATIENCE)
    assert pool._desk.crew.setbacks.wasted >= 3


LITTLE_ROOM = """
import errno, os, resource, sys
import mpfast

def room(n):
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        for _ in range(n):
            os.close(taken.pop())
    return taken

if __name__ == "__main__":
    ctx = mpfast.get_context("fork")
    with ctx.Pool(1) as pool:
        assert pool.apply(abs, (-3,)) == 3  # all is loaded
    done = refused = 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
    for n in range(30):
        taken = room(n)
        try:
            with ctx.Pool(1, template=bool(n % 2)) as pool:
                assert pool.apply_async(abs, (-3,)).get(20) == 3
                pool.terminate()
                pool.join()
            done += 1
        except OSError as error:
            assert error.errno == errno.EMFILE, error
            refused += 1
        for fd in taken:
            os.close(fd)
    print(done > 0, refused > 0)
"""


def test_a_lack_of_descriptors(tmp_path):
    """Is an error of the caller's. No worker prints anything."""
    program = tmp_path / "little_room.py"
    program.write_text(LITTLE_ROOM)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, program], capture_output=True, timeout=100, text=True, env=environment)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["True", "True"], "", 0)


def pass_by(ctx, how):
    pool = ctx.Pool(2)
    if how == "unused":
        pool.terminate()
    elif how == "killed":
        pool._pool[0].kill()
        assert pool.map(pooled.square, range(3)) == [0, 1, 4]
        pool.terminate()
    else:
        assert pool.map(pooled.square, range(3)) == [0, 1, 4]
        pool.close()
    pool.join()


def counts():
    gc.collect()
    with open("/proc/self/maps") as file:
        maps = len(file.readlines())
    return len(watch.descriptors()), len(os.listdir("/proc/self/task")), maps


def many_pools(ctx, rounds):
    for how in ("used", "unused", "killed"):
        pass_by(ctx, how)
    before, children = counts(), watch.descendants()
    for n in range(rounds):
        pass_by(ctx, ("used", "unused", "killed")[n % 3])
    fds, threads, maps = counts()
    assert (fds, threads) == before[:2]
    assert maps <= before[2] + 20  # the allocator's own
    assert watch.descendants() <= children


@pytest.mark.timeout(300)
def test_some_pools(ctx, method):
    many_pools(ctx, 4 if method == "spawn" else 20)


@pytest.mark.stress
@pytest.mark.timeout(1200)
def test_a_thousand_pools(ctx, method):
    many_pools(ctx, 100 if method == "spawn" else 1000)


@pytest.mark.stress
@pytest.mark.timeout(300)
def test_a_hundred_workers(ctx):
    """On as many CPUs as there are."""
    before = counts()
    with ctx.Pool(100) as pool:
        pids = set(pool.map(pooled.pid_after, [0.2] * 200, 1))
        assert len(pids) > 50
        assert pool.map(pooled.square, range(10_000)) == [n * n for n in range(10_000)]
        pool.close()
        pool.join()
    del pool
    assert counts()[:2] == before[:2]
