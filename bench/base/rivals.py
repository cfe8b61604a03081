# SPDX-License-Identifier: MIT
"""Other packages in the stdlib's place. Their contexts are multiprocessing's but for one primitive."""

from __future__ import annotations

import importlib
import importlib.util
from multiprocessing.context import BaseContext
from typing import Any

from .errors import Skipped

ROOM = {"faster_fifo": 256 << 20}  # bytes that a queue of faster-fifo has room for


class Dicts:
    """What mpfast.shared is to mpfast, of ultradict2."""

    def __init__(self, package: str) -> None:
        self._package = package

    def Dict(self, content: dict[Any, Any]) -> Any:
        return importlib.import_module(self._package).UltraDict(content, buffer_size=1 << 20)


class Rival:
    """A context whose queues, or whose shared dicts, are another package's."""

    def __init__(self, package: str, context: BaseContext) -> None:
        if importlib.util.find_spec(package) is None:
            raise Skipped(f"{package.replace('_', '-')} is not installed")
        self._package, self._context = package, context

    def Queue(self) -> Any:
        return importlib.import_module(self._package).Queue(ROOM[self._package])

    @property
    def shared(self) -> Dicts:
        return Dicts(self._package)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
