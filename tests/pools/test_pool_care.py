# SPDX-License-Identifier: MIT
"""Pools that look after their workers: how many there are, what they have, and what they leave behind."""

import os
import signal

import abilities
import cared
import pooled
import pytest
from harness import PATIENCE, ChildRaised, thread_state, until

import mpfast
import mpfast.pool
from mpfast.tasks import cpus, given
from mpfast.tasks.care import private_memory

pytestmark = abilities.resize
MANY = 64 << 20


@pytest.fixture
def mp():
    return mpfast


def alive(pid):
    return thread_state(pid, pid) not in ("", "Z", "X")


def pids(pool):
    return {worker.pid for worker in pool._pool}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"worker_state": 5}, TypeError, "worker_state must be a callable or None, not 5"),
        ({"worker_exit": "f"}, TypeError, "worker_exit must be a callable"),
        ({"min_workers": 1}, ValueError, "min_workers needs idle_timeout"),
        ({"min_workers": -1, "idle_timeout": 1}, ValueError, "min_workers must be at least 0, not -1"),
        ({"min_workers": 1.5, "idle_timeout": 1}, TypeError, "min_workers must be an int"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be more than 0 seconds"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout must be more than 0 seconds"),
        ({"idle_timeout": "1"}, TypeError, "idle_timeout must be a number of seconds"),
        ({"max_worker_memory": 0}, ValueError, "max_worker_memory must be at least 1, not 0"),
        ({"max_worker_memory": "1G"}, TypeError, "max_worker_memory must be an int"),
    ],
)
def test_wrong_options(options, error, text):
    with pytest.raises(error, match=text):
        mpfast.get_context("fork").Pool(1, **options)


def test_options_need_the_engine(pools):
    class Own(pools.Pool):
        def _setup_queues(self):
            super()._setup_queues()

    with pytest.raises(TypeError, match="idle_timeout needs mpfast's engine"):
        Own(1, idle_timeout=1)


# The number of workers -----------------------------------------------------------------------------------------------


def test_resize(make_pool):
    pool = make_pool(2)
    before = pids(pool)
    pool.resize(4)
    until(lambda: len(pool._pool) == 4, "there are four")
    assert before <= pids(pool)
    assert pool.map(pooled.square, range(40), 1) == [n * n for n in range(40)]
    pool.resize(1)
    until(lambda: len(pool._pool) == 1, "there is one")
    assert pool.map(pooled.square, range(40), 1) == [n * n for n in range(40)]
    assert (pool._processes, len(pool._pool)) == (1, 1)


def test_resize_while_there_is_work(held, gate):
    """Those that are too many finish what they have."""
    results = [held.apply_async(pooled.hold, (n,)) for n in range(2)]
    gate.wait(2)
    held.resize(1)
    later = held.map_async(pooled.square, range(30), 1)
    gate.open(2)
    assert [result.get(PATIENCE) for result in results] == [0, 1]
    assert later.get(PATIENCE) == [n * n for n in range(30)]
    until(lambda: len(held._pool) == 1, "there is one")


def test_a_death_of_a_pool_that_has_shrunk(make_pool):
    pool = make_pool(3)
    pool.resize(1)
    until(lambda: len(pool._pool) == 1, "there is one")
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.die)
    assert pool.apply(pooled.square, (3,)) == 9
    assert len(pool._pool) == 1


def test_wrong_sizes(make_pool):
    pool = make_pool(1)
    with pytest.raises(ValueError, match="at least 1"):
        pool.resize(0)
    for wrong in ("2", 1.5):
        with pytest.raises(TypeError, match=f"^processes must be an int, not {wrong!r}$"):
            pool.resize(wrong)
    pool.close()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.resize(2)


def test_errors_name_the_argument():
    """Nothing is made or started before."""
    with pytest.raises(TypeError, match="^processes must be an int, not '2'$"):
        mpfast.Pool("2")
    with pytest.raises(AttributeError, match="^context must be a context, as .*, not 'fork'$"):
        mpfast.pool.Pool(1, context="fork")
    with pytest.raises(TypeError, match="^max_workers must be an int, not 1.5$"):
        mpfast.ProcessPoolExecutor(1.5)
    with pytest.raises(AttributeError, match="^mp_context must be a context, as .*, not 'fork'$"):
        mpfast.ProcessPoolExecutor(1, mp_context="fork")
    with pytest.raises(TypeError, match="^chunksize must be an int, not '2'$"):
        mpfast.ProcessPoolExecutor(1).map(abs, [1], chunksize="2")


def test_more_workers_than_a_family_has_processes():
    """Their places would lie behind the end of the pool's table."""
    assert given.workers("processes", 4095, "too few") == 4095
    with pytest.raises(ValueError, match="^processes must be at most 4095, not 4096$"):
        given.workers("processes", 4096, "too few")
    with pytest.raises(ValueError, match="^max_workers must be at most 4095, not 4096$"):
        mpfast.ProcessPoolExecutor(4096)


def test_idle_workers_leave(make_pool):
    """And come back with the next task."""
    pool = make_pool(3, idle_timeout=0.2, min_workers=1)
    assert pool.map(pooled.square, range(9), 1) == [n * n for n in range(9)]
    for _ in range(2):
        until(lambda: len(pool._desk.crew.workers) == 1, "two have left")
        assert pool.map(pooled.square, range(9), 1) == [n * n for n in range(9)]
        until(lambda: len(pool._desk.crew.workers) == 3 or len(pool._desk.crew.workers) == 1, "they are back")


def test_all_idle_workers_leave(make_pool):
    pool = make_pool(2, idle_timeout=0.1, min_workers=0)
    until(lambda: not pool._desk.crew.workers, "all have left")
    assert pool.apply_async(pooled.square, (3,)).get(PATIENCE) == 9
    until(lambda: not pool._desk.crew.workers, "all have left")
    assert pool.map(pooled.square, range(9)) == [n * n for n in range(9)]


def test_a_busy_pool_keeps_its_workers(held, gate, make_pool):
    pool = make_pool(2, pooled.keep, (gate,), idle_timeout=0.05)
    result = pool.apply_async(pooled.hold, (3,))
    gate.wait()
    before = pids(pool)
    with pytest.raises(mpfast.TimeoutError):
        result.get(0.3)
    assert {worker.pid for worker in pool._desk.crew.workers} == before
    gate.open()
    assert result.get(PATIENCE) == 3
    until(lambda: len(pool._desk.crew.workers) == 1, "one has left")


def test_a_pool_that_is_closed_while_it_is_small(ctx):
    pool = ctx.Pool(2, idle_timeout=0.05)
    until(lambda: len(pool._desk.crew.workers) == 1, "one has left")
    result = pool.map_async(pooled.square, range(9), 1)
    pool.close()
    pool.join()
    assert result.get(0) == [n * n for n in range(9)]


# What workers have ---------------------------------------------------------------------------------------------------


def test_a_state_of_each_worker(make_pool):
    """Is made once, and is what each task is given first."""
    pool = make_pool(1, worker_state=cared.make_state)
    assert pool.apply(cared.use_state, (5,)) == (True, 1, 1, 5)
    assert pool.apply(cared.use_state, (5,), {"more": 2}) == (True, 1, 2, 7)
    assert pool.map(cared.use_state, [5, 6], 1) == [(True, 1, 3, 5), (True, 1, 4, 6)]
    assert pool.starmap(cared.use_state, [(5, 1)]) == [(True, 1, 5, 6)]
    assert list(pool.imap(cared.use_state, [5])) == [(True, 1, 6, 5)]
    with pytest.raises(mpfast.WorkerDied):
        pool.apply(pooled.kill_with_state)
    assert pool.apply(cared.use_state, (5,)) == (True, 1, 1, 5)


def test_a_state_that_is_none(make_pool):
    assert make_pool(1, worker_state=pooled.nothing).apply(pooled.arguments, (5,)) == ((None, 5), {})


def test_a_state_that_cannot_be_made(make_pool):
    """As an initializer that raises."""
    pool = make_pool(1, worker_state=cared.fail_state)
    with pytest.raises(mpfast.BrokenPool, match="there is no state"):
        pool.apply_async(pooled.square, (3,)).get(PATIENCE)


@pytest.mark.parametrize("end", ["close", "recycle", "resize"])
def test_the_exit_of_a_worker(make_pool, tmp_path, end):
    path = tmp_path / "exits"
    pool = make_pool(
        2,
        worker_state=cared.make_state,
        worker_exit=cared.Leave(str(path)),
        **({"maxtasksperchild": 1} if end == "recycle" else {}),
    )
    assert pool.apply(cared.use_state, (5,))[0]
    if end == "close":
        pool.close()
        pool.join()
        assert len(path.read_text().split("\n")) == 3
    elif end == "resize":
        pool.resize(1)
    until(lambda: path.exists() and len(path.read_text().splitlines()) >= 1, "a worker has left")


def test_no_exit_of_a_worker_that_is_terminated(ctx, tmp_path):
    with ctx.Pool(2, worker_exit=cared.Leave(str(tmp_path / "exits"))) as pool:
        assert pool.apply(pooled.square, (3,)) == 9
        pool.terminate()
        pool.join()
    assert not (tmp_path / "exits").exists()


def test_a_worker_with_too_much_memory(make_pool):
    """Leaves after its task. Nothing is lost."""
    limit = private_memory() + MANY  # a forked worker begins with what is here
    pool = make_pool(1, max_worker_memory=limit)
    first = pool.apply(pooled.pid)
    assert pool.apply(pooled.pid) == first
    assert pool.apply(cared.hoard, (limit,)) == first
    second = pool.apply(pooled.pid)
    assert second != first
    assert pool.map(pooled.pid, range(20), 1) == [second] * 20


def test_a_crash_that_is_traced(make_pool, tmp_path):
    path = tmp_path / "errors"
    pool = make_pool(1, cared.tell_errors, (str(path),), faulthandler=True)
    with pytest.raises(mpfast.WorkerDied) as raised:
        pool.apply(cared.crash)
    assert raised.value.exitcode == -signal.SIGSEGV
    told = path.read_text()
    assert "Fatal Python error: Segmentation fault" in told
    assert "in crash" in told


# Children of workers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["fork", "forkserver", "spawn"])
def test_pools_in_workers(make_pool, inner):
    pool = make_pool(1)
    assert pool.apply(cared.nest, (inner, 5)) == [0, 1, 4, 9, 16]


def test_children_end_with_their_worker(make_pool, method):
    pool = make_pool(1)
    child = pool.apply(cared.nest_and_tell, ("fork",))
    assert alive(child)
    pool._pool[0].kill()
    until(lambda: not alive(child), "it has ended")
    child = pool.apply(cared.nest_and_tell, (method,))
    pool.close()
    pool.join()
    until(lambda: not alive(child), "it has ended")


def test_only_workers_may_have_children(ctx, start):
    """Other daemons may not, as in multiprocessing."""
    child = start(daemon=True)
    with pytest.raises(ChildRaised, match="daemonic processes are not allowed"):
        child.run(cared.start_a_child, "mpfast")


# CPUs ----------------------------------------------------------------------------------------------------------------


def test_as_many_workers_as_this_process_may_use_cpus(make_pool):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert len(make_pool(None)._pool) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 2),
        ({"cpu.max": "50000 100000"}, "0::/", 1),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, "0::/a/b", 3),
        ({"cpu.max": "200000 100000"}, "0::/seen/from/outside", 2),
        ({"a/cpu.max": "200000 100000"}, "0::/../a", 2),
        ({"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/a", 3),
        ({"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/a", None),
        ({"cpu.max": "nonsense"}, "0::/", None),
        ({"cpu.max": "0 0"}, "0::/", None),
        ({}, "0::/", None),
        ({}, "", None),
    ],
)
def test_quotas_of_cgroups(tmp_path, monkeypatch, files, own, quota):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own + "\n" if own else "")
    assert cpus.usable_cpus(str(tmp_path / "cgroup"), str(tmp_path / "own")) == (quota or 64)
