# SPDX-License-Identifier: MIT
"""Barrier: the contract of multiprocessing's, which is threading's."""

import functools
import gc
import importlib
import signal
import threading
import weakref

import jobs
import pytest
import workers
from harness import Thread, until

BROKEN = threading.BrokenBarrierError


def is_broken(outcome):
    return outcome.kind == "BrokenBarrierError"


def test_properties(mp, ctx):
    synchronize = importlib.import_module(mp.__name__ + ".synchronize")
    barrier = ctx.Barrier(3)
    assert isinstance(barrier, synchronize.Barrier)
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    for name in ("parties", "n_waiting", "broken"):
        with pytest.raises(AttributeError):
            setattr(barrier, name, 1)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1,), {}), ((), {"parties": 1}), ((1, None, 5), {}), ((1,), {"action": None, "timeout": 0})],
)
def test_arguments(ctx, args, kwargs):
    barrier = ctx.Barrier(*args, **kwargs)
    assert barrier.wait() == 0
    assert barrier.wait(timeout=1) == 0
    assert barrier.wait(None) == 0


def test_wrong_arguments(ctx):
    with pytest.raises(TypeError):
        ctx.Barrier()
    with pytest.raises(TypeError):
        ctx.Barrier(1, None, None, None)
    with pytest.raises(TypeError):
        ctx.Barrier(2).wait("x")


def test_repr(ctx):
    barrier = ctx.Barrier(2)
    name = f"<{type(barrier).__module__}.Barrier at {id(barrier):#x}: "
    assert repr(barrier) == name + "waiters=0/2>"
    waiter = Thread(barrier.wait).asleep()
    assert repr(barrier) == name + "waiters=1/2>"
    barrier.wait()
    waiter.result()
    barrier.abort()
    assert repr(barrier) == name + "broken>"


def test_everybody_gets_an_index_of_their_own(ctx, start):
    barrier = ctx.Barrier(5)
    children = [start(barrier) for _ in range(2)]
    for _ in range(3):
        waiters = [child.off(barrier).wait() for child in children]
        waiters += [Thread(barrier.wait).asleep() for _ in range(2)]
        assert barrier.n_waiting == 4
        indices = [barrier.wait(), *[waiter.result() for waiter in waiters]]
        assert sorted(indices) == [0, 1, 2, 3, 4]
        until(lambda: barrier.n_waiting == 0, "all have left")


def test_many_rounds(ctx, start):
    """Each round is complete: the indices of all processes in it are those of the parties."""
    barrier = ctx.Barrier(4)
    children = [start(barrier) for _ in range(2)]
    for child in children:
        child.send(workers.rounds, barrier, 200)
    thread = Thread(workers.rounds, barrier, 200)
    mine = workers.rounds(barrier, 200)
    results = [mine, thread.result(), *[child.result() for child in children]]
    assert all(sorted(indices) == [0, 1, 2, 3] for indices in zip(*results, strict=True))


def test_the_action_runs_once_a_round_before_anybody_goes_on(ctx, start):
    counter = ctx.RawArray("q", 1)
    barrier = ctx.Barrier(3, action=functools.partial(jobs.add_one, counter))
    child = start(barrier, counter)
    for number in (1, 2):
        child.off(barrier).wait()
        waiter = Thread(barrier.wait).asleep()
        assert counter[0] == number - 1
        barrier.wait()
        assert counter[0] == number
        assert sorted([child.result(), waiter.result()]) == [0, 1]


def test_the_action_runs_in_the_last_to_arrive(ctx, start):
    counter = ctx.RawArray("q", 1)
    barrier = ctx.Barrier(2, functools.partial(jobs.write_pid, counter))
    child = start(barrier, counter)
    waiter = Thread(barrier.wait).asleep()
    assert child.on(barrier).wait() == 1
    assert waiter.result() == 0
    assert counter[0] == child.pid


def test_an_action_that_raises_breaks_the_barrier(ctx, start):
    barrier = ctx.Barrier(3, jobs.fail)
    child = start(barrier)
    child.off(barrier).wait()
    waiter = Thread(barrier.wait).asleep()
    with pytest.raises(ZeroDivisionError, match="^the action failed$"):
        barrier.wait()
    assert is_broken(child.outcome())
    with pytest.raises(BROKEN):
        waiter.result()
    assert barrier.broken is child.run(getattr, barrier, "broken") is True
    with pytest.raises(BROKEN):
        barrier.wait()


@pytest.mark.parametrize("own", [True, False])
def test_a_timeout_breaks_the_barrier_for_all(ctx, start, own):
    barrier = ctx.Barrier(4, timeout=None if own else 0.05)
    child = start(barrier)
    child.off(barrier).wait(60)
    waiter = Thread(barrier.wait, 60).asleep()
    outcome, seconds = workers.timed(barrier, "wait", *([0.05] if own else []))
    assert is_broken(outcome)
    assert outcome.text == ""
    assert 0.05 <= seconds < 5
    assert is_broken(child.outcome())
    with pytest.raises(BROKEN):
        waiter.result()
    assert barrier.broken is True
    assert barrier.n_waiting == 0


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_to_wait(ctx, timeout):
    barrier = ctx.Barrier(2)
    with pytest.raises(BROKEN):
        barrier.wait(timeout)
    assert barrier.broken is True


def test_abort(ctx, start):
    barrier = ctx.Barrier(3)
    child = start(barrier)
    child.off(barrier).wait()
    waiter = Thread(barrier.wait).asleep()
    assert barrier.abort() is None
    assert is_broken(child.outcome())
    with pytest.raises(BROKEN):
        waiter.result()
    assert (barrier.broken, barrier.n_waiting) == (True, 0)
    barrier.abort()
    child.send(workers.invoke, barrier, "wait")
    assert is_broken(child.outcome())
    with pytest.raises(BROKEN):
        barrier.wait()


def test_a_child_aborts(ctx, start):
    barrier = ctx.Barrier(2)
    child = start(barrier)
    waiter = Thread(barrier.wait).asleep()
    child.on(barrier).abort()
    with pytest.raises(BROKEN):
        waiter.result()
    assert barrier.broken is True
    barrier.reset()
    assert child.run(getattr, barrier, "broken") is False


def test_reset_sends_the_waiting_away(ctx, start):
    barrier = ctx.Barrier(3)
    child = start(barrier)
    child.off(barrier).wait()
    waiter = Thread(barrier.wait).asleep()
    assert barrier.reset() is None
    assert is_broken(child.outcome())
    with pytest.raises(BROKEN):
        waiter.result()
    assert (barrier.broken, barrier.n_waiting) == (False, 0)
    check_round(barrier, child)


def test_reset_without_waiters(ctx, start):
    barrier = ctx.Barrier(3)
    barrier.reset()
    check_round(barrier, start(barrier))


@pytest.mark.parametrize("how", ["abort", "timeout"])
def test_reset_mends_a_broken_barrier(ctx, start, how):
    barrier = ctx.Barrier(3)
    if how == "abort":
        barrier.abort()
    else:
        with pytest.raises(BROKEN):
            barrier.wait(0.01)
    barrier.reset()
    assert barrier.broken is False
    check_round(barrier, start(barrier))


def check_round(barrier, child):
    """A barrier of three works as a new one does."""
    child.off(barrier).wait()
    waiter = Thread(barrier.wait).asleep()
    assert [barrier.wait(), child.result(), waiter.result()] == [2, 0, 1]


def test_one_party(ctx):
    counter = ctx.RawArray("q", 1)
    barrier = ctx.Barrier(1, functools.partial(jobs.add_one, counter))
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]
    assert counter[0] == 3


def test_who_is_interrupted_has_not_arrived(ctx, start):
    barrier = ctx.Barrier(2)
    child = start(barrier)
    child.off(barrier).wait()
    child.signal(signal.SIGINT)
    assert child.outcome().kind == "KeyboardInterrupt"
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    child.off(barrier).wait()
    assert barrier.wait() == 1
    assert child.result() == 0


def test_weak_references(ctx):
    barrier = ctx.Barrier(2)
    ref = weakref.ref(barrier)
    del barrier
    gc.collect()
    assert ref() is None
