# SPDX-License-Identifier: MIT
"""What Dicts and Lists cost, and that it comes back: descriptors, mappings, memory, names."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import watch
import workers
from harness import PATIENCE, run_process, until

import mpfast
from mpfast.shared import Dict, List

MIB = 1 << 20


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
    return len(watch.descriptors()), watch.shared_files(), mappings(), len(mpfast.locks())


def make_and_drop(n):
    for i in range(n):
        table = Dict(a=i)
        table[i] = "x" * 100
        items = List([i])
        items.append("x" * 100)
        del table, items


def made_and_dropped(n):
    make_and_drop(50)
    before, used = look(), memory()
    make_and_drop(n)
    assert look() == before
    assert memory() <= used + MIB


def test_made_and_dropped():
    made_and_dropped(500)


@pytest.mark.stress
@pytest.mark.timeout(600)
def test_a_hundred_thousand_made_and_dropped():
    made_and_dropped(100_000)


def test_large_ones_come_back():
    """Memory, when the object goes. Large values, when they are deleted, but for what is kept to be used again."""
    before, used = look(), memory()
    table = Dict(dict.fromkeys(range(1000), b"x" * 100000))
    items = List([b"x" * MIB] * 100)
    assert memory() >= used + 200_000_000
    table.clear()
    items.clear()
    assert memory() <= used + 200 * MIB
    del table, items
    assert look() == before
    assert memory() <= used + MIB


def test_many_at_once():
    before = look()
    tables = [Dict(i=i) for i in range(1000)]
    found = look()
    assert found[:2] == before[:2]
    assert [table["i"] for table in tables] == list(range(1000))
    del tables
    assert look() == before


def test_values_that_are_replaced_leave_nothing():
    """A thousand times the room that they take."""
    table, items = Dict(), List([0] * 10)
    for i in range(300):
        table[i % 10] = bytes([i % 256]) * (i * 997 % 50_000)
        items[i % 10] = bytes([i % 256]) * (i * 997 % 50_000)
    used = memory()
    for i in range(20_000):
        table[i % 10] = bytes([i % 256]) * (i * 997 % 50_000)
        items[i % 10] = bytes([i % 256]) * (i * 997 % 50_000)
        if i % 7 == 0:
            table.pop(i % 10)
    assert memory() <= used + 8 * MIB


def known():
    """The names of those that exist."""
    return {f"{entry.kind}-{entry.slot}" for entry in mpfast.locks()}


def start_another(ctx):
    """A new member of the family sees what dead ones have left."""
    run_process(ctx.Process(target=workers.nothing, args=(ctx.Lock(),)))
    return True


def hold(tables, link):
    link.send(len(tables))
    signal.pause()


@pytest.mark.parametrize("killed", [False, True], ids=["ends", "killed"])
def test_held_by_a_child(ctx, killed):
    """The slots of what only a dead process had are free again."""
    used = memory()
    tables = [Dict(a="x" * 10_000) for _ in range(20)]
    names = {table.name for table in tables}
    ours, theirs = ctx.Pipe()
    child = ctx.Process(target=hold, args=(tables, theirs))
    child.start()
    theirs.close()
    assert ours.poll(PATIENCE)
    assert ours.recv() == 20
    del tables
    if killed:
        child.kill()
    else:
        child.terminate()
    child.join(PATIENCE)
    child.close()
    ours.close()
    assert len(names & known()) == 20
    until(lambda: start_another(ctx) and not names & known(), "slots of the dead")
    assert memory() <= used + MIB


PROGRAM = """
import os, signal, sys
import mpfast
from mpfast.shared import Dict, List

def work(table, items):
    table["child"] = [1, 2]
    items.append("child")

if __name__ == "__main__":
    ctx = mpfast.get_context("{method}")
    table, items = Dict(parent=1), List()
    child = ctx.Process(target=work, args=(table, items))
    child.start()
    child.join()
    print(table, items)
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    print(tracker and tracker._resource_tracker._pid)
    sys.stdout.flush()
    if {killed}:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("killed", [False, True], ids=["ends", "killed"])
def test_a_program_leaves_nothing(method, killed, tmp_path):
    """No name in /dev/shm, no resource tracker, no server, no word on stderr. Globals that are left go at the end."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(method=method, killed=killed))
    before = watch.shared_files()
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == (-9 if killed else 0), done.stderr
    assert done.stdout.splitlines() == ["{'parent': 1, 'child': [1, 2]} ['child']", "None"]
    assert done.stderr == ""
    assert watch.shared_files() == before


def test_no_room_for_more(tmp_path):
    """A limit on the address space: an error that says so, and what was made works on."""
    script = tmp_path / "little.py"
    script.write_text(LITTLE)
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


LITTLE = """
import resource
from mpfast.shared import Dict, List

table, items = Dict(a=1), List([1])
with open("/proc/self/statm") as statm:
    size = int(statm.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20), size + (100 << 20)))
big = b"x" * (30 << 20)
made = 0
try:
    while True:
        table[made] = big
        made += 1
except MemoryError as error:
    assert table.name in str(error), error
assert 0 < made < 10
assert table["a"] == 1
table.clear()
table["b"] = 2
assert table.copy() == {"b": 2}
try:
    items.extend([big] * 20)
except MemoryError as error:
    assert items.name in str(error), error
assert items == [1]
"""


FULL = """
import errno
import mpfast
from mpfast.shared import Dict, List

lock, conditions = mpfast.RLock(), []
try:
    while True:
        conditions.append(mpfast.Condition(lock))
except OSError as error:
    assert error.errno == errno.ENOSPC
for make in (Dict, List):
    try:
        make()
    except OSError as error:
        assert error.errno == errno.ENOSPC and f"cannot make a shared {make.__name__}: all slots" in str(error), error
    else:
        raise SystemExit("there was room")
del conditions[0]
assert Dict(a=1).copy() == {"a": 1}
"""


@pytest.mark.stress
def test_all_slots_in_use(tmp_path):
    """An error that names what could not be made, and room again when something goes."""
    script = tmp_path / "full.py"
    script.write_text(FULL)
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
