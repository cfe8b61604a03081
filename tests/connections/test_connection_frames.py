# SPDX-License-Identifier: MIT
"""Frames with buffers and long headers that are none, by every call that receives; and peers that say nothing."""

import contextlib
import gc
import multiprocessing.connection
import os
import pickle
import signal
import socket
import struct
import threading

import pytest
import talk
import watch
from harness import Thread, wait_asleep

import mpfast.connection

ROOM = 100_000
LIMIT = 50_000
COUNT_MAX = 1 << 20  # buffers of one message
MIB = 1 << 20

BAD = "^bad message length$"
CUT = "^got end of file during message$"


def into(reader):
    target = bytearray(ROOM)
    return bytes(target[: reader.recv_bytes_into(target)])


CALLS = {
    "recv": lambda reader: reader.recv(),
    "recv_bytes": lambda reader: reader.recv_bytes(),
    "recv_bytes of a limit": lambda reader: reader.recv_bytes(LIMIT),
    "recv_bytes_into": into,
}


@pytest.fixture(params=CALLS)
def receive(request):
    return CALLS[request.param]


def table(*lengths):
    return b"".join(struct.pack("!Q", length) for length in lengths)


def head(count, length):
    return struct.pack("!iIQ", -2, count, length)


def frame(pickled, *buffers):
    """A message with buffers beside its pickle."""
    lengths = table(*map(len, buffers))
    return head(len(buffers), len(pickled)) + lengths + pickled + b"".join(buffers)


def pickled(*parts):
    """A pickle of a list of these, without them."""
    return pickle.dumps([pickle.PickleBuffer(part) for part in parts], 5, buffer_callback=lambda _: None)


def whole_frame(*parts):
    return frame(pickled(*parts), *parts)


@contextlib.contextmanager
def knowing(duplex=False):
    """(an end that takes buffers, a descriptor that writes to it), without a look at the descriptor that would show."""
    reader, writer = mpfast.connection.Pipe(duplex)
    fd = os.dup(writer._facts()[0])
    writer.close()
    try:
        with reader:
            yield reader, fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


@contextlib.contextmanager
def little_memory(most=32 * MIB):
    """The most memory that this process has at a time grows by no more than this."""
    before = talk.resident()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest so far is forgotten
    yield
    with open("/proc/self/status") as lines:
        highest = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    assert highest - before < most


def test_the_memory_is_measured():
    with pytest.raises(AssertionError), little_memory():
        assert len(b"x" * (64 * MIB)) == 64 * MIB


def refuses(reader, receive):
    """Nothing that follows is taken for a message."""
    for _ in range(2):
        with pytest.raises(OSError, match="^(handle is closed|connection is write-only)$"):
            receive(reader)


# Frames with buffers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.parametrize("count", [COUNT_MAX + 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_too_many_buffers(receive, count, duplex):
    """Refused by the header alone: the peer need not send, or close, anything."""
    with knowing(duplex) as (reader, fd), little_memory():
        os.write(fd, head(count, 10))
        with pytest.raises(OSError, match=BAD):
            receive(reader)
        refuses(reader, receive)
        assert reader.closed is not duplex
        if duplex:
            reader.send_bytes(b"the other way is whole")
            assert os.read(fd, 100)[4:] == b"the other way is whole"


SUMS = {
    "2 of 2^63": [1 << 63, 1 << 63],
    "4 of 2^62": [1 << 62] * 4,
    "all and one": [(1 << 64) - 1, 1],
    "all and the pickle": [(1 << 64) - 2],
    "one, then all": [1, (1 << 64) - 1],
    "2^63 - 1": [(1 << 63) - 1],
}


@pytest.mark.parametrize("lengths", SUMS.values(), ids=SUMS)
def test_sums_that_overflow(receive, lengths):
    """Modulo 2^64 they would be small. Without a limit it is the first that has no room; with one, their sum."""
    with knowing() as (reader, fd), little_memory():
        os.write(fd, head(len(lengths), 2) + table(*lengths) + b"N." + bytes(100))
        with pytest.raises((OSError, MemoryError)) as raised:
            receive(reader)
        if receive is CALLS["recv_bytes of a limit"]:
            assert str(raised.value) == "bad message length"
        with pytest.raises((OSError, MemoryError)):
            receive(reader)


@pytest.mark.parametrize("length", [LIMIT * 2, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_pickle_over_the_limit(length):
    with knowing() as (reader, fd), little_memory():
        os.write(fd, head(0, length))
        with pytest.raises(OSError, match=BAD):
            reader.recv_bytes(LIMIT)
        refuses(reader, CALLS["recv_bytes"])


def test_a_table_over_the_limit():
    """Nobody waits for eight bytes a buffer that alone are more than the message may be."""
    with knowing() as (reader, fd), little_memory():
        os.write(fd, head(COUNT_MAX, 10))
        with pytest.raises(OSError, match=BAD):
            reader.recv_bytes(LIMIT)


def test_limits_to_the_byte():
    """What recv_bytes() gives, recv_bytes() of its length gives too; of one less it does not."""
    data = whole_frame(b"a" * 1000, bytearray(70_000))
    with knowing(True) as (reader, fd):
        sending = Thread(talk.over_and_over, lambda: os.write(fd, data), 2)
        whole = reader.recv_bytes()
        assert pickle.loads(whole) == [b"a" * 1000, bytearray(70_000)]
        assert reader.recv_bytes(len(whole)) == whole
        sending.result()
        sending = Thread(os.write, fd, data)
        with pytest.raises(OSError, match=BAD):
            reader.recv_bytes(len(whole) - 1)
        refuses(reader, CALLS["recv_bytes"])
        reader.close()
        with contextlib.suppress(OSError):
            sending.result()


def cuts(data):
    """Everywhere in the header, the table and the pickle; now and then in the buffers."""
    return [*range(1, min(len(data), 90)), *range(90, len(data), 997), len(data) - 1]


def test_cut_off(receive):
    """In the header, the table, the pickle, a buffer, between two of them, before one that is empty."""
    data = whole_frame(b"abc", b"", bytearray(3000))
    for cut in cuts(data):
        with knowing() as (reader, fd):
            os.write(fd, data[:cut])
            os.close(fd)
            with pytest.raises((OSError, EOFError)) as raised:
                receive(reader)
            assert type(raised.value) is OSError or cut == 4, cut
            with pytest.raises(EOFError):
                receive(reader)


ANNOUNCED = {
    "a table of 8 MiB": head(COUNT_MAX, 2) + table(*[1] * 10),
    "a pickle of 1 GiB": head(1, 1 << 30) + table(1) + b"N.",
    "a buffer of 1 GiB": head(1, 2) + table(1 << 30) + b"N." + bytes(100),
    "1,000 of 1 GiB": head(1000, 2) + table(*[1 << 30] * 1000) + b"N." + bytes(100),
    "nothing, then 1 GiB": head(3, 2) + table(0, 0, 1 << 30) + b"N.",
}


@pytest.mark.not_asan
@pytest.mark.parametrize("what", ANNOUNCED)
def test_more_announced_than_comes(receive, what):
    """It is waited for while the peer is there, without memory for it; its end is an error at once."""
    limited = receive is CALLS["recv_bytes of a limit"]
    with knowing() as (reader, fd), little_memory():
        os.write(fd, ANNOUNCED[what])
        waiting = Thread(receive, reader)
        if not limited:
            waiting.asleep()
            os.close(fd)
        with pytest.raises(OSError, match=BAD if limited else CUT):
            waiting.result()


def test_byte_by_byte(receive):
    data = whole_frame(b"abc", b"", bytearray(b"defg"))
    with knowing() as (reader, fd):
        receiving = Thread(receive, reader).asleep()
        for i in range(len(data)):
            os.write(fd, data[i : i + 1])
        got = receiving.result()
        assert (got if receive is CALLS["recv"] else pickle.loads(got)) == [b"abc", b"", bytearray(b"defg")]


def test_too_short_a_target():
    """As with other messages: the exception has it, and the next one is whole."""
    data = whole_frame(b"a" * ROOM) + talk.frame(b"next")
    with knowing() as (reader, fd):
        sending = Thread(os.write, fd, data)
        with pytest.raises(mpfast.connection.BufferTooShort) as raised:
            into(reader)
        assert pickle.loads(raised.value.args[0]) == [b"a" * ROOM]
        assert into(reader) == b"next"
        sending.result()


WRONG = {
    "a buffer too few": frame(pickled(b"abc", b"def"), b"abc"),
    "no pickle": frame(b"\xff\xff", b"abc"),
    "a pickle that does not end": frame(b"\x80\x05", b"abc"),
    "an empty pickle": frame(b""),
    "an opcode cut short": frame(b"\x80\x05\x8e\xff", b"abc"),
}


@pytest.mark.parametrize("what", WRONG)
def test_contents_that_are_wrong(receive, what):
    """An error, and the next message is whole: where this one ends was never in doubt."""
    with knowing() as (reader, fd):
        os.write(fd, WRONG[what] + talk.frame(pickle.dumps("next")))
        if receive is CALLS["recv"]:
            with pytest.raises((pickle.UnpicklingError, EOFError)):
                receive(reader)
            assert receive(reader) == "next"
        else:
            with pytest.raises(OSError, match="^a message "):
                receive(reader)
            assert pickle.loads(receive(reader)) == "next"


def test_a_buffer_too_many(receive):
    with knowing() as (reader, fd):
        os.write(fd, frame(pickled(b"abc"), b"abc", b"not needed") + frame(pickle.dumps("next")))
        for shall in ([b"abc"], "next"):
            got = receive(reader)
            assert (got if receive is CALLS["recv"] else pickle.loads(got)) == shall


# Long headers, and kinds of which there is none ---------------------------------------------------------------------


@pytest.mark.parametrize("length", [(1 << 63) - 64, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_long_headers_beyond_all_memory(receive, length):
    with knowing() as (reader, fd), little_memory():
        os.write(fd, struct.pack("!iQ", -1, length) + bytes(100))
        with pytest.raises(OSError, match=BAD):
            receive(reader)
        refuses(reader, receive)


@pytest.mark.parametrize("length", [1 << 48, 1 << 62])
def test_long_headers_beyond_this_machine(receive, length):
    """An error each time, and never a message out of what follows."""
    limited = receive is CALLS["recv_bytes of a limit"]
    with knowing() as (reader, fd), little_memory():
        os.write(fd, struct.pack("!iQ", -1, length) + talk.frame(b"no message") * 3)
        for _ in range(3):
            with pytest.raises(OSError if limited else MemoryError):
                receive(reader)


@pytest.mark.parametrize("kind", [-3, -4, -256, -(1 << 24) - 1, -(1 << 31)])
def test_kinds_that_are_none(receive, kind):
    with knowing() as (reader, fd):
        os.write(fd, struct.pack("!i", kind))
        with pytest.raises(OSError, match=BAD):
            receive(reader)
        refuses(reader, receive)


# Wires that take no buffers -----------------------------------------------------------------------------------------


def strangers():
    """name -> (an end of ours, a descriptor that writes to it)"""
    with mpfast.connection.Listener() as listener:
        sock = talk.raw_client(listener.address)
        yield "keyless server", listener.accept(), sock.detach()
    with socket.create_server(("localhost", 0)) as server:
        client = mpfast.connection.Client(server.getsockname())
        yield "keyless client", client, server.accept()[0].detach()
    for name, fds in (("a pipe", os.pipe()), ("a socket", [s.detach() for s in socket.socketpair()])):
        yield name, mpfast.connection.Connection(fds[0], writable=name != "a pipe"), fds[1]
    with mpfast.connection.Listener(authkey=talk.KEY) as listener:
        client = Thread(multiprocessing.connection.Client, listener.address, authkey=talk.KEY)
        server, other = listener.accept(), client.result()
        yield "the other package with a key", server, os.dup(other.fileno())
        other.close()


def test_frames_from_strangers(receive):
    """As any other length below -1, though the frame is as good as can be; and before all of it has come."""
    seen = 0
    for name, reader, fd in strangers():
        with reader:
            os.write(fd, frame(pickle.dumps(name))[:16])
            with pytest.raises(OSError, match=BAD):
                receive(reader)
            refuses(reader, receive)
        os.close(fd)
        seen += 1
    assert seen == 5


# Peers that say nothing ---------------------------------------------------------------------------------------------
#
# As in multiprocessing the handshake has no deadline: who serves strangers does so in a thread, or is interrupted.


class Hit(Exception):
    """Raised by a signal handler."""


def half_a_header(sock):
    sock.sendall(b"\0\0")


def a_header(sock):
    sock.sendall(struct.pack("!i", 20))


def half_a_message(sock):
    sock.sendall(struct.pack("!i", 20) + b"{sha256}")


def the_answer(sock):
    """All that a client with the key says, but for its own challenge."""
    with multiprocessing.connection.Connection(os.dup(sock.fileno())) as conn:
        multiprocessing.connection.answer_challenge(conn, talk.KEY)


SAID = [lambda sock: None, half_a_header, a_header, half_a_message, the_answer]
SAID_IDS = ["nothing", "half a header", "a header", "half a message", "the answer"]


@pytest.fixture(params=["AF_UNIX", "AF_INET"])
def listener(request, connection):
    with connection.Listener(family=request.param, backlog=5, authkey=talk.KEY) as made:
        yield made


def served(connection, listener, client=None):
    client = client or Thread(connection.Client, listener.address, authkey=talk.KEY)
    with listener.accept() as one, client.result() as other:
        one.send("word")
        assert other.recv() == "word"


@contextlib.contextmanager
def interrupted_when_asleep():
    """A signal hits the main thread once it is blocked: Hit is raised there."""

    def hit(*_):
        raise Hit

    def ring():
        wait_asleep(os.getpid(), threading.main_thread().native_id)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, hit)
    try:
        ringing = Thread(ring)
        with pytest.raises(Hit):
            yield
        ringing.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("say", SAID, ids=SAID_IDS)
def test_a_silent_client_leaves(connection, listener, say):
    """accept() waits for it; those who came after it are served when it has gone."""
    accepting = Thread(listener.accept)
    with talk.raw_client(listener.address) as silent:
        say(silent)
        accepting.asleep()
        patient = Thread(connection.Client, listener.address, authkey=talk.KEY).asleep()
        accepting.asleep()
    with pytest.raises((EOFError, OSError)):
        accepting.result()
    served(connection, listener, patient)
    served(connection, listener)


@pytest.mark.parametrize("say", SAID, ids=SAID_IDS)
def test_a_silent_client_and_a_signal(connection, listener, say):
    """A handler that raises ends accept(), and the silent one's connection goes with it."""
    with talk.raw_client(listener.address) as silent:
        answering = Thread(say, silent)
        with interrupted_when_asleep():
            listener.accept()
        answering.result()
        gc.collect()
        with contextlib.suppress(ConnectionResetError):
            while silent.recv(1 << 16):
                pass
    served(connection, listener)


def test_no_client_and_a_signal(connection, listener):
    with interrupted_when_asleep():
        listener.accept()
    served(connection, listener)


@pytest.mark.parametrize("say", SAID[:-1], ids=SAID_IDS[:-1])
def test_a_silent_server_leaves(connection, say):
    with socket.create_server(("localhost", 0)) as server:
        connecting = Thread(connection.Client, server.getsockname(), authkey=talk.KEY)
        silent = server.accept()[0]
        say(silent)
        connecting.asleep()
        silent.close()
        with pytest.raises((EOFError, OSError)):
            connecting.result()


def test_a_silent_server_and_a_signal(connection):
    """One that has not even accepted: the kernel has. Client() gives its descriptor back."""
    with socket.create_server(("localhost", 0)) as server:
        before = len(watch.descriptors())
        with interrupted_when_asleep():
            connection.Client(server.getsockname(), authkey=talk.KEY)
        gc.collect()
        assert len(watch.descriptors()) == before
        silent, _ = server.accept()
        with silent:
            assert silent.recv(100) == b""
