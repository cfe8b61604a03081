# SPDX-License-Identifier: MIT
"""Another pickler in ForkingPickler's place, as programs put cloudpickle or dill there."""

import importlib
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

VALUES = [None, 1, 1.5, "a", b"b", [1, 2], {"k": {3}}, list(range(5000)), bytearray(40_000)]


class Marked(ForkingPickler):
    """Its messages are no pickles, so only its own loads() understands them."""

    @classmethod
    def dumps(cls, obj, protocol=None):
        return memoryview(b"X" + pickle.dumps(obj))

    @staticmethod
    def loads(message):
        message = bytes(message)
        assert message[:1] == b"X"
        return "marked", pickle.loads(message[1:])


@pytest.fixture(params=["Pipe", "Queue", "JoinableQueue", "SimpleQueue"])
def ends(request, mp):
    """What sends, and what receives."""
    if request.param == "Pipe":
        reader, writer = mp.Pipe(False)
        return writer.send, reader.recv
    queue = getattr(mp, request.param)()
    return queue.put, queue.get


@pytest.fixture
def modules(mp):
    return [importlib.import_module(f"{mp.__name__}.{name}") for name in ("connection", "queues")]


def test_another_pickler(ends, modules, monkeypatch):
    put, get = ends
    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(module, "_ForkingPickler", Marked)
        for value in VALUES:
            put(value)
            assert get() == ("marked", value)
    for value in VALUES:
        put(value)
        assert get() == value


@pytest.mark.parametrize("lazily", [True, False])
def test_the_reducer_of_a_context(mp, lazily):
    """It counts if it is set before the first queue or connection, with children too, and later it does not."""
    program = f"""
import pickle, {mp.__name__} as mp, multiprocessing.reduction as reduction
def child(a, q): a.send("hi"); q.put("there")
class Pickler(reduction.ForkingPickler):
    @classmethod
    def dumps(cls, obj, protocol=None): return b"X" + pickle.dumps(obj)
    @staticmethod
    def loads(message): return "marked", pickle.loads(bytes(message)[1:])
class Reducer(reduction.AbstractReducer):
    ForkingPickler = Pickler
    dumped = []
    @classmethod
    def dump(cls, obj, file, protocol=None):
        cls.dumped.append(type(obj).__name__)
        reduction.ForkingPickler(file, protocol).dump(obj)
lazily = {lazily}
lazily or (mp.Queue(), mp.Pipe())
mp.get_context().reducer = Reducer
assert mp.get_context("spawn").reducer is Reducer
ctx = mp.get_context("fork")
(a, b), q = ctx.Pipe(), ctx.SimpleQueue()
p = ctx.Process(target=child, args=(b, q)); p.start()
print(a.recv(), q.get()); p.join()
p = mp.get_context("spawn").Process(target=int); p.start(); p.join()
print("SpawnProcess" in Reducer.dumped, p.exitcode)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    expected = "('marked', 'hi') ('marked', 'there')" if lazily else "hi there"
    assert (done.stdout, done.stderr) == (f"{expected}\nTrue 0\n", "")


@pytest.mark.parametrize("name", ["Queue", "SimpleQueue"])
def test_a_worker_that_puts_what_cannot_be_pickled(name):
    """It does not die without a word. What it prints names the object, and items before it are there."""
    program = f"""
import mpfast as mp
def work(queue):
    queue.put("before")
    queue.put(["batch 7", lambda: None])
ctx = mp.get_context("fork")
queue = ctx.{name}()
process = ctx.Process(target=work, args=(queue,))
process.start()
process.join()
print(queue.get(), process.exitcode)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "before 1\n"
    assert "when ['batch 7', <function wor" in done.stderr
    assert f"was put into <mpfast.queues.{name} object" in done.stderr
