# SPDX-License-Identifier: MIT
"""Replacements that wait already. Whatever becomes of a template or a spare, the pool goes on and leaves nothing."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import abilities
import pooled
import pytest
from harness import PATIENCE, thread_state, until

import mpfast

pytestmark = abilities.deaths


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def forking():
    return mpfast.get_context("fork")


@pytest.fixture
def pool(forking):
    """A pool of one with its template."""
    pool = forking.Pool(1, pooled.keep, ("kept",))
    template = template_of(pool)
    yield pool
    with contextlib.suppress(ProcessLookupError):
        os.kill(template.pid, signal.SIGCONT)
    pool.terminate()
    pool.join()


def template_of(pool):
    return pool._desk.crew.starter.template


def alive(pid):
    return thread_state(pid, pid) not in ("", "Z", "X")


def spare_of(pool):
    """The pid of the spare, once it waits."""
    template = template_of(pool)
    until(lambda: template.gather(), "a spare waits")
    return template.spares[0]


def die(pool):
    with pytest.raises(mpfast.WorkerDied):
        pool.apply_async(pooled.die).get(PATIENCE)


def works(pool):
    return pool.apply_async(pooled.pid).get(PATIENCE)


# What a replacement is -----------------------------------------------------------------------------------------------


def test_a_replacement_is_a_spare_of_the_template(pool):
    for _ in range(3):
        spare = spare_of(pool)
        die(pool)
        assert works(pool) == spare
        (worker,) = pool._pool
        assert (worker.pid, worker.is_alive(), worker.exitcode) == (spare, True, None)
        assert pool.apply(pooled.get_kept) == ("kept",)


def test_the_template_of_an_executor():
    """It needs its socket, although a forked child drops what an executor has."""
    with mpfast.ProcessPoolExecutor(1, mpfast.get_context("fork")) as executor:
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        starter = executor._staff.crew.starter
        until(lambda: starter.template.gather(), "it has a spare")
        (spare,) = starter.template.spares
        assert isinstance(executor.submit(pooled.die).exception(PATIENCE), mpfast.WorkerDied)
        assert executor.submit(pooled.pid).result(PATIENCE) == spare


def test_a_replacement_knows_whose_it_is(pool):
    """As a worker that this process has forked, but for os.getppid()."""
    first = pool.apply(pooled.process)
    die(pool)
    name, daemon, pid, parent = pool.apply(pooled.process)
    assert parent == template_of(pool).pid
    assert "PoolWorker" in name
    assert name != first[0]
    assert daemon is True
    assert pool.apply(pooled.parent) == os.getpid()
    assert pid == pool._pool[0].pid
    assert pool.apply(pooled.start_method) == "fork"


def test_a_replacement_sees_what_its_siblings_see(forking):
    """What the program changed meanwhile is not seen, and what cannot be pickled is there."""
    things = {"before": threading.Lock()}
    with forking.Pool(1, pooled.keep, (things,)) as pool:
        things["after"] = 1
        die(pool)
        assert pool.apply(pooled.names_kept) == ["before"]
        pool.terminate()
        pool.join()


def test_the_exit_code_of_a_replacement(pool):
    die(pool)
    works(pool)
    (worker,) = pool._pool
    worker.kill()
    worker.join(PATIENCE)
    assert worker.exitcode == -signal.SIGKILL
    pool.apply(pooled.square, (3,))
    (worker,) = pool._pool
    pool.close()
    pool.join()
    assert worker.exitcode == 0


def test_nobody_forks_this_process_later(pool, monkeypatch):
    def refuse(*_):
        raise AssertionError("it was forked")

    spare_of(pool)
    monkeypatch.setattr(pool._ctx.Process, "start", refuse)
    for _ in range(5):
        die(pool)
        works(pool)


def test_without_a_template(forking):
    with forking.Pool(1, template=False) as pool:
        assert template_of(pool) is None
        die(pool)
        assert pool.apply(pooled.process)[3] == os.getpid()
        pool.terminate()
        pool.join()


def test_it_is_none_of_the_programs_processes(pool):
    assert [process.pid for process in mpfast.active_children()] == [pool._pool[0].pid]
    die(pool)
    works(pool)
    assert [process.pid for process in mpfast.active_children()] == [pool._pool[0].pid]


def test_ps_shows_names(pool, make_pool):
    is_called(spare_of(pool), "mpfast-spare")
    is_called(template_of(pool).pid, "mpfast-template")
    for worker in (pool._pool[0], make_pool(1)._pool[0]):
        is_called(worker.pid, "PoolWorker-" + worker.name.rpartition("-")[2])


def is_called(pid, name):
    until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == name, f"it is called {name}")


# What may happen to it -----------------------------------------------------------------------------------------------


def test_a_spare_that_is_killed(pool):
    for _ in range(3):
        os.kill(spare_of(pool), signal.SIGKILL)
        die(pool)
        assert works(pool)


def test_a_template_that_is_killed(pool):
    """Its spare is used, then the process forks itself."""
    spare = spare_of(pool)
    pid = template_of(pool).pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it is dead")
    die(pool)
    assert works(pool) == spare
    die(pool)
    assert pool.apply_async(pooled.process).get(PATIENCE)[3] == os.getpid()


def test_a_template_that_is_stopped(pool):
    """The process forks itself, after a while. It uses the template again when that goes on."""
    spare = spare_of(pool)
    os.kill(template_of(pool).pid, signal.SIGSTOP)
    die(pool)
    assert works(pool) == spare
    die(pool)
    assert pool.apply_async(pooled.process).get(PATIENCE)[3] == os.getpid()
    os.kill(template_of(pool).pid, signal.SIGCONT)
    spare = spare_of(pool)
    die(pool)
    assert works(pool) == spare


@pytest.mark.parametrize("what", ["template", "spare", "worker", "all"])
@pytest.mark.parametrize("how", ["terminate", "close", "collect"])
def test_the_end_with_stopped_processes(forking, what, how):
    """terminate() does not wait for a process that is stopped, nor does the end of a pool that is dropped."""
    pool = forking.Pool(1)
    die(pool)
    template, worker, spare = template_of(pool).pid, works(pool), spare_of(pool)
    pids = [template, spare, worker]
    chosen = {"template": [template], "spare": [spare], "worker": [worker], "all": pids}[what]
    if how == "close":
        pool.close()
        chosen = [pid for pid in chosen if pid != worker]  # for that one a pool that is closed waits
    for pid in chosen:
        os.kill(pid, signal.SIGSTOP)
        until(lambda pid=pid: thread_state(pid, pid) in ("T", "", "Z"), "it is stopped")
    if how == "collect":
        with pytest.warns(ResourceWarning):  # noqa: PT031
            del pool
            gc.collect()
    else:
        getattr(pool, how)()
        pool.join()
    until(lambda: not any(map(alive, pids)), "they have ended")


def test_a_template_that_cannot_be_made(forking, monkeypatch):
    from mpfast.launch import template

    def refuse(*_):
        raise OSError(11, "made up")

    monkeypatch.setattr(template.Template, "found", refuse)
    with forking.Pool(1) as pool:
        assert template_of(pool) is None
        die(pool)
        assert pool.apply(pooled.process)[3] == os.getpid()
        pool.terminate()
        pool.join()


def test_a_process_that_was_forked_meanwhile(forking):
    """It has the sockets too, but the pool's end is the template's end."""
    pool = forking.Pool(1)
    spare = spare_of(pool)
    pids = [template_of(pool).pid, spare]
    with forking.Pool(1) as other:
        pool.close()
        pool.join()
        assert not any(map(alive, pids))
        assert works(other)
        other.terminate()
        other.join()


PROGRAM = """
import os, signal, sys
import mpfast

if __name__ == "__main__":
    pool = mpfast.get_context(sys.argv[1]).Pool(2, maxtasksperchild=1)
    pids = pool.map(abs, range(4), 1)
    starter = pool._desk.crew.starter
    others = []
    if sys.argv[1] == "fork":
        while not starter.template.gather():
            pass
        others = [starter.template.pid, *starter.template.spares]
    print(*others, *(worker.pid for worker in pool._pool), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_all_end_with_the_pools_process(tmp_path, method):
    program = tmp_path / "killed.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program, method], capture_output=True, timeout=60)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) >= 2, done.stderr
    until(lambda: not any(map(alive, pids)), "they have ended")


ORPHANS = """
import os, signal, sys
import mpfast

def die():
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    pool = mpfast.get_context(sys.argv[1]).Pool(1)
    try:
        pool.apply(die)
    except mpfast.WorkerDied:
        pass
    worker, parent = pool.apply(os.getpid), pool.apply(os.getppid)
    assert parent not in (1, os.getpid())
    os.kill(parent, signal.SIGKILL)
    while pool.apply(os.getppid) == parent:
        pass
    print(worker, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_end_with_the_pools_process_without_their_server(tmp_path, method):
    """The kernel tells them of the end of their parent only, which was killed before."""
    program = tmp_path / "orphans.py"
    program.write_text(ORPHANS)
    done = subprocess.run([sys.executable, program, method], capture_output=True, timeout=60)
    assert done.stdout, done.stderr
    until(lambda: not alive(int(done.stdout)), "it has ended")


def test_a_fork_server_that_is_stopped():
    """It is replaced, and so are the workers."""
    from mpfast.launch.forkserver.client import client

    with mpfast.get_context("forkserver").Pool(1) as pool:
        works(pool)
        os.kill(client._process.pid, signal.SIGSTOP)
        for _ in range(4):
            die(pool)
            assert works(pool)
        pool.terminate()
        pool.join()


# spawn ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spawning():
    with mpfast.get_context("spawn").Pool(1) as pool:
        yield pool
        pool.terminate()
        pool.join()


def warm(pool):
    """The pid of the interpreter that waits, once it does."""
    starter = pool._desk.crew.starter
    until(lambda: pool._pool and starter.spare is not None, "there is a spare")
    return starter.spare.pid


def test_a_warm_interpreter(spawning):
    """From the first death on."""
    assert works(spawning)
    assert spawning._desk.crew.starter.spare is None
    die(spawning)
    for _ in range(3):
        pid = warm(spawning)
        assert pid not in [process.pid for process in mpfast.active_children()]
        die(spawning)
        assert works(spawning) == pid
        assert pid in [process.pid for process in mpfast.active_children()]


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_a_warm_interpreter_that_ends(spawning, sig):
    """Or is stopped. Neither becomes a worker."""
    die(spawning)
    pid = warm(spawning)
    os.kill(pid, sig)
    until(lambda: thread_state(pid, pid) in ("", "Z", "X", "T"), "it runs no more")
    die(spawning)
    assert works(spawning) != pid
    until(lambda: not alive(pid), "it is gone")
