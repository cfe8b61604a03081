# SPDX-License-Identifier: MIT
"""The stand-in. multiprocessing's names mean mpfast's objects, for programs that say `import multiprocessing`.

This is the only place that changes multiprocessing. Names that were bound before keep working. It changes

* The default context and those of the start methods. They get mpfast's classes in place. Code that holds one, or a
  method of one, makes mpfast's objects from now on. The default one also keeps its own class as a base, because methods
  bound before say super().
* Names in the submodules (names.py), because the stdlib's own functions look them up there when they run. The
  executor of concurrent.futures is one of them.
* The home of the classes that are replaced (stdlib.py), so that objects made of them before can be pickled.
* Classes derived from a queue of multiprocessing. They get the stdlib's class as a base, with all its private parts.
* Interpreters that multiprocessing starts. They do the same before anything else. Other programs that the program
  starts do not.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import context as _context

from .. import context
from . import stdlib
from .names import Finder, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

__all__ = ["install", "installed"]

CONTEXT = (
    *("DefaultContext", "ForkContext", "ForkServerContext", "SpawnContext"),
    *("ForkProcess", "ForkServerProcess", "Process", "SpawnProcess"),
)
NAMES = {
    "synchronize": ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"),
    "connection": ("Client", "Connection", "Listener", "Pipe", "XmlClient", "XmlListener", "wait"),
    "queues": ("JoinableQueue", "Queue", "SimpleQueue"),
    "pool": ("Pool",),
    "managers": (
        *("BaseManager", "BaseProxy", "Server", "SharedMemoryManager", "SharedMemoryServer", "SyncManager"),
        *("AcquirerProxy", "ArrayProxy", "AutoProxy", "BarrierProxy", "BaseListProxy", "ConditionProxy", "DictProxy"),
        *("EventProxy", "IteratorProxy", "ListProxy", "MakeProxyType", "NamespaceProxy", "PoolProxy", "ValueProxy"),
    ),
    "shared_memory": ("ShareableList", "SharedMemory"),
    "sharedctypes": (
        *("Array", "RawArray", "RawValue", "Value", "copy", "synchronized"),
        *("Synchronized", "SynchronizedArray", "SynchronizedBase", "SynchronizedString"),
    ),
}
SOURCES = {"queues": "mpfast.standin.queues"}
METHODS = {"fork": "ForkContext", "forkserver": "ForkServerContext", "spawn": "SpawnContext"}
QUEUES = "multiprocessing.queues"
EXECUTOR = "ProcessPoolExecutor"
# multiprocessing gives its interpreters programs that begin like this. Frozen programs know them by that.
PROGRAMS = (
    "from multiprocessing.spawn import spawn_main;",
    "from multiprocessing.forkserver import main;",
    "import sys; from multiprocessing.forkserver import main;",  # from 3.13.13 and 3.14.4 on
)

_installed = False
_finder = Finder()


def installed() -> bool:
    """Does multiprocessing stand for mpfast in this process?"""
    return _installed


def install() -> None:
    """Makes multiprocessing's names mean mpfast's objects, here and in the processes that are started from now on.

    It may be called at any time. What was made before stays as it was. A second call does nothing. It cannot be undone.
    """
    global _installed
    if _installed:
        return
    _installed = True
    _share_contexts()
    _rename_contexts()
    for name in NAMES:
        _finder.when_imported(f"multiprocessing.{name}", _replace)
    _finder.when_imported("concurrent.futures.process", _replace_executor)
    if managers := sys.modules.get("multiprocessing.managers"):
        _lead_managers(managers)
    _finder.when_imported("multiprocessing.util", _reach_children)
    _finder.when_imported("multiprocessing.forkserver", _stop_both)
    if getattr(sys, "frozen", False):
        _finder.when_imported("multiprocessing.spawn", _reach_frozen)


def _share_contexts() -> None:
    """Gives both packages one state, in the context objects that the program may hold already."""
    ours, theirs = context._default_context, _context._default_context
    chosen = ours.get_start_method(allow_none=True)
    for method, name in METHODS.items():
        instance = _context._concrete_contexts[method]  # type: ignore[attr-defined]
        instance.__class__ = getattr(context, name)
        instance._queues_module = QUEUES
    context._concrete_contexts = _context._concrete_contexts  # type: ignore[attr-defined]  # loky adds its own there
    theirs.__class__ = type("DefaultContext", (context.DefaultContext, type(theirs)), {"__module__": context.__name__})
    ours.__dict__ = theirs.__dict__
    theirs._queues_module = QUEUES  # type: ignore[attr-defined]
    if chosen is not None:
        ours.set_start_method(chosen, force=True)


def _rename_contexts() -> None:
    """Replaces their classes, and the package's copies of what is bound to the default context."""
    for name in CONTEXT:
        stdlib.keep(getattr(_context, name))
        setattr(_context, name, getattr(context, name))
    default = _context._default_context
    for name in multiprocessing.__all__:
        if getattr(getattr(multiprocessing, name), "__self__", None) is default:
            setattr(multiprocessing, name, getattr(default, name))
    multiprocessing.Process = context.Process  # type: ignore[misc]


def _replace(module: ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    replace(module, NAMES[name], SOURCES.get(name, f"mpfast.{name}"))


def _replace_executor(module: ModuleType) -> None:
    """The package takes the class from its module when it is first used. It may have done so."""
    theirs = vars(module)[EXECUTOR]
    replace(module, (EXECUTOR,), "mpfast.standin.executors")
    package = sys.modules["concurrent.futures"]
    if vars(package).get(EXECUTOR) is theirs:
        setattr(package, EXECUTOR, getattr(module, EXECUTOR))


def _lead_managers(managers: ModuleType) -> None:
    """Replaces the Listener and Client that the managers took from multiprocessing.connection at their import."""
    from .. import connection

    managers.listener_client.update(
        pickle=(connection.Listener, connection.Client), xmlrpclib=(connection.XmlListener, connection.XmlClient)
    )


def preamble() -> str:
    """The code that a fresh interpreter must run. The path is in it, because -I and -E ignore PYTHONPATH."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return (
        f"import sys; sys.path.insert(0, {folder!r}); from mpfast.standin.install import install; install(); "
        "sys.path[0] in sys.path[1:] or sys.path.append(sys.path[0]); del sys.path[0]; "
    )


def _reach_children(util: Any) -> None:
    """One function starts all of multiprocessing's interpreters, with a program that begins with an import."""
    start = util.spawnv_passfds

    def spawnv_passfds(path: Any, args: Sequence[Any], passfds: Any) -> Any:
        changed = [_with_preamble(arg) if isinstance(arg, str) else arg for arg in args]
        return start(path, changed, passfds)

    spawnv_passfds._mpfast_around = (spawnv_passfds, start)  # type: ignore[attr-defined]  # no tool's: life.pyx asks
    util.spawnv_passfds = spawnv_passfds


def _with_preamble(program: str) -> str:
    """The preamble comes after the import, so that the program begins as it did."""
    for beginning in PROGRAMS:
        if program.startswith(beginning):
            return f"{beginning} {preamble()}{program[len(beginning) :].lstrip()}"
    return program


class _Installs:
    """An object that installs the stand-in when it is unpickled."""

    def __reduce__(self) -> Any:
        return install, ()


def _reach_frozen(spawn: Any) -> None:
    """A frozen program is started without code to run, but what it reads first can do it."""
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**prepare(name), "mpfast": _Installs()}

    spawn.get_preparation_data = get_preparation_data


def _stop_both(forkserver: Any) -> None:
    """Code that stops the fork server by a private method means the one that has the children."""
    theirs = forkserver._forkserver
    stop = theirs._stop

    def _stop() -> None:
        stop()
        if module := sys.modules.get("mpfast.launch.forkserver.client"):
            module.client.stop()

    theirs._stop = _stop
