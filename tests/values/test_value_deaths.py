# SPDX-License-Identifier: MIT
"""What a killed process leaves in a Value: the old number or the new one, and a lock that others can have."""

import signal

import pytest
import shared
from harness import PATIENCE, Noise, Thread

import mpfast


@pytest.fixture
def mp():
    return mpfast


def kill_in_the_middle(ctx, value):
    """Starts a process that only adds, and kills it in the middle of that."""
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=shared.add_until_killed, args=(value, theirs))
    process.start()
    theirs.close()
    assert ours.poll(PATIENCE)
    ours.recv()
    before = value.value
    while value.value == before:
        pass
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    process.close()
    ours.close()


@pytest.mark.parametrize("make", ["Value", "Atomic"])
def test_killed_while_it_adds(ctx, make):
    """Nobody is told, and nobody waits for long. This meets a section now and then, and kills.h meets each step."""
    value = ctx.Value("q") if make == "Value" else mpfast.Atomic("q")
    for _ in range(8):
        kill_in_the_middle(ctx, value)
        with Noise() as noise:
            old = Thread(value.fetch_add, 1)
            old.join(PATIENCE)
        assert old.outcome[1] is None
        assert old.seconds < noise.limit(0.2)
        assert value.value == old.outcome[0] + 1


def test_killed_while_it_holds_the_lock(ctx):
    value = ctx.Value("q", 5)
    process = ctx.Process(target=shared.hold_and_die, args=(value,))
    process.start()
    process.join(PATIENCE)
    process.close()
    calls = (
        *(lambda: value.value, lambda: shared.put(value, 1), value.fetch_add, value.get_lock().acquire),
        *(lambda: value.compare_exchange(6, 7), lambda: value.exchange(7)),
    )
    for call in calls:
        with pytest.raises(mpfast.LockOwnerDied):
            call()
    with pytest.raises(mpfast.LockOwnerDied), value:
        pytest.fail("entered")
    assert value.get_obj().value == 6
    assert value.get_lock().recover() is True
    value.value = 5
    value.get_lock().release()
    assert value.fetch_add() == 5


def test_killed_while_it_holds_the_lock_of_an_array(ctx, start):
    array = ctx.Array("i", [1, 2])
    child = start(array)
    child.on(array).acquire()
    child.kill()
    for call in (lambda: array[0], lambda: shared.put_item(array, 0, 5), lambda: array[:], lambda: list(array)):
        with pytest.raises(mpfast.LockOwnerDied):
            call()
    assert array.get_lock().recover() is True
    assert array[:] == [1, 2]
    array.get_lock().release()


def test_a_signal_handler_runs_while_it_waits(ctx, start):
    value = ctx.Value("i")
    holder = start(value)
    waiter = start(value)
    import workers

    waiter.run(workers.raise_on, signal.SIGUSR1)
    holder.on(value).acquire()
    waiter.begin(shared.add_many, value, 1)
    waiter.signal(signal.SIGUSR1)
    with pytest.raises(Exception, match="Interrupted"):
        waiter.result()
    holder.on(value).release()
    assert waiter.on(value).fetch_add() == 0
