# SPDX-License-Identifier: MIT
"""A program that was started without some standard streams: no descriptor of mpfast's gets the number of one, in the
program, its children, the fork server and the spares. What a C library prints would be written into it."""

import itertools

import programs
import pytest

import mpfast

PROGRAM = """
import os, sys, threading
import mpfast as mp
from mpfast.connection import wait

def streams(pid="self"):
    found = {}
    for fd in range(3):
        try:
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            found[fd] = None
    return found

def odd(found, known):
    return [link for link in found.values() if link not in (None, os.devnull) and link not in known]

def work(queue, simple, lock, event, known, end):
    with lock:
        queue.put(odd(streams(), known))
    wait([simple._reader])
    mp.parent_process().is_alive()
    end.send(simple.get())
    arrived = queue.get()
    known += (os.readlink(f"/proc/self/fd/{arrived.fileno()}"),)
    event.wait()
    inner = mp.get_context("fork").Process(target=int)
    inner.start()
    wait([inner.sentinel])
    inner.join()
    end.send(odd(streams(), known))

def main(ctx):
    known = tuple(streams().values())
    queue, simple, lock, event = ctx.Queue(), ctx.SimpleQueue(), ctx.Lock(), ctx.Event()
    reader, writer = ctx.Pipe()
    users = known + tuple(os.readlink(f"/proc/self/fd/{end.fileno()}") for end in (reader, writer))
    process = ctx.Process(target=work, args=(queue, simple, lock, event, users, writer))
    process.start()
    result = [wait([queue._reader, process.sentinel]) != [], queue.get()]
    simple.put(1)
    result.append(reader.recv())
    queue.put(writer)
    while not queue.empty():
        pass
    event.set()
    result.append(reader.recv())
    process.join()
    with ctx.Pool(2) as pool:
        result.append(pool.map(abs, [-1, -2]))
        client.client.rest()
        result.append([odd(streams(pid), users) for pid in client.client.processes()])
    result.append(odd(streams(), users))
    result.append(process.exitcode)
    return result

if __name__ == "__main__":
    from mpfast.launch.forkserver import client
    result = main(mp.get_context({method}))
    with open(sys.argv[1], "w") as file:
        file.write(repr(result))
"""
STREAMS = {"0": "<&-", "1": ">&-", "2": "2>&-"}
COMBINATIONS = ["".join(c) for n in (1, 2, 3) for c in itertools.combinations(STREAMS, n)]

TABLE = pytest.param("forkserver", {"MPFAST_LAUNCH": "table"}, id="forkserver-table")  # as before Linux 6.15
CASES = [*(pytest.param(method, {}, id=method) for method in ("fork", "forkserver", "spawn")), TABLE]


@pytest.fixture
def mp():
    return mpfast


@pytest.mark.parametrize("closed", COMBINATIONS)
@pytest.mark.parametrize(("method", "environment"), CASES)
def test_no_descriptor_is_a_stream(method, environment, closed, tmp_path):
    program, log = programs.write(tmp_path / "program.py", PROGRAM, method=repr(method)), tmp_path / "log"
    shell = f'exec "$@" {" ".join(STREAMS[fd] for fd in closed)}'
    done = programs.run(program, log, before=["sh", "-c", shell, "sh"], **environment)
    assert done.code == 0, done.err
    servants = [[]] * (3 if method == "forkserver" else 0)  # the server and two spares
    assert log.read_text() == repr([True, [], 1, [], [1, 2], servants, [], 0])
