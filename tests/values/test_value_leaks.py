# SPDX-License-Identifier: MIT
"""What Values and Arrays cost: no descriptor, no name, no process, and no memory that the program does not touch."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import watch
from harness import run_process
from test_values import inside

import mpfast

MIB = 1 << 20
MAKERS = {
    "Value": lambda ctx: ctx.Value("q"),
    "RawValue": lambda ctx: ctx.RawValue("q"),
    "Atomic": lambda _: mpfast.Atomic("q"),
    "Array": lambda ctx: ctx.Array("q", 4),
    "block": lambda ctx: ctx.RawArray("q", 100),
    "large block": lambda ctx: ctx.RawArray("q", 5000),
    "window": lambda ctx: ctx.RawArray("q", 20_000),
}


@pytest.fixture
def mp():
    return mpfast


def mappings():
    """How many the family has."""
    return Path("/proc/self/maps").read_text().count("memfd:mpfast")


def memory():
    """Bytes of the family's file that exist."""
    files = [f"/proc/self/fd/{fd}" for fd, target in watch.descriptors().items() if "memfd:mpfast" in target]
    return sum(os.stat(file).st_blocks * 512 for file in files)


def look():
    gc.collect()
    return len(watch.descriptors()), watch.shared_files(), mappings()


@inside
def test_ten_thousand_values(ctx):
    ctx.Value("i").value = 1
    before = look()
    values = [ctx.Value("i", n) for n in range(10_000)]
    assert look() == before
    assert [value.value for value in values] == list(range(10_000))
    del values
    assert look() == before


@inside
def test_ten_thousand_arrays(ctx):
    """Of 2 KiB. Each class of blocks has a few mappings, so that a fork stays quick. A process keeps them."""
    run_process(ctx.Process(target=make_ten_thousand, args=(ctx,)))


def make_ten_thousand(ctx):
    before = look()
    arrays = [ctx.RawArray("b", 2048) for _ in range(10_000)]
    for n, array in enumerate(arrays):
        array[0] = n % 100
    found = look()
    assert found[:2] == before[:2]
    assert found[2] - before[2] <= 8
    assert [array[0] for array in arrays] == [n % 100 for n in range(10_000)]


@inside
@pytest.mark.parametrize("name", MAKERS)
def test_made_and_dropped(ctx, name):
    make = MAKERS[name]
    for _ in range(100):
        make(ctx)
    before, used = look(), memory()
    for _ in range(20_000 if name == "window" else 100_000):
        make(ctx)
    assert look() == before
    assert memory() <= used + 64 * 1024


@inside
def test_memory_that_nobody_touches(ctx):
    used = memory()
    array = ctx.RawArray("b", 10 << 30)
    assert len(array) == 10 << 30
    assert memory() <= used + 64 * 1024
    array[5 << 30] = 7
    assert array[5 << 30] == 7
    assert memory() <= used + 128 * 1024
    del array
    assert memory() <= used + 64 * 1024


@inside
@pytest.mark.parametrize("size", [MIB, 64 * MIB])
def test_touched_memory_comes_back(ctx, size):
    used = memory()
    array = ctx.RawArray("B", b"\1" * size)
    assert memory() >= used + size
    del array
    assert memory() <= used + 64 * 1024


@inside
def test_touched_blocks_come_back(ctx):
    """All but 64 MiB of them, and what was taken since the last look."""
    run_process(ctx.Process(target=touch_blocks, args=(ctx,)))


def touch_blocks(ctx):
    used = memory()
    arrays = [ctx.RawArray("B", b"\1" * 65536) for _ in range(3000)]
    assert memory() >= 3000 * 65536
    del arrays
    assert memory() <= used + 90 * MIB


PROGRAM = """
import multiprocessing, os, signal, sys
import {package} as mp
{install}

def work(total, array, text):
    with total.get_lock():
        total.value += 1
    array[0] += 1
    text.value = b"child"

if __name__ == "__main__":
    ctx = mp.get_context("{method}")
    total, array, text = ctx.Value("i"), ctx.Array("d", 1000), ctx.Array("c", 10)
    raw = ctx.RawArray("b", 1 << 20)
    for _ in range(2):
        child = ctx.Process(target=work, args=(total, array, text))
        child.start()
        child.join()
    print(total.value, array[0], text.value, len(raw))
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    print(tracker and tracker._resource_tracker._pid)
    sys.stdout.flush()
    if {killed}:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("killed", [False, True], ids=["ends", "killed"])
@pytest.mark.parametrize("package", ["mpfast", "multiprocessing"])
def test_a_program_leaves_nothing(method, package, killed, tmp_path):
    """No name in /dev/shm, no resource tracker, no word on stderr, also on the stand-in."""
    install = "import mpfast; mpfast.install()" if package == "multiprocessing" else ""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(package=package, method=method, killed=killed, install=install))
    before = watch.shared_files()
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == (-9 if killed else 0), done.stderr
    assert done.stdout.splitlines() == ["2 2.0 b'child' 1048576", "None"]
    assert done.stderr == ""
    assert watch.shared_files() == before
