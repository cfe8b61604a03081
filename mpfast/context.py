# SPDX-License-Identifier: MIT
"""The contexts, the one place that binds primitives to a start method.

A context offers multiprocessing's whole API. The lock family, the queues and Pipe are mpfast's. The rest is inherited
from the stdlib's BaseContext. It is made with this context, so that it uses mpfast's locks, queues, connections and
processes.
"""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from multiprocessing import context as _stdlib
from multiprocessing import process, reduction
from multiprocessing.context import (
    AuthenticationError,
    BaseContext,
    BufferTooShort,
    ProcessError,
    TimeoutError,
    assert_spawning,
    get_spawning_popen,
    set_spawning_popen,
)

from .errors import explained

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from . import connection, queues
    from .managers import SyncManager
    from .pool import Pool
    from .sync import conditions, mutex, semaphores

__all__ = [
    "AuthenticationError", "BaseContext", "BufferTooShort", "DefaultContext", "ForkContext", "ForkProcess",
    "ForkServerContext", "ForkServerProcess", "Process", "ProcessError", "SpawnContext", "SpawnProcess", "TimeoutError",
    "assert_spawning", "get_spawning_popen", "process", "reduction", "set_spawning_popen",
]  # fmt: skip


# Extensions of the room sync/. They are loaded when they are first needed, so that a child without them starts sooner.
_mutex: Any = None
_semaphores: Any = None
_conditions: Any = None
_sharedctypes: Any = None  # the face, for the same reason


def _load(name: str) -> Any:
    from . import synchronize

    extension = globals()[f"_{name}"] = synchronize.load(f"mpfast.sync.{name}")
    return extension


def _load_sharedctypes() -> Any:
    global _sharedctypes
    _sharedctypes = _module("mpfast.sharedctypes")
    return _sharedctypes


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise explained(error) from None


def is_ours(context: Any) -> bool:
    """Does the context start processes of mpfast's?"""
    process_class = getattr(context, "Process", None)
    return isinstance(process_class, type) and issubclass(process_class, _Starts)


_launching: ModuleType | None = None


def _launch() -> ModuleType:
    global _launching
    if _launching is None:
        child = _module("mpfast.launch.child")
        child.process_class = ForkServerProcess
        _launching = child
    return _launching


def _instead(refusal: OSError) -> ModuleType:
    """What is used where a limit on the size of files forbids mpfast's memory. Raises `refusal` of anything else."""
    if refusal.errno != errno.EFBIG:
        raise refusal
    from .sync import instead

    return instead


def _fork_server() -> ModuleType:
    _launch()
    from .launch.forkserver import control

    return control


class Context(BaseContext):
    """The base of all of mpfast's contexts."""

    _name: str
    _queues_module = "mpfast.queues"  # where the queues' classes are. A context of the stand-in has others

    def Lock(self, *, on_owner_death: str = "raise") -> mutex.Lock:  # type: ignore[override]
        """Returns a non-recursive lock."""
        try:
            return (_mutex or _load("mutex")).Lock(on_owner_death=on_owner_death)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("Lock", self.get_context())  # type: ignore[no-any-return]

    def RLock(self, *, on_owner_death: str = "raise") -> mutex.RLock:  # type: ignore[override]
        """Returns a recursive lock."""
        try:
            return (_mutex or _load("mutex")).RLock(on_owner_death=on_owner_death)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("RLock", self.get_context())  # type: ignore[no-any-return]

    def Semaphore(self, value: int = 1) -> semaphores.Semaphore:  # type: ignore[override]
        """Returns a semaphore with `value` permits."""
        try:
            return (_semaphores or _load("semaphores")).Semaphore(value)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("Semaphore", self.get_context(), value)  # type: ignore[no-any-return]

    def BoundedSemaphore(self, value: int = 1, *, on_owner_death: str = "release") -> semaphores.BoundedSemaphore:  # type: ignore[override]
        """Returns a semaphore that never has more than `value` permits."""
        try:
            return (_semaphores or _load("semaphores")).BoundedSemaphore(value, on_owner_death=on_owner_death)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("BoundedSemaphore", self.get_context(), value)  # type: ignore[no-any-return]

    def Condition(self, lock: Any = None) -> conditions.Condition:  # type: ignore[override]
        """Returns a condition on a lock (None: a new RLock)."""
        try:
            return (_conditions or _load("conditions")).Condition(lock)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("Condition", self.get_context(), lock)  # type: ignore[no-any-return]

    def Event(self) -> semaphores.Event:  # type: ignore[override]
        """Returns an event, not set."""
        try:
            return (_semaphores or _load("semaphores")).Event()  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("Event", self.get_context())  # type: ignore[no-any-return]

    def Barrier(  # type: ignore[override]
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        on_owner_death: str = "raise",
    ) -> conditions.Barrier:
        """Returns a barrier for `parties` threads or processes."""
        try:
            return (_conditions or _load("conditions")).Barrier(parties, action, timeout, on_owner_death=on_owner_death)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).synchronizer("Barrier", self.get_context(), parties, action, timeout)  # type: ignore[no-any-return]

    def Queue(self, maxsize: int = 0, *, zero_copy: bool = False) -> queues.Queue[Any]:  # type: ignore[override]
        """Returns a queue. zero_copy: large buffers are received as views of shared memory."""
        try:
            return self._queues().Queue(maxsize, ctx=self.get_context(), zero_copy=zero_copy)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).queue("Queue", self.get_context(), maxsize)  # type: ignore[no-any-return]

    def JoinableQueue(  # type: ignore[override]
        self, maxsize: int = 0, *, zero_copy: bool = False
    ) -> queues.JoinableQueue[Any]:
        """Returns a queue whose join() waits until all of its items are done."""
        try:
            return self._queues().JoinableQueue(maxsize, ctx=self.get_context(), zero_copy=zero_copy)  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).queue("JoinableQueue", self.get_context(), maxsize)  # type: ignore[no-any-return]

    def SimpleQueue(self) -> queues.SimpleQueue[Any]:  # type: ignore[override]
        """Returns a queue with put, get, empty and close only."""
        try:
            return self._queues().SimpleQueue(ctx=self.get_context())  # type: ignore[no-any-return]
        except OSError as error:
            return _instead(error).queue("SimpleQueue", self.get_context())  # type: ignore[no-any-return]

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """Returns an object of ctypes in shared memory, with a lock unless `lock` is false."""
        return (_sharedctypes or _load_sharedctypes()).Value(typecode_or_type, *args, lock=lock, ctx=self)

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """Returns an array of ctypes in shared memory, with a lock unless `lock` is false."""
        module = _sharedctypes or _load_sharedctypes()
        return module.Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self)

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """Returns an object of ctypes in shared memory, without a lock."""
        return (_sharedctypes or _load_sharedctypes()).RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """Returns an array of ctypes in shared memory, without a lock."""
        return (_sharedctypes or _load_sharedctypes()).RawArray(typecode_or_type, size_or_initializer)

    @property
    def shared(self) -> ModuleType:
        """The module with Dict and List, mpfast.shared. They are the same in all contexts."""
        return _module("mpfast.shared")  # type: ignore[no-any-return]

    def _queues(self) -> ModuleType:
        return _module(self._queues_module)  # type: ignore[no-any-return]

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        """Returns two connected ends. If duplex, both send and receive. Else the first receives, the second sends."""
        return _module("mpfast.wire.endpoint").Pipe(duplex)  # type: ignore[no-any-return]

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        **options: Any,
    ) -> Pool:
        """Returns a pool of worker processes. The class says what else it takes."""
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, self.get_context(), **options)

    def Manager(self) -> SyncManager:
        """Returns a manager and starts its server process."""
        from .managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def start_many(self, processes: Iterable[process.BaseProcess]) -> None:
        """Starts several processes, for which a fork server prepares together. Raises what start() raises.

        None is started if one of them is closed or was started before. If a start fails, those before it run.
        """
        _fork_server().start_many(processes, _default_context.get_start_method())

    def prewarm(self, n: int = 1) -> None:
        """Keeps n spares of the fork server ready from now on, so that even the first start() is quick.

        Blocks until they wait. Until then the fork server starts and loads the main module. Other start methods have
        no spares.
        """
        _fork_server().prewarm(self.get_context().get_start_method(), n)

    def set_forkserver_preload(self, module_names: list[str], *, on_error: str = "ignore") -> None:
        """Names the modules that the fork server loads when it starts. "__main__" may be one of them.

        on_error says what happens if one cannot be loaded. "ignore" and "warn" go on without it. With "fail", starting
        a process raises EOFError.
        """
        _fork_server().set_forkserver_preload(module_names, on_error)

    def freeze_support(self) -> None:
        """Call it first in a frozen program. In a child it does not return, because the child runs its target.

        It calls multiprocessing's function as it is now. Tools that freeze programs replace that one by their own.
        """
        import multiprocessing

        theirs = multiprocessing.freeze_support
        if isinstance(getattr(theirs, "__self__", None), BaseContext):
            super().freeze_support()
        else:
            theirs()

    def get_context(self, method: str | None = None) -> BaseContext:  # type: ignore[override]
        """Returns mpfast's context of the start method (None: this one)."""
        if method is None:
            return self
        try:
            context = _concrete_contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}") from None
        context._check_available()
        return context


class _Starts(process.BaseProcess):
    """A process with a start method of mpfast's. Each class below names the launcher for its own."""

    _start_method: str | None = None
    _mpfast_start_method: str | None = None

    def start(self) -> None:
        """Starts the process. Call it once at most."""
        if self._start_method is None:
            self._mpfast_start_method = _default_context.get_start_method()
        _launch().start(self)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        method = self._start_method or self._mpfast_start_method
        if method is not None:
            _default_context._actual_context = _concrete_contexts[method]
        return _launch().bootstrap(self, parent_sentinel)  # type: ignore[no-any-return]


class Process(_Starts, _stdlib.Process):
    """A process of the default context's start method."""

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        return _default_context.get_context().Process._Popen(process_obj)  # type: ignore[attr-defined]

    @staticmethod
    def _after_fork() -> None:
        _default_context.get_context().Process._after_fork()  # type: ignore[attr-defined]


class ForkProcess(_Starts, _stdlib.ForkProcess):
    """A process that starts as a copy of its parent."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        launch = _launch()
        if launch.available() is None and launch.hooked("fork") is None:
            return launch.ForkPopen(process_obj)
        from multiprocessing.popen_fork import Popen

        return Popen(process_obj)


class SpawnProcess(_Starts, _stdlib.SpawnProcess):
    """A process in a fresh interpreter."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        if _launch().available() is None:
            from .launch.spawn import SpawnPopen, usable

            if usable():
                return SpawnPopen(process_obj)
        from .launch.stdlib import spawn

        return spawn(process_obj)

    @staticmethod
    def _after_fork() -> None:
        pass


class ForkServerProcess(_Starts, _stdlib.ForkServerProcess):
    """A process that the fork server forks."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        if _launch().available() is None:
            from .launch.forkserver.popen import ForkServerPopen, why_not

            if why_not() is None:
                return ForkServerPopen(process_obj)
        from .launch.stdlib import fork_server

        return fork_server(process_obj)


class ForkContext(Context):
    _name = "fork"
    Process = ForkProcess


class SpawnContext(Context):
    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(Context):
    _name = "forkserver"
    Process = ForkServerProcess


class DefaultContext(Context):
    """The context behind mpfast's module-level functions. Its start method can be set once."""

    Process = Process

    def __init__(self, context: Context) -> None:
        self._default_context = context
        self._actual_context: BaseContext | None = None

    def get_context(self, method: str | None = None) -> BaseContext:  # type: ignore[override]
        """Returns the context of the start method. None means the one in use, and it cannot be changed afterwards."""
        if method is not None:
            return super().get_context(method)
        if self._actual_context is None:
            self._actual_context = self._default_context
        return self._actual_context

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Chooses the start method. Raises RuntimeError if one is in use, unless force is true."""
        if self._actual_context is not None and not force:
            raise RuntimeError("context has already been set")
        self._actual_context = None if method is None and force else self.get_context(method)

    def get_start_method(self, allow_none: bool = False) -> str | None:  # type: ignore[override]
        """Returns the name of the start method in use. With allow_none, returns None if none is in use yet."""
        if self._actual_context is None and allow_none:
            return None
        return self.get_context().get_start_method()

    def get_all_start_methods(self) -> list[str]:
        """Returns the names of the start methods, the default first."""
        default = self._default_context._name
        return [default, *(name for name in ("fork", "spawn", "forkserver") if name != default)]


_concrete_contexts: dict[str, Context] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}

_default_context = DefaultContext(_concrete_contexts["forkserver" if sys.version_info >= (3, 14) else "fork"])
