# SPDX-License-Identifier: MIT
"""multiprocessing.managers, with managers that use mpfast's context and talk through mpfast's connections.

What goes over the wire is multiprocessing's, so managers of either package serve the other's. A pickled proxy becomes
one of the stdlib's where it arrives, because the process there may not have mpfast.
"""

from __future__ import annotations

import os
from multiprocessing import connection as _wire
from multiprocessing import managers as _stdlib
from multiprocessing.managers import *  # noqa: F403
from typing import Any

from . import connection
from .context import _default_context

__all__ = _stdlib.__all__

_LISTENERS: dict[type, type[connection.Listener]] = {
    vars(_wire)["Listener"]: connection.Listener,
    vars(_wire)["XmlListener"]: connection.XmlListener,
}
_CLIENTS = {"pickle": connection.Client, "xmlrpclib": connection.XmlClient}
_ENDING = 0.5  # seconds that a server whose connections broke has to be seen as ended


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def _take_over(server: Any) -> Any:
    """The server's listener as one of ours. It listens already."""
    if type(server.listener) in _LISTENERS:
        server.listener.__class__ = _LISTENERS[type(server.listener)]
        server.listener._mpfast_adopt()
    return server


class Server(_stdlib.Server):
    """multiprocessing's, behind a Listener of mpfast's."""

    def __init__(self, registry: Any, address: Any, authkey: Any, serializer: Any) -> None:
        super().__init__(registry, address, authkey, serializer)
        _take_over(self)


class SharedMemoryServer(Server, _stdlib.SharedMemoryServer):
    """multiprocessing's, behind a Listener of mpfast's."""


class _ToServer(connection.Connection):
    """A connection to a server. Once the server has ended, its errors say so."""

    _door: _Door

    def send(self, obj: Any) -> None:
        try:
            super().send(obj)
        except OSError as error:
            self._door.explain(error)
            raise

    def recv(self) -> Any:
        try:
            return super().recv()
        except (OSError, EOFError) as error:
            self._door.explain(error)
            raise


class _Door:
    """Connects to a server. A manager has it in place of a Client, and so have its proxies."""

    def __init__(self, serializer: str) -> None:
        self.client = _CLIENTS[serializer]
        self.server: Any = None  # the process, if the manager has started it

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        try:
            found: Any = self.client(*args, **keywords)
        except (OSError, EOFError) as error:
            self.explain(error)
            raise
        if type(found) is connection.Connection:
            found.__class__ = _ToServer
            found._door = self
        return found

    def explain(self, error: OSError | EOFError) -> None:
        """Puts into an error that the server has ended, if it has. The type of the error stays the stdlib's."""
        if self.server is None or not connection.wait([self.server.sentinel], _ENDING):
            return
        text = f"the manager's server, process {self.server.pid}, has ended with exit code {self.server.exitcode}"
        error.args = (error.errno, text) if isinstance(error, OSError) else (text,)
        if isinstance(error, OSError):
            error.strerror = text


def _forget_connections() -> None:
    """A forked child connects anew. On its parent's connections each would get the other's answers."""
    for local, _ in _stdlib.BaseProxy._address_to_local.values():
        if isinstance(getattr(local, "connection", None), _ToServer):
            del local.connection


os.register_at_fork(after_in_child=_forget_connections)


class _ProxyType:
    """Makes proxies that call through a Client of mpfast's. In all else it looks like the type of the proxies."""

    def __init__(self, proxytype: Any) -> None:
        self.proxytype = proxytype

    def __reduce__(self) -> Any:
        return _ProxyType, (self.proxytype,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.proxytype, name)

    def __call__(self, token: Any, serializer: str, *args: Any, **keywords: Any) -> Any:
        proxy = self.proxytype(token, serializer, *args, **keywords)
        door = getattr(keywords.get("manager"), "_Client", None)
        proxy._Client = door if isinstance(door, _Door) else _Door(serializer)
        return proxy


class BaseManager(_stdlib.BaseManager):  # type: ignore[no-redef]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections."""

    _Server: Any = Server
    _registry: dict[str, Any]

    def __init__(
        self, address: Any = None, authkey: Any = None, serializer: str = "pickle", ctx: Any = None, **rest: Any
    ) -> None:
        ctx = ctx or _default_context.get_context()
        super().__init__(address, authkey, serializer, ctx, **rest)
        self._Client = _Door(serializer)

    def start(self, *args: Any, **keywords: Any) -> None:
        """Starts the server's process."""
        super().start(*args, **keywords)
        self._Client.server = self._process  # type: ignore[attr-defined]

    def get_server(self) -> Any:
        """Returns the server, for serve_forever() in this process."""
        return _take_over(super().get_server())

    @classmethod
    def register(cls, typeid: str, callable: Any = None, proxytype: Any = None, *args: Any, **keywords: Any) -> None:
        """Registers what the manager can make, as multiprocessing's does."""
        proxytype = _ProxyType(proxytype or _stdlib.AutoProxy)  # type: ignore[attr-defined]
        super().register(typeid, callable, proxytype, *args, **keywords)


class SyncManager(BaseManager, _stdlib.SyncManager):  # type: ignore[no-redef, misc]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections."""


class SharedMemoryManager(BaseManager, _stdlib.SharedMemoryManager):  # type: ignore[no-redef, misc]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections."""

    _Server = SharedMemoryServer


def _register_again(cls: Any) -> None:
    """Takes over what the stdlib's class has registered, so that the class makes proxies of ours."""
    for typeid, (callable, exposed, methods, proxytype) in dict(cls._registry).items():
        cls.register(typeid, callable, proxytype, exposed, methods, hasattr(cls, typeid))


_register_again(SyncManager)
