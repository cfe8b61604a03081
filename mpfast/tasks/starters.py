# SPDX-License-Identifier: MIT
"""Starters: how a crew gets a worker. For those that come later, a process waits already where the start method allows.

forkserver: the fork server has spares. fork: a template has one. spawn: one interpreter has loaded everything and waits
for its place in the pool.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from multiprocessing import process
from pickle import dumps, loads

from ..launch.forkserver.served import stat_of
from ..launch.life import name_process
from .worker import guard_worker, work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from typing import Any

    from .crew import Crew

__all__ = ["NotYet", "Starter", "starter_of"]

PATIENCE = 0.5  # seconds for which a spare that is on its way is waited for
SETTLED = 0.1  # seconds that the first workers have for themselves before a spare is spawned beside them
STOPPED = (b"T", b"t")
ROOM = 2  # descriptors that a start by fork needs in this process


class NotYet(Exception):
    """A spare is on its way. Waiting for it takes less than another start."""


class Starter:
    """Starts each worker as any process is started. `due`: when tend() wants to be called, 0.0 for never."""

    due = 0.0
    forks = False  # does start() fork this process?

    def __init__(self, crew: Any) -> None:
        self.crew: Crew = crew

    def prepare(self) -> None:
        """Called before the first worker is started."""

    def begin(self) -> None:
        """Called when the first workers were started."""

    def worker(self, number: int) -> BaseProcess:
        """The process for this place, which is not started, or is a spare."""
        return self.crew.prepare(number)

    def start(self, worker: BaseProcess, number: int) -> None:
        """Starts it. Raises NotYet, or what Process.start() raises."""
        worker.start()

    def fileno(self) -> int:
        """What is readable when a spare has come that start() did not find. -1: there is no such thing."""
        return -1

    def arrived(self) -> bool:
        """Takes spares in. False: still none."""
        return False

    def tend(self) -> None:
        """Does what is due."""

    def close(self) -> None:
        """No worker is started any more. Spares end."""

    def join(self) -> None:
        """After close(): waits for their end."""

    def forget(self) -> None:
        """Called in a forked child."""


class ForkStarter(Starter):
    """Replacements are spares of a template, as long as that lives. Then the process forks them itself."""

    forks = True

    def __init__(self, crew: Crew, template: bool) -> None:
        super().__init__(crew)
        self.wanted = template
        self.template: Any = None
        self.late = 0.0  # when to go without the template's spare

    def prepare(self) -> None:
        """What is done before the first fork costs no page faults."""
        from ..launch.template import Template, usable

        if self.wanted and usable():
            with contextlib.suppress(OSError):  # then there is none
                self.template = Template(Reviver(self.crew), self.crew.recycles)

    def begin(self) -> None:
        if self.template is None:
            return
        try:
            self.template.found()
        except OSError:
            self.template.close()
            self.template = None

    def start(self, worker: BaseProcess, number: int) -> None:
        template = self.template if self.crew.began else None
        if template is not None:
            if self.hand_over(worker, number):
                self.late = 0.0
                return
            if template.runs() and not self.is_late():
                raise NotYet
        self.late = 0.0
        _check_room()
        worker.start()

    def hand_over(self, worker: Any, number: int) -> bool:
        state = {name: getattr(worker, name) for name in ("_name", "_identity", "_parent_pid", "_parent_name")}
        try:
            return self.template.start(worker, dumps((number, state)))  # type: ignore[no-any-return]
        except OSError:
            return False

    def is_late(self) -> bool:
        now = time.monotonic()
        if not self.late:
            self.late = now + PATIENCE
        return now >= self.late

    def fileno(self) -> int:
        return -1 if self.template is None else self.template.fileno()

    def arrived(self) -> bool:
        try:
            return bool(self.template.gather()) or not self.template.runs()
        except OSError:  # it has no spare for us, so the process tries by itself
            self.late = time.monotonic()
            return True

    def close(self) -> None:
        if self.template is not None:
            self.template.close()

    def join(self) -> None:
        if self.template is not None:
            self.template.join()

    def forget(self) -> None:
        if self.template is not None:
            self.template.forget()
        self.template = None


def _check_room() -> None:
    """OSError if a child that is forked now would lack descriptors."""
    made: list[int] = []
    try:
        for _ in range(ROOM):
            made.append(os.eventfd(0, os.EFD_CLOEXEC))
    finally:
        for fd in made:
            os.close(fd)


class Reviver:
    """Makes the worker's process in a spare of the template, which has all that a worker needs but for its place."""

    def __init__(self, crew: Crew) -> None:
        self.process_class = crew.ctx.Process
        self.rings = crew.desk.tasks, crew.desk.results
        self.job = crew.job
        self.daemonic = crew.daemonic()

    def __call__(self, data: bytes) -> BaseProcess:
        number, state = loads(data)
        made: BaseProcess = self.process_class(target=work, args=(*self.rings, number, *self.job))
        if self.daemonic:
            made.daemon = True
        made.__dict__.update(state)
        return made


class SpawnStarter(Starter):
    """One interpreter waits, from when the first replacement was needed, or workers are known to need some."""

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self.spares: list[tuple[Any, Any]] = []  # one at the most, with the pipe by which it is told its place
        self.taken: dict[int, Any] = {}  # the pipes of those that were not told yet, by their places
        self.closed = False

    @property
    def spare(self) -> Any:
        """The process that waits, or None."""
        return next((spare for spare, _ in self.spares), None)

    def take(self) -> tuple[Any, Any]:
        """The spare and its pipe. No other thread gets it, nor a signal's handler."""
        try:
            return self.spares.pop()
        except IndexError:
            return None, None

    def begin(self) -> None:
        if self.crew.recycles and not self.spares:
            self.due = time.monotonic() + SETTLED

    def worker(self, number: int) -> BaseProcess:
        if not self.crew.began:
            return self.crew.prepare(number)
        self.due = time.monotonic()
        spare, told = self.take()
        if spare is None or not waits(spare):
            if told is not None:
                told.close()
                spare.kill()
                spare.join()
            return self.crew.prepare(number)
        self.taken[number] = told
        self.crew.desk.prepare_seat(number)
        return spare  # type: ignore[no-any-return]

    def start(self, worker: BaseProcess, number: int) -> None:
        told = self.taken.pop(number, None)
        if told is None:
            worker.start()
            return
        process._children.add(worker)  # type: ignore[attr-defined]
        with told, contextlib.suppress(OSError):  # if it has died meanwhile, that is the worker's end
            told.send_bytes(str(number).encode())

    def tend(self) -> None:
        self.due = 0.0
        spare = self.spare
        if (spare is not None and waits(spare)) or self.closed:
            return
        crew = self.crew
        try:
            told, teller = crew.ctx.Pipe(duplex=False)
        except OSError:
            return
        with told:
            spare = crew.process(wait_for_place, (told, crew.desk.tasks, crew.desk.results, *crew.job))
            try:
                spare.start()
            except OSError:  # without one, then
                teller.close()
                return
            finally:
                process._children.discard(spare)  # type: ignore[attr-defined]  # as long as it is no worker
        self.drop()
        self.spares.append((spare, teller))
        if self.closed:
            self.close()

    def drop(self) -> None:
        """Lets the spare go."""
        spare, told = self.take()
        if told is not None:
            told.close()
        if spare is not None:
            spare.kill()
            spare.join()

    def close(self) -> None:
        self.closed = True
        self.due = 0.0
        self.drop()

    def forget(self) -> None:
        _, told = self.take()
        if told is not None:
            told.close()


def waits(spare: Any) -> bool:
    """Is this process there, and does it listen? One that is stopped would be a worker that takes no task."""
    if spare.exitcode is not None:
        return False
    try:
        return stat_of(spare.pid)[0] not in STOPPED
    except (OSError, IndexError):
        return True  # this process may not look


def wait_for_place(told: Any, *job: Any) -> None:
    """What a spawned spare runs."""
    guard_worker()
    name_process("mpfast-spare")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        number = int(told.recv_bytes())
    except (EOFError, OSError):
        return
    told.close()
    signal.signal(signal.SIGINT, before)
    tasks, results, *rest = job
    work(tasks, results, number, *rest)


def starter_of(crew: Crew, template: bool) -> Starter:
    method = crew.ctx.get_start_method()
    if method == "fork":
        return ForkStarter(crew, template)
    return SpawnStarter(crew) if method == "spawn" else Starter(crew)
