# SPDX-License-Identifier: MIT
"""What a killed process leaves in a Dict or List: the old state or the new one, and a lock that others can have."""

import os
import signal
import subprocess
import sys

import pytest
import tabled
from harness import DEATH_LIMIT, PATIENCE, Noise, Thread, until

import mpfast
from mpfast.shared import Dict, List


@pytest.fixture
def mp():
    return mpfast


def info(table):
    """What locks() says of it."""
    (found,) = [entry for entry in mpfast.locks() if f"{entry.kind}-{entry.slot}" == table.name]
    return found


def killed_in(ctx, function, table, moved):
    """Starts a process that changes the table for ever, and kills it once the table has moved."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=function, args=(table, theirs))
    process.start()
    theirs.close()
    assert ours.poll(PATIENCE)
    ours.recv()
    until(moved, "no change")
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    process.close()
    ours.close()


def quick(call):
    """The call's result. It comes within the time that a death may take to be noticed."""
    with Noise() as noise:
        thread = Thread(call)
        thread.join(PATIENCE)
    result = thread.result()
    assert thread.seconds < noise.limit(DEATH_LIMIT)
    return result


def test_killed_while_it_writes(ctx):
    """Readers see whole values at once, and writers within 200 ms. kills.h has the kill before each store."""
    table = Dict()
    for _ in range(6):
        table.clear()
        killed_in(ctx, tabled.write_until_killed, table, lambda: len(table) > 5)
        assert tabled.torn(table) == []
        before = table.copy()
        assert len(table) == len(before)
        assert quick(lambda: table.setdefault("mine", ("mine", 1))) == ("mine", 1)
        assert table.pop("mine") == ("mine", 1)
        assert table.copy() == before
        assert tabled.torn(table) == []


def test_killed_while_it_changes_a_list(ctx):
    items = List()
    for _ in range(6):
        killed_in(ctx, tabled.append_until_killed, items, lambda: len(items) > 20)
        before = items.copy()
        assert before == list(range(len(before)))
        quick(lambda: items.append("mine"))
        assert items.pop() == "mine"
        assert items == before
        items.clear()


@pytest.mark.parametrize("make", [Dict, List])
def test_killed_in_a_with_block(ctx, start, make):
    table = make({"a": 1} if make is Dict else ["a"])
    index = "a" if make is Dict else 0
    child = start(table)
    child.run(tabled.enter, table)
    child.run(tabled.put, table, index, "half")
    child.kill()
    for call in (
        *(lambda: tabled.put(table, index, 2), table.__enter__, table.get_lock().acquire, lambda: table.pop(index)),
        *(lambda: tabled.delete(table, index), table.clear, lambda: tabled.put_slowly(table)),
    ):
        with pytest.raises(mpfast.LockOwnerDied) as caught:
            call()
        assert (caught.value.pid, caught.value.name) == (child.pid, table.name)
    assert info(table).state == "abandoned"
    assert table[index] == "half"  # readers go on
    assert len(table) == 1
    assert table.recover() is True
    table[index] = "mended"
    assert table.recover() is False
    table.get_lock().release()
    assert info(table)[2:4] == ("free", 0)
    other = start(table)
    other.run(tabled.put, table, index, "after")
    assert table[index] == "after"


@pytest.mark.parametrize("make", [Dict, List])
def test_released_silently(ctx, start, make):
    table = make(on_owner_death="release")
    child = start(table)
    child.run(tabled.enter, table)
    waiter = Thread(tabled.add_one, table).asleep()
    with Noise() as noise:
        killed = child.kill()
        waiter.result()
    assert waiter.ended - killed < noise.limit(DEATH_LIMIT)
    assert len(table) == 1


def test_waiters_hear_of_a_death(start):
    table = Dict()
    child = start(table)
    child.run(tabled.enter, table)
    waiters = [Thread(tabled.put, table, "a", 1).asleep(), Thread(table.get_lock().acquire).asleep()]
    with Noise() as noise:
        killed = child.kill()
        for waiter in waiters:
            with pytest.raises(mpfast.LockOwnerDied):
                waiter.result()
    assert max(waiter.ended for waiter in waiters) - killed < noise.limit(DEATH_LIMIT)


def test_what_owner_death_may_say():
    for make in (Dict, List):
        for wrong in ("wait", "", "Raise", None):
            with pytest.raises(ValueError, match="on_owner_death must be one of 'raise', 'release', not"):
                make(on_owner_death=wrong)


def test_a_child_of_the_holder_is_killed(ctx, start):
    """The child does not hold the lock that its parent holds."""
    table = Dict()
    child = start(table)
    child.run(tabled.fork_and_kill, table)
    assert table["forked"] is True
    table["after"] = 1


def test_a_forked_child_does_not_hold_the_lock(start):
    table = Dict(a=1)
    with table:
        pid = os.fork()
        if pid == 0:
            try:
                table.get_lock().release()
            except AssertionError:
                os._exit(table["a"])
            os._exit(100)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        table["a"] = 2
    assert table["a"] == 2


def test_repairs_are_counted(ctx):
    """Sooner or later a kill meets a writer in the middle of a change."""
    table = Dict()

    def once():
        killed_in(ctx, tabled.write_until_killed, table, lambda: len(table) > 5)
        table["mine"] = ("mine", 0)
        return table.stats().repairs

    if ctx.get_start_method() != "fork":
        pytest.skip("the same as with fork, and slower")
    assert until(once, "no repair", 60) == info(table).repairs
    assert info(table).state == "free"


def test_a_reader_among_writers_that_are_killed(ctx, start):
    table, stop = Dict(), ctx.Event()
    reader = start(table, stop)
    reader.send(tabled.read_until, table, stop)
    for _ in range(4):
        killed_in(ctx, tabled.write_until_killed, table, lambda: len(table) > 5)
        table.clear()
    stop.set()
    reads, wrong = reader.result()
    assert reads > 0
    assert wrong == []


@pytest.mark.stress
@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_many_kills(ctx, start):
    table, stop = Dict(), ctx.Event()
    readers = [start(table, stop) for _ in range(2)]
    for reader in readers:
        reader.send(tabled.read_until, table, stop)
    for _ in range(300):
        killed_in(ctx, tabled.write_until_killed, table, lambda: len(table) > 5)
        assert tabled.torn(table) == []
        table.pop(0, None)
    stop.set()
    for reader in readers:
        assert reader.result()[1] == []
    assert table.stats().repairs > 0


DAMAGED = """
import os, struct
import mpfast
from mpfast.shared import Dict

def raised(call):
    try:
        return call()
    except mpfast.CorruptedSharedError as error:
        return "damaged" in str(error) and table.name in str(error)

def check():
    calls = [lambda: table["a"], lambda: len(table), table.copy, lambda: table.update(a=1), table.clear, table.popitem]
    assert [raised(call) for call in calls] == [True] * len(calls), [raised(call) for call in calls]
    assert "damaged" in repr(table)

if __name__ == "__main__":
    table = Dict(a=1)
    (fd,) = [fd for fd in range(3, 100) if "memfd:mpfast" in os.path.realpath(f"/proc/self/fd/{fd}")]
    form, found, at = struct.pack("<I", 0x64636964), [], 0  # it lies behind the root and the seed
    memory = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    while not found:
        at = os.lseek(memory, at, os.SEEK_DATA)
        end = os.lseek(memory, at, os.SEEK_HOLE)
        data = os.pread(memory, end - at, at)
        found = [at + i for i in range(0, len(data), 4) if data[i : i + 4] == form]
        at = end
    (form,) = found
    os.pwrite(memory, bytes([255] * 8), form - 16)  # the root says where the rows are
    check()
    pid = os.fork()
    if pid == 0:
        check()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""


def test_damage_is_named(tmp_path):
    """The header is overwritten from outside. Every call says so, in each process, and none crashes."""
    script = tmp_path / "damaged.py"
    script.write_text(DAMAGED)
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
