# SPDX-License-Identifier: MIT
"""The queues that stand in for multiprocessing's, and the module in which they do."""

from __future__ import annotations

import types
from multiprocessing import queues as _queues

from . import queues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StandIn(type):
    """The type of a class that stands for one of the stdlib's: who derives from it, derives from that."""

    stands_for: Any

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> Any:
        if not any(isinstance(base, StandIn) for base in bases):
            return super().__new__(meta, name, bases, namespace)
        bases = tuple(base.stands_for if isinstance(base, StandIn) else base for base in bases)
        return types.prepare_class(name, bases, keywords)[0](name, bases, namespace, **keywords)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> None:
        super().__init__(name, bases, namespace)
        cls.stands_for = bases[1]
        cls.__module__ = bases[1].__module__
        cls.__doc__ = bases[0].__doc__


class Queue(queues.Queue, _queues.Queue, metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()


class JoinableQueue(queues.JoinableQueue, _queues.JoinableQueue, metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()


class SimpleQueue(queues.SimpleQueue, _queues.SimpleQueue, metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()


QUEUES: dict[str, StandIn] = {"JoinableQueue": JoinableQueue, "Queue": Queue, "SimpleQueue": SimpleQueue}


def _name(name: str) -> property:
    """The name in the module, for all but the module's own functions. Can be assigned to, as mock does."""

    def get(module: Any) -> Any:
        return module.__dict__.get(f"_mpfast_{name}", QUEUES[name])

    def assign(module: Any, value: Any) -> None:
        module.__dict__[f"_mpfast_{name}"] = QUEUES[name] if value is QUEUES[name].stands_for else value

    def delete(module: Any) -> None:
        module.__dict__.pop(f"_mpfast_{name}", None)

    return property(get, assign, delete)


class Replaced(types.ModuleType):
    """multiprocessing.queues with the names of its classes meaning ours."""

    JoinableQueue, Queue, SimpleQueue = map(_name, sorted(QUEUES))
