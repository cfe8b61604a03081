# SPDX-License-Identifier: MIT
"""BaseProxy and the proxies of multiprocessing's types, which call through a thread's link to the server.

What a proxy is, its methods and its part in counting references are the stdlib's. Here is how its messages travel.
"""

from __future__ import annotations

import os
import threading
import weakref
from importlib import import_module
from multiprocessing import managers as _stdlib
from multiprocessing import util as _util
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace
from typing import Any

from ..errors import ManagerDied
from .door import Door, door_to
from .link import Link, link_of, link_to, reader, retire
from .server import family_pass

__all__ = [
    "AcquirerProxy",
    "ArrayProxy",
    "AutoProxy",
    "BarrierProxy",
    "BaseListProxy",
    "BasePoolProxy",
    "BaseProxy",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "ListProxy",
    "MakeProxyType",
    "NamespaceProxy",
    "PoolProxy",
    "ProxyType",
    "RebuildProxy",
    "ValueProxy",
]  # fmt: skip

_std: Any = SimpleNamespace(**vars(_stdlib))  # the stdlib's, whatever its names mean in this program
_getpid = os.getpid
_spawning = _std.get_spawning_popen


class Counted(_std.Token):  # type: ignore[misc]
    """A token that comes with a reference, which the server has counted for the proxy to be."""

    __slots__ = ("taken",)

    def __init__(self, token: Any) -> None:
        super().__init__(token.typeid, token.address, token.id)
        self.taken = False


class BaseProxy(_std.BaseProxy):  # type: ignore[misc]
    """multiprocessing's, over a connection that no other thread and no other process uses."""

    _token: Any

    def _callmethod(self, methodname: str, args: Any = (), kwds: Any = {}) -> Any:  # noqa: B006 (multiprocessing's)
        link = getattr(self._tls, "connection", None)
        if type(link) is not Link or link.busy or link.unsure or link.pid != _getpid():
            link = self._mpfast_link()
            if link is None:
                return super()._callmethod(methodname, args, kwds)
        kind, result = link.ask((self._id, methodname, args, kwds))
        if kind == "#RETURN":
            return result
        if kind == "#PROXY":
            return self._mpfast_answered(*result)
        try:
            raise _std.convert_to_error(kind, result)
        finally:
            del result  # no circle of an exception and its frame

    def call_many(self, calls: Any) -> list[Any]:
        """Makes several calls in one message: call_many([(method, args), (method, args, kwds), ...]).

        Returns the results in order. A call that raised has its exception there, and those after it are made all the
        same. A call that waits in the server keeps those after it waiting. A server of multiprocessing's gets the calls
        one by one.
        """
        calls = list(calls)
        for call in calls:
            if type(call) is not tuple or not 2 <= len(call) <= 3 or type(call[0]) is not str:
                _refuse(call)
        link = self._mpfast_link() if calls else None
        if link is None or not link.ours:
            return [_outcome(self._callmethod, *call) for call in calls]
        kind, result = link.ask(("0", "#MANY", (self._id, calls), {}))
        if kind != "#RETURN":
            raise _std.convert_to_error(kind, result)
        if type(result) is list:
            return result
        values: list[Any]
        values, odd = ForkingPickler.loads(result)
        for number, kind in odd.items():
            if kind == "#PROXY":
                values[number] = self._mpfast_answered(*values[number])
            elif kind != "#RETURN":
                values[number] = _std.convert_to_error(kind, values[number])
        return values

    def _mpfast_door(self) -> Door:
        door = getattr(self._manager, "_Client", None)
        if not isinstance(door, Door):
            door = door_to(self._token.address, self._serializer)
        self._Client = door
        return door

    def _mpfast_link(self) -> Link | None:
        if self._serializer != "pickle":
            return None
        return link_to(self._tls, self._mpfast_door(), self._token.address, self._authkey)

    def _mpfast_answered(self, exposed: Any, token: Any) -> Any:
        """A proxy for the result of a call, which stays in the server."""
        proxytype = self._manager._registry[token.typeid][-1]
        token.address = self._token.address
        return proxy_for(proxytype, token, self._serializer, self._manager, self._authkey, exposed)

    def _incref(self) -> None:
        if self._owned_by_manager:
            return
        door = self._mpfast_door()
        token = self._token
        if type(token) is Counted:
            self._token = _std.Token(token.typeid, token.address, token.id)
            token.taken = True
        else:
            current = getattr(self._tls, "connection", None)
            if type(current) is Link and current.busy and current.ours and current.pid == _getpid():
                current.later = [*(current.later or ()), self]  # this proxy arrives in the answer of a call
            else:
                link = self._mpfast_link()
                if link is None or not link.ours:
                    super()._incref()
                    return
                self._mpfast_count(link)
        self._idset.add(self._id)
        state = self._manager and self._manager._state
        self._close = _util.Finalize(
            self, _drop, args=(self._token, self._authkey, state, self._tls, self._idset, door), exitpriority=10
        )

    def _mpfast_count(self, link: Link) -> None:
        kind, result = link.ask(("0", "#INCREF", (self._id,), {}))
        if kind != "#RETURN":
            raise _std.convert_to_error(kind, result)

    def __reduce__(self) -> Any:
        _, (kind, *rest) = super().__reduce__()
        if reader.portable:
            return _std.RebuildProxy, (_portable(kind), *rest)
        given = (family_pass(),) if _spawning() is not None else ()
        return RebuildProxy, (_by_name(kind), *rest, self._mpfast_door().known(), *given)


def _refuse(call: Any) -> None:
    raise TypeError(f"a call is a tuple (method, args) or (method, args, kwds), and not {call!r}")


def _outcome(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ManagerDied:
        raise
    except Exception as error:
        return error.with_traceback(None)  # as one that comes in an answer, and it keeps no proxy alive


def _drop(token: Any, authkey: Any, state: Any, tls: Any, idset: Any, door: Door) -> None:
    """A proxy is gone. Nobody wants to hear that its server is gone, too."""
    idset.discard(token.id)
    over = state is not None and state.value != _std.State.STARTED
    if not over:
        try:
            link = link_of(tls)
            if link is not None and link.ours:
                link.ask(("0", "#DECREF", (token.id,), {}))
            else:
                connection = door(token.address, authkey=authkey)
                _std.dispatch(connection, None, "decref", (token.id,))
        except Exception as error:
            _util.debug("... decref failed %s", error)
    if not idset:
        retire(tls, idset, not over and (door.here() or _std.process.parent_process() is not None))


def proxy_for(proxytype: Any, token: Any, serializer: str, manager: Any, authkey: Any, exposed: Any) -> Any:
    """A proxy that takes over the reference which the server has counted for it."""
    counted = Counted(token)
    proxy = proxytype(counted, serializer, manager=manager, authkey=authkey, exposed=exposed)
    if not counted.taken:  # a proxy of another kind, which has counted one of its own
        connection = door_to(token.address, serializer)(token.address, authkey=authkey)
        _std.dispatch(connection, None, "decref", (token.id,))
    return proxy


# The types ----------------------------------------------------------------------------------------------------------

_derived: weakref.WeakKeyDictionary[type, type] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def own_type(theirs: Any) -> Any:
    """The class of proxies that is like `theirs`, and calls as ours do. It is `theirs` if that one does so."""
    if theirs is _std.AutoProxy:
        return AutoProxy
    if not isinstance(theirs, type) or not issubclass(theirs, _std.BaseProxy) or issubclass(theirs, BaseProxy):
        return theirs
    with _lock:
        found = _derived.get(theirs)
        if found is None:
            body = {"__module__": theirs.__module__, "__qualname__": theirs.__qualname__, "__doc__": theirs.__doc__}
            found = _derived[theirs] = type(theirs.__name__, (BaseProxy, theirs), {**body, "_mpfast_of": theirs})
    return found


class ProxyType:
    """What a manager has registered as the type of proxies, if it is not one of mpfast's: a factory of such as are."""

    def __init__(self, proxytype: Any) -> None:
        self.proxytype = proxytype

    def __reduce__(self) -> Any:
        return ProxyType, (self.proxytype,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.proxytype, name)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return own_type(self.proxytype)(*args, **keywords)


class _Named:
    """A name of multiprocessing.managers, for whoever unpickles it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return (getattr, (_Module(), self.name)) if self.name else (import_module, ("multiprocessing.managers",))


class _Module(_Named):
    def __init__(self) -> None:
        super().__init__("")


def _portable(kind: Any) -> Any:
    """The type of a proxy for a process that may not have mpfast."""
    if kind is _std.AutoProxy:
        return _Named("AutoProxy")
    if vars(kind).get("_mpfast_named"):
        return _Named(kind.__name__)
    return vars(kind).get("_mpfast_of", kind)


def _by_name(kind: Any) -> Any:
    """The type of a proxy for a process that has mpfast."""
    if kind is _std.AutoProxy:
        return AutoProxy
    origin = vars(kind).get("_mpfast_of")
    return kind if origin is None else ProxyType(origin)


def RebuildProxy(func: Any, token: Any, serializer: str, kwds: Any, known: Any = None, family: Any = None) -> Any:
    """Makes a proxy that was pickled.

    `known` is what its sender knows of the server. `family` has made a child a member of the family by now.
    """
    door = door_to(token.address, serializer)
    door.learn(known)
    proxy = _std.RebuildProxy(func, token, serializer, kwds)
    proxy._Client = door
    return proxy


def MakeProxyType(name: str, exposed: Any) -> Any:
    """Returns a type of proxies with methods of these names."""
    return own_type(_std.MakeProxyType(name, exposed))


def AutoProxy(
    token: Any,
    serializer: str,
    manager: Any = None,
    authkey: Any = None,
    exposed: Any = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> Any:
    """Returns a proxy with the methods that the server's object exposes."""
    if authkey is None and manager is not None:
        authkey = manager._authkey
    if authkey is None:
        authkey = _std.process.current_process().authkey
    if exposed is None:
        with door_to(token.address, serializer)(token.address, authkey=authkey) as connection:
            exposed = _std.dispatch(connection, None, "get_methods", (token,))
    kind = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
    proxy = kind(token, serializer, manager=manager, authkey=authkey, incref=incref, manager_owned=manager_owned)
    proxy._isauto = True
    return proxy


def _kind(name: str, base: Any = BaseProxy) -> Any:
    theirs = getattr(_std, name)
    body = {"__module__": "mpfast.managers", "__doc__": theirs.__doc__, "_mpfast_named": True}
    _derived[theirs] = found = type(name, (base, theirs), body)
    return found


IteratorProxy = _kind("IteratorProxy")
AcquirerProxy = _kind("AcquirerProxy")
ConditionProxy = _kind("ConditionProxy", AcquirerProxy)
EventProxy = _kind("EventProxy")
BarrierProxy = _kind("BarrierProxy")
NamespaceProxy = _kind("NamespaceProxy")
ValueProxy = _kind("ValueProxy")
BaseListProxy = _kind("BaseListProxy")
ListProxy = _kind("ListProxy", BaseListProxy)
DictProxy = _kind("DictProxy")
ArrayProxy = _kind("ArrayProxy")
BasePoolProxy = _kind("BasePoolProxy")
PoolProxy = _kind("PoolProxy", BasePoolProxy)
for _public in (BaseProxy, AutoProxy, MakeProxyType, RebuildProxy):
    _public.__module__ = "mpfast.managers"  # the public name, for pickles
