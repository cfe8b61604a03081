# SPDX-License-Identifier: MIT
from typing import Any

from typing_extensions import disjoint_base

from .receiving import Receiver

@disjoint_base
class Outgoing:
    """A message on its way out. Has pointers to its parts, and how much of it has been written."""

@disjoint_base
class Sender(Receiver):
    """A connection that sends, too."""

    def send(self, obj: Any) -> None: ...
    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None: ...
    def _prepare(self, obj: Any) -> Outgoing: ...
    def _push(self, out: Outgoing) -> bool: ...

def begun(out: Outgoing) -> bool: ...
