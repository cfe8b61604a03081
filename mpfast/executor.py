# SPDX-License-Identifier: MIT
"""ProcessPoolExecutor, concurrent.futures' executor with mpfast's engine."""

from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import _base
from concurrent.futures import process as _stdlib
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from .context import _default_context, _module, is_ours
from .tasks.hooks import Hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["BrokenProcessPool", "Future", "ProcessPoolExecutor"]

_STDLIB: Any = vars(_stdlib)["ProcessPoolExecutor"]
# What subclasses of the stdlib's executor override to change its queues or its processes.
_HOOKS = Hooks(
    _STDLIB,
    (
        *("_adjust_process_count", "_launch_processes", "_spawn_process", "_start_executor_manager_thread"),
        *("_force_shutdown",),
    ),
)
_OVER = (_base.FINISHED, _base.CANCELLED, _base.CANCELLED_AND_NOTIFIED)
_CANCELLED = (_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED)
_ABRUPTLY = "A process in the process pool was terminated abruptly while the future was running or pending."

_running: set[_Staff] = set()  # executors with workers, for which the interpreter waits at its end
_exiting = False


def _engine() -> Any:
    return _module("mpfast.tasks.engine")


class Future(_base.Future):  # type: ignore[type-arg]
    """The result of a call in an executor.

    A thread that calls result() takes results out of shared memory itself. Only if other code waits for the future,
    with concurrent.futures.wait() or add_done_callback() for example, there is a condition and a thread that notifies
    it.
    """

    def __init__(self) -> None:
        self._state = _base.PENDING
        self._result = self._exception = None
        self._call: Any = None

    def __getattr__(self, name: str) -> Any:
        if name == "_condition":
            made: Any = threading.Condition()
            made = self.__dict__.setdefault(name, made)
            if self._call is not None:
                self._call.watch()
            return made
        if name in ("_waiters", "_done_callbacks"):
            return self.__dict__.setdefault(name, [])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _tell(self, value: Any, failed: bool) -> None:
        """The call has ended, and other code waits for it."""
        if self._state in _OVER:
            return
        if failed:
            self.set_exception(value)
        else:
            self.set_result(value)

    def _look(self) -> str:
        if self._state == _base.PENDING and self._call is not None:
            self._call.collect()
        return self._state

    def done(self) -> bool:
        """Was the call cancelled, or has it ended?"""
        return self._look() in _OVER

    def cancelled(self) -> bool:
        """Was the call cancelled?"""
        return self._state in _CANCELLED

    def running(self) -> bool:
        """Does a worker run the call?"""
        if self._look() == _base.PENDING:
            return self._call is not None and bool(self._call.running)
        return self._state == _base.RUNNING

    def __repr__(self) -> str:
        if self.running():
            return f"<{type(self).__name__} at {id(self):#x} state=running>"
        if self._state == _base.PENDING and "_condition" not in self.__dict__:
            return f"<{type(self).__name__} at {id(self):#x} state=pending>"  # to look is not to wait
        return super().__repr__()

    def cancel(self, *, running: bool = False) -> bool:
        """Takes the call back. False: a worker has begun with it, or it has ended.

        running: the worker that has begun with it is killed. Another one takes its place, and no other call is touched.
        """
        call, state = self._call, self._look()
        if state == _base.PENDING and call is not None and not call.drop(running):
            return bool(call.cancelled)  # by another thread, or not at all
        try:
            if not super().cancel():
                return False
            if self._state == _base.CANCELLED:
                self.set_running_or_notify_cancel()
        finally:
            if call is not None and call.cancelled:
                call.let_go()
        return True

    def _wait(self, timeout: float | None) -> None:
        if self._state not in _OVER and self._call is not None:
            self._call.wait(timeout)
        if self._state in _CANCELLED:
            raise _base.CancelledError
        if self._state not in _OVER:
            raise TimeoutError

    def result(self, timeout: float | None = None) -> Any:
        """Returns the call's result, or raises what it has raised. TimeoutError if it has not ended in time."""
        try:
            self._wait(timeout)
            if self._exception is not None:
                raise self._exception
            return self._result
        finally:
            self = None  # type: ignore[assignment]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Returns the exception that the call has raised, or None. TimeoutError if it has not ended in time."""
        self._wait(timeout)
        return self._exception


class _Staff:
    """The desk and the workers of an executor. They go on when the executor is collected, until all calls are over."""

    def __init__(self, executor: ProcessPoolExecutor, kind: str = "executor") -> None:
        engine = _engine()
        initargs = tuple(executor._initargs)
        self.crew = engine.Crew(
            executor._mp_context,
            executor._max_workers,
            executor._initializer,
            initargs,
            executor._max_tasks_per_child,
            kind,
        )
        self.desk = self.crew.desk = engine.Engine(self.crew, executor._max_tasks_per_child is not None)
        engine.set_limits(self.desk, *executor._limits)
        self.lock = threading.Lock()
        if executor._breaks:
            self.crew.on_death = self.break_down
        self.crew.on_end = self.end
        _running.add(self)

    def break_down(self, dead: dict[int, Any]) -> bool:
        """A worker that ends when it was not to ends the executor, as in concurrent.futures."""
        if all(worker.exitcode == 0 for worker in dead.values()) and not self.crew.cause:
            return False
        error = BrokenProcessPool(_ABRUPTLY)
        error.__cause__ = self.crew.cause
        self.crew.replacing = False
        self.desk.break_down(error)
        for worker in list(self.crew.workers):
            worker.terminate()
        return True

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
            if self not in _running:
                return
            _running.discard(self)
        self.desk.stop()
        self.desk.retire()


def _at_exit() -> None:
    """The interpreter waits for calls that are not over, as it does for concurrent.futures' executors."""
    global _exiting
    _exiting = True
    for staff in list(_running):
        if staff.desk.is_foreign():
            continue
        staff.desk.close()
        staff.join()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]


class _Manager:
    """What concurrent.futures has a thread for. Code that joins it waits for the workers' end."""

    def __init__(self, staff: _Staff) -> None:
        self._staff = staff

    def join(self, timeout: float | None = None) -> None:
        self._staff.join()

    def is_alive(self) -> bool:
        return self._staff in _running


class ProcessPoolExecutor(_STDLIB):  # type: ignore[misc]
    """An executor of worker processes, with concurrent.futures' methods.

    A worker that is killed costs the one call that it ran, whose future has a WorkerDied. Another worker takes its
    place. Any thread of the process that made the executor may use it. In a forked child submit() raises RuntimeError.
    max_tasks_per_child works with every start method.

    timeout: for how many seconds a call may run. One that runs longer has a TaskTimeout, and its worker is killed.
    retries: how often a call is run again if its worker dies.

    on_worker_death: "task" is what was said above. With "break", the death of a worker ends the executor, and all
    futures that are not done have a BrokenProcessPool, as in concurrent.futures.
    """

    _breaks = False  # does the death of a worker end the executor, as in concurrent.futures?
    _own = True  # False: it has concurrent.futures' engine

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        on_worker_death: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> None:
        if on_worker_death not in (None, "task", "break"):
            raise ValueError(f"on_worker_death must be 'task' or 'break', not {on_worker_death!r}")
        if _HOOKS.changed(self, ProcessPoolExecutor) or (mp_context is not None and not is_ours(mp_context)):
            if on_worker_death == "task":
                raise TypeError(f"on_worker_death='task' needs one of mpfast's contexts, not {mp_context!r}")
            if timeout is not None or retries is not None:
                raise TypeError("timeout and retries need mpfast's engine, which this class or context does without")
            self._own = False
            super().__init__(
                max_workers,
                _default_context.get_context() if mp_context is None and max_tasks_per_child is None else mp_context,
                initializer,
                initargs,
                **({} if max_tasks_per_child is None else {"max_tasks_per_child": max_tasks_per_child}),
            )
            return
        if on_worker_death is not None:
            self._breaks = on_worker_death == "break"
        if max_workers is None:
            max_workers = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if mp_context is None:
            method = "spawn" if max_tasks_per_child is not None else None
            mp_context = _default_context.get_context(method)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._check_context(mp_context, max_tasks_per_child)
        self._max_workers = max_workers
        self._mp_context = mp_context
        self._initializer, self._initargs = initializer, initargs
        self._max_tasks_per_child = max_tasks_per_child
        self._limits = (timeout, retries)
        if timeout is not None or retries is not None:
            _engine().check_limits(timeout, retries)
        self._shutdown_thread = False
        self._shutdown_lock = threading.Lock()
        self._staff: _Staff | None = None
        self._executor_manager_thread: Any = None
        self._finalizer: Any = None
        self._gone = False

    def _check_context(self, context: Any, max_tasks_per_child: int | None) -> None:
        """For classes that refuse some contexts."""

    @property
    def _processes(self) -> Any:
        """The workers by process id. None after shutdown()."""
        if not self._own:
            return self.__dict__["_processes"]
        if self._gone:
            return None
        return {} if self._staff is None else {worker.pid: worker for worker in self._staff.crew.workers}

    @_processes.setter
    def _processes(self, value: Any) -> None:
        self.__dict__["_processes"] = value

    @property
    def _broken(self) -> Any:
        """Why no call can be run any more, or False."""
        if not self._own:
            return self.__dict__["_broken"]
        error = None if self._staff is None else self._staff.desk.broken
        return False if error is None else str(error)

    @_broken.setter
    def _broken(self, value: Any) -> None:
        self.__dict__["_broken"] = value

    def _begin(self) -> _Staff:
        """The workers, of which the first are started now."""
        with self._shutdown_lock:
            if self._staff is None:
                staff = _Staff(self)
                if self._mp_context.get_start_method() == "fork":
                    try:
                        staff.crew.fill()
                    except BaseException:
                        staff.crew.terminate()
                        staff.end()
                        raise
                self._executor_manager_thread = _Manager(staff)
                staff.desk.need_butler()
                self._finalizer = weakref.finalize(self, _Staff.leave, staff)
                self._finalizer.atexit = False
                self._staff = staff
        return self._staff

    def _check(self) -> _Staff:
        staff = self._staff or self._begin()
        if staff.desk.is_foreign():
            staff.desk.refuse()
        if staff.desk.broken is not None:
            raise staff.desk.error()
        return staff

    def _refuse_late(self) -> None:
        if self._shutdown_thread:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls fn(*args, **kwargs) in a worker. Returns its Future at once."""
        if not self._own:
            return super().submit(fn, *args, **kwargs)
        if self._shutdown_thread or _exiting:
            self._refuse_late()
        staff = self._staff
        if staff is None:
            staff = self._begin()  # if its workers fail at once, that is the call's error
        elif staff.desk.broken is not None:
            staff = self._check()
        future = Future()
        _engine_of_call(staff.desk, future, fn, args, kwargs)
        if len(staff.crew.workers) < self._max_workers:
            self._adjust_process_count()
        return future

    def _adjust_process_count(self) -> None:
        """Starts another worker, if there are more calls than workers."""
        if not self._own:
            super()._adjust_process_count()
            return
        staff = self._staff
        if staff is None or not staff.crew.replacing:
            return
        with staff.lock:
            crew = staff.crew
            if len(crew.numbers) < min(crew.size, len(staff.desk.jobs)):
                try:
                    crew.start_one()
                except Exception as error:
                    crew.start_refused(error)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Returns an iterator over fn's results for the elements, in order.

        timeout: seconds from now on until the last result, else the iterator raises TimeoutError. chunksize: how many
        elements go to a worker together. buffersize: how many calls may be dealt whose results were not yielded. None:
        the iterables are read now.
        """
        if not self._own or type(self).submit is not ProcessPoolExecutor.submit:
            options = {} if buffersize is None else {"buffersize": buffersize}
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)  # type: ignore[no-any-return]
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        self._refuse_late()
        staff = self._check()
        elements: Any = iterables[0] if len(iterables) == 1 else zip(*iterables)  # noqa: B905
        if buffersize is None and type(elements) is not range:
            elements = list(elements)
        room = None if buffersize is None else buffersize * chunksize
        staff.crew.fill()
        job = _engine().stream(staff.desk, fn, elements, chunksize, False, len(iterables) != 1, room)
        return _results(job, chunksize, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Lets the workers end when all calls are over. Blocks until then if `wait`.

        cancel_futures: calls that no worker has begun with are cancelled.
        """
        if not self._own:
            super().shutdown(wait, cancel_futures=cancel_futures)
            return
        self._shutdown_thread = True
        staff, self._gone = self._staff, True
        self._executor_manager_thread = None
        if staff is None or staff.desk.is_foreign():
            return
        self._finalizer.detach()
        if cancel_futures:
            staff.desk.cancel_all()
        if wait:
            staff.desk.close()
            staff.join()
        else:
            staff.leave()

    def terminate_workers(self) -> None:
        """Ends the workers with SIGTERM. Calls that they run have a BrokenProcessPool, the others are cancelled."""
        self._force("terminate")

    def kill_workers(self) -> None:
        """Ends the workers with SIGKILL. Calls that they run have a BrokenProcessPool, the others are cancelled."""
        self._force("kill")

    def _force_of_stdlib(self, operation: str) -> None:
        workers = dict(self._processes or {})
        self.shutdown(wait=False, cancel_futures=True)
        for worker in workers.values():
            if worker.is_alive():
                getattr(worker, operation)()

    def _force(self, operation: str) -> None:
        if not self._own:
            self._force_of_stdlib(operation)
            return
        staff = self._staff
        if staff is not None and staff.desk.is_foreign():
            staff.desk.refuse()
        workers = [] if staff is None or self._gone else list(staff.crew.workers)
        if staff is not None:
            staff.crew.replacing = False
        self.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            if worker.is_alive():
                getattr(worker, operation)()


def _engine_of_call(*args: Any) -> None:
    """Deals a call. The engine is loaded by the first one."""
    global _engine_of_call
    _engine_of_call = _engine().call_for
    _engine_of_call(*args)


def _results(job: Any, chunksize: int, deadline: float | None) -> Iterator[Any]:
    try:
        while True:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            chunk = job.take_chunk(chunksize, timeout)
            if chunk is None:
                return
            chunk.reverse()
            while chunk:
                yield chunk.pop()
    finally:
        job.abandon()
