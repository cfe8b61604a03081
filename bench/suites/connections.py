# SPDX-License-Identifier: MIT
"""Connections: messages one way and there and back, by payload, wire and placement; looking; calls of a manager."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from threading import Thread
from typing import Any, ClassVar

import mpfb_talk

from ..base.deadline import Limits, deadline
from ..base.errors import Skipped
from ..base.impls import START_METHODS, origins
from ..base.placement import Place
from ..floors.messages import Floor
from ..kinds.alone import Alone, clocked
from ..kinds.duo import Duo
from ..kinds.scenario import ONE_METHOD, Scenario

HEADER = 4
KEY = b"the benchmark's key"
SMALL, MIDDLE, LARGE = ("int", "dict", "1 KiB"), ("64 KiB", "1 MiB"), "64 MiB array"


def module_of(context: BaseContext) -> Any:
    return importlib.import_module(f"{type(context).__module__.partition('.')[0]}.connection")


def pipe(context: BaseContext) -> tuple[Any, Any]:
    one, other = context.Pipe()
    return one, other


def one_way(context: BaseContext) -> tuple[Any, Any]:
    """The measuring process writes."""
    reader, writer = context.Pipe(duplex=False)
    return writer, reader


def sockets(family: str, context: BaseContext) -> tuple[Any, Any]:
    """With a key, as such connections should have one: it is also how mpfast's ends get to know each other."""
    module = module_of(context)
    accepted: list[Any] = []
    with module.Listener(family=family, authkey=KEY) as listener:
        thread = Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        client = module.Client(listener.address, authkey=KEY)
        thread.join()
    for end in (client, accepted[0]):
        if family == "AF_INET":
            send_at_once(end)
    return client, accepted[0]


def send_at_once(end: Any) -> None:
    """Otherwise the kernel keeps the last message of a batch back for 40 ms, now and then."""
    with socket.socket(fileno=os.dup(end.fileno())) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(frozen=True)
class Wire:
    """A kind of connection, and what floor.c calls it."""

    key: str
    name: str
    make: Callable[[BaseContext], tuple[Any, Any]]
    floor: str


ONE_WAY = Wire("one_way", "one-way pipe", one_way, "pipe")
DUPLEX = Wire("duplex", "duplex pipe", pipe, "pair")
UNIX = Wire("unix", "AF_UNIX", partial(sockets, "AF_UNIX"), "unix")
INET = Wire("inet", "AF_INET", partial(sockets, "AF_INET"), "inet")


@dataclass(frozen=True)
class Talk(Duo):
    """Two processes and a connection."""

    payload: str = field(kw_only=True)
    pattern: str = field(kw_only=True)
    wire: Wire = field(kw_only=True)

    kind: ClassVar[str] = "talk"
    batch_seconds: ClassVar[float | None] = 0.01

    def floor(self, place: Place, method: str) -> float | None:
        return Floor(self.pattern, self.wire.floor, HEADER + pickled_size(self.payload)).nanoseconds(place)


def pickled_size(payload: str) -> int:
    return 64 * mpfb_talk.MIB if payload == LARGE else len(ForkingPickler.dumps(mpfb_talk.payload(payload)))


def proven(wire: Wire, payload: str, context: BaseContext) -> tuple[Any, Any]:
    """The ends of a new wire, after what is sent has arrived once."""
    try:
        thing = mpfb_talk.payload(payload)
    except ImportError as error:
        raise Skipped(f"the payload cannot be made: {error}") from None
    writer, reader = wire.make(context)
    sending = Thread(target=writer.send, args=(thing,))
    sending.start()
    mpfb_talk.check(payload, reader.recv())
    sending.join()
    return writer, reader


def talk(pattern: str, wire: Wire, payload: str, methods: tuple[str, ...] = ONE_METHOD) -> Talk:
    way = "stream" if pattern == "stream" else "round trip"
    return Talk(
        key=f"{pattern}_{wire.key}_{payload.replace(' ', '')}",
        title=f"{payload}, {way}, {wire.name}",
        primitive=f"Connection, {way}",
        operation="one sends, the other receives (per message)" if pattern == "stream" else "send(); recv() in both",
        make=partial(proven, wire, payload),
        play=partial(getattr(mpfb_talk, pattern), payload),
        payload=payload,
        pattern=pattern,
        wire=wire,
        methods=methods,
        first_batch=1 if payload == LARGE else 32,
    )


# Looking ------------------------------------------------------------------------------------------------------------


def look(ends: Any, count: int) -> None:
    poll = ends[0].poll
    for _ in repeat(None, count):
        poll(0)


def wait_for_one(ends: Any, count: int) -> None:
    wait, things = importlib.import_module(type(ends[0]).__module__).wait, [ends[0]]
    for _ in repeat(None, count):
        wait(things, 0)


@dataclass(frozen=True)
class Look(Alone):
    methods: tuple[str, ...] = field(default=ONE_METHOD, kw_only=True)

    def floor(self, place: Place, method: str) -> float | None:
        return Floor("poll", "pipe", 0).nanoseconds(place)


LOOKS = (
    Look("poll", "poll(0)", "poll, wait", "conn.poll(0), nothing there", lambda c: c.Pipe(), look),
    Look("wait", "wait([c], 0)", "poll, wait", "wait([conn], 0), nothing there", lambda c: c.Pipe(), wait_for_one),
)


# Managers -----------------------------------------------------------------------------------------------------------


def store(proxy: Any, count: int) -> None:
    for number in range(count):
        proxy["key"] = number


def fetch(proxy: Any, count: int) -> None:
    for _ in repeat(None, count):
        proxy["key"]


@dataclass(frozen=True)
class Calls(Scenario):
    """A process that uses a proxy, and the manager's server."""

    loop: Callable[[Any, int], None]
    methods: tuple[str, ...] = field(default=ONE_METHOD, kw_only=True)

    kind: ClassVar[str] = "talk"
    batch_seconds: ClassVar[float | None] = 0.01

    def floor(self, place: Place, method: str) -> float | None:
        """A call and its answer have some fifty bytes."""
        return Floor("turns", "unix", 50).nanoseconds(place)

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[CallsSide]:
        with context.Manager() as manager:
            move(manager._process.pid, place.peer)  # type: ignore[attr-defined]
            proxy = manager.dict()
            proxy["key"] = 0
            yield CallsSide(self, manager, proxy, limits)


def move(pid: int, cpus: frozenset[int]) -> None:
    """Put all threads of a process on these CPUs, and so those that they will start."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), cpus)


class CallsSide:
    def __init__(self, scenario: Calls, manager: Any, proxy: Any, limits: Limits) -> None:
        self._scenario, self._manager, self._proxy, self._limits = scenario, manager, proxy, limits

    def origins(self) -> list[str]:
        """The proxy is the stdlib's in both; the connection below it is not."""
        return origins([self._manager, self._proxy._tls.connection])

    def batch(self, count: int) -> float:
        with deadline(self._limits.batch, self._scenario.title):
            return clocked(self._scenario.loop, self._proxy, count)


CALLS = (
    Calls("manager_store", "Manager, dict store", "Manager", "proxy['key'] = number", store),
    Calls("manager_fetch", "Manager, dict fetch", "Manager", "proxy['key']", fetch),
)


STREAMS = (
    talk("stream", DUPLEX, "int", START_METHODS),
    *(talk("stream", DUPLEX, payload) for payload in (*SMALL[1:], *MIDDLE, LARGE)),
    *(talk("stream", ONE_WAY, payload) for payload in (*SMALL, *MIDDLE, LARGE)),
    *(talk("stream", UNIX, payload) for payload in ("int", "1 MiB")),
    *(talk("stream", INET, payload) for payload in ("int", "1 KiB", "1 MiB")),
)

TURNS = (
    talk("turns", DUPLEX, "int", START_METHODS),
    *(talk("turns", DUPLEX, payload) for payload in (*SMALL[1:], *MIDDLE)),
    talk("turns", UNIX, "int"),
    *(talk("turns", INET, payload) for payload in ("int", "64 KiB")),
)

# Enough for a history: each payload once, each wire once, and a manager.
TRACKED = (
    *("stream_duplex_int", "stream_one_way_int", "stream_one_way_dict", "stream_duplex_1KiB", "stream_duplex_1MiB"),
    *("stream_duplex_64MiBarray", "stream_unix_int", "stream_inet_1KiB"),
    *("turns_duplex_int", "turns_duplex_1MiB", "turns_inet_int", "manager_store"),
)

SCENARIOS: tuple[Scenario, ...] = (*LOOKS, *STREAMS, *TURNS, *CALLS)
