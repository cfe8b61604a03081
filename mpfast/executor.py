# SPDX-License-Identifier: MIT
"""ProcessPoolExecutor, concurrent.futures' executor with mpfast's engine."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import _base
from concurrent.futures import process as _stdlib
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from .context import _default_context, _module, is_ours
from .tasks import given
from .tasks.ahead import Ahead, map_ahead
from .tasks.hooks import Hooks, needs_ours, refuse_ours, refused
from .tasks.staff import CallQueue, Manager, Staff, join_all
from .tasks.views import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .tasks.bound import Bound

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
_UNUSABLE = "A child process terminated abruptly, the process pool is not usable anymore"

_exiting = False


def _engine() -> Any:
    return _module("mpfast.tasks.engine")


def checked_size(max_workers: Any, too_few: str = "max_workers must be greater than 0") -> int:
    """The number of workers of an executor. TypeError or ValueError if it is none."""
    return given.workers("max_workers", max_workers, too_few)


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
            if self._call.cancelled:
                self._end_cancel()
        return self._state

    def _end_cancel(self) -> bool:
        """The call was taken back. So the future is cancelled, also if an interrupt has come between these two."""
        try:
            done: bool = super().cancel()
            with self._condition:
                if self._state == _base.CANCELLED:
                    self.set_running_or_notify_cancel()
        finally:
            if self._call is not None and self._call.cancelled:
                self._call.let_go()
        return done

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
        return self._end_cancel()

    def _wait(self, timeout: float | None) -> None:
        if self._state not in _OVER and self._call is not None:
            self._call.wait(timeout)
            self._look()
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


def _at_exit() -> None:
    """The interpreter waits for calls that are not over, as it does for concurrent.futures' executors."""
    global _exiting
    _exiting = True
    join_all()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]


class ProcessPoolExecutor(_STDLIB):  # type: ignore[misc]
    """An executor of worker processes, with concurrent.futures' methods.

    A worker that is killed costs the one call that it ran, whose future has a WorkerDied. Another worker takes its
    place. Any thread of the process that made the executor may use it. In a forked child submit() raises RuntimeError.
    max_tasks_per_child works with every start method.

    timeout: for how many seconds a call may run. One that runs longer has a TaskTimeout, and its worker is killed.
    retries: how often a call is run again if its worker dies. with_options() has both for single calls.

    worker_state: is called once in each worker, after the initializer. What it returns is the first argument of each
    call that this worker runs, and of worker_exit, before the others.
    worker_exit: is called in a worker that ends in order, but not in one that is terminated or killed.

    backlog: how many calls may wait for a worker. None: any number. Where it is reached, submit() waits until a call
    has ended, or raises queue.Full with on_full="raise". map() does not count.

    on_worker_death: "task" is what was said above. With "break", the death of a worker ends the executor, and all
    futures that are not done have a BrokenProcessPool, as in concurrent.futures.
    """

    _breaks = False  # does the death of a worker end the executor, as in concurrent.futures?
    _own = True  # False: it has concurrent.futures' engine
    _staff: Staff | None = None

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
        backlog: int | None = None,
        on_full: str = "wait",
        worker_state: Callable[[], object] | None = None,
        worker_exit: Callable[..., object] | None = None,
    ) -> None:
        if on_worker_death not in (None, "task", "break"):
            raise ValueError(f"on_worker_death must be 'task' or 'break', not {on_worker_death!r}")
        if mp_context is not None:
            given.check_context("mp_context", mp_context)
        if _HOOKS.changed(self, ProcessPoolExecutor) or (mp_context is not None and not is_ours(mp_context)):
            if on_worker_death == "task":
                raise TypeError(f"on_worker_death='task' needs one of mpfast's contexts, not {mp_context!r}")
            refuse_ours(timeout=timeout, retries=retries, backlog=backlog)
            refuse_ours(worker_state=worker_state, worker_exit=worker_exit)
            if mp_context is None and max_tasks_per_child is None:
                mp_context = _default_context.get_context()
            self._take_theirs(max_workers, mp_context, initializer, initargs, max_tasks_per_child)
            return
        if on_worker_death is not None:
            self._breaks = on_worker_death == "break"
        if max_workers is None:
            max_workers = _engine().usable_cpus()
        max_workers = checked_size(max_workers)
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
        self._limits, self._places = (timeout, retries), (backlog, on_full)
        self._state_and_exit = given.called("worker_state", worker_state), given.called("worker_exit", worker_exit)
        if timeout is not None or retries is not None:
            _engine().check_limits(timeout, retries)
        if self._places != (None, "wait"):
            _engine().check_places(backlog, on_full)
        self._shutdown_thread = False
        self._shutdown_lock = threading.Lock()
        self._needs_own = on_worker_death == "task" or not (timeout is retries is backlog is None)
        self._needs_own |= self._state_and_exit != (None, None)
        if max_tasks_per_child is not None and mp_context.get_start_method() == "fork":
            self._needs_own = True
        self._staff = None
        self._executor_manager_thread: Any = None
        self._finalizer: Any = None
        self._gone = False

    def _check_context(self, context: Any, max_tasks_per_child: int | None) -> None:
        """For classes that refuse some contexts."""

    def _spared(self) -> int:
        """How many calls shutdown(cancel_futures=True) leaves, although no worker may have begun with them."""
        return 0

    @Shown
    def _processes(self) -> Any:
        """The workers by process id. None after shutdown()."""
        if self._gone:
            return None
        return {} if self._staff is None else {worker.pid: worker for worker in self._staff.crew.workers}

    @Shown
    def _broken(self) -> Any:
        """Why no call can be run any more, or False."""
        if self._staff is None or self._staff.desk.broken is None:
            return False
        return str(self._unusable(self._staff))

    @Shown
    def _call_queue(self) -> Any:
        return None if self._gone else CallQueue()

    @Shown
    def _pending_work_items(self) -> Any:
        """The calls that are not over, by number."""
        if self._staff is None:
            return {}
        self._staff.desk.look()
        return self._staff.desk.jobs

    def _begin(self) -> Staff | None:
        """The workers, of which the first are started now. None: the system refuses what the engine needs."""
        with self._shutdown_lock:
            if self._staff is None and self._own:
                try:
                    staff = self._new_staff()
                except OSError as error:
                    if self._needs_own or not refused(error):
                        raise
                    self._fall_back()
                    return None
                self._begin_workers(staff)
                self._executor_manager_thread = Manager(staff)
                staff.desk.need_butler()
                self._finalizer = weakref.finalize(self, Staff.leave, staff)
                self._finalizer.atexit = False
                self._staff = staff
        return self._staff

    def _new_staff(self) -> Staff:
        engine = _engine()
        initargs = () if self._initializer is None else tuple(self._initargs)  # without a function, None will do
        staff = Staff(
            engine,
            self._mp_context,
            self._max_workers,
            self._initializer,
            initargs,
            self._max_tasks_per_child,
            self._breaks,
            engine.care_of(*self._state_and_exit),
        )
        engine.set_limits(staff.desk, *self._limits)
        engine.set_places(staff.desk, *self._places)
        return staff

    def _begin_workers(self, staff: Staff) -> None:
        """Forks all workers now, before the executor has a thread. The others are started as they are needed."""
        if self._mp_context.get_start_method() != "fork":
            return
        try:
            staff.crew.fill()
        except BaseException:
            staff.crew.terminate()
            staff.end()
            raise

    def _fall_back(self) -> None:
        """Gives the executor concurrent.futures' engine."""
        for end in self._mp_context.Pipe(duplex=False):
            end.close()  # where pipes are refused, the error of these says so
        mine = self._max_workers, self._mp_context, self._initializer, self._initargs, self._max_tasks_per_child
        try:
            self._take_theirs(*mine)
        except BaseException:
            self._own = True
            raise

    def _take_theirs(
        self, max_workers: Any, context: Any, initializer: Any, initargs: Any, max_tasks_per_child: Any
    ) -> None:
        """From now on the executor has concurrent.futures' engine."""
        self._own = False
        more = {} if max_tasks_per_child is None else {"max_tasks_per_child": max_tasks_per_child}
        super().__init__(max_workers, context, initializer, initargs, **more)

    def _unusable(self, staff: Staff) -> Exception:
        """What a caller gets once the executor is broken."""
        broken = staff.desk.broken
        if type(broken) is not BrokenProcessPool:
            return staff.desk.error()  # type: ignore[no-any-return]
        error = BrokenProcessPool(_UNUSABLE)
        error.__cause__ = broken.__cause__
        return error

    def _check(self) -> Staff | None:
        staff = self._staff or self._begin()
        if staff is None:
            return None
        if staff.desk.is_foreign():
            staff.desk.refuse()
        if staff.desk.broken is not None:
            raise self._unusable(staff)
        return staff

    def _refuse_late(self) -> None:
        if self._staff is not None and self._staff.desk.broken is not None:
            raise self._unusable(self._staff)
        if self._shutdown_thread:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls fn(*args, **kwargs) in a worker. Returns its Future at once."""
        staff = self._staff
        if staff is None or self._shutdown_thread or _exiting or staff.desk.broken is not None:
            staff = self._staff_for_call() if self._own else None
            if staff is None:
                return super().submit(fn, *args, **kwargs)
        future = Future()
        _engine_of_call(staff.desk, future, fn, args, kwargs)
        if len(staff.crew.workers) < self._max_workers:
            staff.dealt(future, self._max_workers)
        return future

    def _staff_for_call(self) -> Staff | None:
        """The workers, for another call. None: it is for concurrent.futures' engine. Raises if it comes too late."""
        if self._shutdown_thread or _exiting:
            self._refuse_late()
        if self._staff is None:
            return self._begin()  # if its workers fail at once, that is the call's error
        return self._check()

    def with_options(
        self, *, timeout: float | None = None, retries: int | None = None, priority: int | None = None
    ) -> Bound:
        """Returns an object whose submit() is this executor's with other options, for as many calls as wanted.

        timeout, retries: as of the constructor, whose hold where they are None. timeout=math.inf stands for none.
        priority: among the calls that wait, those with a higher one begin first. None is 0, and never in front of it.
        """
        if not self._own:
            raise needs_ours("with_options()")
        made: Bound = _module("mpfast.tasks.bound").Bound(self, timeout, retries, priority)
        self._needs_own = True
        return made

    def _submit(self, function: Any, args: Any, kwargs: Any, options: tuple[Any, ...]) -> Any:
        """submit() for with_options()."""
        staff = self._staff_for_call()
        assert staff is not None
        future = Future()
        _engine_of_call(staff.desk, future, function, args, kwargs, *options)
        staff.dealt(future, self._max_workers)
        return future

    def resize(self, max_workers: int) -> None:
        """Changes the number of workers. Those that are too many leave when they have done what they have begun.

        Returns at once. ValueError if the number is below 1 or above 4,095. RuntimeError after shutdown(). TypeError
        without mpfast's engine.
        """
        if not self._own:
            raise needs_ours("resize()")
        max_workers = checked_size(max_workers)
        self._refuse_late()
        with self._shutdown_lock:  # no other thread starts the first workers meanwhile
            self._max_workers = max_workers
        if self._staff is not None:
            if self._staff.desk.is_foreign():
                self._staff.desk.refuse()
            self._staff.resize(max_workers)

    def stats(self) -> Any:
        """Says what waits, what runs and what is done, for the executor and for each worker, as a PoolStats.

        It does not block. The first call of submit() or map() starts workers. Before it there are none.
        """
        if not self._own:
            raise needs_ours("stats()")
        if self._staff is None:
            return _module("mpfast.tasks.stats").PoolStats(0, 0, 0, 0, 0, ())
        if self._staff.desk.is_foreign():
            self._staff.desk.refuse()
        return _engine().of_pool(self._staff.desk)

    def _adjust_process_count(self) -> None:
        """Starts another worker, if there are more calls than workers."""
        if not self._own:
            super()._adjust_process_count()
        elif self._staff is not None:
            self._staff.add_worker()

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
        if not self._own or type(self).submit is not ProcessPoolExecutor.submit or "submit" in vars(self):
            options = {} if buffersize is None else {"buffersize": buffersize}
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)  # type: ignore[no-any-return]
        if given.whole("chunksize", chunksize) < 1:
            raise ValueError("chunksize must be >= 1.")
        given.ahead(buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._refuse_late()
        staff = self._check()
        if staff is None:
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)  # type: ignore[no-any-return]
        elements: Any = iterables[0] if len(iterables) == 1 else zip(*iterables)  # noqa: B905
        star = len(iterables) != 1
        if buffersize is not None:
            return map_ahead(Ahead(self, fn, elements, star, chunksize), buffersize, deadline)
        if type(elements) is not range:
            elements = list(elements)
        staff.add_workers(-(-len(elements) // chunksize))
        job = _engine().stream(staff.desk, fn, elements, chunksize, False, star, None)
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
            staff.desk.cancel_all(self._spared())
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

    def _force(self, operation: str) -> None:
        staff = self._staff if self._own else None
        if staff is not None:
            if staff.desk.is_foreign():
                staff.desk.refuse()
            staff.crew.replacing = False
        workers = list((self._processes or {}).values())
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
