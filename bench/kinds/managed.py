# SPDX-License-Identifier: MIT
"""Scenarios with a manager's server, which lives as long as the cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

from ..base.deadline import Limits
from ..base.placement import Place
from .alone import Alone, AloneSide

__all__ = ["Managed"]


@dataclass(frozen=True)
class Managed(Alone):
    """`make` gets the manager instead of the context."""

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[AloneSide]:
        with context.Manager() as started:
            manager: Any = started
            yield AloneSide(self, self.make(manager), limits)
