# SPDX-License-Identifier: MIT
"""What comes between: the end in the middle of a message, full and non-blocking pipes, signals, threads."""

import contextlib
import importlib
import os
import signal
import struct
import threading

import pytest
import talk
import workers
from harness import Thread, until

GONE = (BrokenPipeError, ConnectionResetError)


@pytest.fixture(params=["fork"])  # how a process was started makes no difference to a pipe
def method(request):
    return request.param


def raw(connection, wire="one-way"):
    """(reader, descriptor that writes to it)"""
    reader, writer = talk.ends(connection, wire)
    fd = os.dup(writer.fileno())
    writer.close()
    return reader, fd


# The end ------------------------------------------------------------------------------------------------------------


def receivers():
    return [
        lambda reader: reader.recv(),
        lambda reader: reader.recv_bytes(),
        lambda reader: reader.recv_bytes(1 << 30),
        lambda reader: reader.recv_bytes_into(bytearray(100_000)),
    ]


@pytest.mark.parametrize("framing", [talk.frame, talk.long_frame])
@pytest.mark.parametrize("size", [0, 1, 9, 50_000])
def test_the_end_at_every_point(connection, framing, size):
    """Nothing sent: EOFError. A part of a message: an error that says so; right after a header, EOFError will do."""
    message = framing(talk.pattern(size))
    header = len(message) - size
    cuts = [*range(min(len(message), 24)), *range(24, len(message), 9973), len(message) - 1]
    for receive in receivers():
        for cut in cuts:
            reader, fd = raw(connection)
            os.write(fd, message[:cut])
            os.close(fd)
            if cut == 0:
                with pytest.raises(EOFError):
                    receive(reader)
            elif cut in (4, header):
                with pytest.raises((EOFError, OSError)):
                    receive(reader)
            else:
                with pytest.raises(OSError, match="^got end of file during message$"):
                    receive(reader)


def test_the_end_after_the_end(pair):
    reader, writer = pair
    writer.send(1)
    writer.close()
    assert reader.recv() == 1
    for _ in range(3):
        for receive in receivers():
            with pytest.raises(EOFError):
                receive(reader)


@pytest.mark.parametrize("wire", talk.LOCAL)
def test_nobody_reads(connection, wire):
    for size in (0, 1, 16385, 1 << 20):
        reader, writer = talk.ends(connection, wire)
        reader.close()
        for _ in range(2):
            with pytest.raises(BrokenPipeError):
                writer.send_bytes(bytes(size))
            with pytest.raises(BrokenPipeError):
                writer.send(bytes(size))
        assert not writer.closed


def test_a_reader_that_leaves_unread_messages(connection, wire):
    reader, writer = talk.ends(connection, wire)
    writer.send(bytes(1000))
    reader.close()
    with pytest.raises(GONE):
        talk.over_and_over(lambda: writer.send(bytes(1000)), 1000)


@pytest.mark.parametrize("framing", [talk.frame, talk.long_frame])
def test_a_message_byte_by_byte(connection, wire, framing):
    """However it is cut into pieces, and also if the pieces hold more than one message."""
    payloads = [b"", b"x", talk.pattern(300)]
    stream = b"".join(map(framing, payloads))
    for step in (1, 3, 5, 64):
        reader, fd = raw(connection, wire)

        def trickle(fd=fd, step=step):
            for start in range(0, len(stream), step):
                os.write(fd, stream[start : start + step])
                os.sched_yield()
            os.close(fd)

        writing = Thread(trickle)
        assert [reader.recv_bytes() for _ in payloads] == payloads
        with pytest.raises(EOFError):
            reader.recv()
        writing.result()


def test_a_reader_asleep_in_the_middle(connection, wire):
    """Woken by each part, it goes on waiting for the rest."""
    message = talk.frame(talk.pattern(5000))
    reader, fd = raw(connection, wire)
    reading = Thread(reader.recv_bytes)
    for part in (message[:2], message[2:4], message[4:5], message[5:4000]):
        reading.asleep()
        os.write(fd, part)
    reading.asleep()
    os.write(fd, message[4000:])
    assert reading.result() == talk.pattern(5000)
    os.close(fd)


def test_what_is_on_the_wire(connection, wire):
    """Exactly multiprocessing's bytes: anybody may read them."""
    reader, writer = talk.ends(connection, wire)
    for size in (0, 1, 100, 16384, 16385, 60_000):
        data = talk.pattern(size)
        writer.send_bytes(data)
        got = b""
        while len(got) < size + 4:
            got += os.read(reader.fileno(), size + 4 - len(got))
        assert got == talk.frame(data)
        assert not reader.poll()


def test_lengths_that_are_none(connection):
    """multiprocessing takes a negative length for an empty message, and what follows for the next one."""
    for header in (struct.pack("!i", -5), struct.pack("!i", -(1 << 31))):
        reader, fd = raw(connection)
        os.write(fd, header + b"abc")
        os.close(fd)
        with contextlib.suppress(OSError):
            assert reader.recv_bytes() == b""
            assert connection.__name__.startswith("multiprocessing")


# Full and non-blocking ----------------------------------------------------------------------------------------------


def test_a_full_pipe(pair):
    """Who sends waits for room, in the middle of a message too."""
    reader, writer = pair
    data = talk.pattern(5 << 20)
    sending = Thread(writer.send_bytes, data).asleep()
    assert reader.recv_bytes() == data
    assert sending.result() is None


def test_many_small_messages_before_anybody_reads(connection, wire):
    """At least as many as multiprocessing lets through: a program may rely on it."""
    reader, writer = talk.ends(connection, wire)
    for number in range(200):
        writer.send(number)
    assert [reader.recv() for _ in range(200)] == list(range(200))


def test_an_empty_non_blocking_pipe(pair):
    reader, writer = pair
    os.set_blocking(reader.fileno(), False)
    for receive in receivers():
        with pytest.raises(BlockingIOError):
            receive(reader)
    writer.send([1])
    assert reader.poll(10)
    assert reader.recv() == [1]


def test_a_non_blocking_pipe_with_whole_messages(pair):
    reader, writer = pair
    for end in pair:
        os.set_blocking(end.fileno(), False)
    for number in range(50):
        writer.send(number)
        assert reader.poll(10)
        assert reader.recv() == number


def test_a_full_non_blocking_pipe(connection):
    """No room for the first byte of a message: nothing of it was sent."""
    for wire in talk.LOCAL:
        reader, writer = talk.ends(connection, wire)
        os.set_blocking(writer.fileno(), False)
        data = bytes(508)  # 512 with the header: a pipe takes them whole
        sent = []
        with pytest.raises(BlockingIOError):
            talk.over_and_over(lambda w=writer, sent=sent, data=data: sent.append(w.send_bytes(data)))
        assert len(sent) > 50
        for _ in sent:
            assert reader.recv_bytes() == data
        assert not reader.poll()
        writer.send("room again")
        assert reader.recv() == "room again"


# Signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2000, 300_000])
def test_streams_under_a_hail_of_signals(ctx, start, size):
    reader, writer = ctx.Pipe(False)
    sender, collector = start(writer), start(reader)
    sender.send(workers.under_signals, talk.stream, writer, 400, size)
    assert collector.run(workers.under_signals, talk.collect, reader, 400, size) is True
    sender.result()


@pytest.mark.parametrize("wire", talk.TWO_WAY)
def test_echo_under_a_hail_of_signals(ctx, connection, start, wire):
    one, other = talk.ends(connection, wire)
    child = start(other)
    child.send(workers.under_signals, talk.echo, other, 25)
    workers.under_signals(echo_all, one, 25)
    assert child.result() == "done"
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def echo_all(conn, count):
    for number in range(count):
        thing = [number, bytes(number * 3989)]
        conn.send(thing)
        assert conn.recv() == thing


def test_interrupted_while_sending(ctx, start):
    """An exception from a handler ends a send that waits for room."""
    reader, writer = ctx.Pipe(False)
    child = start(writer)
    child.begin(workers.invoke, writer, "send_bytes", bytes(4 << 20))
    child.signal(signal.SIGINT)
    assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
    reader.close()


def test_interrupted_while_receiving(ctx, start):
    """Nothing is lost if none of the message had come."""
    reader, writer = ctx.Pipe(False)
    child = start(reader)
    for number in range(3):
        child.begin(workers.invoke, reader, "recv")
        child.signal(signal.SIGINT)
        assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
        writer.send(number)
        assert child.on(reader).recv() == number


# Threads ------------------------------------------------------------------------------------------------------------


def test_small_messages_of_many_threads(connection):
    """What a pipe takes in one piece arrives in one piece: multiprocessing's users count on it."""
    reader, writer = connection.Pipe(False)
    senders = [Thread(lambda n=n: [writer.send((n, number, b"x" * number)) for number in range(300)]) for n in range(4)]
    seen = dict.fromkeys(range(4), 0)
    for _ in range(1200):
        n, number, filling = reader.recv()
        assert number == seen[n]
        assert filling == b"x" * number
        seen[n] += 1
    for sender in senders:
        sender.result()


def test_both_directions_at_once(connection):
    """One thread sends and another receives on the same end."""
    for wire in talk.TWO_WAY:
        one, other = talk.ends(connection, wire)
        threads = [Thread(talk.stream, end, 300, 20_000) for end in (one, other)]
        threads += [Thread(talk.collect, end, 300, 20_000) for end in (one, other)]
        assert [thread.result() for thread in threads] == [None, None, True, True]


def test_threads_under_a_lock(connection):
    """As Queue does it: any number of readers and writers, messages of any size."""
    reader, writer = connection.Pipe(False)
    inlet, outlet = threading.Lock(), threading.Lock()
    got = []

    def put(n):
        for number in range(60):
            with inlet:
                writer.send((n, bytes(number * 1500)))

    def get():
        for _ in range(60):
            with outlet:
                got.append(reader.recv())

    threads = [Thread(put, n) for n in range(3)] + [Thread(get) for _ in range(3)]
    for thread in threads:
        thread.result()
    assert sorted((n, len(data)) for n, data in got) == sorted((n, k * 1500) for n in range(3) for k in range(60))


def test_a_forked_child_while_a_thread_sends(ctx, connection):
    """The child's copy is usable, whatever the thread was doing."""
    reader, writer = connection.Pipe(False)
    stop = threading.Event()
    other_reader, other_writer = connection.Pipe(False)
    noise = Thread(keep_busy, other_reader, other_writer, stop)
    for _ in range(10):
        process = ctx.Process(target=talk.stream, args=(writer, 3, 100))
        process.start()
        assert talk.collect(reader, 3, 100)
        process.join()
        assert process.exitcode == 0
        process.close()
    stop.set()
    assert noise.result() > 0


def keep_busy(reader, writer, stop):
    count = 0
    while not stop.is_set():
        writer.send([count] * 10)
        assert reader.recv() == [count] * 10
        count += 1
    return count


@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.BytesIO:pytest.PytestUnraisableExceptionWarning")
def test_closed_by_another_thread_between_two_calls(connection):
    """Never a crash and never a foreign descriptor: a message or an error. (What is ignored is 3.13's.)"""
    for _ in range(30):
        reader, writer = connection.Pipe(False)
        errors = []

        def run(writer=writer, errors=errors):
            try:
                while True:
                    writer.send(1)
            except (OSError, TypeError) as e:  # multiprocessing may pass None for the descriptor
                errors.append(e)

        thread = Thread(run)
        until(reader.poll, "the first message")
        writer.close()
        with pytest.raises((EOFError, OSError)):
            talk.over_and_over(reader.recv)
        thread.result()
        assert errors


class TestBeyondTheStdlib:
    """Where multiprocessing spoils the stream."""

    @pytest.fixture
    def mp(self):
        return importlib.import_module("mpfast")

    def test_a_non_blocking_end_finishes_what_it_began(self, connection, wire):
        """Only before the first byte does O_NONBLOCK mean that nothing happens."""
        reader, writer = talk.ends(connection, wire)
        for end in (reader, writer):
            os.set_blocking(end.fileno(), False)
        data = talk.pattern(3 << 20)
        sending = Thread(writer.send_bytes, data)
        for _ in range(2):
            assert reader.poll(20)
            assert reader.recv_bytes() == data
            sending.result()
            sending = Thread(writer.send_bytes, data)
        target = bytearray(len(data))
        assert reader.poll(20)
        assert reader.recv_bytes_into(target) == len(data)
        assert target == data
        sending.result()

    def test_a_non_blocking_reader_in_the_middle(self, connection, wire):
        reader, fd = raw(connection, wire)
        os.set_blocking(reader.fileno(), False)
        message = talk.frame(b"abcdef")
        os.write(fd, message[:2])
        reading = Thread(reader.recv_bytes)
        for part in (message[2:6], message[6:]):
            reading.asleep()
            os.write(fd, part)
        assert reading.result() == b"abcdef"
        os.close(fd)

    @pytest.mark.parametrize("size", [10, 70_000, 1 << 20])
    def test_many_threads_send_on_one_end(self, connection, wire, size):
        """Whole messages, in the order of each thread: or an error that says that somebody else is sending."""
        reader, writer = talk.ends(connection, wire)
        sent = [[] for _ in range(4)]

        def run(n):
            for number in range(25):
                try:
                    writer.send((n, number, bytes([n]) * (size + number)))
                except RuntimeError:
                    pass
                else:
                    sent[n].append(number)

        threads = [Thread(run, n) for n in range(4)]
        closing = Thread(lambda: [thread.result() for thread in threads] and writer.close())
        seen = [[] for _ in range(4)]
        with contextlib.suppress(EOFError):
            while True:
                n, number, data = reader.recv()
                assert data == bytes([n]) * (size + number)
                seen[n].append(number)
        closing.result()
        assert seen == sent

    def test_many_threads_receive_on_one_end(self, connection, wire):
        reader, writer = talk.ends(connection, wire)
        seen = [[] for _ in range(4)]

        def run(n):
            with contextlib.suppress(EOFError):
                while True:
                    try:
                        number, data = reader.recv()
                    except RuntimeError:
                        pass
                    else:
                        assert data == b"x" * (number * 7919 % 100_001)
                        seen[n].append(number)

        threads = [Thread(run, n) for n in range(4)]
        talk.stream(writer, 200, 100_000)
        writer.close()
        for thread in threads:
            thread.result()
        assert sorted(number for numbers in seen for number in numbers) == list(range(200))

    def test_a_negative_length_is_an_error(self, connection):
        for header in (struct.pack("!i", -3), struct.pack("!i", -256), struct.pack("!i", -(1 << 31))):
            for receive in receivers():
                reader, fd = raw(connection)
                os.write(fd, header + bytes(100))
                with pytest.raises(OSError):  # noqa: PT011
                    receive(reader)
                os.close(fd)

    def test_interrupted_in_the_middle_of_a_message(self, ctx, start):
        """What had come of it is not taken for the beginning of the next one: the rest follows, or an error."""
        reader, writer = ctx.Pipe(False)
        child = start(reader)
        message = talk.frame(talk.pattern(5000))
        os.write(writer.fileno(), message[:2000])
        child.begin(workers.invoke, reader, "recv_bytes")
        child.signal(signal.SIGINT)
        assert child.outcome() == workers.Raised("KeyboardInterrupt", "", {})
        os.write(writer.fileno(), message[2000:])
        writer.send_bytes(b"next")
        first = child.run(workers.outcome, workers.invoke, reader, "recv_bytes")
        assert first in (workers.Returned(talk.pattern(5000)), workers.Returned(b"next")) or first.kind == "OSError"
