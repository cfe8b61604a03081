# SPDX-License-Identifier: MIT
"""Event: the contract of multiprocessing's."""

import gc
import re
import weakref

import pytest
import workers
from harness import Thread


@pytest.fixture
def event(ctx):
    return ctx.Event()


def test_set_and_clear(event):
    assert event.is_set() is False
    assert event.set() is None
    assert event.is_set() is True
    event.set()
    assert event.is_set() is True
    assert event.clear() is None
    assert event.is_set() is False
    event.clear()
    assert event.is_set() is False


def test_repr(event):
    assert re.fullmatch(rf"<Event at {id(event):#x} unset>", repr(event))
    event.set()
    assert re.fullmatch(rf"<Event at {id(event):#x} set>", repr(event))


@pytest.mark.parametrize("args", [(), (None,), (0,), (-1,), (5,), (0.5,)])
def test_a_wait_for_what_is_set_returns_true_at_once(event, args):
    event.set()
    assert event.wait(*args) is True
    assert event.is_set() is True


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_a_wait_that_times_out_returns_false(event, timeout):
    outcome, seconds = workers.timed(event, "wait", timeout=timeout)
    assert outcome.value is False
    assert max(timeout, 0) <= seconds < 5


def test_arguments(ctx, event):
    with pytest.raises(TypeError, match="^must be real number, not str$"):
        event.wait("x")
    with pytest.raises(TypeError):
        event.wait(1, 2)
    with pytest.raises(TypeError):
        ctx.Event(1)
    assert event.wait(0) is False


def test_set_wakes_all_who_wait(event, start):
    children = [start(event).off(event).wait() for _ in range(2)]
    threads = [Thread(event.wait).asleep() for _ in range(3)]
    event.set()
    assert [waiter.result() for waiter in children + threads] == [True] * 5
    assert event.is_set() is True
    assert children[0].on(event).wait(0) is True


def test_a_child_sets_and_clears(event, start):
    child = start(event)
    waiter = Thread(event.wait, 60).asleep()
    child.on(event).set()
    assert waiter.result() is True
    assert event.is_set() is True
    child.on(event).clear()
    assert event.is_set() is child.on(event).is_set() is False
    assert child.run(repr, event).endswith(" unset>")


def test_it_can_be_used_again_and_again(ctx, start):
    ping, pong = ctx.Event(), ctx.Event()
    child = start(ping, pong)
    child.send(workers.answer, ping, pong, 50)
    for _ in range(50):
        ping.set()
        assert pong.wait(60) is True
        pong.clear()
    assert child.result() == 50


def test_weak_references(ctx):
    event = ctx.Event()
    ref = weakref.ref(event)
    del event
    gc.collect()
    assert ref() is None
