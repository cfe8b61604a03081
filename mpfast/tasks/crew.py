# SPDX-License-Identifier: MIT
"""Crew: the worker processes of a pool. It starts them, hears of their end and replaces them.

How a worker is started is in starters.py, what is done about starts that fail in setbacks.py, and how the pool's
threads sleep until a worker ends in lookout.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import weakref
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import process, util

from ..errors import ending
from .butler import Butler, Feeder
from .errors import RemoteError
from .lookout import Lookout
from .setbacks import Setbacks
from .sizing import Sizing
from .starters import PATIENCE, NotYet, Starter, starter_of
from .worker import work

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from multiprocessing.process import BaseProcess
    from typing import Any

    from .care import Care

__all__ = ["Crew"]

NEVER = (1 << 63) - 1
NOW = 1e-9  # a time that is past
STARTING, READY = 0, 1  # what Desk.state_of() says of a worker
TERMINATION = 10.0  # seconds after SIGTERM, until terminate() sends SIGKILL

crews: weakref.WeakSet[Crew] = weakref.WeakSet()


class Crew:
    """The workers of one pool. The desk calls it with the interpreter's lock held, one drainer at a time.

    `workers` is the list of processes, which the pool shows as `_pool`. recycles: workers are known to need replacing.
    care: what is asked of each worker. template: with fork, is there to be a template?
    """

    def __init__(
        self,
        ctx: Any,
        size: int,
        initializer: Any,
        initargs: Any,
        maxtasks: int | None,
        kind: str,
        *,
        recycles: bool = False,
        care: Care | None = None,
        template: bool = True,
    ) -> None:
        self.ctx = ctx
        self.sizing = Sizing(self, size)
        self.job = (initializer, initargs, maxtasks, kind, care)
        self.kind = kind
        self.recycles = recycles or maxtasks is not None
        self.owner = os.getpid()
        self.desk: Any = None
        self.workers: list[BaseProcess] = []
        self.numbers: dict[int, Any] = {}  # of processes, also of those that are being started
        self.leaving: set[int] = set()  # the numbers of those that were told to go
        self.children: dict[int | None, Any] = {}  # by pid, what can be killed
        self.struck: set[int | None] = set()  # the pids of those that were
        self.began = False  # the first workers were started
        self.burying = False  # dead workers are being replaced, or an interrupt has stopped that
        self.replacing = True
        self.ended = False  # it was terminated
        self.setbacks = Setbacks()
        self.starter = starter_of(self, template)
        self.awaited = -1  # the descriptor that tells of a spare that is on its way
        self.lookout = Lookout()
        self.on_death: Any = None  # on_death(dead) -> bool, True: do not replace them
        self.on_end: Any = None  # called when the butler ends
        crews.add(self)

    @property
    def size(self) -> int:
        """How many workers there are to be. At least 1, since callers divide by it."""
        return max(1, self.sizing.now)

    @size.setter
    def size(self, size: int) -> None:
        self.sizing.most = self.sizing.now = size

    @property
    def cause(self) -> BaseException | None:
        """Why workers could not start."""
        return self.setbacks.cause

    def closed(self) -> Exception:
        """What a caller gets that comes too late."""
        if self.kind == "pool":
            return ValueError("Pool not running")
        return RuntimeError("cannot schedule new futures after shutdown")

    def daemonic(self) -> bool:
        return self.kind == "pool"

    # ---- starting

    def fill(self) -> None:
        """Starts workers until there are `size` of them, or spares for them are on their way."""
        if self.starter.forks and not self.began and not self.numbers:
            self.fork_all()
        while len(self.numbers) - len(self.leaving) < self.sizing.now and not self.ended:
            if not self.start_one():
                return
        self.begin()

    def fork_all(self) -> None:
        """Forks the first workers. What is done before the first fork, or after the last, costs fewer page faults."""
        self.starter.prepare()
        workers = {number: self.starter.worker(number) for number in range(self.sizing.now)}
        self.numbers.update(workers)
        try:
            for number, worker in workers.items():
                self.starter.start(worker, number)
            self.begin()
        finally:
            for number, worker in workers.items():
                if worker.pid is None:
                    del self.numbers[number]
                else:
                    self.admit(number, worker)

    def begin(self) -> None:
        """The first workers were started."""
        if not self.began:
            self.began = True
            self.starter.begin()

    def start_one(self, most: int | None = None) -> bool:
        """Starts a worker, if there are fewer than `most`. None: as many as there are to be.

        False: there are, or a spare is on its way, and the drainer goes on when it is there. Raises what
        Process.start() raises. Several threads may call this at once.
        """
        place, number, worker = object(), -1, None
        if most is None:
            most = self.sizing.now + len(self.leaving)
        try:
            number = self.desk.take_place(self.numbers, place, most)
            if number < 0:
                return False
            worker = self.starter.worker(number)
            self.starter.start(worker, number)
            self.admit(number, worker)
        except NotYet:
            self.give_back(place)
            self.await_spare()
            return False
        except BaseException:
            if worker is None or worker.pid is None:
                self.give_back(place)
            else:
                self.admit(number, worker)  # an interrupt has come after its start
            raise
        return True

    def give_back(self, place: object) -> None:
        """An interrupt may have come before its number was known."""
        for number in [number for number, other in list(self.numbers.items()) if other is place]:
            del self.numbers[number]

    def prepare(self, number: int) -> BaseProcess:
        """A worker for this place, which is not started."""
        self.desk.prepare_seat(number)
        return self.process(work, (self.desk.tasks, self.desk.results, number, *self.job))

    def process(self, target: Callable[..., object], args: tuple[Any, ...]) -> BaseProcess:
        made: BaseProcess = self.ctx.Process(target=target, args=args)
        if self.daemonic():
            made.name = made.name.replace("Process", "PoolWorker")
            made.daemon = True
        return made

    def admit(self, number: int, worker: BaseProcess) -> None:
        self.numbers[number] = worker
        if worker not in self.workers:
            self.workers.append(worker)
        self.children[worker.pid] = worker._popen  # type: ignore[attr-defined]
        if worker.pid in self.struck:
            worker.kill()
        util.debug("added worker")
        if self.ended:
            self.end([worker])  # another thread has terminated the pool meanwhile
        self.lookout.add(worker.sentinel)

    def await_spare(self) -> None:
        """The drainer or the butler is to start a worker when a spare is there, or when that takes too long."""
        fd = self.starter.fileno()
        if fd >= 0 and self.awaited != fd:
            self.awaited = fd
            self.lookout.add(fd)
        self.setbacks.retry_at = time.monotonic() + PATIENCE
        self.desk.stir()

    def stop_awaiting(self) -> None:
        fd, self.awaited = self.awaited, -1
        if fd >= 0:
            self.lookout.drop(fd)

    # ---- their end

    def dead(self) -> dict[int, BaseProcess]:
        """The workers that have ended and are not settled, by number."""
        self.tend()
        readable = self.lookout.readable()
        if self.awaited in readable:
            readable.discard(self.awaited)
            if self.starter.arrived():
                self.stop_awaiting()
                self.retry()
        if not readable and not self.burying:
            return {}
        found = {
            number: worker
            for number, worker in list(self.numbers.items())
            if getattr(worker, "exitcode", None) is not None
        }
        if self.burying and not found:
            self.retry()
            self.burying = False
        return found

    def tend(self) -> None:
        """Does what is due."""
        due = self.due()
        if not due or time.monotonic() < due:
            return
        if self.setbacks.retry_at and time.monotonic() >= self.setbacks.retry_at:
            self.retry()
        if self.starter.due and time.monotonic() >= self.starter.due:
            self.starter.tend()
        if self.sizing.due and time.monotonic() >= self.sizing.due:
            self.sizing.tend()

    def due(self) -> float:
        """When there is something to do for the crew, as time.monotonic() has it. 0.0: there is nothing."""
        if self.burying:
            return NOW
        return min(filter(None, (self.setbacks.retry_at, self.starter.due, self.sizing.due)), default=0.0)

    def code_of(self, pid: int, dead: dict[int, BaseProcess]) -> int | None:
        return next((worker.exitcode for worker in dead.values() if worker.pid == pid), None)

    def ends_all(self, dead: dict[int, BaseProcess]) -> bool:
        """Does this death end all jobs? Then they have been told."""
        if self.on_death is None:
            return False
        others = {number: worker for number, worker in dead.items() if worker.pid not in self.struck}
        return bool(others) and bool(self.on_death(others))

    def replace(self, dead: dict[int, BaseProcess]) -> None:
        """The dead workers are settled. The desk is to call refill(), or it is tried again later."""
        self.burying = True
        self.bury(dead)
        self.burying = False

    def bury(self, dead: dict[int, BaseProcess]) -> None:
        """If an interrupt comes in the middle, dead() finds the rest."""
        setbacks = self.setbacks
        for number, worker in dead.items():
            if self.numbers.get(number) is not worker:
                continue
            if self.desk.state_of(number) == STARTING:
                setbacks.bury(ending(worker.exitcode))
            elif worker.exitcode > 0 and self.idled(number, worker):
                setbacks.waste(ending(worker.exitcode), self.desk.done)
            else:
                setbacks.forget()
            self.forget_worker(number, worker)
        others = any(self.desk.state_of(number) == READY for number in self.numbers)
        if others:
            setbacks.others_run()
        if not self.replacing:
            return
        self.began = True
        if setbacks.hopeless(self.size):
            self.give_up()
        elif others and setbacks.stillborn > 1:
            setbacks.put_off()  # the pool works, so it need not be tried again and again
        else:
            self.desk.vacate()

    def refill(self) -> None:
        """Starts workers in the places of dead ones."""
        self.retry()
        self.tend()  # now, since nobody may drain for a while

    def idled(self, number: int, worker: BaseProcess) -> bool:
        """Has this dead worker never run anything?"""
        return worker.pid not in self.desk.victims and not self.desk.done_by(number)

    def stand_in(self) -> None:
        """Deaths cannot be settled now. Starts others beside the dead."""
        if self.replacing and self.lookout.readable():
            alive = sum(getattr(worker, "exitcode", None) is None for worker in list(self.numbers.values()))
            for _ in range(alive - len(self.leaving), self.sizing.now):
                if not self.start_one(len(self.numbers) + 1):
                    return

    def forget_worker(self, number: int, worker: BaseProcess) -> None:
        self.lookout.drop(worker.sentinel)
        worker.join()
        self.children.pop(worker.pid, None)
        self.struck.discard(worker.pid)
        self.leaving.discard(number)
        if worker in self.workers:
            self.workers.remove(worker)
        self.numbers.pop(number, None)  # at last. If an interrupt came before, it is found again
        util.debug("cleaning up worker %d", worker.pid)

    def retry(self) -> None:
        """Starts what is missing. If the system refuses, it is tried again later."""
        if not self.replacing:
            return
        self.setbacks.retry_at = 0.0
        try:
            self.fill()
        except Exception as error:
            self.start_refused(error)
        else:
            if self.awaited < 0:
                self.setbacks.clear()

    def start_refused(self, error: Exception) -> None:
        """A start has raised this. It is tried again later, by the thread that drains then."""
        if self.setbacks.refuse(error, last=not self.workers):
            self.give_up()
        else:
            self.desk.stir()

    def give_up(self) -> None:
        """No worker can be started."""
        self.replacing, self.setbacks.retry_at = False, 0.0
        self.desk.break_down(self.setbacks.error())

    def unloadable(self, error: BaseException, failed: bool) -> BaseException:
        """What a caller gets in place of what cannot be unpickled. `failed`: an exception, and no result."""
        made: BaseException = RemoteError.unloadable(error, failed)
        if self.on_death is not None:
            made = BrokenProcessPool(str(made))
            made.__cause__ = error
        return made

    def refused(self, number: int, error: BaseException) -> None:
        """A worker could not start, or could not wait for tasks, because of this."""
        self.setbacks.cause = error

    # ---- sleeping

    def until(self) -> int:
        """When the crew has something to do by itself, as nanoseconds of the monotonic clock."""
        due = self.due()
        return int(due * 1e9) if due else NEVER

    def sleep(self, bell: int, nudged: int, timeout: float | None) -> None:
        """Sleeps until one of the two is readable, or a worker ends."""
        self.lookout.sleep(bell, nudged, timeout)

    def rest(self, called: int, timeout: float | None, watch: bool = True) -> bool:
        """The butler sleeps until it is called or, if `watch`, there is something to do for the crew, which is True."""
        due = self.due() if watch else 0.0
        if due:
            left = max(0.0, due - time.monotonic())
            timeout = left if timeout is None else min(left, timeout)
        return self.lookout.rest(called, timeout, watch) or bool(due)

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
        if not self.replacing:
            self.stop()
        for worker in list(self.workers):
            worker.join()
        if not self.replacing:
            self.starter.join()

    def stop(self) -> None:
        """No worker is started any more."""
        self.replacing, self.setbacks.retry_at, self.sizing.due = False, 0.0, 0.0
        self.starter.close()

    def terminate(self) -> None:
        """Ends all workers, and waits for that."""
        self.ended = True
        self.stop()
        self.end(list(self.workers))
        self.starter.join()

    def end(self, workers: list[BaseProcess]) -> None:
        """SIGTERM, which a stopped process does not get before it goes on. SIGKILL for those that stay."""
        living = [worker for worker in workers if worker.exitcode is None]
        for worker in living:
            worker.terminate()
            with contextlib.suppress(OSError):
                worker._popen._send_signal(signal.SIGCONT)  # type: ignore[attr-defined]
        deadline = time.monotonic() + TERMINATION
        for worker in living:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
        for worker in workers:
            worker.join()

    def release(self) -> None:
        """Closes the descriptors. Nothing is done any more."""
        self.stop()
        self.starter.join()
        self.lookout.close()
        self.let_go()

    def let_go(self) -> None:
        """The rings, and their descriptors, go with what refers to them. They are not to wait for the collector."""
        self.on_death = self.on_end = self.desk = None
        self.starter = Starter(None)
        self.sizing.crew = None  # type: ignore[assignment]

    def forget(self) -> None:
        """Called in a forked child, to which the pool does not belong."""
        process._children.difference_update(self.workers)  # type: ignore[attr-defined]  # nor is it to join them
        if self.desk is not None:  # hooks run once more in what a forked child forks
            self.desk.forget()
        self.starter.forget()
        self.replacing, self.setbacks.retry_at, self.sizing.due = False, 0.0, 0.0
        self.lookout.close()
        self.let_go()
        self.workers, self.numbers, self.children = [], {}, {}


def forget_all() -> None:
    """Called in each child that this process forks, whatever it is to become."""
    for crew in list(crews):
        crew.forget()
    crews.clear()


os.register_at_fork(after_in_child=forget_all)
