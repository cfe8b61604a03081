# SPDX-License-Identifier: MIT
"""Queues where the kernel refuses what they ask for: nothing is wrong then, only slower, or more memory stays."""

import subprocess
import sys
from pathlib import Path

import deny
import pytest

PROGRAM = """
import mpfast as mp
for turn in range(3):
    q = mp.Queue()
    assert (q.empty(), q.qsize()) == (True, 0)
    for item in (5, "x", b"y" * 100, b"z" * 200_000):
        q.put(item)
    assert [q.get(timeout=10) for _ in range(2)] == [5, "x"]
    del q
q = mp.Queue()
for item in range(20_000):
    q.put([item])
for item in range(20_000):
    assert q.get(timeout=10) == [item]
q.put(b"z" * 3_000_000)
assert len(q.get(timeout=10)) == 3_000_000
print("good")
"""


def run(calls, *arguments):
    program = (sys.executable, deny.__file__, *calls, "--", sys.executable, *arguments)
    return subprocess.run(program, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])


pytestmark = pytest.mark.skipif(not deny.possible(), reason="the numbers of the system calls are not known")


@pytest.mark.parametrize("call", ["fallocate=EOPNOTSUPP", "fallocate=EPERM", "madvise=EPERM", "madvise=ENOSYS"])
def test_it_is_refused(call):
    done = run([call], "-c", PROGRAM)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_doctor_says_so():
    done = run(["fallocate=EOPNOTSUPP"], "-m", "mpfast", "doctor")
    assert "without hole punching" in done.stdout
    assert done.returncode == 0


def test_pipes_go_without_flags():
    program = """
import mpfast as mp
reader, writer = mp.Pipe(duplex=False)
for item in (1, "x" * 20_000):
    writer.send(item)
    assert reader.recv() == item
print("good")
"""
    done = run(["preadv2=EPERM", "pwritev2=EPERM"], "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_the_reason_is_named(error):
    done = run([f"memfd_create={error}"], "-c", "import mpfast; mpfast.Lock()")
    assert "this system refuses a memory file, memfd_create (see python -m mpfast doctor)" in done.stderr
    assert "sealed" not in done.stderr
