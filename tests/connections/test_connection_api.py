# SPDX-License-Identifier: MIT
"""Connection: what it takes, what it returns and what it raises, on every kind of wire. One process is enough."""

import array
import functools
import gc
import operator
import os
import weakref

import pytest
import talk
from harness import Thread

SIZES = [0, 1, 2, 3, 4, 5, 127, 128, 4091, 4092, 4096, 16383, 16384, 16385, 65531, 65532, 65536, 1 << 20]
OBJECTS = [
    None,
    0,
    -1,
    1 << 70,
    1.5,
    "",
    "text \u20ac \U0001f40d",
    b"bytes",
    bytearray(b"array"),
    (1, (2, [3, {"four": {5}}])),
    len,
    operator.add,
    functools.partial(max, 3),
    [1, 2].count,
    ValueError("an error", 3),
    range(7),
    array.array("d", [1, 2]),
]


def same(one, other):
    """Equal, as far as such objects can be."""
    if isinstance(one, BaseException):
        return type(one) is type(other) and one.args == other.args
    if isinstance(one, functools.partial):
        return one.func is other.func and one.args == other.args
    if isinstance(one, type([].count)) and one is not len:
        return other.__name__ == one.__name__
    return type(one) is type(other) and one == other


# Messages -----------------------------------------------------------------------------------------------------------


def test_objects(reader, writer):
    for thing in OBJECTS:
        writer.send(thing)
        assert same(thing, reader.recv())


def test_objects_in_one_go(reader, writer):
    for thing in OBJECTS:
        writer.send(thing)
    assert all(same(thing, reader.recv()) for thing in OBJECTS)
    assert not reader.poll()


def test_references_within_one_message_only(reader, writer):
    """A list that is sent twice is two lists; in one message it is one. The second sending sees what has changed."""
    shared = [1]
    writer.send((shared, shared))
    shared.append(2)
    writer.send(shared)
    one, other = reader.recv()
    assert one is other
    assert one == [1]
    assert reader.recv() == [1, 2]


def test_a_recursive_object(reader, writer):
    thing = []
    thing.append(thing)
    writer.send(thing)
    got = reader.recv()
    assert got[0] is got


def test_both_ways(connection):
    one, other = connection.Pipe()
    for number in range(100):
        one.send(number)
        other.send(-number)
        assert (other.recv(), one.recv()) == (number, -number)


def test_bytes(reader, writer):
    for size in SIZES:
        data = talk.pattern(size)
        sender = Thread(writer.send_bytes, data)
        got = reader.recv_bytes()
        assert sender.result() is None
        assert type(got) is bytes
        assert got == data


def test_sizes_in_a_row(reader, writer):
    """Nothing is left of one message in the next."""
    sender = Thread(lambda: [writer.send_bytes(talk.pattern(size)) for size in SIZES])
    assert all(reader.recv_bytes() == talk.pattern(size) for size in SIZES)
    sender.result()


def test_a_large_object(reader, writer):
    thing = {"data": talk.pattern(3 << 20), "more": list(range(10_000))}
    sender = Thread(writer.send, thing)
    assert reader.recv() == thing
    sender.result()


BUFFERS = [
    b"abcdef",
    bytearray(b"abcdef"),
    memoryview(b"abcdef"),
    memoryview(b"xabcdefy")[1:-1],
    memoryview(bytearray(b"abcdef")),
    array.array("B", b"abcdef"),
    array.array("h", [0x6261, 0x6463, 0x6665]),
    memoryview(b"abcdef").cast("H"),
    memoryview(b"abcdef").cast("H", (3, 1)),
]


def test_buffers(connection):
    reader, writer = connection.Pipe(False)
    for buffer in BUFFERS:
        writer.send_bytes(buffer)
        assert reader.recv_bytes() == b"abcdef"
        writer.send_bytes(buffer, 2)
        assert reader.recv_bytes() == b"cdef"


def test_what_is_no_buffer(connection):
    reader, writer = connection.Pipe(False)
    for thing in ("text", 3, None, [1]):
        with pytest.raises(TypeError, match="a bytes-like object is required, not '" + type(thing).__name__):
            writer.send_bytes(thing)
    assert not reader.poll()


def test_a_buffer_with_gaps(connection):
    reader, writer = connection.Pipe(False)
    with pytest.raises((BufferError, TypeError, ValueError)):
        writer.send_bytes(memoryview(array.array("i", range(6)))[::2])
    assert not reader.poll()


def test_a_buffer_is_free_afterwards(reader, writer):
    """It can be resized, so nobody holds it."""
    data = bytearray(b"data")
    writer.send_bytes(data)
    data.append(1)
    target = bytearray(4)
    reader.recv_bytes_into(target)
    target.append(1)
    assert target == b"data\x01"


# Offsets and limits -------------------------------------------------------------------------------------------------


PARTS = [
    ((), b"0123456789"),
    ((0,), b"0123456789"),
    ((3,), b"3456789"),
    ((10,), b""),
    ((3, 4), b"3456"),
    ((0, 10), b"0123456789"),
    ((10, 0), b""),
    ((4, None), b"456789"),
]


def test_send_bytes_part(reader, writer):
    for arguments, expected in PARTS:
        writer.send_bytes(b"0123456789", *arguments)
        assert reader.recv_bytes() == expected


def test_send_bytes_keywords(connection):
    reader, writer = connection.Pipe(False)
    writer.send_bytes(buf=b"0123456789", offset=2, size=3)
    assert reader.recv_bytes(maxlength=3) == b"234"
    writer.send_bytes(b"ab")
    target = bytearray(4)
    assert reader.recv_bytes_into(buf=target, offset=1) == 2
    assert target == b"\0ab\0"
    writer.send(obj=3)
    assert reader.poll(timeout=1)
    assert reader.recv() == 3


NO_PARTS = [
    ((-1,), "offset is negative"),
    ((11,), "buffer length < offset"),
    ((0, -1), "size is negative"),
    ((0, 11), "buffer length < offset + size"),
    ((9, 2), "buffer length < offset + size"),
    ((1 << 62, 1), "buffer length < offset"),
    ((1, (1 << 63) - 1), "buffer length < offset + size"),
]


def test_send_bytes_refuses(reader, writer):
    for arguments, text in NO_PARTS:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            writer.send_bytes(b"0123456789", *arguments)
        assert str(raised.value) == text
    assert not reader.poll()


def test_maxlength(reader, writer):
    for size in (0, 1, 5, 20_000):
        data = talk.pattern(size)
        for limit in (size, size + 1, 1 << 40, None):
            writer.send_bytes(data)
            assert reader.recv_bytes(limit) == data


@pytest.mark.parametrize("length", [6, 30_000])
def test_too_long_a_message(reader, writer, wire, length):
    writer.send_bytes(bytes(length))
    with pytest.raises(OSError, match="^bad message length$"):
        reader.recv_bytes(5)
    if wire == "one-way":
        assert reader.closed
    else:
        assert not reader.closed
        assert not reader.readable
        with pytest.raises(OSError, match="^connection is write-only$"):
            reader.recv_bytes()
        reader.send("still")
        assert writer.recv() == "still"


def test_negative_maxlength(reader, writer):
    writer.send_bytes(b"abc")
    with pytest.raises(ValueError, match="^negative maxlength$"):
        reader.recv_bytes(-1)
    assert reader.recv_bytes() == b"abc"


def test_recv_bytes_into(reader, writer):
    for offset, expected in ((0, b"abc-----"), (1, b"-abc----"), (5, b"-----abc")):
        target = bytearray(b"-" * 8)
        writer.send_bytes(b"abc")
        assert reader.recv_bytes_into(target, offset) == 3
        assert target == expected


def test_recv_bytes_into_targets(connection):
    reader, writer = connection.Pipe(False)
    for target in (memoryview(bytearray(b"-" * 6)), array.array("b", b"-" * 6)):
        writer.send_bytes(b"abc")
        assert reader.recv_bytes_into(target, 2) == 3
        assert bytes(target) == b"--abc-"


def test_recv_bytes_into_wider_items(connection):
    """Offsets and results count bytes, whatever the items are."""
    reader, writer = connection.Pipe(False)
    target = array.array("i", [-1] * 5)
    writer.send_bytes(array.array("i", [1, 2]))
    assert reader.recv_bytes_into(target, 2 * target.itemsize) == 2 * target.itemsize
    assert list(target) == [-1, -1, 1, 2, -1]


def test_recv_bytes_into_exactly(reader, writer):
    for size in (0, 100_000, 3 << 20):
        data = talk.pattern(size)
        target = bytearray(size)
        sender = Thread(writer.send_bytes, data)
        assert reader.recv_bytes_into(target) == size
        sender.result()
        assert target == data


def test_buffer_too_short(mp, reader, writer):
    """The message is in the exception, and the next one is not hurt."""
    for room, offset in ((2, 0), (8, 6), (0, 0), (3, 3)):
        writer.send_bytes(b"abc")
        writer.send_bytes(b"next")
        target = bytearray(b"-" * room)
        with pytest.raises(mp.BufferTooShort) as raised:
            reader.recv_bytes_into(target, offset)
        assert raised.value.args == (b"abc",)
        assert target == b"-" * room
        assert reader.recv_bytes() == b"next"


def test_recv_bytes_into_refuses(reader, writer):
    writer.send_bytes(b"abc")
    for offset, text in ((-1, "negative offset"), (9, "offset too large")):
        with pytest.raises(ValueError, match=f"^{text}$"):
            reader.recv_bytes_into(bytearray(8), offset)
    assert reader.recv_bytes() == b"abc"


def test_recv_bytes_into_what_cannot_be_written(connection):
    for target in ("text", None, b"read-only"):
        reader, writer = connection.Pipe(False)
        writer.send_bytes(b"abc")
        with pytest.raises(TypeError):
            reader.recv_bytes_into(target)


# The object itself --------------------------------------------------------------------------------------------------


def test_class(mp, connection, reader):
    kind = connection.Connection
    assert type(reader) is kind
    assert kind.__name__ == "Connection"
    assert repr(reader).startswith(f"<{mp.__name__}.connection.Connection object at 0x")


def test_directions(connection, wire, reader, writer):
    both = wire != "one-way"
    assert (reader.readable, reader.writable) == (True, both)
    assert (writer.readable, writer.writable) == (both, True)
    for name in ("readable", "writable", "closed"):
        with pytest.raises(AttributeError):
            setattr(reader, name, True)


def test_one_way_texts(connection):
    reader, writer = connection.Pipe(False)
    for call in (lambda: reader.send(1), lambda: reader.send_bytes(b"1")):
        with pytest.raises(OSError, match="^connection is read-only$"):
            call()
    for call in (writer.recv, writer.recv_bytes, lambda: writer.recv_bytes_into(bytearray(1)), writer.poll):
        with pytest.raises(OSError, match="^connection is write-only$"):
            call()


def test_closed(reader):
    fd = reader.fileno()
    assert reader.closed is False
    assert reader.close() is None
    assert reader.closed is True
    reader.close()
    calls = [reader.recv, reader.recv_bytes, reader.poll, reader.fileno, lambda: reader.send(1)]
    calls += [lambda: reader.send_bytes(b""), lambda: reader.recv_bytes_into(bytearray(1)), lambda: reader.poll(1)]
    for call in calls:
        with pytest.raises(OSError, match="^handle is closed$"):
            call()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_context(connection):
    reader, writer = connection.Pipe(False)
    with reader as same_reader, writer:
        assert same_reader is reader
        writer.send(1)
        assert reader.recv() == 1
    assert reader.closed
    assert writer.closed
    with pytest.raises(ZeroDivisionError), connection.Pipe()[0] as failing:
        raise ZeroDivisionError
    assert failing.closed


def test_dropping_closes(connection, wire):
    reader, writer = talk.ends(connection, wire)
    fd = writer.fileno()
    writer.send("last")
    del writer
    gc.collect()
    assert reader.recv() == "last"
    with pytest.raises(EOFError):
        reader.recv()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_descriptor(reader, writer):
    for end in (reader, writer):
        assert os.fstat(end.fileno())
        assert os.get_inheritable(end.fileno()) is False
        assert os.get_blocking(end.fileno()) is True


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


def test_from_descriptors(connection):
    inlet, outlet = os.pipe()
    reader = connection.Connection(inlet, writable=False)
    writer = connection.Connection(handle=Index(outlet), readable=False, writable=True)
    assert (reader.fileno(), writer.fileno()) == (inlet, outlet)
    assert (reader.readable, reader.writable) == (True, False)
    writer.send("word")
    assert reader.recv() == "word"


def test_bad_descriptors(connection):
    with pytest.raises(ValueError, match="^invalid handle$"):
        connection.Connection(-1)
    with pytest.raises(ValueError, match="^at least one of `readable` and `writable` must be True$"):
        connection.Connection(0, readable=False, writable=False)
    with pytest.raises((AttributeError, TypeError)):
        connection.Connection("0")


def test_a_descriptor_closed_by_somebody_else(connection):
    reader, writer = connection.Pipe(False)
    os.close(reader.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.recv()
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.close()
    assert reader.closed
    writer.close()


def test_what_users_do_with_the_object(connection):
    """Weak references, dictionaries, comparisons, subclasses with attributes."""
    reader, writer = connection.Pipe(False)
    assert weakref.ref(reader)() is reader
    assert {reader: 1, writer: 2}[reader] == 1
    assert reader != writer

    class Own(connection.Connection):
        def recv(self):
            return self.word, super().recv()

    own = Own(os.dup(reader.fileno()), writable=False)
    own.word = "own"
    writer.send(1)
    assert own.recv() == ("own", 1)


def test_arguments(connection):
    reader, _ = connection.Pipe(False)
    for call in (
        lambda: connection.Pipe(1, 2),
        lambda: connection.Pipe(simplex=True),
        lambda: connection.Connection(),
        lambda: reader.recv(1),
        lambda: reader.recv_bytes(1, 2),
        lambda: reader.recv_bytes("1"),
        lambda: reader.recv_bytes_into(),
        lambda: reader.poll("1"),
        lambda: reader.poll(1, 2),
    ):
        with pytest.raises(TypeError):
            call()


def test_duplex_by_truth(connection):
    for duplex in (True, False, 1, 0, "yes", None):
        one, other = connection.Pipe(duplex)
        assert one.writable is bool(duplex)
        assert other.readable is bool(duplex)


def test_pipe_by_context(ctx):
    one, other = ctx.Pipe(duplex=False)
    other.send(1)
    assert one.recv() == 1
    assert type(one).__module__.partition(".")[0] == type(ctx).__module__.partition(".")[0]
