# SPDX-License-Identifier: MIT
"""Benchmarks that go wrong in the ways that real ones do, and the harness's measuring process with them in it."""

import os
import signal
import sys
import threading
from pathlib import Path
from time import perf_counter_ns

sys.path.append(str(Path(__file__).parents[2]))

from bench.kinds.alone import Alone
from bench.kinds.duo import Duo
from bench.kinds.launch import Launch
from bench.kinds.scenario import Cell
from bench.measure import worker
from bench.suites import plan


def raise_in_peer(things, role, count):
    if role:
        raise ValueError("the peer was made to fail")
    things.measured[0].acquire()


def exit_in_peer(things, role, count):
    if role:
        os._exit(3)
    things.measured[0].acquire()


def hang_in_peer(things, role, count):
    if role:
        signal.pause()


def let_both_in(things, role, count):
    for _ in range(count):
        things.word.value += role


def hang_for_good(thing, count):
    """As in C code that forgets about signals. Only a signal without a handler ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        signal.pause()


def die(thing, count):
    print("last words", file=sys.stderr, flush=True)
    os._exit(5)


def use(lock, count):
    for _ in range(count):
        with lock:
            pass


def start_failing(children):
    process = children.make(os._exit, 4)
    begin = perf_counter_ns()
    process.start()
    return perf_counter_ns() - begin


def semaphore(context):
    return (context.Semaphore(0),)


FAULTY = (
    Duo("peer_raises", "peer raises", "-", "-", semaphore, raise_in_peer),
    Duo("peer_exits", "peer exits", "-", "-", semaphore, exit_in_peer),
    Duo("peer_hangs", "peer hangs", "-", "-", semaphore, hang_in_peer),
    Duo("not_exclusive", "not exclusive", "-", "-", semaphore, let_both_in, counted=True),
    Launch("child_fails", "child fails", "-", "-", start_failing),
    Alone("wrong_class", "wrong class", "-", "-", lambda context: threading.Lock(), use),
    Alone("hangs", "hangs", "-", "-", lambda context: context.Lock(), hang_for_good),
    Alone("dies", "dies", "-", "-", lambda context: context.Lock(), die),
    Alone("works", "works", "-", "-", lambda context: context.Lock(), use),
)


def cell(key, placement="one_cpu"):
    return Cell("faulty", next(scenario for scenario in FAULTY if scenario.key == key), "fork", placement)


if __name__ == "__main__":
    plan.SUITES["faulty"] = FAULTY
    worker.main()
