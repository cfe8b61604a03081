# SPDX-License-Identifier: MIT
"""The stand-in: multiprocessing's names mean mpfast's objects, for programs that say `import multiprocessing`.

The only place that changes multiprocessing. What it changes, and how, so that names bound before keep working:

* The default context and those of the start methods get mpfast's classes, in place: whoever holds one, or a method of
  one, makes mpfast's objects from now on. The default one keeps its own class, too: methods bound before say super().
* Names in the submodules (names.py), because the stdlib's own functions look them up there when they run.
* The classes that are replaced find a second home (stdlib.py), so that objects made of them before can be pickled.
* Who derives from a queue of multiprocessing gets the stdlib's class as a base, with all the private parts it may use.
* Interpreters that multiprocessing starts do the same before anything else. Programs that the program starts do not.
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
}
SOURCES = {"queues": "mpfast.standin.queues"}
METHODS = {"fork": "ForkContext", "forkserver": "ForkServerContext", "spawn": "SpawnContext"}
QUEUES = "multiprocessing.queues"
# How the programs begin that multiprocessing gives its interpreters. Frozen programs know them by that.
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

    At any time; what was made before goes on as it was. A second call does nothing. It cannot be undone.
    """
    global _installed
    if _installed:
        return
    _installed = True
    _share_contexts()
    _rename_contexts()
    for name in NAMES:
        _finder.when_imported(f"multiprocessing.{name}", _replace)
    if managers := sys.modules.get("multiprocessing.managers"):
        _lead_managers(managers)
    _finder.when_imported("multiprocessing.util", _reach_children)
    _finder.when_imported("multiprocessing.forkserver", _stop_both)
    if getattr(sys, "frozen", False):
        _finder.when_imported("multiprocessing.spawn", _reach_frozen)


def _share_contexts() -> None:
    """One state for both packages, in the objects that multiprocessing's users may hold."""
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
    """Their classes, and the package's copies of what is bound to the default context."""
    for name in CONTEXT:
        stdlib.keep(getattr(_context, name))
        setattr(_context, name, getattr(context, name))
    default = _context._default_context
    for name in multiprocessing.__all__:
        if getattr(getattr(multiprocessing, name), "__self__", None) is default:
            setattr(multiprocessing, name, getattr(default, name))
    multiprocessing.Process = context.Process  # type: ignore[misc, assignment]


def _replace(module: ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    replace(module, NAMES[name], SOURCES.get(name, f"mpfast.{name}"))


def _lead_managers(managers: ModuleType) -> None:
    """They have taken Listener and Client from multiprocessing.connection when they were imported."""
    from .. import connection

    managers.listener_client.update(
        pickle=(connection.Listener, connection.Client), xmlrpclib=(connection.XmlListener, connection.XmlClient)
    )


def preamble() -> str:
    """What a fresh interpreter must run. The path is in the text, because -I and -E ignore PYTHONPATH."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return (
        f"import sys; sys.path.insert(0, {folder!r}); from mpfast.standin.install import install; install(); "
        "sys.path[0] in sys.path[1:] or sys.path.append(sys.path[0]); del sys.path[0]; "
    )


def _reach_children(util: Any) -> None:
    """All of multiprocessing's interpreters are started by one function, with a program that begins with an import."""
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
    """Its unpickling installs the stand-in."""

    def __reduce__(self) -> Any:
        return install, ()


def _reach_frozen(spawn: Any) -> None:
    """A frozen program is started without a text to run, but what it reads first can do it."""
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**prepare(name), "mpfast": _Installs()}

    spawn.get_preparation_data = get_preparation_data


def _stop_both(forkserver: Any) -> None:
    """Who stops the fork server, by a private method, to begin a fresh one means that which has the children."""
    theirs = forkserver._forkserver
    stop = theirs._stop

    def _stop() -> None:
        stop()
        if module := sys.modules.get("mpfast.launch.forkserver.client"):
            module.client.stop()

    theirs._stop = _stop
