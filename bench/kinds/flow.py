# SPDX-License-Identifier: MIT
"""Scenarios in which items flow from one process to another."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import ClassVar

from ..base.deadline import Limits
from ..base.errors import Skipped
from ..base.placement import Place
from .duo import Duo, DuoSide


@dataclass(frozen=True)
class Flow(Duo):
    """Through one queue, or there and back through two. Arrays are numpy's."""

    @contextmanager
    def open(self, context: BaseContext, place: Place, limits: Limits) -> Iterator[DuoSide]:
        if "array" in self.key and importlib.util.find_spec("numpy") is None:
            raise Skipped("numpy is not installed")
        with super().open(context, place, limits) as side:
            yield side


@dataclass(frozen=True)
class BulkFlow(Flow):
    """Items so large that a batch is one of them."""

    batch_seconds: ClassVar[float | None] = None
