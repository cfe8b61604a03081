# SPDX-License-Identifier: MIT
"""The queues that stand in for multiprocessing's."""

from __future__ import annotations

import types
from multiprocessing import queues as _queues

from .. import queues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

vars(queues)["pickler_names"](vars(_queues))
_theirs: Any = vars(_queues)


class StandIn(type):
    """The type of a class that stands for one of the stdlib's. A class derived from it derives from that one."""

    stands_for: Any

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> Any:
        if not any(isinstance(base, StandIn) for base in bases):
            return super().__new__(meta, name, bases, namespace)
        bases = tuple(base.stands_for if isinstance(base, StandIn) else base for base in bases)
        return types.prepare_class(name, bases, keywords)[0](name, bases, namespace, **keywords)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> None:
        super().__init__(name, bases, namespace)
        cls.stands_for = bases[1]
        cls.__module__ = "multiprocessing.queues"
        cls.__doc__ = bases[0].__doc__


class Queue(queues.Queue, _theirs["Queue"], metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()


class JoinableQueue(queues.JoinableQueue, _theirs["JoinableQueue"], metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()


class SimpleQueue(queues.SimpleQueue, _theirs["SimpleQueue"], metaclass=StandIn):  # type: ignore[misc, type-arg]
    __slots__ = ()
