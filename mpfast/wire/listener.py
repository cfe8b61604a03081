# SPDX-License-Identifier: MIT
"""multiprocessing's Listener and Client, with its handshake as it is. They return mpfast's connections."""

from __future__ import annotations

from multiprocessing import connection as _stdlib

from .endpoint import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Client", "Listener", "XmlClient", "XmlListener"]


def _taken_over(stranger: Any, greets: bool) -> Connection:
    """The same descriptor as a connection of ours. greets: a handshake follows, and shows what the other end is."""
    ours = Connection(stranger.fileno())
    stranger._handle = None
    if greets:
        ours._greet()
    return ours


class _SocketListener(_stdlib.SocketListener):  # type: ignore[name-defined, misc]
    _mpfast_greets: bool

    def accept(self) -> Connection:
        return _taken_over(super().accept(), self._mpfast_greets)


class Listener(vars(_stdlib)["Listener"]):  # type: ignore[misc]
    """A socket at which Client() can connect, AF_UNIX or AF_INET. With an authkey, only a process that has the key."""

    def __init__(
        self, address: Any = None, family: str | None = None, backlog: int = 1, authkey: bytes | None = None
    ) -> None:
        super().__init__(address, family, backlog, authkey)
        self._mpfast_adopt()

    def _mpfast_adopt(self) -> None:
        self._listener.__class__ = _SocketListener
        self._listener._mpfast_greets = bool(self._authkey)


def Client(address: Any, family: str | None = None, authkey: bytes | None = None) -> Connection:
    """Connects to a Listener. Blocks until that has accepted, and with an authkey until each has proved that it has it.

    Raises AuthenticationError if one of the two does not have it.
    """
    family = family or _stdlib.address_type(address)  # type: ignore[attr-defined]
    _stdlib._validate_family(family)  # type: ignore[attr-defined]
    if authkey is not None and not isinstance(authkey, bytes):
        raise TypeError("authkey should be a byte string")
    connection = _taken_over(_stdlib.SocketClient(address), authkey is not None)  # type: ignore[attr-defined]
    if authkey is not None:
        try:
            _stdlib.answer_challenge(connection, authkey)
            _stdlib.deliver_challenge(connection, authkey)
        except BaseException:
            connection.close()
            raise
    return connection


class XmlListener(Listener, vars(_stdlib)["XmlListener"]):  # type: ignore[misc]
    """A Listener for objects as XML-RPC has them."""


def XmlClient(*args: Any, **keywords: Any) -> Any:
    """A Client for objects as XML-RPC has them."""
    import xmlrpc.client

    _stdlib.xmlrpclib = xmlrpc.client  # type: ignore[attr-defined] # as its own XmlClient does
    return _stdlib.ConnectionWrapper(Client(*args, **keywords), _stdlib._xml_dumps, _stdlib._xml_loads)  # type: ignore[attr-defined]


for _public in (Listener, Client, XmlListener, XmlClient):
    _public.__module__ = "mpfast.connection"  # the public name, for pickles
