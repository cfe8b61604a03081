# SPDX-License-Identifier: MIT
"""Connection and pickle: what fails, what nests, and reducers that come late."""

import pickle

import pytest
import talk


def test_unpicklable(reader, writer):
    """Nothing of it is sent, however late the pickler notices."""
    for _ in range(3):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            writer.send([bytes(5000), lambda: None])
        with pytest.raises(RuntimeError, match="stays here"):
            writer.send([1, talk.Unpicklable()])
        assert not reader.poll()
        writer.send("next")
        assert reader.recv() == "next"


def test_unloadable(reader, writer):
    """It is gone, and the next one is not hurt."""
    for _ in range(3):
        writer.send(talk.Unloadable())
        writer.send("next")
        with pytest.raises(ValueError, match="no number"):
            reader.recv()
        assert reader.recv() == "next"


def test_what_is_no_pickle(reader, writer):
    for message in (b"", b"no pickle", b"\x80\x04", pickle.dumps([1, 2, 3])[:-3]):
        writer.send_bytes(message)
        writer.send("next")
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            reader.recv()
        assert reader.recv() == "next"


def test_objects_and_bytes_are_the_same_messages(reader, writer):
    writer.send({"a": 1})
    assert pickle.loads(reader.recv_bytes()) == {"a": 1}
    writer.send_bytes(pickle.dumps({"b": 2}))
    assert reader.recv() == {"b": 2}


class Nested:
    """Sends while it is being pickled."""

    def __init__(self, writer):
        self.writer = writer

    def __reduce__(self):
        self.writer.send("inner")
        return str, ("outer",)


def test_send_within_send(connection):
    """A pickler that is busy is not used for the inner message."""
    reader, writer = connection.Pipe(False)
    inner_reader, inner_writer = connection.Pipe(False)
    writer.send([1, Nested(inner_writer), 2])
    assert inner_reader.recv() == "inner"
    assert reader.recv() == [1, "outer", 2]
    writer.send([1, Nested(writer), 2])
    assert reader.recv() == "inner"
    assert reader.recv() == [1, "outer", 2]


_inlet = None


def receive_more():
    return _inlet.recv()


class Opener:
    """Receives while it is being unpickled."""

    def __reduce__(self):
        return receive_more, ()


def test_recv_within_recv(connection):
    global _inlet
    _inlet, writer = connection.Pipe(False)
    try:
        writer.send([Opener(), "last"])
        writer.send("inner")
        assert _inlet.recv() == ["inner", "last"]
    finally:
        _inlet = None


class Registered:
    def __init__(self, word):
        self.word = word


def rebuild(word):
    return Registered(word)


def test_a_reducer_registered_late(connection):
    """ForkingPickler.register counts also for connections that have sent before."""
    from multiprocessing.reduction import ForkingPickler

    reader, writer = connection.Pipe(False)
    writer.send(Registered("plain"))
    assert reader.recv().word == "plain"
    ForkingPickler.register(Registered, lambda thing: (rebuild, ("registered",)))
    try:
        writer.send(Registered("plain"))
        assert reader.recv().word == "registered"
        ForkingPickler.register(Registered, lambda thing: (rebuild, ("again",)))
        writer.send(Registered("plain"))
        assert reader.recv().word == "again"
    finally:
        del ForkingPickler._extra_reducers[Registered]


def test_a_reducer_of_copyreg(connection):
    import copyreg

    reader, writer = connection.Pipe(False)
    writer.send(Registered("plain"))
    assert reader.recv().word == "plain"
    copyreg.pickle(Registered, lambda thing: (rebuild, ("copyreg",)))
    try:
        writer.send(Registered("plain"))
        assert reader.recv().word == "copyreg"
    finally:
        del copyreg.dispatch_table[Registered]
