# SPDX-License-Identifier: MIT
from typing import Any

from .receiving import Receiver

class Outgoing:
    """A message on its way out. Has pointers to its parts, and how much of it has been written."""

class Sender(Receiver):
    """A connection that sends, too."""

    def send(self, obj: Any) -> None: ...
    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None: ...
    def _prepare(self, obj: Any) -> Outgoing: ...
    def _push(self, out: Outgoing) -> bool: ...

def begun(out: Outgoing) -> bool: ...
