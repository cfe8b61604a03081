# SPDX-License-Identifier: MIT
"""Buffers beside the pickle: sent only to who is known to understand it, and received with care."""

import multiprocessing.connection
import os
import pickle
import struct

import pytest
import talk
from harness import Thread

import mpfast.connection

SIZE = 100_000
PACKAGES = [mpfast.connection, multiprocessing.connection]


class Large:
    """Its buffer may travel beside the pickle."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Large, (pickle.PickleBuffer(self.data) if protocol >= 5 else self.data,)


def keyed(accepting, connecting):
    with accepting.Listener(authkey=talk.KEY) as listener:
        client = Thread(connecting.Client, listener.address, authkey=talk.KEY)
        return listener.accept(), client.result()


def beside(writer, reader):
    """Does the buffer travel beside the pickle? Looks at the descriptor behind everybody's back."""
    fd = os.dup(reader._facts()[0])
    try:
        sending = Thread(writer.send, Large(bytes(SIZE)))
        head = os.read(fd, 4)
        left = SIZE
        while left > 0:
            left -= len(os.read(fd, 1 << 16))
        sending.result()
        while reader.poll():
            os.read(fd, 1 << 16)
        return struct.unpack("!i", head) == (-2,)
    finally:
        os.close(fd)


@pytest.mark.parametrize("duplex", [False, True])
def test_a_pipe_until_its_descriptor_is_taken(duplex):
    reader, writer = mpfast.connection.Pipe(duplex)
    assert beside(writer, reader)
    mpfast.connection.wait([reader], 0)
    writer.fileno()
    assert beside(writer, reader)
    reader.fileno()
    assert not beside(writer, reader)


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pipe_whose_descriptor_another_process_takes(start, method, duplex):
    reader, writer = mpfast.connection.Pipe(duplex)
    child = start(reader, context=mpfast.get_context(method))
    assert beside(writer, reader)
    child.on(reader).fileno()
    assert not beside(writer, reader)


@pytest.fixture
def mp():
    return mpfast


@pytest.mark.parametrize("accepting", PACKAGES)
@pytest.mark.parametrize("connecting", PACKAGES)
def test_a_handshake_tells(accepting, connecting):
    ends = keyed(accepting, connecting)
    both = accepting is connecting is mpfast.connection
    for writer, reader in (ends, ends[::-1]):
        thing = Large(bytes(SIZE))
        sending = Thread(writer.send, thing)
        assert bytes(reader.recv().data) == thing.data
        sending.result()
        if type(writer) is mpfast.connection.Connection and both:
            assert beside(writer, reader)
        elif type(writer) is mpfast.connection.Connection:
            assert writer._facts()[3][0] is False


def test_without_a_key_nobody_is_known():
    with mpfast.connection.Listener() as listener:
        client = Thread(mpfast.connection.Client, listener.address)
        server, client = listener.accept(), client.result()
        assert not beside(server, client)
        assert not beside(client, server)


@pytest.mark.parametrize("readonly", [False, True])
def test_as_bytes(readonly):
    """What a stranger would have got."""
    reader, writer = mpfast.connection.Pipe()
    for receive in (reader.recv_bytes, lambda: into(reader)):
        sending = Thread(writer.send, [Large(bytes(SIZE) if readonly else bytearray(SIZE)), 1])
        got = pickle.loads(receive())
        assert type(got[0].data) is (bytes if readonly else bytearray)
        assert bytes(got[0].data) == bytes(SIZE)
        assert got[1] == 1
        sending.result()


def into(reader):
    target = bytearray(2 * SIZE)
    return bytes(target[: reader.recv_bytes_into(target)])


def test_a_limit_holds():
    reader, writer = mpfast.connection.Pipe()
    sending = Thread(writer.send, Large(bytes(SIZE)))
    with pytest.raises(OSError, match="^bad message length$"):
        reader.recv_bytes(SIZE // 2)
    reader.close()
    with pytest.raises((OSError, AssertionError)):
        assert sending.result() is not None


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack("!iIQ", -2, 1 << 31, 5),
        struct.pack("!iIQ", -2, 1, (1 << 64) - 1) + bytes(8),
        struct.pack("!iIQQ", -2, 1, 2, (1 << 64) - 1) + b"N.",
        struct.pack("!iIQQ", -2, 1, 2, 1 << 62) + b"N.",
    ],
)
def test_lengths_beyond_all_memory(frame):
    reader, writer = mpfast.connection.Pipe()
    fd = os.dup(writer.fileno())
    os.write(fd, frame + bytes(100))
    with pytest.raises((OSError, MemoryError)):
        reader.recv()
    os.close(fd)


def test_cut_off_at_every_point():
    reader, writer = mpfast.connection.Pipe()
    frame = struct.pack("!iIQ", -2, 2, 6) + struct.pack("!QQ", 3, 0) + b"\x80\x05K\x01a." + b"abc"
    for cut in range(1, len(frame)):
        reader, writer = mpfast.connection.Pipe()
        os.write(writer._facts()[0], frame[:cut])
        writer.close()
        with pytest.raises(OSError, match="^got end of file during message$"):
            reader.recv()


def test_strangers_are_refused():
    """-2 is no length for who does not know the other end."""
    inlet, outlet = os.pipe()
    with mpfast.connection.Connection(inlet, writable=False) as reader:
        os.write(outlet, struct.pack("!iIQ", -2, 0, 4) + b"\x80\x05N.")
        with pytest.raises(OSError, match="^bad message length$"):
            reader.recv()
    os.close(outlet)
