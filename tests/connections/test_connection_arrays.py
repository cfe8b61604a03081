# SPDX-License-Identifier: MIT
"""Arrays and other objects that pickle lets out of band: what arrives is equal, one's own, and may be written."""

import contextlib
import gc
import pickle

import pytest
import talk
from harness import Thread

MIB = 1 << 20

numpy = pytest.importorskip("numpy")


@pytest.fixture
def pair(connection, wire):
    return talk.ends(connection, wire, talk.KEY)


def there(pair, thing):
    reader, writer = pair
    sending = Thread(writer.send, thing)
    got = reader.recv()
    sending.result()
    return got


def arrays():
    counted = numpy.arange(30_000, dtype="i8")
    return [
        counted,
        numpy.arange(12, dtype="f4").reshape(3, 4),
        counted.reshape(300, 100),
        counted.reshape(300, 100).T,
        counted[::3],
        numpy.asfortranarray(counted.reshape(3, 100, 100)),
        counted.astype(">i2"),
        numpy.array(3.5),
        numpy.zeros((0, 5)),
        numpy.zeros(100_000, dtype=[("a", "i1"), ("b", "f8")]),
        numpy.array(["text", None, 3], dtype=object),
        numpy.arange(3 * MIB, dtype="u1"),
    ]


def test_arrays(pair):
    for array in arrays():
        got = there(pair, array)
        assert got.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")  # the order is for numpy to choose
        assert got.shape == array.shape
        assert numpy.array_equal(got, array)
        assert got.flags.writeable
        assert not numpy.shares_memory(got, array) or array.size == 0


def test_what_arrives_may_be_changed(pair):
    """And nobody else sees it: neither the sender nor whoever gets the next one."""
    array = numpy.arange(2 * MIB, dtype="u1")
    first = there(pair, array)
    first += 1
    second = there(pair, array)
    assert numpy.array_equal(second, array)
    assert numpy.array_equal(first, array + 1)
    del second
    gc.collect()
    first[:] = 7
    assert first.sum(dtype="i8") == 7 * len(first)


def test_many_in_one_message(pair):
    things = {"list": arrays(), "same": [arrays()[0]] * 3, "bytes": b"x" * MIB}
    things["more"] = [numpy.arange(n) for n in range(99)]
    got = there(pair, things)
    assert all(numpy.array_equal(a, b) for a, b in zip(got["list"], things["list"], strict=True))
    assert got["same"][0] is got["same"][1]
    assert got["bytes"] == things["bytes"]
    assert all(numpy.array_equal(a, b) for a, b in zip(got["more"], things["more"], strict=True))


def test_alternating_with_small_messages(pair):
    for number in range(20):
        assert there(pair, number) == number
        assert numpy.array_equal(there(pair, numpy.full(number * 10_000, number)), numpy.full(number * 10_000, number))


def test_read_only(pair):
    """Some versions of numpy lose the mark, with pickle too; what is in it counts."""
    array = numpy.arange(100_000)
    array.flags.writeable = False
    assert numpy.array_equal(there(pair, array), array)


class Refusing:
    """Its buffer is taken out of band, and then something after it cannot be pickled."""

    def __reduce_ex__(self, protocol):
        raise RuntimeError("stays here")


def test_failures(pair):
    reader, writer = pair
    with pytest.raises(RuntimeError, match="stays here"):
        writer.send([numpy.arange(10_000), Refusing()])
    assert not reader.poll()
    writer.send([numpy.arange(1000), talk.Unloadable()])
    with pytest.raises(ValueError, match="no number"):
        reader.recv()
    writer.send("next")
    assert reader.recv() == "next"


def test_a_buffer_is_let_go(pair):
    """Who has sent an array may resize it, also after a failure."""
    array = bytearray(50_000)
    view = numpy.frombuffer(array, dtype="u1")
    there(pair, view)
    with pytest.raises(RuntimeError):
        pair[1].send([view, Refusing()])
    del view
    gc.collect()
    array.append(1)


def test_as_bytes(connection):
    """What recv_bytes() gives of an array is a pickle of it, or an error that says why there is none."""
    reader, writer = connection.Pipe()
    array = numpy.arange(1000)
    writer.send(array)
    with contextlib.suppress(OSError, ValueError):
        data = reader.recv_bytes()
        assert numpy.array_equal(pickle.loads(data), array)


def test_to_a_child(ctx, start):
    one, other = ctx.Pipe()
    child = start(other)
    array = numpy.arange(3 * MIB, dtype="u1")
    child.send(talk.echo, other, 3)
    for _ in range(3):
        sending = Thread(one.send, array)
        assert numpy.array_equal(one.recv(), array)
        sending.result()
    assert child.result() == "done"


@pytest.mark.not_asan
def test_memory_comes_back(connection):
    """A hundred large arrays one after the other need the room of a few."""
    pair = connection.Pipe()
    array = numpy.zeros(8 * MIB, dtype="u1")
    for _ in range(3):
        there(pair, array)
    before = talk.resident()
    for _ in range(40):
        there(pair, array)
    gc.collect()
    assert talk.resident() - before < 32 * MIB


@pytest.mark.stress
@pytest.mark.timeout(200)
def test_more_than_two_gigabytes(connection):
    array = numpy.zeros((1 << 31) + 1, dtype="u1")
    array[-1] = 7
    got = there(connection.Pipe(), array)
    assert got.shape == array.shape
    assert got[-1] == 7
    assert not got[:-1].any()
