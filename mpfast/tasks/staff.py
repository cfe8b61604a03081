# SPDX-License-Identifier: MIT
"""Staff: the desk and the workers of an executor. They outlive it until all calls are over."""

from __future__ import annotations

import os
import threading
from concurrent.futures._base import FINISHED
from concurrent.futures.process import BrokenProcessPool

from ..errors import ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .care import Care

__all__ = ["CallQueue", "Manager", "Staff"]

ABRUPTLY = "A process in the process pool was terminated abruptly while the future was running or pending."
LEAVING = 2  # what Desk.state_of() says of a worker that has no tasks any more

running: set[Staff] = set()  # those with workers, for which the interpreter waits at its end


class Staff:
    """Staff(engine, context, workers, initializer, initargs, max_tasks, breaks): `engine` is the module of that name.

    breaks: the death of a worker ends all calls, as in concurrent.futures. care: what is asked of each worker.
    """

    def __init__(
        self,
        engine: Any,
        context: Any,
        workers: int,
        initializer: Any,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        breaks: bool,
        care: Care | None = None,
    ) -> None:
        kind = "breaking" if breaks else "executor"
        self.crew = engine.make_crew(context, workers, initializer, initargs, max_tasks, kind, care=care)
        self.desk = self.crew.desk
        self.lock = threading.Lock()
        self.unsent = 0  # calls that could not be pickled. concurrent.futures starts workers for them
        if breaks:
            self.crew.on_death = self.break_down
        self.crew.on_end = self.end
        running.add(self)

    def break_down(self, dead: dict[int, Any]) -> bool:
        """A worker has ended that could have run calls. That ends all of them, as in concurrent.futures."""
        ends = [worker for number, worker in dead.items() if self.desk.state_of(number) != LEAVING]
        if not ends:
            return False
        text = "\n".join(f"worker process {worker.pid} {ending(worker.exitcode)}" for worker in ends)
        error = BrokenProcessPool(ABRUPTLY)
        error.__cause__ = self.crew.cause or RuntimeError(text)
        self.crew.replacing = False
        self.desk.break_down(error)
        for worker in list(self.crew.workers):
            worker.terminate()
        return True

    def resize(self, size: int) -> None:
        """From now on there are so many workers. Those that are too many go when they have nothing to do."""
        with self.lock:
            self.crew.sizing.set(size)

    def dealt(self, future: Any, most: int) -> None:
        """A call was dealt. It may need another worker, if there are fewer than `most`. If not, it is taken back."""
        if len(self.crew.workers) < most:
            self.unsent += future._state == FINISHED
            try:
                self.add_worker()
            except Exception:
                future.cancel()
                raise

    def add_worker(self) -> None:
        """Starts a worker, if there are fewer than calls without a result."""
        with self.lock:
            self.desk.look()
            if len(self.crew.numbers) < len(self.desk.jobs) + self.unsent:
                self.start_workers(1)

    def add_workers(self, calls: int) -> None:
        """Starts workers, for so many calls that are about to come."""
        with self.lock:
            self.start_workers(calls)

    def start_workers(self, most: int) -> None:
        """What the system refuses is tried again later. Other errors, as in pickling, are the caller's."""
        crew = self.crew
        for _ in range(min(most, crew.size - len(crew.numbers)) if crew.replacing else 0):
            try:
                crew.start_one()
            except (OSError, MemoryError) as error:
                crew.start_refused(error)
                break

    def leave(self) -> None:
        """No call comes any more. The butler works off what there is."""
        if self.desk.is_foreign():
            return
        self.desk.close()
        self.desk.work_off()

    def join(self) -> None:
        """Waits until all calls are over and all workers have ended."""
        self.desk.run_out()
        self.crew.join()
        self.end()
        self.desk.retire()

    def end(self) -> None:
        """All workers have ended."""
        with self.lock:
            if self not in running:
                return
            running.discard(self)
        self.desk.stop()
        self.desk.retire()


os.register_at_fork(after_in_child=running.clear)  # a child does not wait for its parent's executors when it ends


def join_all() -> None:
    """Waits for the calls of all executors, and ends their workers."""
    for staff in list(running):
        if not staff.desk.is_foreign():
            staff.desk.close()
            staff.join()


class Manager:
    """What concurrent.futures has a thread for. Code that joins it waits for the workers' end."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff

    def join(self, timeout: float | None = None) -> None:
        self._staff.join()

    def is_alive(self) -> bool:
        return self._staff in running


class CallQueue:
    """What concurrent.futures has a queue and its thread for. Here is nothing to close, and no thread to join."""

    def close(self) -> None:
        """Does nothing."""

    def join_thread(self) -> None:
        """Returns at once."""
