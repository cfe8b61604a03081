# SPDX-License-Identifier: MIT
"""Names of the stdlib's modules that mean mpfast's objects.

Each is a property of its module, so that mpfast's module is imported when the name is used, not before. The module's
own functions use its globals, which stay the stdlib's.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

from . import stdlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.machinery import ModuleSpec
    from typing import Any


def replace(module: ModuleType, names: Iterable[str], source: str) -> None:
    """Makes names of a module mean those of another module. That one is imported when a name is first used."""
    for name in names:
        if isinstance(cls := vars(module)[name], type):
            stdlib.keep(cls)
    properties = {name: _property(name, source) for name in names}
    module.__class__ = type("ModuleType", (ModuleType,), {**properties, "__getattribute__": _get})


def _get(module: Any, name: str) -> Any:
    """In Python, because loops of 3.14 look into the module's dict (LOAD_ATTR_MODULE), past the properties."""
    return ModuleType.__getattribute__(module, name)


def _property(name: str, source: str) -> property:
    """Can be assigned to and deleted, as mock does. Deleting puts back the stdlib's, from the module's dict."""
    key = f"_mpfast_{name}"

    def get(module: Any) -> Any:
        found = vars(module)
        return found[key] if key in found else getattr(import_module(source), name)

    def assign(module: Any, value: Any) -> None:
        if value is vars(module)[name]:
            delete(module)
        else:
            vars(module)[key] = value

    def delete(module: Any) -> None:
        vars(module).pop(key, None)

    return property(get, assign, delete)


class Finder:
    """Changes a module right after its import. For modules that are not imported yet."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[ModuleType], None]] = {}

    def when_imported(self, name: str, action: Callable[[ModuleType], None]) -> None:
        """Changes it now, if it is imported already."""
        if name in sys.modules:
            action(sys.modules[name])
            return
        if not self.waiting:
            sys.meta_path.insert(0, self)
        self.waiting[name] = action

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        action = self.waiting.pop(name, None)
        spec = action and PathFinder.find_spec(name, path, target)
        if not action or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            action(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
