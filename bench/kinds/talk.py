# SPDX-License-Identifier: MIT
"""Scenarios of a connection, with what the kernel asks for the same message as their floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from typing import Any, ClassVar

import mpfb_talk

from ..base.placement import Place
from ..floors.messages import Floor
from .alone import Alone
from .duo import Duo
from .scenario import ONE_METHOD

HEADER = 4
LARGE = "64 MiB array"


@dataclass(frozen=True)
class Wire:
    """A kind of connection, and what floor.c calls it."""

    key: str
    name: str
    make: Callable[[BaseContext], tuple[Any, Any]]
    floor: str


@dataclass(frozen=True)
class Talk(Duo):
    """Two processes and a connection."""

    payload: str = field(kw_only=True)
    pattern: str = field(kw_only=True)
    wire: Wire = field(kw_only=True)

    kind: ClassVar[str] = "talk"
    batch_seconds: ClassVar[float | None] = 0.01

    def floor(self, place: Place, method: str) -> float | None:
        return Floor(self.pattern, self.wire.floor, HEADER + pickled_size(self.payload)).nanoseconds(place)


def pickled_size(payload: str) -> int:
    return 64 * mpfb_talk.MIB if payload == LARGE else len(ForkingPickler.dumps(mpfb_talk.payload(payload)))


@dataclass(frozen=True)
class Look(Alone):
    methods: tuple[str, ...] = field(default=ONE_METHOD, kw_only=True)

    def floor(self, place: Place, method: str) -> float | None:
        return Floor("poll", "pipe", 0).nanoseconds(place)
