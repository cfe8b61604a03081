# SPDX-License-Identifier: MIT
"""poll() and wait(): what is ready, how long they wait, and what may be waited for."""

import importlib
import os
import resource
import signal
import socket
import threading
import time

import pytest
import talk
import workers
from harness import Noise, Thread


@pytest.fixture
def one_way(connection):
    return connection.Pipe(False)


class Wrapped:
    """Anything with a fileno() may be waited for."""

    def __init__(self, thing):
        self.thing = thing

    def fileno(self):
        return self.thing.fileno()


# poll ---------------------------------------------------------------------------------------------------------------


def test_poll(pair):
    reader, writer = pair
    assert reader.poll() is False
    assert reader.poll(0) is False
    writer.send(1)
    writer.send_bytes(b"")
    for timeout in (0, 0.0, 1, None, -1):
        assert reader.poll(timeout) is True
    assert reader.recv() == 1
    assert reader.poll() is True
    assert reader.recv_bytes() == b""
    assert reader.poll() is False


def test_poll_at_the_end(pair):
    """The end can be read: that is how one is told of it."""
    reader, writer = pair
    writer.close()
    for timeout in (0, 1, None):
        assert reader.poll(timeout) is True
    with pytest.raises(EOFError):
        reader.recv()


def test_poll_does_not_look_at_the_other_direction(connection):
    one, other = connection.Pipe()
    one.send(1)
    assert one.poll() is False
    assert other.poll() is True


def test_poll_part_of_a_message(one_way):
    reader, writer = one_way
    os.write(writer.fileno(), talk.frame(b"abc")[:2])
    assert reader.poll() is True
    os.write(writer.fileno(), talk.frame(b"abc")[2:])
    assert reader.recv_bytes() == b"abc"


@pytest.mark.parametrize("call", ["poll", "wait"])
def test_timeout(connection, pair, call):
    reader, _ = pair
    function = reader.poll if call == "poll" else lambda seconds: connection.wait([reader], seconds)
    for timeout in (0.05, 0.2):
        with Noise() as noise:
            begin = time.monotonic()
            assert not function(timeout)
            seconds = time.monotonic() - begin
        assert timeout <= seconds < noise.limit(timeout + 0.05)
    begin = time.monotonic()
    for timeout in (0, -1, -0.5):
        assert not function(timeout)
    assert time.monotonic() - begin < 1


def test_poll_blocks_until_there_is_something(pair):
    reader, writer = pair
    for timeout in (None, 100, 1e6):
        poller = Thread(reader.poll, timeout).asleep()
        writer.send(1)
        assert poller.result() is True
        assert reader.recv() == 1


def test_poll_sees_the_end_coming(connection, wire):
    reader, writer = talk.ends(connection, wire)
    poller = Thread(reader.poll, None).asleep()
    writer.close()
    assert poller.result() is True


# wait ---------------------------------------------------------------------------------------------------------------


def test_wait(connection, pair):
    reader, writer = pair
    assert connection.wait([reader], 0) == []
    writer.send(1)
    for timeout in (0, 1, None, -1):
        assert connection.wait([reader], timeout) == [reader]
    assert connection.wait([reader]) == [reader]
    assert connection.wait(object_list=(reader,), timeout=0) == [reader]
    assert connection.wait(iter([reader]), 0) == [reader]
    assert connection.wait({reader: 1}, 0) == [reader]
    assert reader.recv() == 1


def test_wait_for_nothing(connection):
    assert connection.wait([], 0) == []
    begin = time.monotonic()
    assert connection.wait([], 0.05) == []
    assert time.monotonic() - begin >= 0.05


def test_wait_among_many(connection):
    pairs = [connection.Pipe(number % 2) for number in range(200)]
    readers = [reader for reader, _ in pairs]
    assert connection.wait(readers, 0) == []
    for number in (0, 3, 77, 199):
        pairs[number][1].send(number)
    ready = connection.wait(readers, 0)
    assert sorted(reader.recv() for reader in ready) == [0, 3, 77, 199]
    assert connection.wait(readers, 0) == []


def test_wait_far_beyond_select(connection):
    """Descriptors of any number, and more of them than fit anywhere by themselves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 3000
    if hard < 2 * count + 100:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count + 100), hard))
    try:
        pairs = [connection.Pipe(False) for _ in range(count)]
        readers = [reader for reader, _ in pairs]
        assert max(reader.fileno() for reader in readers) > 4096
        pairs[-1][1].send("last")
        pairs[0][1].send("first")
        assert set(connection.wait(readers, 0)) == {readers[0], readers[-1]}
        assert readers[-1].poll()
        del pairs, readers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_wait_until_one_is_ready(connection, pair):
    reader, writer = pair
    idle, _other = connection.Pipe()
    for timeout in (None, 100, 1e6):
        waiter = Thread(connection.wait, [idle, reader], timeout).asleep()
        writer.send(1)
        assert waiter.result() == [reader]
        assert reader.recv() == 1


def test_wait_sees_the_end(connection, wire):
    reader, writer = talk.ends(connection, wire)
    waiter = Thread(connection.wait, [reader]).asleep()
    writer.close()
    assert waiter.result() == [reader]


def test_wait_for_a_writer_whose_reader_has_gone(connection, one_way):
    reader, writer = one_way
    assert connection.wait([writer], 0) == []
    reader.close()
    assert connection.wait([writer], 0) == [writer]


@pytest.fixture
def zoo(connection):
    """What may be waited for, and what makes it ready: name -> (thing, function)."""
    stdlib, ours = (importlib.import_module(f"{name}.connection") for name in ("multiprocessing", "mpfast"))
    things = {}
    for name, module in (("stdlib", stdlib), ("mpfast", ours)):
        for wire in talk.WIRES:
            reader, writer = talk.ends(module, wire)
            things[f"{name} {wire}"] = (reader, lambda writer=writer: writer.send(1))
    one, other = socket.socketpair()
    inlet, outlet = os.pipe()
    server = socket.create_server(("localhost", 0))
    wrapped_inlet, wrapped_outlet = connection.Pipe(False)
    late = []
    things["socket"] = (one, lambda: other.send(b"1"))
    things["descriptor"] = (inlet, lambda: os.write(outlet, b"1"))
    things["server"] = (server, lambda: late.append(socket.create_connection(server.getsockname())))
    things["fileno"] = (Wrapped(wrapped_inlet), lambda: wrapped_outlet.send(1))
    yield things
    for sock in (one, other, server, *late):
        sock.close()
    os.close(inlet)
    os.close(outlet)


def test_wait_for_all_kinds_of_things(connection, zoo):
    """One after the other becomes ready; what comes back are the objects that went in."""
    things = [thing for thing, _ in zoo.values()]
    expected = []
    assert connection.wait(things, 0) == []
    for thing, make_ready in zoo.values():
        make_ready()
        expected.append(thing)
        ready = connection.wait(things, 10)
        assert {id(thing) for thing in ready} == {id(thing) for thing in expected}


def test_wait_for_each_kind_of_thing(connection, zoo):
    things = [thing for thing, _ in zoo.values()]
    for thing, make_ready in zoo.values():
        assert connection.wait([thing], 0) == []
        waiter = Thread(connection.wait, things).asleep()
        make_ready()
        (ready,) = waiter.result()
        assert ready is thing
        things = [other for other in things if other is not thing]


def test_wait_for_processes(ctx, connection):
    """Sentinels together with connections; the one process ends by itself, the other is killed."""
    reader, writer = ctx.Pipe(False)
    ours, theirs = ctx.Pipe()
    processes = [ctx.Process(target=talk.echo, args=(theirs, 1)) for _ in range(2)]
    for process in processes:
        process.start()
    sentinels = [process.sentinel for process in processes]
    assert connection.wait([*sentinels, reader], 0) == []
    processes[0].kill()
    assert connection.wait([*sentinels, reader], 10) == sentinels[:1]
    writer.send(1)
    ready = connection.wait([*sentinels, reader], 10)
    assert set(ready) == {sentinels[0], reader}
    ours.send("end")
    assert connection.wait(sentinels[1:], 10) == sentinels[1:]
    for process in processes:
        process.join()
        process.close()


def test_wait_refuses(connection, one_way):
    reader, _ = one_way
    closed, _other = connection.Pipe()
    closed.close()
    with pytest.raises(OSError, match="^handle is closed$"):
        connection.wait([reader, closed], 0)
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        connection.wait([reader, sock], 0)
    with pytest.raises(ValueError, match="^Invalid file object: 'text'$"):
        connection.wait(["text"], 0)
    with pytest.raises(ValueError, match="^Invalid file object: None$"):
        connection.wait([reader, None], 0)
    for call in (lambda: connection.wait(), lambda: connection.wait(3), lambda: connection.wait([reader], "1")):
        with pytest.raises(TypeError):
            call()


def test_wait_for_a_closed_descriptor(connection):
    """It counts as ready: whoever uses it is told."""
    inlet, outlet = os.pipe()
    os.close(inlet)
    assert connection.wait([inlet], 0) == [inlet]
    os.close(outlet)


# Signals and threads ------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("call", ["poll", "wait", "recv"])
def test_an_exception_from_a_handler(connection, one_way, call):
    reader, writer = one_way
    function = {"poll": lambda: reader.poll(None), "wait": lambda: connection.wait([reader]), "recv": reader.recv}[call]

    def handler(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().native_id
    try:
        for _ in range(3):
            alarm = Thread(signal_when_asleep, main)
            with pytest.raises(Interrupted):
                function()
            alarm.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    writer.send(1)
    assert function()
    assert call == "recv" or reader.recv() == 1


def signal_when_asleep(tid, times=1):
    from harness import wait_asleep

    for _ in range(times):
        wait_asleep(os.getpid(), tid)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


@pytest.mark.parametrize("call", ["poll", "wait"])
def test_signals_do_not_prolong_a_timeout(connection, one_way, call):
    reader, _ = one_way
    function = reader.poll if call == "poll" else lambda seconds: connection.wait([reader], seconds)
    workers.signal_counter(signal.SIGUSR1)
    with Noise() as noise:
        alarm = Thread(signal_when_asleep, threading.main_thread().native_id, 5)
        begin = time.monotonic()
        assert not function(0.4)
        seconds = time.monotonic() - begin
    alarm.result()
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert workers.signals_seen() == 5
    assert 0.4 <= seconds < noise.limit(0.5)


def test_many_threads_wait_for_one_thing(connection, one_way):
    reader, writer = one_way
    waiters = [Thread(connection.wait, [reader]).asleep() for _ in range(3)]
    pollers = [Thread(reader.poll, None).asleep() for _ in range(3)]
    writer.send(1)
    assert [thread.result() for thread in waiters] == [[reader]] * 3
    assert [thread.result() for thread in pollers] == [True] * 3


def test_other_threads_run_meanwhile(connection, one_way):
    """Who waits does not hold the interpreter."""
    reader, writer = one_way
    waiters = [Thread(reader.poll, 30).asleep(), Thread(connection.wait, [reader], 30).asleep()]
    receiver = Thread(reader.recv).asleep()
    assert sum(range(100_000)) == 4999950000
    writer.send("word")
    assert receiver.result() == "word"
    writer.send(2)
    assert waiters[0].result() is True
    assert waiters[1].result() == [reader]
