# SPDX-License-Identifier: MIT
"""The stand-in: multiprocessing's names mean mpfast's objects, for programs that say `import multiprocessing`.

The only place that changes multiprocessing. What it changes, and how, so that names bound before keep working:

* The default context and those of the start methods get mpfast's classes, in place: whoever holds one, or a method of
  one, makes mpfast's objects from now on.
* Names in the submodules, because the stdlib's own functions look them up there when they are called. In `queues` they
  are properties of the module: its functions use its globals, which stay the stdlib's.
* The classes that are replaced find a second home, so that objects made of them before can be pickled.
* Who derives from a queue of multiprocessing gets the stdlib's class as a base, with all the private parts it may use.
* Interpreters that multiprocessing starts do the same before anything else. Programs that the program starts do not.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import connection as _connection
from multiprocessing import context as _context
from multiprocessing import managers as _managers
from multiprocessing import queues as _queues
from multiprocessing import synchronize as _synchronize
from multiprocessing import util as _util

from . import _stdlib, connection, context, synchronize
from .standin_queues import QUEUES, Replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

__all__ = ["install", "installed"]

SYNCHRONIZE = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore")
CONNECTION = ("Client", "Connection", "Listener", "Pipe", "wait")
CONTEXT = (
    *("DefaultContext", "ForkContext", "ForkServerContext", "SpawnContext"),
    *("ForkProcess", "ForkServerProcess", "Process", "SpawnProcess"),
)
METHODS = {"fork": "ForkContext", "forkserver": "ForkServerContext", "spawn": "SpawnContext"}

_installed = False


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
    _replace(_synchronize, synchronize, SYNCHRONIZE)
    _replace(_connection, connection, CONNECTION)
    _replace(_context, context, CONTEXT)
    _replace_queues()
    _rebind()
    _reach_children()


def _share_contexts() -> None:
    """One state for both packages, in the objects that multiprocessing's users may hold."""
    ours, theirs = context._default_context, _context._default_context
    chosen = ours.get_start_method(allow_none=True)
    for method, name in METHODS.items():
        instance = _context._concrete_contexts[method]  # type: ignore[attr-defined]
        instance.__class__ = getattr(context, name)
        context._concrete_contexts[method] = instance
    theirs.__class__ = context.DefaultContext
    ours.__dict__ = theirs.__dict__
    if chosen is not None:
        ours.set_start_method(chosen, force=True)


def _replace(there: ModuleType, here: ModuleType, names: Sequence[str]) -> None:
    for name in names:
        before = getattr(there, name)
        if isinstance(before, type):
            _stdlib.keep(before)
        setattr(there, name, getattr(here, name))


def _replace_queues() -> None:
    for cls in QUEUES.values():
        cls.stands_for = _stdlib.keep(cls.stands_for)
    _queues.__class__ = Replaced
    context._queue_classes = _queues


def _rebind() -> None:
    """Copies of what was replaced: in the package, and where managers look for connections."""
    default = _context._default_context
    for name in multiprocessing.__all__:
        if getattr(getattr(multiprocessing, name), "__self__", None) is default:
            setattr(multiprocessing, name, getattr(default, name))
    multiprocessing.Process = context.Process  # type: ignore[misc, assignment]
    _managers.listener_client.update(  # type: ignore[attr-defined]
        pickle=(connection.Listener, connection.Client), xmlrpclib=(connection.XmlListener, connection.XmlClient)
    )


def preamble() -> str:
    """What a fresh interpreter must run first. The path is in the text, because -I and -E ignore PYTHONPATH."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return (
        f"import sys; sys.path += [p for p in [{folder!r}] if p not in sys.path]; "
        "import mpfast.standin; mpfast.standin.install(); "
    )


def _reach_children() -> None:
    """All of multiprocessing's interpreters are started by one function, with a program that begins with an import."""
    start: Callable[..., int] = _util.spawnv_passfds  # type: ignore[attr-defined]

    def spawnv_passfds(path: Any, args: Sequence[Any], passfds: Any) -> int:
        programs = ("from multiprocessing.spawn import", "from multiprocessing.forkserver import")
        changed = [preamble() + arg if isinstance(arg, str) and arg.startswith(programs) else arg for arg in args]
        return start(path, changed, passfds)

    _util.spawnv_passfds = spawnv_passfds  # type: ignore[attr-defined]


