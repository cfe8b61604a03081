# SPDX-License-Identifier: MIT
"""Crew: the worker processes of a pool. It starts them, hears of their end and replaces them."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import util

from .butler import Butler, Feeder
from .errors import BrokenPool, RemoteError, ending
from .worker import work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.process import BaseProcess
    from typing import Any

__all__ = ["Crew"]

NEVER = (1 << 63) - 1
STARTING, READY = 0, 1  # what Desk.state_of() says of a worker
RETRY_FIRST = 0.05  # seconds until a start is tried again that the system has refused
RETRY_LAST = 2.0
REFUSALS = 3  # starts in a row that may fail
LONGEST = 1e6  # seconds that the kernel is asked to wait at once


class Crew:
    """The workers of one pool. The desk calls it with the interpreter's lock held, one drainer at a time.

    `workers` is the list of processes, which the pool shows as `_pool`.
    """

    def __init__(self, ctx: Any, size: int, initializer: Any, initargs: Any, maxtasks: int | None, kind: str) -> None:
        self.ctx = ctx
        self.size = size
        self.job = (initializer, initargs, maxtasks, kind)
        self.kind = kind
        self.owner = os.getpid()
        self.desk: Any = None
        self.workers: list[BaseProcess] = []
        self.numbers: dict[int, Any] = {}  # of processes, also of those that are being started
        self.children: dict[int | None, Any] = {}  # by pid, what can be killed
        self.struck: set[int | None] = set()  # the pids of those that were
        self.replacing = True
        self.ended = False  # it was terminated
        self.failed = 0  # starts in a row that came to nothing
        self.refusals = 0  # starts in a row that the system has refused
        self.cause: BaseException | None = None
        self.delay = 0.0
        self.retry_at = 0.0
        self.ends = select.epoll()
        self.sleeper = select.epoll()
        self.sleeper.register(self.ends.fileno(), select.EPOLLIN)
        self.sleeping_on: set[int] = set()
        self.on_death: Any = None  # on_death(dead) -> bool, True: do not replace them
        self.on_end: Any = None  # called when the butler ends

    def closed(self) -> Exception:
        """What a caller gets that comes too late."""
        if self.kind == "pool":
            return ValueError("Pool not running")
        return RuntimeError("cannot schedule new futures after shutdown")

    def daemonic(self) -> bool:
        return self.kind == "pool"

    # ---- starting

    def fill(self) -> None:
        """Starts workers until there are `size` of them."""
        while len(self.numbers) < self.size and not self.ended:
            self.start_one()

    def start_one(self) -> None:
        """Starts a worker. Raises what Process.start() raises. Several threads may do so at once."""
        place = object()
        number = 0
        while self.numbers.setdefault(number, place) is not place:
            number += 1
        worker = None
        try:
            worker = self.prepare(number)
            worker.start()
            self.admit(number, worker)
        except BaseException:
            if worker is None or worker.pid is None:
                del self.numbers[number]
            else:
                self.admit(number, worker)  # an interrupt has come after its start
            raise

    def prepare(self, number: int) -> BaseProcess:
        self.desk.prepare_seat(number)
        initializer, initargs, maxtasks, kind = self.job
        args = (self.desk.tasks, self.desk.results, number, initializer, initargs, maxtasks, kind)
        worker: BaseProcess = self.ctx.Process(target=work, args=args)
        if self.daemonic():
            worker.name = worker.name.replace("Process", "PoolWorker")
            worker.daemon = True
        return worker

    def admit(self, number: int, worker: BaseProcess) -> None:
        self.numbers[number] = worker
        if worker not in self.workers:
            self.workers.append(worker)
        self.children[worker.pid] = worker._popen  # type: ignore[attr-defined]
        if worker.pid in self.struck:
            worker.kill()
        with contextlib.suppress(FileExistsError):
            self.ends.register(worker.sentinel, select.EPOLLIN)
        util.debug("added worker")
        if self.ended:
            worker.terminate()
            worker.join()

    # ---- their end

    def dead(self) -> dict[int, BaseProcess]:
        """The workers that have ended and are not settled, by number."""
        if self.retry_at and time.monotonic() >= self.retry_at:
            self.retry()
        if not self.ends.poll(0):
            return {}
        return {
            number: worker
            for number, worker in list(self.numbers.items())
            if getattr(worker, "exitcode", None) is not None
        }

    def code_of(self, pid: int, dead: dict[int, BaseProcess]) -> int | None:
        return next((worker.exitcode for worker in dead.values() if worker.pid == pid), None)

    def ends_all(self, dead: dict[int, BaseProcess]) -> bool:
        """Does this death end all jobs? Then they have been told."""
        if self.on_death is None:
            return False
        others = {number: worker for number, worker in dead.items() if worker.pid not in self.struck}
        return bool(others) and bool(self.on_death(others))

    def replace(self, dead: dict[int, BaseProcess]) -> None:
        """The dead workers are settled. Starts others in their places."""
        for number, worker in dead.items():
            if self.numbers.get(number) is not worker:
                continue
            if self.desk.state_of(number) == STARTING:
                self.failed += 1
                self.cause = self.cause or RuntimeError(f"a worker {ending(worker.exitcode)} before it could run tasks")
            else:
                self.failed, self.cause = 0, None
            self.forget_worker(number, worker)
        if any(self.desk.state_of(number) == READY for number in self.numbers):
            self.failed, self.cause = 0, None
        if self.replacing and self.failed >= max(3, self.size):
            self.give_up()
        elif self.replacing:
            self.retry()

    def stand_in(self) -> None:
        """Deaths cannot be settled now. Starts others beside the dead."""
        if self.replacing and self.ends.poll(0):
            alive = sum(getattr(worker, "exitcode", None) is None for worker in list(self.numbers.values()))
            for _ in range(alive, self.size):
                self.start_one()

    def forget_worker(self, number: int, worker: BaseProcess) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.ends.unregister(worker.sentinel)
        worker.join()
        self.children.pop(worker.pid, None)
        self.struck.discard(worker.pid)
        if worker in self.workers:
            self.workers.remove(worker)
        self.numbers.pop(number, None)  # at last. If an interrupt came before, it is found again
        util.debug("cleaning up worker %d", worker.pid)

    def retry(self) -> None:
        """Starts what is missing. If the system refuses, it is tried again later."""
        try:
            self.fill()
        except Exception as error:
            self.start_refused(error)
        else:
            self.retry_at = self.delay = 0.0
            self.refusals = 0

    def start_refused(self, error: Exception) -> None:
        """A start has raised this. It is tried again later, by the thread that drains then."""
        self.delay = min(self.delay * 2 or RETRY_FIRST, RETRY_LAST)
        self.retry_at = time.monotonic() + self.delay
        self.refusals += 1
        if not self.workers and self.refusals >= REFUSALS:
            self.failed += self.refusals
            self.cause = error
            self.give_up()

    def give_up(self) -> None:
        """No worker can be started."""
        self.replacing, self.retry_at = False, 0.0
        reason = "".join(traceback.format_exception(self.cause)).rstrip()
        error = BrokenPool(f"{self.failed} workers in a row could not start. The last one:\n{reason}")
        error.__cause__ = self.cause
        self.desk.break_down(error)

    def unloadable(self, error: BaseException, failed: bool) -> BaseException:
        """What a caller gets in place of what cannot be unpickled. `failed`: an exception, and no result."""
        made: BaseException = RemoteError.unloadable(error, failed)
        if self.on_death is not None:
            made = BrokenProcessPool(str(made))
            made.__cause__ = error
        return made

    def refused(self, number: int, error: BaseException) -> None:
        """The initializer of a worker has failed with this."""
        self.cause = error

    # ---- sleeping

    def until(self) -> int:
        """When the crew has something to do by itself, as nanoseconds of the monotonic clock."""
        return int(self.retry_at * 1e9) if self.retry_at else NEVER

    def sleep(self, bell: int, nudged: int, timeout: float | None) -> None:
        """Sleeps until one of the two is readable, or a worker ends."""
        for fd in (bell, nudged):
            if fd not in self.sleeping_on:
                self.sleeper.register(fd, select.EPOLLIN)
                self.sleeping_on.add(fd)
        for fd, _ in self.sleeper.poll(None if timeout is None else min(timeout, LONGEST)):
            if fd == nudged:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(nudged)

    def rest(self, called: int, timeout: float | None, watch: bool = True) -> bool:
        """The butler sleeps until it is called or, if `watch`, a worker ends. True: one has ended."""
        poll = select.poll()
        poll.register(called, select.POLLIN)
        if watch:  # without workers as well, since others may be started meanwhile
            poll.register(self.ends.fileno(), select.POLLIN)
        if self.retry_at:
            left = max(0.0, self.retry_at - time.monotonic())
            timeout = left if timeout is None else min(left, timeout)
        ready = dict(poll.poll(None if timeout is None else timeout * 1000))
        if called in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(called)
        return len(ready) > (called in ready) or bool(self.retry_at)

    # ---- threads

    def butler(self, desk: Any) -> threading.Thread:
        thread = Butler(desk)
        thread.start()
        return thread

    def feeder(self, job: Any, iterable: Iterable[Any]) -> Feeder:
        thread = Feeder(job, iterable)
        thread.start()
        return thread

    # ---- the end

    def join(self) -> None:
        for worker in list(self.workers):
            worker.join()

    def terminate(self) -> None:
        """Ends all workers, and waits for that."""
        self.replacing, self.retry_at, self.ended = False, 0.0, True
        for worker in list(self.workers):
            if worker.exitcode is None:
                worker.terminate()
        self.join()

    def release(self) -> None:
        """Closes the descriptors. Nothing is done any more."""
        self.replacing, self.retry_at = False, 0.0
        self.sleeper.close()
        self.ends.close()
        self.on_death = self.on_end = None
        self.desk = None  # the rings, and their descriptors, go with the desk. It is not to wait for the collector

    def forget(self) -> None:
        """Called in a forked child."""
        self.release()
        self.workers, self.numbers, self.children = [], {}, {}
        self.replacing = False
