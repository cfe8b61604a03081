# SPDX-License-Identifier: MIT
"""Connections go to children and through other connections, descriptors too; and what is left of a killed process."""

import importlib
import os
import signal
import socket
import time

import pytest
import talk
import workers
from harness import DEATH_LIMIT, ChildRaised, Noise, Thread

GONE = (BrokenPipeError, ConnectionResetError)


@pytest.fixture
def sharing(mp):
    """Objects that are sent outside of a start are fetched from a thread of the sender, which ends with the test."""
    yield
    for name in {"multiprocessing", mp.__name__}:
        importlib.import_module(f"{name}.resource_sharer").stop(10)


# To children --------------------------------------------------------------------------------------------------------


def test_child_reads(ctx, connection, start, wire):
    reader, writer = talk.ends(connection, wire)
    child = start(reader)
    assert child.run(talk.kind, reader)[:4] == talk.kind(reader)[:4]
    reader.close()
    writer.send({"to": "the child"})
    assert child.on(reader).recv() == {"to": "the child"}
    assert child.on(reader).poll(0) is False
    child.off(reader).recv_bytes()
    writer.send_bytes(b"bytes")
    assert child.result() == b"bytes"


def test_child_writes(ctx, connection, start, wire):
    reader, writer = talk.ends(connection, wire)
    child = start(writer)
    writer.close()
    assert child.run(talk.kind, writer)[2:] == (wire != "one-way", True, False)
    child.on(writer).send(["from", "the child"])
    assert reader.recv() == ["from", "the child"]
    child.on(writer).close()
    with pytest.raises(EOFError):
        reader.recv()


def test_ping_pong(ctx, connection, start):
    """One end each in two children, none here."""
    for wire in talk.TWO_WAY:
        one, other = talk.ends(connection, wire)
        first, second = start(one, other), start(one, other)
        one.close()
        other.close()
        first.on(other).close()
        second.on(one).close()
        second.send(talk.echo, other, 500)
        for thing in (1, "two", [3]):
            first.on(one).send(thing)
            assert first.on(one).recv() == thing
        first.on(one).close()
        assert second.result() == "EOFError"


@pytest.mark.parametrize("size", [0, 3000, 200_000])
def test_streams(ctx, start, size):
    reader, writer = ctx.Pipe(False)
    child, other = start(writer), start(reader)
    writer.close()
    reader.close()
    child.send(talk.stream, writer, 300, size)
    assert other.run(talk.collect, reader, 300, size) is True
    child.result()


def test_a_grandchild(ctx):
    reader, writer = ctx.Pipe(False)
    process = ctx.Process(target=talk.pass_down, args=(ctx, writer, 2))
    process.start()
    writer.close()
    process.join()
    assert process.exitcode == 0
    assert reader.recv() == "from below"
    with pytest.raises(EOFError):
        reader.recv()
    process.close()


def test_the_other_packages_connection(ctx, start):
    """A child of either package takes a connection of either."""
    for package in ("multiprocessing", "mpfast"):
        reader, writer = importlib.import_module(f"{package}.connection").Pipe(False)
        child = start(reader)
        writer.send(package)
        assert child.on(reader).recv() == package
        assert child.run(talk.kind, reader)[0] == type(reader).__module__


# Through connections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", talk.TWO_WAY)
def test_through_a_connection(connection, sharing, carrier):
    """In one process: what arrives is another descriptor of the same pipe."""
    one, other = talk.ends(connection, carrier)
    for wire in talk.WIRES:
        reader, writer = talk.ends(connection, wire)
        one.send(reader)
        copy = other.recv()
        assert copy.fileno() != reader.fileno()
        assert talk.kind(copy) == talk.kind(reader)
        writer.send(wire)
        assert copy.recv() == wire


def test_through_a_connection_to_a_child(ctx, connection, start, sharing):
    link, theirs = ctx.Pipe()
    child = start(theirs)
    for wire in talk.WIRES:
        reader, writer = talk.ends(connection, wire)
        link.send(writer)
        child.run(talk.use_received, theirs, "send", wire)
        assert reader.recv() == wire
        link.send(reader)
        writer.send([wire])
        assert child.run(talk.use_received, theirs, "recv") == [wire]


def test_the_senders_may_close(ctx, connection, start, sharing):
    """What is under way has a descriptor of its own."""
    link, theirs = ctx.Pipe()
    child = start(theirs)
    reader, writer = connection.Pipe(False)
    link.send(writer)
    writer.close()
    child.run(talk.use_received, theirs, "send", "late")
    assert reader.recv() == "late"
    with pytest.raises(EOFError):
        reader.recv()


def test_mixed(mp, connection, start, ctx, sharing):
    """Each package's connection through the other's, and a socket."""
    for carrier_name, name in (("multiprocessing", "mpfast"), ("mpfast", "multiprocessing")):
        carrier, made = (importlib.import_module(f"{package}.connection") for package in (carrier_name, name))
        link, theirs = carrier.Pipe()
        child = start(theirs)
        reader, writer = made.Pipe(False)
        link.send(writer)
        child.run(talk.use_received, theirs, "send", name)
        assert reader.recv() == name
    importlib.import_module("multiprocessing.resource_sharer").stop(10)
    importlib.import_module("mpfast.resource_sharer").stop(10)


def test_a_socket(ctx, start, sharing):
    link, theirs = ctx.Pipe()
    child = start(theirs)
    one, other = socket.socketpair()
    with one, other:
        link.send(other)
        assert child.run(talk.use_received, theirs, "send", b"socket") == 6
        assert one.recv(10) == b"socket"


@pytest.mark.parametrize("wire", ["duplex", "AF_UNIX"])
def test_handles(mp, ctx, connection, start, wire, tmp_path):
    reduction = importlib.import_module(f"{mp.__name__}.reduction")
    one, other = talk.ends(connection, wire)
    child = start(other)
    (tmp_path / "file").write_text("in the file")
    with open(tmp_path / "file") as file:
        for _ in range(3):
            # From 3.14 on it waits for an answer.
            sending = Thread(reduction.send_handle, one, file.fileno(), child.pid)
            assert child.run(talk.read_handle, reduction.__name__, other) == b"in the file"
            sending.result()
    one.send("after them")
    assert child.on(other).recv() == "after them"


def test_handles_between_the_packages(tmp_path):
    """Each sends to the other over either's connections."""
    names = ("multiprocessing", "mpfast")
    (tmp_path / "file").write_text("in the file")
    with open(tmp_path / "file") as file:
        for carrier, sender, receiver in ((a, b, c) for a in names for b in names for c in names):
            one, other = importlib.import_module(f"{carrier}.connection").Pipe()
            send_handle = importlib.import_module(f"{sender}.reduction").send_handle
            sending = Thread(send_handle, one, file.fileno(), os.getpid())
            fd = importlib.import_module(f"{receiver}.reduction").recv_handle(other)
            sending.result()
            assert os.pread(fd, 20, 0) == b"in the file"
            os.close(fd)


def test_handles_to_nobody(mp, connection):
    reduction = importlib.import_module(f"{mp.__name__}.reduction")
    one, other = connection.Pipe()
    other.close()
    with pytest.raises(GONE):
        reduction.send_handle(one, 0, os.getpid())
    one, other = connection.Pipe()
    one.close()
    with pytest.raises(EOFError):
        reduction.recv_handle(other)


# Killed peers -------------------------------------------------------------------------------------------------------


def test_killed_writer(ctx, connection, start, wire):
    """The end comes at once, and after all that was sent."""
    reader, writer = talk.ends(connection, wire)
    child = start(writer)
    writer.close()
    child.on(writer).send("last words")
    with Noise() as noise:
        killed = child.kill()
        assert reader.recv() == "last words"
        with pytest.raises(EOFError):
            reader.recv()
        assert time.monotonic() - killed < noise.limit(DEATH_LIMIT)


def test_killed_while_we_wait(ctx, connection, start, wire):
    for call in (lambda r: r.recv(), lambda r: r.recv_bytes(), lambda r: r.recv_bytes_into(bytearray(9))):
        reader, writer = talk.ends(connection, wire)
        child = start(writer)
        writer.close()
        waiting = Thread(call, reader).asleep()
        with Noise() as noise:
            killed = child.kill()
            with pytest.raises(EOFError):
                waiting.result()
            assert waiting.ended - killed < noise.limit(DEATH_LIMIT)


@pytest.mark.parametrize("call", ["poll", "wait"])
def test_killed_while_we_look(ctx, connection, start, call):
    reader, writer = connection.Pipe()
    child = start(writer)
    writer.close()
    waiting = Thread(*((reader.poll, None) if call == "poll" else (connection.wait, [reader]))).asleep()
    killed = child.kill()
    assert waiting.result() == (True if call == "poll" else [reader])
    assert waiting.ended - killed < 5


def test_killed_in_the_middle_of_a_message(ctx, connection, start, wire):
    """Whoever was to receive the rest gets an error and not half of it."""
    reader, writer = talk.ends(connection, wire)
    child = start(writer)
    writer.close()
    child.begin(talk.send_without_end, writer, 16 << 20)
    child.kill()
    with pytest.raises(OSError, match="got end of file during message|Connection reset"):
        reader.recv_bytes()


def test_killed_reader(ctx, connection, start, wire):
    reader, writer = talk.ends(connection, wire)
    child = start(reader)
    reader.close()
    child.kill()
    with pytest.raises(GONE):  # over the net the first ones go to nobody
        talk.over_and_over(lambda: writer.send(bytes(1000)), 100_000)


def test_reader_killed_while_we_send(ctx, connection, start, wire):
    reader, writer = talk.ends(connection, wire)
    child = start(reader)
    reader.close()
    sending = Thread(writer.send_bytes, bytes(64 << 20)).asleep()
    killed = child.kill()
    with pytest.raises(GONE):
        sending.result()
    assert sending.ended - killed < 5


@pytest.mark.parametrize("method", ["fork"])
def test_killed_at_any_moment(ctx, connection, start):
    """All that comes is a whole message, until an error or the end; and that within moments."""
    for number in range(20):
        reader, writer = talk.ends(connection, talk.LOCAL[number % 3])
        child = start(writer)
        writer.close()
        child.send(talk.send_without_end, writer, (1, 1000, 70_000, 1 << 20)[number % 4])
        size = len(reader.recv_bytes())
        for _ in range(number):
            assert len(reader.recv_bytes()) == size
        os.kill(child.pid, signal.SIGKILL)
        lengths = set()
        with pytest.raises((EOFError, OSError)):
            talk.over_and_over(lambda reader=reader, lengths=lengths: lengths.add(len(reader.recv_bytes())))
        assert lengths <= {size}


def test_stopped_and_continued(ctx, connection, start):
    one, other = ctx.Pipe()
    child = start(other)
    child.send(talk.echo, other, 3)
    os.kill(child.pid, signal.SIGSTOP)
    sending = Thread(one.send, bytes(1 << 20)).asleep()
    os.kill(child.pid, signal.SIGCONT)
    assert one.recv() == bytes(1 << 20)
    sending.result()
    for word in ("a", "b"):
        one.send(word)
        assert one.recv() == word
    assert child.result() == "done"


def test_an_error_in_the_child_is_the_same_there(connection, start):
    reader, writer = connection.Pipe(False)
    child = start(reader, writer)
    writer.close()
    reader.close()
    child.on(writer).close()
    with pytest.raises(ChildRaised, match="EOFError"):
        child.on(reader).recv()
    child.on(reader).close()
    with pytest.raises(ChildRaised, match="OSError: handle is closed"):
        child.on(reader).recv()
    assert child.run(workers.invoke, reader, "close") is None
