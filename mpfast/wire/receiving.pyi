# SPDX-License-Identifier: MIT
from typing import Any

from typing_extensions import disjoint_base

from .wire import Wire

not_yet: object

@disjoint_base
class Receiver(Wire):
    """A connection that receives."""

    def recv(self) -> Any: ...
    def recv_bytes(self, maxlength: int | None = None) -> bytes: ...
    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int: ...
    def _pull(self) -> Any: ...
    def _whole(self) -> None: ...

def load(message: Any) -> Any: ...
