# SPDX-License-Identifier: MIT
"""Items through queues, from one process to another, there and back, and from several processes to several."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any

import mpfb_queue

from ..kinds.alone import Alone
from ..kinds.crowd import Crowd
from ..kinds.flow import BulkFlow, Flow
from ..kinds.scenario import Scenario

NAMES = {
    "int": "int",
    "dict": "small dict",
    "1k": "1 KiB bytes",
    "64k": "64 KiB bytes",
    "1m": "1 MiB bytes",
    "1m_array": "1 MiB array",
    "64m_array": "64 MiB array",
}


def put_and_get(queue: Any, count: int, name: str) -> None:
    item = mpfb_queue.payload(name)
    for _ in repeat(None, count):
        queue.put(item)
        queue.get()


def alone(payload: str) -> Alone:
    return Alone(
        f"self_{payload}",
        f"Queue, {NAMES[payload]}, one process",
        "Queue",
        "q.put(item); q.get() in one process",
        lambda c: c.Queue(),
        partial(put_and_get, name=payload),
        payload=NAMES[payload],
    )


def stream(payload: str) -> Flow:
    kind = BulkFlow if payload.startswith("64m") else Flow
    return kind(
        f"stream_{payload}",
        f"Queue, {NAMES[payload]}, one way",
        "Queue",
        "one process puts, another gets (per item)",
        lambda c: (c.Queue(),),
        partial(mpfb_queue.stream, name=payload),
        payload=NAMES[payload],
    )


def round_trip(payload: str) -> Flow:
    return Flow(
        f"trip_{payload}",
        f"Queue, {NAMES[payload]}, round trip",
        "Queue",
        "through one queue there and through another back (per round trip)",
        lambda c: (c.Queue(), c.Queue()),
        partial(mpfb_queue.round_trip, name=payload),
        payload=NAMES[payload],
    )


def crowd(payload: str, producers: int, consumers: int) -> Crowd:
    return Crowd(
        f"{producers}p{consumers}c_{payload}",
        f"Queue, {NAMES[payload]}, {producers} to {consumers}",
        "Queue, several processes",
        f"{producers} processes put, {consumers} get (per item)",
        lambda c: (c.Queue(),),
        partial(mpfb_queue.produce, name=payload),
        partial(mpfb_queue.consume, name=payload),
        producers,
        consumers,
        payload=NAMES[payload],
    )


ALONE: tuple[Alone, ...] = (alone("int"), alone("dict"))
FLOWS: tuple[Flow, ...] = (*map(stream, NAMES), *map(round_trip, ("int", "dict", "64k")))
CROWDS: tuple[Crowd, ...] = (
    crowd("int", 4, 1),
    crowd("int", 1, 4),
    crowd("int", 4, 4),
    crowd("dict", 4, 4),
)


def against_fifo(scenario: Scenario) -> Scenario:
    """The same against faster-fifo's queue. Its times stand in the stdlib's place then."""
    return replace(
        scenario,
        key=f"fifo_{scenario.key}",
        title=f"{scenario.title}, against faster-fifo",
        primitive="Queue against faster-fifo",
        rival="faster_fifo",
        methods=("fork",),
    )


FIFO = tuple(against_fifo(scenario) for scenario in (*FLOWS, *CROWDS))

SCENARIOS: tuple[Scenario, ...] = (*ALONE, *FLOWS, *CROWDS, *FIFO)
