# SPDX-License-Identifier: MIT
"""Locks and their relatives, in one process, between two, and what it costs to create one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from multiprocessing.context import BaseContext
from typing import Any

import mpfb_play

from ..kinds.alone import Alone, creating
from ..kinds.duo import Duo
from ..kinds.scenario import Scenario


def use_with(lock: Any, count: int) -> None:
    for _ in repeat(None, count):
        with lock:
            pass


def use_calls(lock: Any, count: int) -> None:
    for _ in repeat(None, count):
        lock.acquire()
        lock.release()


def ask_event(event: Any, count: int) -> None:
    for _ in repeat(None, count):
        event.is_set()


def switch_event(event: Any, count: int) -> None:
    for _ in repeat(None, count):
        event.set()
        event.clear()


def notify_without_waiter(condition: Any, count: int) -> None:
    for _ in repeat(None, count):
        with condition:
            condition.notify()


def creation(primitive: str, maker: Callable[[BaseContext], Callable[[], object]]) -> Alone:
    what = f"{'an' if primitive in ('RLock', 'Event') else 'a'} {primitive}"
    return creating(primitive.lower(), what, "Creating a lock or event", maker, f"{primitive}()")


ALONE: tuple[Alone, ...] = (
    Alone("with_lock", "with Lock", "Lock", "with lock: pass", lambda c: c.Lock(), use_with),
    Alone(
        "call_lock",
        "Lock, acquire and release",
        "Lock",
        "lock.acquire(); lock.release()",
        lambda c: c.Lock(),
        use_calls,
    ),
    Alone("with_rlock", "with RLock", "RLock", "with rlock: pass", lambda c: c.RLock(), use_with),
    Alone(
        "semaphore",
        "Semaphore, acquire and release",
        "Semaphore",
        "s.acquire(); s.release()",
        lambda c: c.Semaphore(),
        use_calls,
    ),
    Alone(
        "bounded",
        "BoundedSemaphore, acquire and release",
        "BoundedSemaphore",
        "s.acquire(); s.release()",
        lambda c: c.BoundedSemaphore(),
        use_calls,
    ),
    Alone("event_is_set", "Event.is_set", "Event", "event.is_set()", lambda c: c.Event(), ask_event),
    Alone(
        "event_set_clear",
        "Event, set and clear",
        "Event",
        "event.set(); event.clear()",
        lambda c: c.Event(),
        switch_event,
    ),
    Alone(
        "notify_nobody",
        "Condition, notify without a waiter",
        "Condition",
        "with condition: condition.notify()",
        lambda c: c.Condition(),
        notify_without_waiter,
    ),
)

CREATION: tuple[Alone, ...] = (
    creation("Lock", lambda c: c.Lock),
    creation("RLock", lambda c: c.RLock),
    creation("Semaphore", lambda c: c.Semaphore),
    creation("Condition", lambda c: c.Condition),
    creation("Event", lambda c: c.Event),
    creation("Barrier", lambda c: lambda: c.Barrier(2)),
)

DUO: tuple[Duo, ...] = (
    Duo(
        "contended_lock",
        "Lock, two processes",
        "Lock",
        "with lock: word.value += 1, in two processes (per increment)",
        lambda c: (c.Lock(),),
        mpfb_play.contend,
        counted=True,
        units=2,
    ),
    Duo(
        "condition_turns",
        "Condition ping-pong",
        "Condition",
        "wait for the turn, pass it on, in both processes (per round trip)",
        lambda c: (c.Condition(),),
        mpfb_play.take_turns,
    ),
    Duo(
        "event_turns",
        "Event ping-pong",
        "Event",
        "set one event, wait for the other, clear it (per round trip)",
        lambda c: (c.Event(), c.Event()),
        mpfb_play.exchange_events,
    ),
    Duo(
        "barrier_turns",
        "Barrier(2)",
        "Barrier",
        "barrier.wait() in both processes (per meeting)",
        lambda c: (c.Barrier(2),),
        mpfb_play.meet,
    ),
    Duo(
        "semaphore_turns",
        "Semaphore ping-pong",
        "Semaphore",
        "release one semaphore, acquire the other (per round trip)",
        lambda c: (c.Semaphore(0), c.Semaphore(0)),
        mpfb_play.exchange_permits,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (*ALONE, *DUO, *CREATION)
