# SPDX-License-Identifier: MIT
"""Messages through connections, one way and there and back, poll() and wait(), and calls of a manager."""

from __future__ import annotations

import importlib
import os
import socket
from functools import partial
from itertools import repeat
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any

import mpfb_talk

from ..base.errors import Skipped
from ..base.impls import START_METHODS
from ..kinds.calls import Calls
from ..kinds.scenario import ONE_METHOD, Scenario
from ..kinds.talk import LARGE, Look, Talk, Wire

KEY = b"the benchmark's key"
WAYS = {
    "stream": ("one way", "one process sends, the other receives (per message)"),
    "turns": ("round trip", "send() and recv() in both processes (per round trip)"),
}
SMALL, MIDDLE = ("int", "dict", "1 KiB"), ("64 KiB", "1 MiB")


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
    """With a key, as such connections should have one. With it mpfast's ends get to know each other, too."""
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


ONE_WAY = Wire("one_way", "Pipe(duplex=False)", one_way, "pipe")
DUPLEX = Wire("duplex", "Pipe", pipe, "pair")
UNIX = Wire("unix", "Unix socket", partial(sockets, "AF_UNIX"), "unix")
INET = Wire("inet", "TCP socket", partial(sockets, "AF_INET"), "inet")


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
    way, operation = WAYS[pattern]
    return Talk(
        key=f"{pattern}_{wire.key}_{payload.replace(' ', '')}",
        title=f"{wire.name}, {payload}, {way}",
        primitive=f"Pipe and socket, {way}",
        operation=operation,
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


LOOKS = (
    Look("poll", "poll(0)", "Connection, poll and wait", "conn.poll(0), nothing there", lambda c: c.Pipe(), look),
    Look(
        "wait",
        "wait([c], 0)",
        "Connection, poll and wait",
        "wait([conn], 0), nothing there",
        lambda c: c.Pipe(),
        wait_for_one,
    ),
)


# Managers -----------------------------------------------------------------------------------------------------------


def store(proxy: Any, count: int) -> None:
    for number in range(count):
        proxy["key"] = number


def fetch(proxy: Any, count: int) -> None:
    for _ in repeat(None, count):
        proxy["key"]


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

# Enough for a history. Each payload is there once, each wire once, and a manager.
TRACKED = (
    *("stream_duplex_int", "stream_one_way_int", "stream_one_way_dict", "stream_duplex_1KiB", "stream_duplex_1MiB"),
    *("stream_duplex_64MiBarray", "stream_unix_int", "stream_inet_1KiB"),
    *("turns_duplex_int", "turns_duplex_1MiB", "turns_inet_int", "manager_store"),
)

SCENARIOS: tuple[Scenario, ...] = (*LOOKS, *STREAMS, *TURNS, *CALLS)
