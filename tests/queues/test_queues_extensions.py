# SPDX-License-Identifier: MIT
"""What mpfast's queues have and multiprocessing's have not."""

import asyncio
import gc
import pickle
import queue
import sys
import time

import jobs
import pytest
import queuers
import workers
from harness import PATIENCE, Thread
from queuers import Buffer

import mpfast

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture(params=["fork"])
def method(request):
    return request.param


@pytest.fixture(params=["Queue", "JoinableQueue"])
def kind(request):
    return request.param


class TestMany:
    def test_there_and_back(self, make):
        q = make()
        assert q.put_many([]) == 0
        assert q.put_many([1, "two", {"three": 3}, b"4" * 100_000]) == 4
        assert q.qsize() == 4
        assert q.get_many(3) == [1, "two", {"three": 3}]
        assert q.get_many(3) == [b"4" * 100_000]

    def test_any_iterable(self, make):
        q = make()
        assert q.put_many(i * i for i in range(1000)) == 1000
        assert q.get_many(2000) == [i * i for i in range(1000)]

    def test_get_many_waits_for_one(self, make):
        q = make()
        getter = Thread(q.get_many, 10).asleep()
        q.put("one")
        assert getter.result() == ["one"]
        with pytest.raises(queue.Empty):
            q.get_many(5, block=False)
        with pytest.raises(queue.Empty):
            q.get_many(5, timeout=0.01)
        assert q.get_many(0) == []
        with pytest.raises(ValueError, match="negative"):
            q.get_many(-1)

    def test_put_many_to_a_bounded_queue(self, make):
        """Waits for room like put(); what is in when it ends otherwise is told."""
        q = make(3)
        putter = Thread(q.put_many, range(10)).asleep()
        got = []
        while len(got) < 10:
            got += q.get_many(2)
        assert got == list(range(10))
        assert putter.result() == 10
        with pytest.raises(queue.Full) as caught:
            q.put_many(range(5), block=False)
        assert caught.value.put == 3
        assert q.get_many(9) == [0, 1, 2]

    def test_an_item_that_cannot_be_pickled(self, make):
        """Those before it are in the queue."""
        q = make()
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
            q.put_many([1, 2, lambda: 3, 4])
        assert caught.value.put == 2
        assert q.get_many(9) == [1, 2]

    def test_closed(self, make):
        q = make()
        q.close()
        with pytest.raises(ValueError, match="is closed"):
            q.put_many([1])
        with pytest.raises(ValueError, match="is closed"):
            q.get_many(1)

    def test_joinable_counts_them(self, ctx):
        q = ctx.JoinableQueue()
        q.put_many(range(5))
        joiner = Thread(q.join).asleep()
        for _ in q.get_many(5):
            q.task_done()
        joiner.result()
        q.close()


class TestShutdown:
    """As queue.Queue's in Python 3.13."""

    def test_put_raises_and_get_drains(self, make):
        q = make()
        q.put_many([1, 2])
        q.shutdown()
        q.shutdown()
        for call in (lambda: q.put(3), lambda: q.put_nowait(3), lambda: q.put_many([3])):
            with pytest.raises(mpfast.ShutDown):
                call()
        assert q.get() == 1
        assert q.get_nowait() == 2
        for call in (q.get, q.get_nowait, lambda: q.get(timeout=1), lambda: q.get_many(3)):
            with pytest.raises(mpfast.ShutDown):
                call()

    def test_immediate(self, make):
        q = make()
        q.put_many([1, 2])
        q.shutdown(immediate=True)
        assert q.qsize() == 0
        with pytest.raises(mpfast.ShutDown):
            q.get()

    def test_wakes_everybody(self, make, start):
        q = make(1)
        child = start(q)
        child.begin(workers.invoke, q, "get")
        getter = Thread(q.get).asleep()
        q.shutdown()
        assert child.outcome().kind == "ShutDown"
        with pytest.raises(mpfast.ShutDown):
            getter.result()

    def test_wakes_putters(self, make, start):
        q = make(1)
        q.put(0)
        child = start(q).begin(workers.invoke, q, "put", 1)
        q.shutdown()
        assert child.outcome().kind == "ShutDown"
        assert q.get() == 0

    def test_immediate_ends_join(self, ctx):
        q = ctx.JoinableQueue()
        q.put_many(range(3))
        joiner = Thread(q.join).asleep()
        q.shutdown(immediate=True)
        joiner.result()
        q.close()

    def test_the_exception(self):
        if sys.version_info >= (3, 13):
            assert mpfast.ShutDown is queue.ShutDown
        assert issubclass(mpfast.ShutDown, Exception)


def test_stats(make):
    q = make(5)
    before = q.stats()
    q.put_many([1, b"x" * 100_000])
    q.get()
    stats = q.stats()
    assert before == (0, 0, 0, before.bytes, before.idle)
    assert (stats.size, stats.put, stats.unfinished) == (1, 2, 2)
    assert stats.bytes > 100_000
    assert 0 <= stats.idle <= stats.bytes


def test_who_waits(make, start):
    """mpfast.locks() lists queues, too."""
    q = make()
    child = start(q).begin(workers.invoke, q, "get")
    waiters = [waiter.pid for info in mpfast.locks() if info.kind == "Queue" for waiter in info.waiters]
    assert child.pid in waiters
    q.put(1)
    child.result()


class TestZeroCopy:
    def test_views_live_until_collected(self, make):
        q = make(zero_copy=True)
        q.put([Buffer(bytearray([n]) * MIB) for n in range(3)])
        one, two, three = q.get()
        for _ in range(20):
            q.put(Buffer(bytearray(b"x") * MIB))
            assert bytes(q.get().data[:3]) == b"xxx"
        del one
        gc.collect()
        for _ in range(20):
            q.put(Buffer(bytearray(b"x") * MIB))
            q.get()
        assert bytes(two.data) == b"\x01" * MIB
        assert bytes(three.data) == b"\x02" * MIB
        before = q.stats().bytes
        del two, three
        gc.collect()
        assert q.stats().bytes <= before

    def test_they_outlive_the_queue(self, make):
        q = make(zero_copy=True)
        q.put(Buffer(bytearray(b"y") * MIB))
        result = q.get()
        q.close()
        del q
        gc.collect()
        assert bytes(result.data) == b"y" * MIB

    def test_they_can_be_written(self, make):
        q = make(zero_copy=True)
        q.put(Buffer(bytearray(MIB)))
        result = q.get()
        memoryview(result.data)[:3] = b"abc"
        assert bytes(result.data[:4]) == b"abc\0"

    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"], indirect=True)
    def test_a_childs(self, make, start):
        q, back = make(zero_copy=True), make()
        child = start(q, back)
        q.put(Buffer(bytearray(b"z") * MIB))
        assert child.run(queuers.keep_and_look, q) == b"z" * 10
        for _ in range(5):
            q.put(Buffer(bytearray(b"other") * MIB))
            q.get()
        assert child.run(queuers.look_again) == b"z" * 10
        child.kill()
        for _ in range(5):
            q.put(Buffer(bytearray(b"other") * MIB))
            q.get()

    def test_arrays(self, make):
        np = pytest.importorskip("numpy")
        q = make(zero_copy=True)
        q.put({"a": np.arange(100_000), "b": np.arange(10)})
        result = q.get()
        assert (result["a"] == np.arange(100_000)).all()
        assert (result["b"] == np.arange(10)).all()


class TestAsyncio:
    def run(self, coroutine):
        async def limited():
            return await asyncio.wait_for(coroutine, PATIENCE)

        return asyncio.run(limited())

    def test_aget_of_what_is_there(self, make):
        q = make()
        q.put(1)
        assert self.run(q.aget()) == 1

    def test_aget_waits(self, make, start):
        q = make()
        child = start(q)

        async def main():
            getter = asyncio.ensure_future(q.aget())
            await asyncio.sleep(0)
            assert not getter.done()
            child.send(workers.invoke, q, "put", "from the child")
            return await getter

        assert self.run(main()) == "from the child"
        child.result()

    def test_many_agets(self, make, start):
        q = make()
        child = start(q)

        async def main():
            getters = [asyncio.ensure_future(q.aget()) for _ in range(50)]
            child.send(queuers.produce, q, 0, 50)
            return await asyncio.gather(*getters)

        assert sorted(self.run(main())) == [(0, i) for i in range(50)]
        child.result()

    def test_aput_waits_for_room(self, make, start):
        q = make(1)
        child = start(q)

        async def main():
            await q.aput(0)
            putters = [asyncio.ensure_future(q.aput(i)) for i in range(1, 6)]
            await asyncio.sleep(0)
            assert not any(putter.done() for putter in putters)
            child.send(jobs.drain, q, 6)
            await asyncio.gather(*putters)

        self.run(main())
        assert sorted(child.result()) == list(range(6))

    def test_a_cancelled_aget_takes_nothing(self, make):
        q = make()

        async def main():
            getter = asyncio.ensure_future(q.aget())
            await asyncio.sleep(0)
            getter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getter
            q.put("there")
            return await q.aget()

        assert self.run(main()) == "there"

    def test_wait_for(self, make):
        q = make()

        async def main():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(q.aget(), 0.05)
            q.put(2)
            return await asyncio.wait_for(q.aget(), PATIENCE)

        assert self.run(main()) == 2

    def test_ping_pong(self, make, start):
        there, back = make(), make()
        child = start(there, back)
        child.send(queuers.echo, there, back, 300)

        async def main():
            for i in range(300):
                await there.aput(i)
                assert await back.aget() == i

        self.run(main())
        child.result()

    def test_the_loop_runs_meanwhile(self, make, start):
        q = make()
        ticks = []

        async def tick():
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(0.001)

        async def main():
            ticker = asyncio.ensure_future(tick())
            getter = asyncio.ensure_future(q.aget())
            while len(ticks) < 20:
                await asyncio.sleep(0.001)
            q.put("end")
            assert await getter == "end"
            ticker.cancel()

        self.run(main())

    def test_shutdown(self, make):
        q = make()

        async def main():
            getter = asyncio.ensure_future(q.aget())
            await asyncio.sleep(0)
            q.shutdown()
            with pytest.raises(mpfast.ShutDown):
                await getter

        self.run(main())

    def test_closed(self, make):
        q = make()
        q.close()
        with pytest.raises(ValueError, match="is closed"):
            self.run(q.aget())
        with pytest.raises(ValueError, match="is closed"):
            self.run(q.aput(1))

    def test_two_loops_in_turn(self, make):
        """Nothing of a loop that has ended stays with the queue."""
        q = make()
        for i in range(3):
            q.put(i)
            assert self.run(q.aget()) == i
            with pytest.raises(asyncio.TimeoutError):
                self.run(asyncio.wait_for(q.aget(), 0.01))
