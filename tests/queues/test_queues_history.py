# SPDX-License-Identifier: MIT
"""What several processes saw of one queue, put together: was it one FIFO queue? See histories.py."""

import itertools
import queue
import random
import time

import pytest
from histories import Call, faults, outcomes

import mpfast

ROUNDS, CALLS = 60, 5


@pytest.fixture
def mp():
    return mpfast


def timed(function, *args, **kwargs):
    """(begin, end, result or None, the type of what was raised or None)"""
    begin = time.monotonic_ns()
    try:
        result, raised = function(*args, **kwargs), None
    except (queue.Empty, queue.Full) as e:
        result, raised = None, type(e)
    return begin, time.monotonic_ns(), result, raised


def put(q, value, **how):
    begin, end, _, raised = timed(q.put, value, **how)
    return Call("full" if raised else "put", None if raised else value, begin, end)


def get(q, **how):
    begin, end, value, raised = timed(q.get, **how)
    return Call("empty" if raised else "get", value, begin, end)


def put_many(q, count, first, chance):
    hows = [{}, {"block": False}, {"timeout": 0.001}]
    return [put(q, first + n, **chance.choice(hows)) for n in range(count)]


def get_many(q, count, chance):
    """Until it has got all; so there must be as many."""
    calls, hows = [], [{}, {"block": False}, {"timeout": 0.001}]
    while count > 0:
        calls.append(get(q, **chance.choice(hows)))
        count -= calls[-1].kind == "get"
    return calls


def take_part(q, back, number, putter, count):
    chance = random.Random(number)
    calls = put_many(q, count, number << 32, chance) if putter else get_many(q, count, chance)
    back.put([tuple(call) for call in calls])


def play(q, back, barrier, number, rounds):
    """In each round a few calls of any kind, all together with the others; nobody blocks."""
    chance = random.Random(number)
    for turn in range(rounds):
        barrier.wait()
        calls = []
        for n in range(CALLS):
            value = (number << 32) + turn * CALLS + n
            calls.append(put(q, value, block=False) if chance.random() < 0.5 else get(q, block=False))
        back.put((turn, [tuple(call) for call in calls]))


def history_of(back, count):
    return [Call(*call) for _ in range(count) for call in back.get(timeout=60)]


@pytest.mark.parametrize(("putters", "getters"), [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_everything_in_order(ctx, putters, getters):
    q, back, count = ctx.Queue(), ctx.Queue(), 1200
    share = putters * count // getters
    args = [(q, back, n, n < putters, count if n < putters else share) for n in range(putters + getters)]
    processes = [ctx.Process(target=take_part, args=arg) for arg in args]
    for process in processes:
        process.start()
    history = history_of(back, len(processes))
    for process in processes:
        process.join()
    assert sum(call.kind == "get" for call in history) == putters * count
    assert faults(history) == []


@pytest.mark.parametrize("maxsize", [1, 3, 50])
def test_maxsize_in_order(ctx, maxsize):
    """Who cannot put gives up sometimes: then nobody knows beforehand how many there will be to get."""
    q, back, done = ctx.Queue(maxsize), ctx.Queue(), ctx.Event()
    putters = [ctx.Process(target=take_part, args=(q, back, n, True, 800)) for n in range(2)]
    getters = [ctx.Process(target=get_until, args=(q, back, n, done)) for n in range(2)]
    for process in putters + getters:
        process.start()
    for process in putters:
        process.join()
    done.set()
    history = history_of(back, 4)
    for process in getters:
        process.join()
    assert faults(history, maxsize) == []
    assert {call.value for call in history if call.kind == "put"} == {c.value for c in history if c.kind == "get"}


def get_until(q, back, number, done):
    chance, calls = random.Random(number), []
    while not (done.is_set() and calls and calls[-1].kind == "empty"):
        calls.append(get(q, **chance.choice([{"block": False}, {"timeout": 0.001}, {"timeout": 0.02}])))
    back.put([tuple(call) for call in calls])


@pytest.mark.parametrize("maxsize", [0, 1, 2])
def test_short_rounds_exactly(ctx, maxsize):
    """Three players, all orders tried: Empty, Full and the order are those of one queue, to the instant."""
    q, back, barrier = ctx.Queue(maxsize), ctx.Queue(), ctx.Barrier(3)
    players = [ctx.Process(target=play, args=(q, back, barrier, n, ROUNDS)) for n in range(3)]
    for process in players:
        process.start()
    rounds = [[] for _ in range(ROUNDS)]
    for _ in range(ROUNDS * 3):
        turn, calls = back.get(timeout=60)
        rounds[turn] += [Call(*call) for call in calls]
    for process in players:
        process.join()
    assert faults(itertools.chain(*rounds), maxsize) == []
    contents = {()}
    for calls in rounds:
        before, contents = contents, outcomes(calls, maxsize, contents)
        assert contents, (before, calls)
