# SPDX-License-Identifier: MIT
"""arecv() and asend(): connections on the running loop, which goes on with everything else meanwhile."""

import asyncio
import gc
import os
import pickle
import signal

import pytest
import talk
import watch
from harness import Thread

import mpfast


@pytest.fixture
def mp():
    return mpfast


def run(coroutine, seconds=20):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


async def blocked(task):
    """The loop has nothing to do but wait, and the task is not done."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_there_and_back(pair):
    reader, writer = pair

    async def main():
        for thing in (1, None, "text", [1, {"a": b"x" * 5000}]):
            assert await writer.asend(thing) is None
            assert await reader.arecv() == thing

    run(main())


def test_mixed_with_the_blocking_calls(pair):
    reader, writer = pair

    async def main():
        writer.send(1)
        assert await reader.arecv() == 1
        await writer.asend(2)
        assert reader.recv() == 2
        await writer.asend(3)
        assert reader.recv_bytes()

    run(main())
    writer.send("afterwards")
    assert reader.recv() == "afterwards"
    assert os.get_blocking(reader.fileno())
    assert os.get_blocking(writer.fileno())


def test_waiting_for_a_message(pair):
    reader, writer = pair

    async def main():
        for number in range(5):
            waiting = await blocked(asyncio.ensure_future(reader.arecv()))
            writer.send(number)
            assert await waiting == number

    run(main())


def test_other_tasks_run_meanwhile(pair):
    reader, writer = pair

    async def main():
        waiting = asyncio.ensure_future(reader.arecv())
        count = 0
        for _ in range(1000):
            await asyncio.sleep(0)
            count += 1
        assert not waiting.done()
        await writer.asend(count)
        assert await waiting == 1000

    run(main())


def test_large_messages(pair):
    """More than any buffer holds: both ends on one loop would block each other if either blocked the loop."""
    reader, writer = pair
    data = talk.pattern(8 << 20)

    async def main():
        for _ in range(3):
            sending = asyncio.ensure_future(writer.asend(data))
            assert await reader.arecv() == data
            await sending

    run(main())


def test_a_message_in_pieces(connection):
    """Half of a message does not hold the loop up."""
    reader, writer = connection.Pipe(False)
    writer_fd = writer.fileno()
    message = talk.frame(pickle.dumps([1, 2, 3]))

    async def main():
        for cut in (1, 4, 6, len(message) - 1):
            os.write(writer_fd, message[:cut])
            waiting = await blocked(asyncio.ensure_future(reader.arecv()))
            os.write(writer_fd, message[cut:])
            assert await waiting == [1, 2, 3]

    run(main())


def test_order(pair):
    """Messages come in the order in which the sends were begun; receivers get them in the order in which they asked."""
    reader, writer = pair

    async def main():
        receiving = [asyncio.ensure_future(reader.arecv()) for _ in range(50)]
        await asyncio.sleep(0)
        sending = [asyncio.ensure_future(writer.asend((number, bytes(number * 1000)))) for number in range(50)]
        got = await asyncio.gather(*receiving)
        await asyncio.gather(*sending)
        assert [number for number, _ in got] == list(range(50))
        assert [len(data) for _, data in got] == [number * 1000 for number in range(50)]

    run(main())


def test_many_connections(connection):
    pairs = [connection.Pipe(number % 2) for number in range(300)]

    async def main():
        receiving = [asyncio.ensure_future(reader.arecv()) for reader, _ in pairs]
        await asyncio.sleep(0)
        for number, (_, writer) in enumerate(reversed(pairs)):
            await writer.asend(number)
        return await asyncio.gather(*receiving)

    assert run(main()) == list(reversed(range(300)))


def test_both_directions(connection):
    one, other = connection.Pipe()

    async def echo():
        for _ in range(100):
            await other.asend(await other.arecv())

    async def main():
        echoing = asyncio.ensure_future(echo())
        for number in range(100):
            await one.asend([number, bytes(number * 3000)])
            assert (await one.arecv())[0] == number
        await echoing

    run(main())


def test_the_end(pair):
    reader, writer = pair

    async def main():
        await writer.asend("last")
        waiting = asyncio.ensure_future(reader.arecv())
        assert await waiting == "last"
        waiting = await blocked(asyncio.ensure_future(reader.arecv()))
        writer.close()
        with pytest.raises(EOFError):
            await waiting
        with pytest.raises(EOFError):
            await reader.arecv()

    run(main())


def test_nobody_reads(connection):
    for wire in talk.LOCAL:
        reader, writer = talk.ends(connection, wire)

        async def main(reader=reader, writer=writer):
            sending = await blocked(asyncio.ensure_future(writer.asend(bytes(8 << 20))))
            reader.close()
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await sending
            with pytest.raises(BrokenPipeError):
                await writer.asend(1)

        run(main())


def test_errors(connection):
    reader, writer = connection.Pipe(False)

    async def main():
        with pytest.raises(OSError, match="^connection is read-only$"):
            await reader.asend(1)
        with pytest.raises(OSError, match="^connection is write-only$"):
            await writer.arecv()
        with pytest.raises(RuntimeError, match="stays here"):
            await writer.asend(talk.Unpicklable())
        await writer.asend(talk.Unloadable())
        with pytest.raises(ValueError, match="no number"):
            await reader.arecv()
        await writer.asend("next")
        assert await reader.arecv() == "next"
        reader.close()
        with pytest.raises(OSError, match="^handle is closed$"):
            await reader.arecv()

    run(main())


def test_cancelled_before_anything_came(pair):
    """Nothing is lost: the next one gets it."""
    reader, writer = pair

    async def main():
        for number in range(10):
            with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                await asyncio.wait_for(reader.arecv(), 0.005)
            await writer.asend(number)
            assert await reader.arecv() == number

    run(main())


def test_cancelled_among_others(connection):
    reader, writer = connection.Pipe()

    async def main():
        first, second = (asyncio.ensure_future(reader.arecv()) for _ in range(2))
        await blocked(second)
        first.cancel()
        await writer.asend("for the second")
        assert await second == "for the second"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main())


def test_without_a_loop(connection):
    """The coroutine needs one to run on, and is refused before anything was read."""
    reader, writer = connection.Pipe()
    writer.send(1)
    coroutine = reader.arecv()
    coroutine.close()
    assert reader.recv() == 1


def test_one_loop_after_the_other(connection):
    reader, writer = connection.Pipe()
    for number in range(5):
        run(writer.asend(number))
        assert run(reader.arecv()) == number


def test_loops_of_several_threads(connection):
    def work(number):
        one, other = connection.Pipe()

        async def main():
            for i in range(50):
                await one.asend((number, i))
                assert await other.arecv() == (number, i)

        run(main())

    for thread in [Thread(work, number) for number in range(4)]:
        thread.result()


def test_with_a_child(ctx, start):
    one, other = ctx.Pipe()
    child = start(other)
    child.send(talk.echo, other, 50)

    async def main():
        for number in range(50):
            await one.asend({"number": number, "data": bytes(number * 2000)})
            assert (await one.arecv())["number"] == number

    run(main())
    assert child.result() == "done"


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_a_killed_child(ctx, start):
    one, other = ctx.Pipe()
    child = start(other)
    other.close()

    async def main():
        waiting = await blocked(asyncio.ensure_future(one.arecv()))
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(EOFError):
            await waiting

    run(main())


def test_a_server_of_many(connection):
    """A listener's connections, each served by a task of one loop, their clients in threads."""

    def client(address, number):
        with connection.Client(address) as conn:
            for i in range(20):
                conn.send((number, i))
                assert conn.recv() == [number, i]

    async def serve(conn):
        with conn:
            try:
                while True:
                    await conn.asend(list(await conn.arecv()))
            except EOFError:
                pass

    async def main():
        with connection.Listener(backlog=10) as listener:
            clients = [Thread(client, listener.address, number) for number in range(10)]
            await asyncio.gather(*[serve(listener.accept()) for _ in clients])
        for thread in clients:
            thread.result()

    run(main())


def test_no_leaks(connection):
    descriptors = len(watch.descriptors())

    async def use():
        reader, writer = connection.Pipe()
        waiting = asyncio.ensure_future(reader.arecv())
        await asyncio.sleep(0)
        await writer.asend([1])
        assert await waiting == [1]
        cancelled = asyncio.ensure_future(reader.arecv())
        await asyncio.sleep(0)
        cancelled.cancel()

    async def main():
        for _ in range(300):
            await use()

    run(main())
    before = talk.resident()
    run(main())
    gc.collect()
    assert talk.resident() - before < 4 << 20
    assert len(watch.descriptors()) == descriptors
