# SPDX-License-Identifier: MIT
"""progress=: how far a map has got."""

import asyncio
import sys
import threading
import types

import pooled
import pytest
from harness import PATIENCE, until

import mpfast


@pytest.fixture
def mp():
    return mpfast


class Told(list):
    """What progress= was called with."""

    def __call__(self, done, total):
        self.append((done, total))

    def check(self, total):
        assert self == sorted(set(self)), "it rises"
        assert self[-1] == (total, total)
        assert {whole for _, whole in self} <= {None, total}


async def collect(results):
    return [n async for n in results]


WAYS = {
    "map": lambda pool, **more: pool.map(pooled.square, range(500), **more),
    "starmap": lambda pool, **more: pool.starmap(pooled.square, [(n,) for n in range(500)], **more),
    "map_async": lambda pool, **more: pool.map_async(pooled.square, range(500), **more).get(PATIENCE),
    "starmap_async": lambda pool, **more: pool.starmap_async(pooled.square, zip(range(500)), **more).get(PATIENCE),
    "imap": lambda pool, **more: list(pool.imap(pooled.square, range(500), **more)),
    "chunks": lambda pool, **more: list(pool.imap(pooled.square, range(500), 7, **more)),
    "feeder": lambda pool, **more: list(pool.imap(pooled.square, iter(range(500)), **more)),
    "unordered": lambda pool, **more: sorted(pool.imap_unordered(pooled.square, range(500), **more)),
    "amap": lambda pool, **more: asyncio.run(pool.amap(pooled.square, range(500), **more)),
    "aimap": lambda pool, **more: asyncio.run(collect(pool.aimap(pooled.square, range(500), **more))),
}


@pytest.mark.parametrize("way", WAYS)
def test_rises_to_the_whole(pool, way):
    told = Told()
    assert WAYS[way](pool, progress=told) == [n * n for n in range(500)]
    told.check(500)
    assert len(told) < 250, "it is not called for each element"


@pytest.mark.parametrize("way", WAYS)
def test_a_bar(pool, way, monkeypatch):
    """True shows one of tqdm's."""
    bars = []

    class Bar:
        def __init__(self, total):
            self.total, self.n, self.closed = total, 0, False
            bars.append(self)

        def update(self, number):
            assert number >= 0
            self.n += number

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    assert WAYS[way](pool, progress=True) == [n * n for n in range(500)]
    (bar,) = bars
    assert (bar.n, bar.total, bar.closed) == (500, 500, True)


@pytest.mark.parametrize("way", WAYS)
def test_a_bar_of_the_real_tqdm(pool, way, capsys):
    pytest.importorskip("tqdm").tqdm.monitor_interval = 0  # its thread would stay
    assert WAYS[way](pool, progress=True) == [n * n for n in range(500)]
    assert "500/500" in capsys.readouterr().err


def test_without_tqdm(pool, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    for way in WAYS.values():
        with pytest.raises(ImportError, match="tqdm is not installed"):
            way(pool, progress=True)
    assert not pool._cache


def test_what_is_no_function(pool):
    for way in WAYS.values():
        with pytest.raises(TypeError, match="progress must be"):
            way(pool, progress=3)
    assert not pool._cache
    assert pool.map(pooled.square, [3], progress=False) == [9]


@pytest.mark.parametrize("way", ["map", "map_async", "imap", "amap", "aimap"])
def test_is_told_while_elements_run(held, gate, way):
    """Each element that takes its time is told of soon."""
    told, found = Told(), []
    run = {
        "map": lambda **more: held.map(pooled.hold, range(4), 1, **more),
        "map_async": lambda **more: held.map_async(pooled.hold, range(4), 1, **more).get(PATIENCE),
        "imap": lambda **more: list(held.imap(pooled.hold, range(4), **more)),
        "amap": lambda **more: asyncio.run(held.amap(pooled.hold, range(4), 1, **more)),
        "aimap": lambda **more: asyncio.run(collect(held.aimap(pooled.hold, range(4), **more))),
    }[way]
    thread = threading.Thread(target=lambda: found.extend(run(progress=told)))
    thread.start()
    for n in range(4):
        until(lambda n=n: told and told[-1] == (n, 4), f"{n} are told of")
        gate.wait()
        gate.open()
    thread.join(PATIENCE)
    assert found == list(range(4))
    told.check(4)


def test_the_last_call_comes_before_the_callback(pool):
    told, order = Told(), []
    result = pool.map_async(pooled.square, range(10), callback=lambda _: order.append(list(told)), progress=told)
    assert result.get(PATIENCE) == [n * n for n in range(10)]
    assert order[0][-1] == (10, 10)


def test_errors_count(pool):
    for call in (pool.map, lambda *args, **more: pool.map_async(*args, **more).get(PATIENCE)):
        told = Told()
        with pytest.raises(ValueError, match="^[13579]$"):
            call(pooled.fail_if_odd, range(10), 1, progress=told)
        told.check(10)


def test_nothing_to_do(pool):
    told = Told()
    assert pool.map(pooled.square, [], progress=told) == []
    assert list(pool.imap(pooled.square, [], progress=told)) == []
    assert set(told) == {(0, 0)}


def test_a_function_that_raises(held, gate):
    """Ends a map for which a thread waits. Otherwise it is not called any more, and the map goes on."""

    def fail(done, total):
        raise KeyError(done)

    with pytest.raises(KeyError):
        held.map(pooled.hold, range(2), progress=fail)
    assert held.map(pooled.square, range(9)) == [n * n for n in range(9)]
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", seen.append)
        assert held.map_async(pooled.square, range(9), progress=fail).get(PATIENCE) == [n * n for n in range(9)]
    assert [type(args.exc_value) for args in seen] == [KeyError]


def test_a_pool_that_is_terminated(held, gate):
    """The thread that tells ends, too."""
    held.map_async(pooled.hold, range(4), 1, progress=Told())
    gate.wait(2)
    held.terminate()
    held.join()
    until(lambda: "mpfast-progress" not in [thread.name for thread in threading.enumerate()], "it ends")
