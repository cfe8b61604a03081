# SPDX-License-Identifier: MIT
from typing_extensions import disjoint_base

from ..channel.channel import Channel

@disjoint_base
class Ring(Channel):
    """A queue whose blocks are a ledger."""

    def __init__(self) -> None: ...
