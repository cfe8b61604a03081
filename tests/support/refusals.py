# SPDX-License-Identifier: MIT
"""One small program for each thing that multiprocessing offers. python refusals.py PACKAGE [STEP ...] runs them.

Each step prints a line of JSON, [step, what it said]. What says "good" works.
"""

import concurrent.futures
import importlib
import json
import sys
import threading
import time
from multiprocessing.connection import wait
from selectors import EVENT_READ, DefaultSelector

PATIENCE = 20  # seconds for what takes milliseconds


def put_next(q, n):
    q.put(n + 1)


def square(n):
    return n * n


def hold(lock, seen):
    lock.acquire()
    seen.send(True)
    time.sleep(60)


def lock(mp):
    condition = mp.Condition()
    with mp.RLock(), mp.Semaphore(2), condition:
        assert not condition.wait(0.01)
    event, held = mp.Event(), mp.Lock()
    assert not event.wait(0.01)
    held.acquire()
    thread = threading.Timer(0.02, held.release)
    thread.start()
    assert held.acquire(timeout=PATIENCE)
    thread.join()


def queue(mp):
    q = mp.Queue()
    items = [1, "x" * 100, b"y" * 200_000]
    for item in items:
        q.put(item)
    assert [q.get(timeout=PATIENCE) for _ in items] == items
    thread = threading.Timer(0.02, q.put, (5,))
    thread.start()
    assert q.get(timeout=PATIENCE) == 5
    thread.join()
    q.close()
    q.join_thread()


def select(mp):
    q = mp.Queue()
    with DefaultSelector() as selector:
        selector.register(q._reader, EVENT_READ)
        assert not selector.select(0.01)
        q.put(1)
        assert selector.select(PATIENCE)
        assert wait([q._reader], PATIENCE)
    assert q.get(timeout=PATIENCE) == 1
    q.close()
    q.join_thread()


def pipe(mp):
    for duplex in (True, False):
        reader, writer = mp.Pipe(duplex)
        for item in (1, "x" * 20_000):
            writer.send(item)
            assert reader.recv() == item
        reader.close()
        writer.close()


def process(mp, method):
    ctx = mp.get_context(method)
    q = ctx.Queue()
    for target, arguments, code in ((put_next, (q, 1), 0), (sys.exit, (3,), 3)):
        child = ctx.Process(target=target, args=arguments)
        child.start()
        child.join(PATIENCE)
        assert child.exitcode == code, child.exitcode
    assert q.get(timeout=PATIENCE) == 2
    child = ctx.Process(target=time.sleep, args=(60,), daemon=True)
    child.start()
    child.terminate()
    child.join(PATIENCE)
    assert child.exitcode == -15, child.exitcode


def pool(mp, method):
    with mp.get_context(method).Pool(2) as workers:
        assert workers.map_async(square, range(4)).get(PATIENCE) == [0, 1, 4, 9]


def executor(mp):
    cls = getattr(mp, "ProcessPoolExecutor", concurrent.futures.ProcessPoolExecutor)
    with cls(2, mp_context=mp.get_context("fork")) as workers:
        assert workers.submit(square, 3).result(PATIENCE) == 9
        assert list(workers.map(square, range(4), timeout=PATIENCE)) == [0, 1, 4, 9]


def death(mp):
    """A holder is killed. This is a promise of mpfast's alone."""
    ctx = mp.get_context("fork")
    held, (reader, writer) = ctx.Lock(), ctx.Pipe()
    child = ctx.Process(target=hold, args=(held, writer))
    child.start()
    assert reader.recv()
    child.kill()
    child.join(PATIENCE)
    if mp.__name__ == "mpfast":
        try:
            said = f"acquired: {held.acquire(timeout=PATIENCE)}"
        except OSError as e:
            said = str(e)
        assert f"was killed: process {child.pid}" in said, said


STEPS = {
    **{step.__name__: step for step in (lock, queue, select, pipe, executor, death)},
    **{f"{of.__name__} {method}": lambda mp, of=of, method=method: of(mp, method)
       for of in (process, pool) for method in ("fork", "spawn", "forkserver")},
}  # fmt: skip


def main():
    mp = importlib.import_module(sys.argv[1])
    for name in sys.argv[2:] or STEPS:
        try:
            STEPS[name](mp)
            said = "good"
        except BaseException as e:
            said = f"{type(e).__name__}: {e}"
        print(json.dumps([name, said]), flush=True)


if __name__ == "__main__":
    main()
