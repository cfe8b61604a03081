# SPDX-License-Identifier: MIT
from ..channel.channel import Channel

class Ring(Channel):
    """A queue whose blocks are a ledger."""

    def __init__(self) -> None: ...
