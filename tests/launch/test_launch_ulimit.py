# SPDX-License-Identifier: MIT
"""Limits of address space, descriptors, processes, stack and locked memory: no call hangs, the error is the caller's,
and nothing is left."""

import errno

import little_room
import programs
import pytest
import watch

import mpfast
import mpfast.pool

ADDRESS_SPACE = """
import mpfast as mp, mpfast.queues, mpfast.synchronize, os, resource, sys
def limit(mib):
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, resource.RLIM_INFINITY))
def refused(call, *args):
    before = os.listdir("/proc/self/fd"), len(open("/proc/self/maps").readlines())
    try:
        call(*args)
    except MemoryError as error:
        print(error)
    print(before[0] == os.listdir("/proc/self/fd"), len(open("/proc/self/maps").readlines()) - before[1] < 9)
def put(queue):
    queue.put(1)
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    mpfast.synchronize.Lock, mpfast.queues.Queue
    limit(400)
    refused(ctx.Lock)
    refused(ctx.Queue)
    limit(1000)
    with ctx.Lock():
        queue = ctx.Queue()
    refused(queue.put, 1)
    process = ctx.Process(target=put, args=(queue,))
    process.start()
    process.join()
    print(process.exitcode)
"""
NO_ROOM = "no room for {} bytes of address space (see ulimit -v)"
POOLS = """
import mpfast as mp, errno, os, resource, sys
def descriptors():
    return set(os.listdir("/proc/self/fd"))
if __name__ == "__main__":
    ctx = mp.get_context("fork")
    with ctx.Pool(2) as pool:
        pool.map(abs, [-1])
    pool.join()
    del pool
    before, said = descriptors(), []
    for room in range(1, 30):
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + room, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            with ctx.Pool(2) as pool:
                said.append(pool.map(abs, [-1]))
            pool.join()
        except OSError as error:
            said.append(errno.errorcode[error.errno])
        pool = None
    print(said[0], said[-1], [one for one in said if one not in ("EMFILE", [1])], descriptors() == before)
    print(open(f"/proc/self/task/{os.getpid()}/children").read())
"""
USUAL = """
import mpfast as mp, sys
def work(queue, lock):
    with lock:
        queue.put(1)
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    queue, lock = ctx.Queue(), ctx.Lock()
    process = ctx.Process(target=work, args=(queue, lock))
    process.start()
    print(queue.get(timeout=30), process.join(), process.exitcode)
    with ctx.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
"""


@pytest.fixture
def mp():
    return mpfast


@pytest.mark.not_asan
def test_address_space(method, tmp_path):
    from mpfast.channel import channel
    from mpfast.family import family

    done = programs.run(programs.write(tmp_path / "program.py", ADDRESS_SPACE), method)
    segment = f"mpfast cannot map its shared segment: {NO_ROOM.format(family.address_space())}"
    queue = NO_ROOM.format(channel.address_space())
    lines = done.out.splitlines()
    assert lines[:4] == [segment, "True True"] * 2
    assert lines[4].startswith("cannot map Queue-")
    assert lines[4].endswith(queue)
    assert lines[5:] == ["True True", "1"]
    assert queue in done.err  # the child's traceback


def test_pools_with_few_descriptors(tmp_path):
    """With any number of them a pool works, or its maker gets the error."""
    assert programs.run(programs.write(tmp_path / "program.py", POOLS)).lines() == ["EMFILE [1] [] True", ""]


def test_a_pool_whose_watcher_has_no_descriptor(ctx, monkeypatch):
    """One with multiprocessing's engine. The caller is told, and its workers are ended."""
    before = watch.descendants()

    class Pool(mpfast.pool.Pool):
        _wrap_exception = True  # a hook

    class Reader:
        def fileno(self):
            raise OSError(errno.EMFILE, "none left")

    class SimpleQueue:
        _reader = Reader()

        def put(self, item):
            pass

    real, made = type(ctx).SimpleQueue, []

    def third(self):
        made.append(1)
        return SimpleQueue() if len(made) == 3 else real(self)

    monkeypatch.setattr(type(ctx), "SimpleQueue", third)
    with pytest.raises(OSError, match="none left"):
        Pool(2, context=ctx)
    if ctx.get_start_method() != "forkserver":
        assert watch.descendants() == before


@pytest.mark.parametrize("limit", ["-s unlimited", "-s 512", "-l 0", "-n 40"])
def test_other_limits(method, limit, tmp_path):
    program = programs.write(tmp_path / "program.py", USUAL)
    done = programs.run(program, method, before=["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"])
    assert done.lines() == ["1 None 0", "[1, 2]"]


def test_no_more_processes(method, tmp_path):
    text = little_room.PROGRAM.replace("{main}", "\n    ".join(little_room.NO_PROCESSES.strip().splitlines()))
    program = programs.write(tmp_path / "program.py", text, mp="mpfast", method=repr(method))
    done = programs.run(program, before=little_room.few_rights(), cwd="/")
    assert done.lines() == ["BlockingIOError EAGAIN", "True", "3 set()"]
