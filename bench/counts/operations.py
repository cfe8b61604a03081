# SPDX-License-Identifier: MIT
"""The operations that are counted: as with timeit, a line that prepares and a line that is repeated.

All are done by one thread of one process. What two processes do to each other differs each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Run = Callable[[Any, int, Callable[[], object]], None]

# The marks stand around what is counted. What is made once, on first use, is made in the rounds before. Launching
# has a mark after each operation too, because what a process does to start another differs a little each time.
TEMPLATE = """
from itertools import repeat
from mpfast.connection import wait
def run(ctx, count, mark):
    {prepare}
    for _ in repeat(None, {warm_up}):
        {repeated}
    mark()
    for _ in repeat(None, count):
        {repeated}{between}
    mark()
"""


@dataclass(frozen=True)
class Operation:
    name: str
    prepare: str
    repeated: str
    count: int = 100
    method: str = "fork"
    launches: bool = False  # other processes take part, of which nothing is counted, and no instructions at all

    def compiled(self) -> Run:
        names: dict[str, Any] = {}
        words = {"prepare": self.prepare, "repeated": self.repeated, "warm_up": self.count}
        exec(TEMPLATE.format(**words, between="; mark()" if self.launches else ""), names)
        run: Run = names["run"]
        return run


PAYLOADS = {
    "int": ("7", 100),
    "dict": ("{'id': 7, 'name': 'seven', 'price': 7.5, 'tags': ['a', 'b']}", 100),
    "1 KiB": ("bytes(1 << 10)", 100),
    "64 KiB": ("bytes(1 << 16)", 20),
    "1 MiB": ("bytes(1 << 20)", 4),
}
SMALL = ("int", "dict", "1 KiB")  # what a pipe has room for while nobody reads


def making(name: str) -> Operation:
    arguments = "1" if name == "Barrier" else ""
    return Operation(f"{name}()", "pass", f"ctx.{name}({arguments})")


def through_queue(payload: str) -> Operation:
    value, count = PAYLOADS[payload]
    return Operation(f"Queue put get {payload}", f"q = ctx.Queue(); x = {value}", "q.put(x); q.get()", count)


def through_pipe(payload: str) -> Operation:
    value, count = PAYLOADS[payload]
    return Operation(f"Pipe send recv {payload}", f"a, b = ctx.Pipe(); x = {value}", "a.send(x); b.recv()", count)


def launch(method: str) -> Operation:
    repeated = "p = ctx.Process(target=int); p.start(); p.join()"
    return Operation(f"Process {method} start join", "pass", repeated, 12, method, launches=True)


LOCKS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore")

ALL = (
    *(Operation(f"{name} with", f"x = ctx.{name}()", "with x: pass") for name in LOCKS),
    *(Operation(f"{name} acquire release", f"x = ctx.{name}()", "x.acquire(); x.release()") for name in LOCKS),
    Operation("Lock acquire held", "x = ctx.Lock(); x.acquire()", "x.acquire(False)"),
    Operation("Event set clear", "x = ctx.Event()", "x.set(); x.clear()"),
    Operation("Event is_set", "x = ctx.Event()", "x.is_set()"),
    Operation("Event wait set", "x = ctx.Event(); x.set()", "x.wait()"),
    Operation("Condition notify", "x = ctx.Condition(); x.acquire()", "x.notify()"),
    Operation("Barrier wait", "x = ctx.Barrier(1)", "x.wait()"),
    *map(making, (*LOCKS, "Event", "Condition", "Barrier", "Queue", "SimpleQueue")),
    *map(through_queue, PAYLOADS),
    Operation("Queue put_many get_many 10", "q = ctx.Queue(); x = list(range(10))", "q.put_many(x); q.get_many(10)"),
    Operation("Queue empty", "q = ctx.Queue()", "q.empty()"),
    Operation("Queue qsize", "q = ctx.Queue()", "q.qsize()"),
    Operation("JoinableQueue put get task_done", "q = ctx.JoinableQueue()", "q.put(7); q.get(); q.task_done()"),
    *map(through_pipe, SMALL),
    Operation("Pipe poll", "a, b = ctx.Pipe()", "a.poll(0)"),
    Operation("Pipe wait", "a, b = ctx.Pipe(); c = [a]", "wait(c, 0)"),
    Operation("Pipe()", "pass", "a, b = ctx.Pipe(); a.close(); b.close()"),
    *map(launch, ("fork", "forkserver", "spawn")),
)
