# SPDX-License-Identifier: MIT
"""Tasks that do to their worker what they like. It costs their own result at most, and the pool goes on."""

import os
import signal

import abilities
import hostile
import pooled
import pytest
from harness import PATIENCE

import mpfast

ENDS = {
    "os._exit": (pooled.die, "exit", 7),
    "sys.exit": (pooled.die, "leave", 8),
    "SIGKILL": (pooled.die, "kill", -signal.SIGKILL),
    "a segmentation fault": (hostile.crash, None, -signal.SIGSEGV),
    "abort": (hostile.abort, None, -signal.SIGABRT),
}


@pytest.fixture
def lives_on(make_pool):
    """A pool that still works afterwards, and ends well."""
    pool = make_pool(2)
    yield pool
    assert pool.map(pooled.square, range(30)) == [n * n for n in range(30)]
    pool.close()
    pool.join()


@abilities.deaths
@pytest.mark.parametrize("end", ENDS)
def test_ends(mp, lives_on, end):
    """In multiprocessing, get() would never return."""
    if mp is not mpfast:
        pytest.skip("multiprocessing's pool waits for the result for ever")
    function, argument, code = ENDS[end]
    before = lives_on.apply_async(pooled.square, (2,))
    with pytest.raises(mpfast.WorkerDied) as raised:
        lives_on.apply_async(function, (argument,)).get(PATIENCE)
    assert raised.value.exitcode == code
    assert before.get(PATIENCE) == 4


def test_forks(lives_on):
    assert lives_on.apply_async(pooled.fork_and_wait, (3,)).get(PATIENCE) == 3


@pytest.mark.parametrize("daemon", [True, False])
def test_starts_threads(lives_on, daemon):
    """That go on behind it, and do not stand in the way of the next task."""
    found = [lives_on.apply_async(hostile.start_thread, (daemon,)).get(PATIENCE) for _ in range(4)]
    assert found == [daemon] * 4


def test_closes_all_descriptors(mp, make_pool):
    """A worker that then needs memory of the rings that it has never seen ends, and another one takes its place."""
    if mp is not mpfast:
        pytest.skip("multiprocessing's worker has lost its pipes then, and the pool hangs")
    pool, expected = make_pool(2), [n * n for n in range(30)]
    found = pooled.outcomes(pool.imap(hostile.close_descriptors, range(4)), mpfast.WorkerDied)
    assert all(one is None or one.exitcode == 1 for one in found)
    for _ in range(10):
        found = pooled.outcomes(pool.imap(pooled.square, range(30)), mpfast.WorkerDied)
        assert all(one == right or one.exitcode == 1 for one, right in zip(found, expected, strict=True))
    assert found == expected
    pool.close()
    pool.join()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_changes_its_user(lives_on):
    for _ in range(4):
        assert lives_on.apply_async(hostile.become, (65534,)).get(PATIENCE) == 65534
    assert lives_on.map_async(len, [bytes(200_000)] * 20, 1).get(PATIENCE) == [200_000] * 20


@pytest.mark.not_asan
def test_eats_its_memory(lives_on):
    """The limit is the worker's own. What needs memory fails there, and everything else goes on."""
    for _ in range(2):
        with pytest.raises(MemoryError):
            lives_on.apply_async(hostile.eat_memory).get(PATIENCE)


def test_changes_its_directory_and_its_handlers(lives_on):
    for _ in range(4):
        assert lives_on.apply_async(hostile.rearrange).get(PATIENCE) is None
