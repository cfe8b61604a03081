# SPDX-License-Identifier: MIT
"""isinstance() of mpfast's objects and multiprocessing's classes.

isinstance() asks an object for its type, and then for its __class__. Once the module with multiprocessing's class is
loaded, __class__ is a class that derives from ours and from that one. Before that nobody can ask, and loading it would
cost each child milliseconds. The type itself stays as it is, so no call of a lock or a queue gets slower.
"""

from __future__ import annotations

import sys
import threading
import weakref

# Where classes are that the face does not define itself.
_FACES = {f"tasks.{name}": "pool" for name in ("calls", "maps", "streams")}
_derived: weakref.WeakValueDictionary[tuple[type, type], type] = weakref.WeakValueDictionary()


def claimed(cls: type) -> type:
    """Returns what an object of the class has as its __class__."""
    theirs = _counterpart(cls)
    if theirs is None or issubclass(cls, theirs):
        return cls
    found = _derived.get((cls, theirs))
    if found is None:
        found = _derived[cls, theirs] = _derive(cls, theirs)
    return found


def _counterpart(cls: type) -> type | None:
    """The class of multiprocessing's, or of threading's, that has been loaded and that this class stands for."""
    for base in cls.__mro__:
        package, _, face = base.__module__.partition(".")
        face = _FACES.get(face, face)
        if package == "mpfast" and face in ("queues", "synchronize", "sharedctypes", "pool"):
            module = sys.modules.get(f"multiprocessing.{face}")
            found = module and vars(module).get(base.__name__)
            if isinstance(found, type):
                return found
            return threading.Barrier if base.__name__ == "Barrier" else None
    return None


def _derive(cls: type, theirs: type) -> type:
    """A class of both. A class that would notice that another derives from it is left alone."""
    if type(cls) is not type or any("__init_subclass__" in vars(base) for base in cls.__mro__[:-1]):
        return cls
    names = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    try:
        return type(cls.__name__, (cls, theirs), names)
    except TypeError:  # it has a base of multiprocessing's already, in another order
        return cls
