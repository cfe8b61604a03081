# SPDX-License-Identifier: MIT
"""multiprocessing.managers, with managers that use mpfast's context and talk through mpfast's connections.

Its parts are in the room proxies/. What goes over the wire is multiprocessing's, so managers of either package serve
the other's. A proxy that is sent to a process of multiprocessing's becomes one of the stdlib's there.
"""

from __future__ import annotations

import contextlib
import functools
import weakref

from .launch import tracker

tracker.lead()

from multiprocessing import connection as _wire  # noqa: E402
from multiprocessing import managers as _stdlib  # noqa: E402  # after lead(), which looks what is loaded
from types import SimpleNamespace  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from . import connection  # noqa: E402
from .context import _default_context  # noqa: E402
from .proxies.door import Door, ServerProcess, door_to  # noqa: E402
from .proxies.link import link_to, local_to  # noqa: E402
from .proxies.proxy import *  # noqa: E402, F403
from .proxies.proxy import AutoProxy, ProxyType, own_type, proxy_for  # noqa: E402
from .proxies.server import Begin, Requests  # noqa: E402

if TYPE_CHECKING:
    from multiprocessing.managers import *  # type: ignore[assignment]  # noqa: F403
__all__ = _stdlib.__all__
globals().update((name, vars(_stdlib)[name]) for name in __all__ if name not in globals())

_LISTENERS: dict[type, type[connection.Listener]] = {
    vars(_wire)["Listener"]: connection.Listener,
    vars(_wire)["XmlListener"]: connection.XmlListener,
}
_std: Any = SimpleNamespace(**vars(_stdlib))  # the stdlib's, whatever its names mean in this program


def __getattr__(name: str) -> Any:
    try:
        return vars(_stdlib)[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def _take_over(server: Any) -> Any:
    """The server's listener as one of ours. It listens already."""
    if type(server.listener) in _LISTENERS:
        server.listener.__class__ = _LISTENERS[type(server.listener)]
        server.listener._mpfast_adopt()
    server._mpfast_open()
    return server


class Server(Requests, _std.Server):  # type: ignore[misc]
    """multiprocessing's, behind a Listener of mpfast's."""

    def __init__(self, registry: Any, address: Any, authkey: Any, serializer: Any) -> None:
        super().__init__(registry, address, authkey, serializer)
        _take_over(self)


class SharedMemoryServer(Server, _std.SharedMemoryServer):  # type: ignore[misc]
    """multiprocessing's, behind a Listener of mpfast's. It has its manager's resource tracker."""

    def track_segment(self, c: Any, segment_name: str) -> None:
        tracker.ensure()
        super().track_segment(c, segment_name)


class BaseManager(_std.BaseManager):  # type: ignore[no-redef, misc]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections."""

    _Server: Any = Server
    _registry: dict[str, Any]

    def __init__(
        self, address: Any = None, authkey: Any = None, serializer: str = "pickle", ctx: Any = None, **rest: Any
    ) -> None:
        ctx = ctx or _default_context.get_context()
        self._initialize(address, authkey, serializer, ctx, **rest)
        self._Client = self._door(serializer)

    _door: Any = Door

    def _initialize(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)

    def start(self, initializer: Any = None, initargs: Any = ()) -> None:
        """Starts the server's process."""
        if initializer is None or callable(initializer):
            initializer = Begin(initializer)
        super().start(initializer, initargs)
        process = self._process
        self._Client.server = ServerProcess(process.pid, process)
        door_to(self._address, self._serializer, self._Client)

    def connect(self) -> None:
        """Connects to a server that runs already."""
        super().connect()
        self._Client = door_to(self._address, self._serializer)

    def get_server(self) -> Any:
        """Returns the server, for serve_forever() in this process."""
        server = super().get_server()
        if type(server) is _std.Server:
            server.__class__ = Server
            _take_over(server)
        return server

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> Any:
        """Makes an object in the server. Returns its token and the names of its methods."""
        if self._serializer == "pickle" and self._state.value == _std.State.STARTED:
            address, authkey = self._address, self._authkey
            link = link_to(local_to(address)[0], self._Client, address, authkey)
            if link is not None and link.ours:
                kind, result = link.ask(("0", "#CREATE", (typeid, *args), kwds))
                if kind != "#RETURN":
                    raise _std.convert_to_error(kind, result)
                ident, exposed = result
                return _std.Token(typeid, address, ident), exposed
        return super()._create(typeid, *args, **kwds)

    @staticmethod
    def _finalize_manager(process: Any, address: Any, authkey: Any, state: Any, client: Any, *timeout: float) -> None:
        """shutdown(). A server that is stopped does not answer, and is killed in the end."""
        client = client.hasty(*timeout or (1.0,))
        _std.BaseManager._finalize_manager(process, address, authkey, state, client, *timeout)

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: Any = None,
        proxytype: Any = None,
        exposed: Any = None,
        method_to_typeid: Any = None,
        create_method: bool = True,
    ) -> None:
        """Registers what the manager can make, as multiprocessing's does."""
        ours = own_type(proxytype or AutoProxy)
        if vars(ours).get("_mpfast_of") or (not isinstance(ours, type) and ours is not AutoProxy):
            ours = ProxyType(proxytype)
        super().register(typeid, callable, ours, exposed, method_to_typeid, False)
        if create_method:
            setattr(cls, typeid, _maker(typeid, ours))


def _maker(typeid: str, proxytype: Any) -> Any:
    """The method of a manager that makes an object in the server, and returns its proxy."""

    def make(self: Any, /, *args: Any, **kwds: Any) -> Any:
        token, exposed = self._create(typeid, *args, **kwds)
        return proxy_for(proxytype, token, self._serializer, self, self._authkey, exposed)

    make.__name__ = typeid
    return make


class SyncManager(BaseManager, _std.SyncManager):  # type: ignore[no-redef, misc]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections."""


class _DoorOfMemory(Door):
    """Also remembers what its manager has made here. Without a name, the server does not know of it."""

    def __init__(self, serializer: str) -> None:
        super().__init__(serializer)
        self.made: weakref.WeakSet[Any] = weakref.WeakSet()

    def unlink(self) -> None:
        for memory in list(self.made):
            with contextlib.suppress(FileNotFoundError):  # the server, or the program, was first
                memory.unlink()
        self.made.clear()


def _tell(door: Door, address: Any, authkey: Any, name: str) -> None:
    with door(address, authkey=authkey) as connection:
        _std.dispatch(connection, None, "track_segment", (name,))


class SharedMemoryManager(BaseManager, _std.SharedMemoryManager):  # type: ignore[no-redef, misc]
    """multiprocessing's, with mpfast's context unless `ctx` is given, and mpfast's connections.

    The server is told of memory when that gets a name. shutdown() unlinks what has one, and what this process has
    made.
    """

    _Server = SharedMemoryServer
    _door = _DoorOfMemory

    def _initialize(self, *args: Any, **keywords: Any) -> None:
        """Starts no tracker, as multiprocessing's does. The server shares its clients' anyhow."""
        tracker.share()
        _std.BaseManager.__init__(self, *args, **keywords)

    def SharedMemory(self, size: int) -> Any:
        """Returns memory that the manager unlinks when it is shut down. Does not block."""
        if self._state.value != _std.State.STARTED:
            return super().SharedMemory(size)  # which says so
        from .shared_memory import SharedMemory

        return self._remember(SharedMemory(create=True, size=size))

    def ShareableList(self, sequence: Any) -> Any:
        """Returns a list in such memory. Does not block."""
        if self._state.value != _std.State.STARTED:
            return super().ShareableList(sequence)
        from .shared_memory import ShareableList

        made = ShareableList(sequence)
        self._remember(made.shm)
        return made

    def _remember(self, memory: Any) -> Any:
        door = self._Client
        if isinstance(door, _DoorOfMemory):  # else this process has not started the server, and does not end it
            door.made.add(memory)
        memory._when_named(functools.partial(_tell, door, self._address, self._authkey))
        return memory

    @staticmethod
    def _finalize_manager(process: Any, address: Any, authkey: Any, state: Any, client: Any, *timeout: float) -> None:
        try:
            BaseManager._finalize_manager(process, address, authkey, state, client, *timeout)  # type: ignore[attr-defined]
        finally:
            client.unlink()


def _register_again(cls: Any) -> None:
    """Takes over what the stdlib's class has registered, so that the class makes proxies of ours."""
    for typeid, (callable, exposed, methods, proxytype) in dict(cls._registry).items():
        cls.register(typeid, callable, proxytype, exposed, methods, hasattr(cls, typeid))


_register_again(SyncManager)
