# SPDX-License-Identifier: MIT
"""Nothing grows: descriptors and memory, after thousands of connections and messages, also when they fail."""

import contextlib
import gc
import os
import pickle

import pytest
import talk
import watch
import workers
from harness import Thread

pytestmark = pytest.mark.not_asan
MIB = 1 << 20


@pytest.fixture(params=["fork"])
def method(request):
    return request.param


def growth(function, times):
    """Bytes of memory that so many calls cost, after some that warm up.

    What leaks does so in each round. What malloc() gives back and takes again between tests comes once.
    """
    return 2 * min(in_a_round(function, times // 2) for _ in range(4))


def in_a_round(function, times):
    before = talk.resident()
    for _ in range(times):
        function()
    gc.collect()
    return talk.resident() - before


@pytest.mark.parametrize("duplex", [True, False])
def test_ten_thousand_pipes(connection, duplex):
    """Closed, left in a with, and dropped."""

    def use():
        one, other = connection.Pipe(duplex)
        other.send(None)
        one.recv()
        one.close()
        other.close()
        with connection.Pipe(duplex)[0], connection.Pipe(duplex)[1]:
            pass
        connection.Pipe(duplex)

    descriptors = watch.descriptors()
    assert growth(use, 1250) < 4 * MIB
    assert watch.descriptors() == descriptors


def test_pipes_in_cycles(connection):
    descriptors = len(watch.descriptors())
    for _ in range(100):
        box = [connection.Pipe()]
        box.append(box)
    del box
    gc.collect()
    assert len(watch.descriptors()) == descriptors


@pytest.mark.parametrize("authkey", [None, talk.KEY])
def test_a_thousand_meetings(connection, authkey):
    with connection.Listener(authkey=authkey, backlog=8) as listener:
        descriptors = watch.descriptors()

        def meet():
            client = Thread(connection.Client, listener.address, authkey=authkey)
            with listener.accept() as one, client.result() as other:
                one.send(1)
                assert other.recv() == 1

        assert growth(meet, 250) < 8 * MIB
        gc.collect()
        assert watch.descriptors() == descriptors


def test_messages(connection):
    """Of all sizes, and so many that a forgotten reference in any of them would show."""
    for wire in talk.LOCAL:
        reader, writer = talk.ends(connection, wire)
        data, target = os.urandom(30_000), bytearray(30_000)
        thing = {"a": [1, 2.5, "text"], "b": data}

        def use(reader=reader, writer=writer, data=data, target=target, thing=thing):
            writer.send(thing)
            assert reader.recv() == thing
            writer.send_bytes(data)
            reader.recv_bytes()
            writer.send_bytes(data)
            reader.recv_bytes_into(target)
            reader.poll()

        assert growth(use, 1000) < 2 * MIB


def test_large_messages(connection):
    """Buffers that grew for one of them are given back, or used again."""
    reader, writer = connection.Pipe()
    data = os.urandom(4 * MIB)

    def use():
        sending = Thread(writer.send, [data])
        assert reader.recv() == [data]
        sending.result()

    assert growth(use, 12) < 12 * MIB


def test_failures(mp, connection):
    reader, writer = connection.Pipe()
    ended, other = connection.Pipe()
    other.close()
    data = bytes(30_000)

    def use():
        with contextlib.suppress(RuntimeError):
            writer.send([data, talk.Unpicklable()])
        writer.send([data, talk.Unloadable()])
        with contextlib.suppress(ValueError):
            reader.recv()
        writer.send_bytes(data)
        with contextlib.suppress(mp.BufferTooShort):
            reader.recv_bytes_into(bytearray(1))
        writer.send_bytes(b"no pickle")
        with contextlib.suppress(pickle.UnpicklingError):
            reader.recv()
        for call in (lambda: writer.send_bytes(data, -1), ended.recv, lambda: ended.send(data)):
            with contextlib.suppress(ValueError, EOFError, OSError):
                call()

    assert growth(use, 500) < 2 * MIB


def test_bad_lengths(connection):
    def use():
        one, other = connection.Pipe(False)
        other.send_bytes(bytes(1000))
        with contextlib.suppress(OSError):
            one.recv_bytes(10)
        assert one.closed

    descriptors = watch.descriptors()
    assert growth(use, 500) < 2 * MIB
    assert watch.descriptors() == descriptors


def test_waits(connection):
    pairs = [connection.Pipe() for _ in range(20)]
    readers = [reader for reader, _ in pairs]
    pairs[3][1].send(1)

    def use():
        assert connection.wait(readers, 0) == [readers[3]]
        assert readers[3].poll(0)
        assert not readers[4].poll(0)

    assert growth(use, 1000) < MIB


def test_given_to_children(ctx, connection):
    """What a start makes for the child goes with it, whether the child comes to be or not."""
    descriptors = len(watch.descriptors())
    for number in range(30):
        one, other = connection.Pipe()
        process = ctx.Process(target=workers.nothing, args=([one, other], number))
        process.start()
        process.join()
        process.close()
    del one, other, process
    gc.collect()
    assert len(watch.descriptors()) == descriptors


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_given_to_children_of_other_methods(ctx, connection):
    test_given_to_children(ctx, connection)
    descriptors = len(watch.descriptors())
    for _ in range(20):
        process = ctx.Process(target=workers.nothing, args=(connection.Pipe(), (i for i in ())))
        with pytest.raises((TypeError, pickle.PicklingError)):
            process.start()
        del process
    gc.collect()
    assert len(watch.descriptors()) == descriptors


@pytest.mark.parametrize("method", ["forkserver", "spawn"], indirect=True)
def test_a_child_has_only_its_own(ctx, connection, start):
    """What it was not given is not open in it: the pipe ends when this process closes its end."""
    reader, writer = connection.Pipe()
    child = start(reader)
    child.send(talk.echo, reader, 2)
    writer.send(1)
    assert writer.recv() == 1
    writer.close()
    assert child.result() == "EOFError"
