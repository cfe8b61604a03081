# SPDX-License-Identifier: MIT
"""In the middle of a message somebody else sends, forks, closes, or is interrupted: messages stay whole."""

import asyncio
import gc
import os
import pickle
import signal
import threading
import time
import weakref
from multiprocessing import reduction, resource_sharer

import pytest
import talk
from harness import Thread, wait_asleep

import mpfast.connection
import mpfast.managers

LARGE = 1_000_000  # bytes: no wire has room for them


class Hit(Exception):
    """Raised by a signal handler."""


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def ends():
    one, other = mpfast.connection.Pipe(False)
    with one, other:
        yield one, other


@pytest.fixture
def interrupted():
    """A function that calls another, in which Hit is raised after so many seconds."""

    def ring(*_):
        raise Hit

    def call(seconds, function, *args):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return function(*args)

    before = signal.signal(signal.SIGALRM, ring)
    yield call
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def sharer():
    """For pickling within a process; leaves no thread."""
    yield reduction.ForkingPickler
    resource_sharer.stop()


def forked(function):
    """What it returns in a forked child, which has ten seconds."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        try:
            os.write(write, pickle.dumps(function()))
        except BaseException as error:
            os.write(write, pickle.dumps(repr(error)))
        os._exit(0)
    os.close(write)

    def result():
        with open(read, "rb") as file:
            said = file.read()
        assert os.waitpid(pid, 0)[1] == 0
        return pickle.loads(said)

    return result


def begin(writer):
    """An asend() that has begun, and its loop has ended."""

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(writer.asend(b"a" * LARGE), 0.05)

    asyncio.run(main())


def test_send_beside_a_begun_asend(ends):
    reader, writer = ends

    async def main():
        task = asyncio.ensure_future(writer.asend(b"a" * LARGE))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        sending = Thread(writer.send, "second")
        received = Thread(lambda: [reader.recv(), reader.recv()])
        await asyncio.wait_for(task, 10)
        sending.result()
        return received.result()

    assert asyncio.run(main()) == [b"a" * LARGE, "second"]


def test_asend_in_two_loops(ends):
    reader, writer = ends

    def send(letter):
        async def main():
            for _ in range(10):
                await writer.asend(letter * LARGE)

        asyncio.run(main())

    senders = [Thread(send, letter) for letter in (b"a", b"b")]
    received = [reader.recv() for _ in range(20)]
    for sender in senders:
        sender.result()
    assert sorted(received) == [b"a" * LARGE] * 10 + [b"b" * LARGE] * 10


def test_whoever_sends_next_sends_the_rest(ends):
    reader, writer = ends
    begin(writer)
    received = Thread(lambda: [reader.recv(), reader.recv()])
    writer.send("second")
    assert received.result() == [b"a" * LARGE, "second"]


def test_a_forked_child_does_not_send_the_rest(ends):
    """Its parent will."""
    reader, writer = ends
    begin(writer)
    child = forked(lambda: writer._prepare(1) and "nothing sent")
    assert child() == "nothing sent"
    received = Thread(reader.recv)
    assert writer._push(writer._prepare(2)) in (True, False)
    writer.send(3)
    assert received.result() == b"a" * LARGE


def test_fork_while_another_thread_receives(ends):
    """The child takes the next message for what it is."""
    reader, writer = ends
    fd = writer._facts()[0]
    receiving = Thread(reader.recv_bytes)
    os.write(fd, talk.frame(b"a" * 1000)[:500])
    wait_asleep(os.getpid(), receiving.native_id)
    ready = mpfast.Event()
    child = forked(lambda: ready.wait(10) and reader.recv_bytes())
    os.write(fd, talk.frame(b"a" * 1000)[500:])
    assert receiving.result() == b"a" * 1000
    ready.set()
    writer.send_bytes(b"second")
    assert child() == b"second"


def test_a_handler_that_forks(ends):
    """Its child is still in the call that was interrupted."""
    reader, writer = ends
    results = []
    before = signal.signal(signal.SIGALRM, lambda *_: results.append(forked(reader.recv_bytes)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        os.write(writer._facts()[0], talk.frame(b"a" * 1000)[:500])
        rest = threading.Timer(0.3, os.write, (writer._facts()[0], talk.frame(b"a" * 1000)[500:]))
        rest.start()
        assert reader.recv_bytes() == b"a" * 1000
    finally:
        signal.signal(signal.SIGALRM, before)
        rest.join()
    assert "reentrant call" in results[0]()


def test_fork_while_a_closed_end_is_in_use():
    """The child has no thread that uses it, so there the descriptor is closed."""
    reader, writer = mpfast.connection.Pipe(False)
    receiving = Thread(reader.recv)
    wait_asleep(os.getpid(), receiving.native_id)
    fd = reader._facts()[0]
    reader.close()
    assert os.fstat(fd)

    def closed():
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        return "closed"

    assert forked(closed)() == "closed"
    writer.send(1)
    assert receiving.result() == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    writer.close()


def test_close_in_a_child_leaves_the_parents_loop_alone(ends):
    reader, writer = ends
    loop = asyncio.new_event_loop()

    async def start():
        task = asyncio.ensure_future(reader.arecv())
        await asyncio.sleep(0.01)
        return task

    task = loop.run_until_complete(start())
    assert forked(reader.close)() is None
    writer.send("hello")
    assert loop.run_until_complete(asyncio.wait_for(task, 10)) == "hello"
    loop.close()


@pytest.mark.parametrize("number", range(40))
def test_a_signal_while_it_spins_is_served(ends, interrupted, number):
    """Else one alarm would wait for the next message."""
    reader, writer = ends
    writer.send(1)
    assert reader.recv() == 1
    rescue = threading.Timer(5, writer.send, ("too late",))
    rescue.start()
    try:
        with pytest.raises(Hit):
            interrupted((1 + number) * 1e-6, reader.recv)
    finally:
        rescue.cancel()
        rescue.join()


class Thing:
    pass


class Bad:
    def __reduce__(self):
        raise ValueError("cannot be pickled")


@pytest.mark.parametrize("how", ["asend", "send", "broken", "reducer"])
def test_nothing_keeps_what_was_sent(ends, how):
    reader, writer = ends
    gc.disable()
    try:
        thing = Thing()
        alive = weakref.ref(thing)
        if how == "broken":
            reader.close()
            with pytest.raises(BrokenPipeError):
                writer.send([thing, bytes(LARGE)])
        elif how == "reducer":
            with pytest.raises(ValueError, match="cannot be pickled"):
                writer.send([thing, Bad()])
        elif how == "asend":
            asyncio.run(writer.asend(thing))
        else:
            writer.send(thing)
        del thing
        assert alive() is None
    finally:
        gc.enable()


def test_a_bytearray_is_sent_as_it_was(ends):
    reader, writer = ends
    data = bytearray(b"a" * 200_000)

    class Changes:
        def __reduce__(self):
            data.clear()
            return str, ("changed",)

    received = Thread(reader.recv)
    writer.send([data, Changes()])
    assert received.result() == [bytearray(b"a" * 200_000), "changed"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change its uid")
@pytest.mark.parametrize("duplex", [False, True])
def test_a_descriptor_taken_under_another_uid(duplex):
    """Frames with buffers are for those who can read them."""
    numpy = pytest.importorskip("numpy")
    reader, writer = mpfast.connection.Pipe(duplex)
    taken = mpfast.Event()

    def read():
        os.setresuid(65534, 65534, 65534)
        fd = reader.fileno()
        taken.set()
        kind = os.read(fd, 4)
        os.read(fd, LARGE)
        return kind

    child = forked(read)
    assert taken.wait(10)
    writer.send(numpy.zeros(5000))
    assert int.from_bytes(child(), "big", signed=True) > 0
    reader.close()
    writer.close()


def test_a_torn_end_stays_torn_when_pickled(ends, interrupted, sharer):
    _, writer = ends
    with pytest.raises(Hit):
        interrupted(0.05, writer.send_bytes, bytes(LARGE))
    with sharer.loads(sharer.dumps(writer)) as copy:
        for end in (writer, copy):
            with pytest.raises(OSError, match="interrupted in the middle"):
                end.send(1)


def test_an_end_with_half_a_message_is_not_pickled(ends, interrupted, sharer):
    reader, writer = ends
    os.write(writer._facts()[0], talk.frame(b"a" * 100)[:50])
    with pytest.raises(Hit):
        interrupted(0.05, reader.recv_bytes)
    with pytest.raises(OSError, match="received in part"):
        sharer.dumps(reader)
    os.write(writer._facts()[0], talk.frame(b"a" * 100)[50:])
    assert reader.recv_bytes() == b"a" * 100
    sharer.loads(sharer.dumps(reader)).close()


def test_loops_are_not_kept(ends):
    reader, writer = ends
    loops = []

    async def main():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        waiting = [asyncio.ensure_future(reader.arecv()) for _ in range(3)]
        await asyncio.sleep(0)
        for number in range(3):
            await writer.asend(number)
        assert await asyncio.gather(*waiting) == [0, 1, 2]

    for _ in range(3):
        asyncio.run(main())
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_a_cancelled_wait_in_line(ends):
    """Its turn goes to the next."""
    reader, writer = ends

    async def main():
        first, second, third = (asyncio.ensure_future(reader.arecv()) for _ in range(3))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0)
        await writer.asend(1)
        await writer.asend(2)
        return await asyncio.wait_for(asyncio.gather(first, third), 10)

    assert asyncio.run(main()) == [1, 2]


def test_keyless_ends_do_not_change(tmp_path):
    """Whatever a stranger says, only a handshake shows who is there."""
    with mpfast.connection.Listener(str(tmp_path / "socket")) as listener:
        client = Thread(mpfast.connection.Client, listener.address)
        with listener.accept() as server, client.result() as stranger:
            os.write(stranger._facts()[0], talk.long_frame(b"#CHALLENGE#" + b"x" * 20))
            assert server.recv_bytes().startswith(b"#CHALLENGE#")
            server.send_bytes(b"#CHALLENGE#" + b"y" * 20)
            assert os.read(stranger._facts()[0], 4) == (31).to_bytes(4, "big")
            os.write(stranger._facts()[0], b"\xff\xff\xff\xfe" + bytes(12))
            with pytest.raises(OSError, match="bad message length"):
                server.recv_bytes()


def test_managers_are_each_others_subclasses():
    for name in ("SyncManager", "SharedMemoryManager"):
        assert issubclass(getattr(mpfast.managers, name), mpfast.managers.BaseManager)
    assert issubclass(mpfast.managers.SharedMemoryServer, mpfast.managers.Server)


def test_messages_of_threads_and_loops_stay_whole(ends):
    """Both kinds of senders and both kinds of receivers at once."""
    reader, writer = ends
    deadline = time.monotonic() + 2
    got, sent = [], []

    def send(name):
        count = 0
        while time.monotonic() < deadline:
            writer.send((name, count, b"x" * 3000 * (count % 50)))
            count += 1
        sent.append(count)

    def asend(name):
        async def main():
            count = 0
            while time.monotonic() < deadline:
                await writer.asend((name, count, b"x" * 3000 * (count % 50)))
                count += 1
            sent.append(count)

        asyncio.run(main())

    def receive():
        while (message := reader.recv()) is not None:
            got.append(message)

    receivers = [Thread(receive) for _ in range(2)]
    senders = [Thread(send, "a"), Thread(send, "b"), Thread(asend, "c"), Thread(asend, "d")]
    for sender in senders:
        sender.result()
    for _ in receivers:
        writer.send(None)
    for receiver in receivers:
        receiver.result()
    assert len(got) == sum(sent) > 0
    assert len({(name, count) for name, count, _ in got}) == len(got)
    assert all(data == b"x" * 3000 * (count % 50) for _, count, data in got)
