# SPDX-License-Identifier: MIT
"""multiprocessing.pool, with a Pool of mpfast's own.

A subclass that overrides one of the Pool's hooks, as joblib's and torch's do, gets multiprocessing's engine over
mpfast's queues and processes. So does a Pool with a context that is not mpfast's, or on a system that refuses what
mpfast's engine needs. All others have mpfast's engine, the room tasks/.
"""

from __future__ import annotations

import warnings
from multiprocessing import pool as _stdlib
from multiprocessing import util as _util
from multiprocessing.pool import CLOSE, INIT, RUN, TERMINATE, ThreadPool
from typing import Any

from .context import _default_context, _module, is_ours
from .tasks import given
from .tasks.beyond import Beyond
from .tasks.hooks import Hooks, needs_ours, refuse_ours, refused
from .tasks.views import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Pool", "ThreadPool"]

_STDLIB: Any = vars(_stdlib)["Pool"]  # under the stand-in, the module's attribute means the class below
_mapstar, _starmapstar = vars(_stdlib)["mapstar"], vars(_stdlib)["starmapstar"]  # what its engine runs for a chunk
_TOO_FEW = "Number of processes must be at least 1"
# What subclasses of multiprocessing's Pool override to change its queues or its processes.
_HOOKS = Hooks(_STDLIB, (
    "Process", "_get_sentinels", "_get_tasks", "_get_worker_sentinels", "_guarded_task_generation", "_handle_results",
    "_handle_tasks", "_handle_workers", "_help_stuff_finish", "_join_exited_workers", "_maintain_pool", "_map_async",
    "_repopulate_pool", "_repopulate_pool_static", "_setup_queues", "_terminate_pool", "_wait_for_updates",
    "_wrap_exception",
))  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("BrokenPool", "RemoteError", "TaskTimeout", "WorkerDied"):
        from .tasks import errors

        return getattr(errors, name)
    return getattr(_stdlib, name)


def _engine() -> Any:
    return _module("mpfast.tasks.engine")


def _terminate(desk: Any, crew: Any) -> None:
    """Ends a pool that is terminated, collected, or there when the interpreter exits."""
    _util.debug("finalizing pool")
    desk.stop()
    crew.terminate()
    desk.retire()


class Pool(Beyond, _STDLIB):  # type: ignore[misc]
    """A pool of worker processes, with multiprocessing's methods.

    A worker that is killed costs the one task that it ran, whose result is a WorkerDied. Another worker takes its
    place. Any thread of the process that made the pool may use it. In a forked child the pool raises RuntimeError.

    timeout: for how many seconds a task, or each element, may run. When its time is up, its worker is killed, and its
    result is a TaskTimeout. The time counts from when a worker begins with it. retries: how often it is run again if
    its worker dies. Both are for methods that are not given their own. timeout=math.inf stands for none there.

    worker_state: is called once in each worker, after the initializer. What it returns is the first argument of each
    task that this worker runs, and of worker_exit, before the others.
    worker_exit: is called in a worker that ends in order, but not in one that is terminated or killed.
    idle_timeout: when there was no task for so many seconds, all workers leave but min_workers (1). They are started
    again by the next task.
    max_worker_memory: a worker that has more bytes of resident memory than that, without what it shares, is replaced
    when it has done its task.
    faulthandler: a worker that crashes prints its stacks to standard error.
    template: with fork, workers are replaced by spares of a process that was forked in the constructor. False: this
    process forks them when they are needed.

    backlog: how many calls may wait for a worker. None: any number. Where it is reached, apply_async() and apply() wait
    until a call has ended, or raise queue.Full with on_full="raise". Maps do not count.
    """

    _state: Any = INIT

    def __init__(
        self,
        processes: int | None = None,
        initializer: Any = None,
        initargs: Any = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        worker_state: Callable[[], object] | None = None,
        worker_exit: Callable[..., object] | None = None,
        min_workers: int | None = None,
        idle_timeout: float | None = None,
        max_worker_memory: int | None = None,
        faulthandler: bool = False,
        template: bool = True,
        backlog: int | None = None,
        on_full: str = "wait",
    ) -> None:
        self._state = INIT
        context = context or _default_context.get_context()
        given.check_context("context", context)
        more = {
            "worker_state": worker_state,
            "worker_exit": worker_exit,
            "min_workers": min_workers,
            "idle_timeout": idle_timeout,
            "max_worker_memory": max_worker_memory,
            "faulthandler": faulthandler,
            "template": template,
        }
        if not _HOOKS.changed(self, Pool) and is_ours(context):
            _engine().check_limits(timeout, retries)
            _engine().check_places(backlog, on_full)
            options = _engine().Options(more)
            self._ctx = context
            crew_options = options.for_crew(timeout)
            if self._set_up(processes, initializer, initargs, maxtasksperchild, crew_options):
                _engine().set_limits(self._desk, timeout, retries)
                _engine().set_places(self._desk, backlog, on_full)
                options.apply(self._desk.crew)
                self._state = RUN
                return
        refuse_ours(timeout=timeout, retries=retries, backlog=backlog)
        for name, value in more.items():
            if value is not None and value is not (name == "template"):
                raise needs_ours(name)
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)

    def _set_up(
        self,
        processes: int | None,
        initializer: Any,
        initargs: Any,
        maxtasksperchild: int | None,
        options: dict[str, Any],
    ) -> bool:
        """Makes our engine and starts the workers. False: the system refuses what the engine needs."""
        if processes is None:
            processes = _engine().usable_cpus()
        processes = given.workers("processes", processes, _TOO_FEW)
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        self._initializer, self._initargs, self._maxtasksperchild = initializer, initargs, maxtasksperchild
        engine = _engine()
        initargs = () if initializer is None else tuple(initargs)  # without a function, None will do as well
        try:
            crew = engine.make_crew(self._ctx, processes, initializer, initargs, maxtasksperchild, "pool", **options)
        except OSError as error:
            if refused(error):
                return False
            raise
        self._desk = crew.desk
        self._call = engine.call
        self._taskqueue: Any = engine.TaskQueue(self._desk)
        try:
            crew.fill()
        except BaseException:
            _terminate(self._desk, crew)
            raise
        self._terminate = _util.Finalize(self, _terminate, args=(self._desk, crew), exitpriority=15)
        return True

    def __del__(self, _warn: Any = warnings.warn, RUN: str = RUN) -> None:
        if self._desk is None:
            super().__del__()
        elif self._state == RUN and not self._desk.is_foreign():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    @property
    def _own(self) -> bool:
        return self._desk is not None

    @Shown
    def _pool(self) -> Any:
        """The workers. Those that have died are replaced first."""
        if self._state == RUN and not self._desk.is_foreign():
            self._desk.settle_as_drainer()
        return self._desk.crew.workers

    @Shown
    def _cache(self) -> Any:
        """The jobs that are not over."""
        self._desk.look()
        return self._desk.jobs

    def _check_running(self) -> None:
        if self._desk is not None and self._desk.is_foreign():
            self._desk.refuse()
        if self._state != RUN:
            raise ValueError("Pool not running")

    def _setup_queues(self) -> None:
        """For multiprocessing's engine."""
        for end in self._ctx.Pipe(duplex=False):
            end.close()  # where pipes are refused, the pool's threads could not say so
        super()._setup_queues()

    def _repopulate_pool(self) -> None:
        if self._desk is not None:
            self._desk.settle_as_drainer()
            return
        super()._repopulate_pool()
        # A thread will watch queues. If there is no descriptor for that, the error is the caller's. Else it would end
        # the thread, and nobody would get a result.
        for queue in self._get_sentinels():
            queue.fileno()

    def apply(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        *,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> Any:
        """Calls func(*args, **kwds) in a worker and returns the result."""
        if self._desk is None:
            refuse_ours(timeout=timeout, retries=retries)
            return super().apply(func, args, kwds)
        if self._state != RUN:
            raise ValueError("Pool not running")
        return self._call(self._desk, func, args, kwds, None, None, None, timeout, retries).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        priority: int | None = None,
    ) -> Any:
        """As apply(), but returns an AsyncResult at once. The callbacks run in a thread of the pool's.

        priority: among the calls that wait, those with a higher one begin first. None is 0, and never in front of it.
        """
        if self._desk is None:
            refuse_ours(timeout=timeout, retries=retries, priority=priority)
            return super().apply_async(func, args, kwds, callback, error_callback)
        if self._state != RUN:
            raise ValueError("Pool not running")
        return self._call(self._desk, func, args, kwds, callback, error_callback, self, timeout, retries, priority)

    def map(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> list[Any]:
        """Calls func for each element. Returns the list of results, or raises the first exception.

        progress: is called with (done, total) about ten times a second. True: shows a bar, if tqdm is installed.
        """
        return self._map(  # type: ignore[no-any-return]
            func, iterable, _mapstar, chunksize, lazy=False, timeout=timeout, retries=retries, progress=progress
        ).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> Any:
        """As map(), but returns a MapResult at once."""
        return self._map(
            func,
            iterable,
            _mapstar,
            chunksize,
            callback,
            error_callback,
            timeout=timeout,
            retries=retries,
            progress=progress,
        )

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> list[Any]:
        """Calls func(*element) for each element. Returns the list of results, or raises the first exception."""
        return self._map(  # type: ignore[no-any-return]
            func, iterable, _starmapstar, chunksize, lazy=False, timeout=timeout, retries=retries, progress=progress
        ).get()

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> Any:
        """As starmap(), but returns a MapResult at once."""
        return self._map(
            func,
            iterable,
            _starmapstar,
            chunksize,
            callback,
            error_callback,
            timeout=timeout,
            retries=retries,
            progress=progress,
        )

    def _map(
        self,
        func: Any,
        iterable: Any,
        mapper: Any,
        chunksize: int | None,
        callback: Any = None,
        error_callback: Any = None,
        *,
        lazy: bool = True,
        timeout: float | None,
        retries: int | None,
        progress: Any,
    ) -> Any:
        """What the four methods above have in common. `mapper`: what multiprocessing's engine runs for a chunk."""
        if self._desk is None:
            refuse_ours(timeout=timeout, retries=retries, progress=progress)
            return self._map_async(func, iterable, mapper, chunksize, callback, error_callback)
        self._check_running()
        if type(iterable) not in (list, tuple, range):
            iterable = list(iterable)
        star = mapper is _starmapstar
        progress = None if progress is None else _engine().Progress.of(progress, iterable)
        if progress is not None and lazy:
            progress = _engine().Background(progress)
            callback, error_callback = progress.callback(callback), progress.callback(error_callback)
        made = _engine().map_elements(
            self._desk, func, iterable, chunksize, star, callback, error_callback, lazy, timeout, retries
        )
        made.keep(self)
        if progress is not None:
            progress.follow(made)
        return made

    def imap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int | None], object] | bool | None = None,
    ) -> Any:
        """Returns an iterator over the results, in order.

        buffersize: how many tasks may be dealt whose results were not yielded. None: any number.
        """
        return self._deal_stream(func, iterable, chunksize, buffersize, False, timeout, retries, progress)

    def imap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        progress: Callable[[int, int | None], object] | bool | None = None,
    ) -> Any:
        """As imap(), but in the order in which results come."""
        return self._deal_stream(func, iterable, chunksize, buffersize, True, timeout, retries, progress)

    def _deal_stream(
        self,
        func: Any,
        iterable: Any,
        chunksize: int,
        buffersize: int | None,
        unordered: bool,
        timeout: float | None,
        retries: int | None,
        progress: Any,
    ) -> Any:
        if self._desk is None:
            refuse_ours(timeout=timeout, retries=retries, progress=progress)
            theirs = super().imap_unordered if unordered else super().imap
            return theirs(func, iterable, chunksize, **({} if buffersize is None else {"buffersize": buffersize}))
        self._check_running()
        engine = _engine()
        room = engine.room_of(chunksize, buffersize)
        told = None if progress is None else engine.Progress.of(progress, iterable)
        made = engine.stream(self._desk, func, iterable, chunksize, unordered, False, room, timeout, retries, told)
        made.keep(self)
        return made if chunksize == 1 else engine.chunks(made, chunksize)

    def resize(self, processes: int) -> None:
        """Changes the number of workers. Those that are too many leave when they have done what they have begun.

        Returns at once. ValueError if the number is below 1 or above 4,095, or the pool does not run. TypeError
        without mpfast's engine.
        """
        if self._desk is None:
            raise needs_ours("resize()")
        processes = given.workers("processes", processes, _TOO_FEW)
        self._check_running()
        self._processes = processes
        self._desk.crew.sizing.set(processes)

    def close(self) -> None:
        """Lets the workers end when all tasks are done. No new task is taken."""
        if self._desk is None:
            super().close()
            return
        _util.debug("closing pool")
        if self._desk.is_foreign():
            self._desk.refuse()
        if self._state == RUN:
            self._state = CLOSE
            self._desk.close()

    def terminate(self) -> None:
        """Ends the workers at once. Results that are not there will never be."""
        if self._desk is None:
            super().terminate()
            return
        _util.debug("terminating pool")
        self._state = TERMINATE
        if not self._desk.is_foreign():
            self._terminate()

    def join(self) -> None:
        """Waits until all workers have ended. Call close() or terminate() before."""
        if self._desk is None:
            super().join()
            return
        _util.debug("joining pool")
        if self._desk.is_foreign():
            self._desk.refuse()
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        if not self._desk.stopped:
            self._desk.run_out()
        self._desk.crew.join()
        self._terminate()
