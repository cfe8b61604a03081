# SPDX-License-Identifier: MIT
"""A watcher of a queue is woken, whatever rights the processes have: after setuid(), and where /proc is another one's.

Each scene is a program of its own. What it prints is a contract: multiprocessing and mpfast print the same.
"""

import os
import subprocess

import programs
import pytest

FOREIGN_PROC = ["unshare", "--pid", "--fork"]

PROGRAM = """
import importlib, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
mp = importlib.import_module(sys.argv[1])
import deny, rights

def give_up(what):
    if "children" in what:
        rights.drop()
    if "socket" in what:
        deny.deny("socket=EPERM")

def put(what, queue, orders):
    give_up(what)
    while (order := orders.get()) is not None:
        time.sleep(order)
        queue.put(time.monotonic())

def woken(queue, orders):
    orders.put(0.2)
    found = wait([queue._reader], 20) == [queue._reader]
    return found and time.monotonic() - queue.get() < 0.5 and wait([queue._reader], 0) == []

if __name__ == "__main__":
    what = sys.argv[3:]
    if "all" in what:
        rights.drop()
    ctx = mp.get_context(sys.argv[2])
    queue, orders = ctx.Queue(), ctx.Queue()
    process = ctx.Process(target=put, args=(what, queue, orders))
    process.start()
"""
WAITS = """
    print([woken(queue, orders) for _ in range(4)])
    orders.put(None)
    process.join()
    print(process.exitcode)
    with ProcessPoolExecutor(2, mp_context=ctx, initializer=give_up, initargs=(what,)) as executor:
        print(sum(executor.map(abs, range(20))))
    pool = ctx.Pool(2, give_up, (what,))
    print(pool.map(abs, [-1, -2]))
    pool.terminate()
    pool.join()
"""
AGETS = """
    import asyncio
    async def late():
        orders.put(0.2)
        return -(await queue.aget() - time.monotonic())
    print(min(asyncio.run(late()) for _ in range(4)) < 0.1)
    orders.put(None)
    process.join()
"""
OWN = """
    from mpfast.connection import wait
    orders.put(0.2)
    print(wait([queue._reader], 20) == [queue._reader], queue.get() < time.monotonic())
    print([woken(queue, orders) for _ in range(4)])
    orders.put(None)
    process.join()
"""


@pytest.fixture
def run(tmp_path, method):
    def run_scene(package, scene, what, before=()):
        program = programs.write(tmp_path / "scene.py", PROGRAM + scene)
        path = os.pathsep.join(filter(None, [os.path.dirname(programs.__file__), os.environ.get("PYTHONPATH")]))
        return programs.run(program, package, method, *what, before=before, PYTHONPATH=path).lines()

    return run_scene


@pytest.fixture(params=["all", "children", "foreign-proc"])
def where(request):
    """(what gives up its rights, what the program is run by)"""
    if os.geteuid() != 0:
        pytest.skip("only root has rights to give up, and may make a namespace of pids")
    if request.param != "foreign-proc":
        return [request.param], ()
    tried = subprocess.run([*FOREIGN_PROC, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no namespace of pids can be made here: {tried.stderr.strip()}")
    return [], FOREIGN_PROC


def test_waits(mp, run, where):
    expected = ["[True, True, True, True]", "0", "190", "[1, 2]"]
    assert run(mp.__name__, WAITS, *where) == expected


class TestOurs:
    def test_aget(self, run, where):
        assert run("mpfast", AGETS, *where) == ["True"]

    def test_without_any_way(self, run, where):
        """The first time our wait() notices by itself; from then on a thread of this process rings."""
        what, before = where
        expected = ["[True, True, True, True]", "0", "190", "[1, 2]"]
        got = run("mpfast", OWN.rpartition("    orders.put(None)")[0] + WAITS, [*what, "socket"], before)
        assert got == ["True True", "[True, True, True, True]", *expected]
