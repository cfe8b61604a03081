# SPDX-License-Identifier: MIT
"""What proxies and managers ask of a server: objects, references, and many calls in one message."""

import gc
import importlib
import multiprocessing.managers
import pickle
import subprocess
import sys
from multiprocessing import process

import pytest
import served
import workers
from harness import until
from served import serving_stdlib

import mpfast
from mpfast import managers


@pytest.fixture
def module(mp):
    return importlib.import_module(f"{mp.__name__}.managers")


class TheirOdds(multiprocessing.managers.SyncManager):
    pass


class OurOdds(managers.SyncManager):
    pass


for _class in (TheirOdds, OurOdds):
    _class.register("Odd", served.Odd)
    _class.register("Typed", served.Odd, method_to_typeid={"inner": "dict"})


@pytest.fixture
def odds(mp, ctx):
    """A manager of a program's own, which is one of either package's."""
    with (OurOdds if mp is mpfast else TheirOdds)(ctx=ctx) as manager:
        yield manager


@pytest.fixture
def manager():
    with mpfast.Manager() as manager:
        yield manager


# Objects ------------------------------------------------------------------------------------------------------------


def test_an_object_that_cannot_be_made(odds, module):
    with pytest.raises(module.RemoteError, match="not to be made"):
        odds.Odd(fail=True)
    assert odds.Odd().answer() == 42
    assert odds.Odd().answer(1, more=2) == 3


def test_arguments_of_any_name(ctx):
    """None of the server's own names is in their way."""
    with ctx.Manager() as manager:
        mapping = manager.dict(self=1, conn=2, ident=3, obj=4, typeid=5, manager=6)
        assert mapping.copy() == {"self": 1, "conn": 2, "ident": 3, "obj": 4, "typeid": 5, "manager": 6}


def test_references(ctx):
    with ctx.Manager() as manager:
        mapping = manager.dict()
        assert manager._number_of_objects() == 1
        iterator = iter(mapping)
        assert manager._number_of_objects() == 2
        del iterator
        mapping["inner"] = manager.list([1])
        gc.collect()
        assert manager._number_of_objects() in (1, 2)
        assert mapping["inner"][0] == 1
        again = mapping["inner"]
        again.append(2)
        assert mapping["inner"][:] == [1, 2]
        del mapping["inner"]
        assert again[:] == [1, 2]
        del again
        gc.collect()
        until(lambda: manager._number_of_objects() == 1, "the list is gone")


def test_results_that_stay_in_the_server(odds):
    typed = odds.Typed()
    inner = typed.inner()
    inner["b"] = 2
    assert inner.copy() == {"a": 1, "b": 2}


def test_a_proxy_for_every_type(ctx):
    with ctx.Manager() as manager:
        things = [manager.Queue(), manager.JoinableQueue(), manager.Event(), manager.Lock(), manager.RLock()]
        things += [manager.Semaphore(2), manager.BoundedSemaphore(2), manager.Condition(), manager.Barrier(1)]
        things += [manager.list([1]), manager.dict(a=1), manager.Value("i", 3), manager.Array("i", [1, 2])]
        assert [thing._token.typeid for thing in things] == [
            *("Queue", "JoinableQueue", "Event", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"),
            *("Barrier", "list", "dict", "Value", "Array"),
        ]
        assert things[8].wait() == 0
        assert (things[8].parties, things[8].broken) == (1, False)
        assert (things[12][1], things[11].value) == (2, 3)
        with things[7]:
            things[7].notify_all()
        assert str(things[10]) == "{'a': 1}"
        namespace = manager.Namespace(a=1)
        namespace.b = 2
        del namespace.a
        assert namespace.b == 2
        with pytest.raises(AttributeError):
            namespace.a  # noqa: B018 (reading it is the test)


def test_a_pool_in_the_server(ctx):
    with ctx.Manager() as manager, manager.Pool(1) as pool:
        assert pool.apply_async(abs, (-1,)).get() == 1
        assert list(pool.imap(abs, [-1, -2])) == [1, 2]
        pool.close()
        pool.join()


# Types of proxies ---------------------------------------------------------------------------------------------------


class Derived(multiprocessing.managers.BaseProxy):
    """A proxy of a program that has never heard of mpfast."""

    _exposed_ = ("answer",)

    def answer(self):
        return self._callmethod("answer"), "derived"


class DerivedFromOurs(managers.BaseProxy):
    _exposed_ = ("answer",)

    def answer(self):
        return self._callmethod("answer"), "ours"


def factory(*args, **keywords):
    return Derived(*args, **keywords)


class Manager(managers.BaseManager):
    pass


Manager.register("Derived", served.Odd, Derived)
Manager.register("Ours", served.Odd, DerivedFromOurs)
Manager.register("Made", served.Odd, factory)
Manager.register("Auto", served.Odd)
Manager.register("dict", dict, multiprocessing.managers.DictProxy)


def test_a_programs_own_proxies(start):
    with Manager() as manager:
        for name, word in (("Derived", "derived"), ("Ours", "ours"), ("Made", "derived")):
            proxy = getattr(manager, name)()
            assert proxy.answer() == (42, word)
            assert isinstance(proxy, multiprocessing.managers.BaseProxy)
            assert manager._number_of_objects() == 1
            again = pickle.loads(pickle.dumps(proxy))
            assert again.answer() == (42, word)
            del proxy, again
            gc.collect()
            until(lambda: manager._number_of_objects() == 0, "nothing is left")
        assert isinstance(manager.Derived(), (Derived, managers.BaseProxy))
        assert type(manager.dict()) is managers.DictProxy
        assert manager.Auto().answer() == 42
        assert pickle.loads(pickle.dumps(manager.Auto())).answer(5) == 5


def test_names():
    """Each class is one of multiprocessing's, too, and is found under its name."""
    for name in ("BaseProxy", "DictProxy", "ListProxy", "NamespaceProxy", "ValueProxy", "PoolProxy"):
        ours, theirs = getattr(managers, name), getattr(multiprocessing.managers, name)
        assert issubclass(ours, theirs)
        assert ours is not theirs
        assert pickle.loads(pickle.dumps(ours)) is ours
    kind = managers.MakeProxyType("Kind", ("answer",))
    assert issubclass(kind, managers.BaseProxy)
    assert kind._exposed_ == ("answer",)


# Many calls ---------------------------------------------------------------------------------------------------------


def test_call_many(manager):
    mapping = manager.dict(a=1)
    results = mapping.call_many([("get", ("a",)), ("__setitem__", ("b", 2)), ("__getitem__", ("c",)), ("copy", ())])
    assert results[:2] == [1, None]
    assert isinstance(results[2], KeyError)
    assert results[3] == {"a": 1, "b": 2}
    assert mapping.call_many([("update", (), {"c": 3}), ("get", ["c"])]) == [None, 3]
    assert mapping.call_many([]) == []
    assert mapping.call_many(iter([("__len__", ())])) == [3]


def test_call_many_of_what_is_no_call(manager):
    mapping = manager.dict()
    for call in (("get",), "get", 5, ("get", (), {}, ()), (5, ()), ["get", ()]):
        with pytest.raises(TypeError, match="a call is a tuple"):
            mapping.call_many([("__setitem__", ("a", 1)), call])
    assert len(mapping) == 0
    results = mapping.call_many([("get", 5), ("nothing", ()), ("get", ("a",), 5), ("__len__", ())])
    assert [type(result).__name__ for result in results] == ["TypeError", "RemoteError", "TypeError", "int"]
    assert "'nothing'" in str(results[1])


def test_call_many_with_results_that_stay(manager):
    mapping = manager.dict(a=1)
    iterator, length = mapping.call_many([("__iter__", ()), ("__len__", ())])
    assert (list(iterator), length) == (["a"], 1)
    del iterator
    gc.collect()
    until(lambda: manager._number_of_objects() == 1, "the iterator is gone")
    inner = manager.list([1])
    mapping["inner"] = inner
    found, text = mapping.call_many([("get", ("inner",)), ("__str__", ())])
    found.append(2)
    assert inner[:] == [1, 2]
    assert text.startswith("{'a': 1")


def test_call_many_with_a_result_that_cannot_travel():
    """It costs its own call only."""
    with OurOdds() as manager:
        odd = manager.Odd()
        results = odd.call_many([("answer", (1,)), ("unpicklable", ()), ("fails", ()), ("answer", (), {"more": 1})])
        assert (results[0], results[3]) == (1, 43)
        assert isinstance(results[1], managers.RemoteError)
        assert isinstance(results[2], LookupError)
        assert odd.answer() == 42


def test_call_many_in_children_and_threads(manager, method):
    mapping = manager.dict(a=1)
    results = served.in_threads(mapping.call_many, [("get", ("a",))] * 50)
    assert results == [[1] * 50] * 4
    with mpfast.get_context(method).Pool(1) as pool:
        assert pool.apply(workers.invoke, (mapping, "call_many", [("get", ("a",))] * 3)) == [1, 1, 1]
        pool.close()
        pool.join()


# Servers and clients of multiprocessing -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
def test_a_server_of_multiprocessing(family, tmp_path, monkeypatch):
    """It refuses what only ours knows, once a connection, and is then asked as it is used to."""
    address = str(tmp_path / "socket") if family == "AF_UNIX" else ("localhost", 0)
    with serving_stdlib(address) as (found, key):
        monkeypatch.setattr(process.current_process(), "authkey", key)  # proxies in answers come without it
        manager = managers.SyncManager(found, authkey=key)
        manager.connect()
        mapping = manager.dict(a=1)
        results = mapping.call_many([("get", ("a",)), ("__getitem__", ("b",))])
        assert results[0] == 1
        assert isinstance(results[1], KeyError)
        mapping["list"] = inner = manager.list([1])
        assert mapping["list"][0] == 1
        assert next(iter(mapping)) == "a"
        assert str(mapping["list"]) == "[1]"
        del mapping["list"], inner
        gc.collect()
        until(lambda: manager._number_of_objects() == 1, "the list is gone")
        del mapping
        gc.collect()
        until(lambda: manager._number_of_objects() == 0, "nothing is left")


CLIENT = """
import sys
sys.modules["mpfast"] = None  # as if it were not installed
from multiprocessing import current_process, managers
current_process().authkey = KEY
manager = managers.SyncManager(ADDRESS, authkey=KEY)
manager.connect()
mapping = manager.dict(a=1)
mapping["inner"] = manager.list([1, 2])
assert mapping["inner"][1] == 2
assert type(mapping["inner"]) is managers.ListProxy
assert list(iter(mapping)) == ["a", "inner"]
try:
    mapping["none"]
except KeyError:
    pass
del mapping["inner"]
print(manager._number_of_objects())
"""


def test_a_client_without_mpfast(manager):
    """Proxies that it gets from our server are the stdlib's, those that lie in it as well."""
    program = f"ADDRESS, KEY = {manager.address!r}, {bytes(manager._authkey)!r}\n{CLIENT}"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (found.stdout, found.stderr) == ("1\n", "")
