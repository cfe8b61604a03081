# SPDX-License-Identifier: MIT
"""Pool and ProcessPoolExecutor over the contexts of both sides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from mpfb_pool import given, same, size

from ..base.impls import START_METHODS
from ..kinds.deaths import Death, OfRecycled
from ..kinds.pool_rivals import RIVALS, OfRival, RivalTasks
from ..kinds.scenario import ONE_METHOD, Scenario
from ..kinds.tasks import First, Life, OfExecutor, OfPool, Tasks, Work, all_at_once, one_by_one, start_all

MANY = range(200_000)
KEPT = 16  # arrays that are there at the same time, because their memory is part of the cost


def burst(work: Work, count: int) -> None:
    workers, thing = work
    call = workers.lead.apply_async
    for result in [call(same, (thing,)) for _ in repeat(None, count)]:
        result.get()


def submit_burst(work: Work, count: int) -> None:
    workers, thing = work
    submit = workers.lead.submit
    for future in [submit(same, thing) for _ in repeat(None, count)]:
        future.result()


def map_many(work: Work, count: int) -> None:
    for _ in repeat(None, count):
        work[0].lead.map(same, MANY)


def iterate(way: str, work: Work, count: int) -> None:
    workers, thing = work
    for _ in getattr(workers.lead, way)(same, repeat(thing, count)):
        pass


def map_in_chunks(work: Work, count: int) -> None:
    workers, thing = work
    for _ in workers.lead.map(same, repeat(thing, count), chunksize=100):
        pass


def move(function: Callable[[Any], Any], name: str, work: Work, count: int) -> None:
    """So many arrays, a few at a time. What is out only is asked for by its name."""
    workers, thing = work
    for begin in range(0, count, KEPT):
        workers.lead.map(function, [name or thing] * min(KEPT, count - begin), 1)


POOL, EXECUTOR = "Pool", "ProcessPoolExecutor"


def pool(
    key: str,
    title: str,
    operation: str,
    loop: Callable[[Work, int], None],
    methods: tuple[str, ...] = START_METHODS,
    **more: Any,
) -> Tasks:
    return Tasks(f"pool_{key}", f"Pool, {title}", POOL, operation, OfPool, loop, methods=methods, **more)


def executor(key: str, title: str, operation: str, loop: Callable[[Work, int], None]) -> Tasks:
    name, call = f"executor_{key}", f"Executor, {title}"
    return Tasks(name, call, EXECUTOR, operation, OfExecutor, loop, methods=START_METHODS)


def arrays(payload: str) -> tuple[Tasks, ...]:
    key, title = payload.replace(" ", ""), payload
    ways = (
        ("in", "to a worker", "pool.map(len, arrays, 1), per array", partial(move, size, "")),
        ("out", "from a worker", "pool.map(f, names, 1), which gives arrays, per array", partial(move, given, payload)),
        ("both", "there and back", "pool.map(f, arrays, 1), per array", partial(move, same, "")),
    )
    return tuple(
        pool(f"{key}_{way}", f"{title}, {words}", operation, loop, ONE_METHOD, payload=payload, first_batch=KEPT)
        for way, words, operation, loop in ways
    )


CALLS: tuple[Tasks, ...] = (
    pool("apply", "int, round trip", "pool.apply(f, (x,))", one_by_one),
    pool("burst", "int, apply_async", "pool.apply_async(f, (x,)) many times, then get(), per x", burst),
    pool("map_int", "int, map", "pool.map(f, xs, 1), per x", all_at_once),
    pool(
        "map_many", "200,000 ints, map", "pool.map(f, range(200_000)), per x", map_many, units=len(MANY), first_batch=1
    ),
    pool("map_64KiB", "64 KiB, map", "pool.map(f, xs, 1), per x", all_at_once, ONE_METHOD, payload="64 KiB"),
    pool("imap", "int, imap", "for y in pool.imap(f, xs), per x", partial(iterate, "imap")),
    pool(
        "unordered",
        "int, imap_unordered",
        "for y in pool.imap_unordered(f, xs), per x",
        partial(iterate, "imap_unordered"),
    ),
    executor("submit", "int, round trip", "executor.submit(f, x).result()", one_by_one),
    executor("burst", "int, submit", "executor.submit(f, x) many times, then result(), per x", submit_burst),
    executor("map_int", "int, map", "list(executor.map(f, xs)), per x", all_at_once),
    executor("map_chunks", "int, map in chunks", "executor.map(f, xs, chunksize=100), per x", map_in_chunks),
)
ARRAYS: tuple[Tasks, ...] = (*arrays("64 KiB array"), *arrays("1 MiB array"))
LIVES: tuple[Life, ...] = (
    First("pool_first", "Pool(2), to the first result", POOL, "Pool(2) until apply() returns", OfPool),
    Life("pool_life", "Pool(2), from start to end", POOL, "Pool(2), two tasks, close(), join()", OfPool),
)

DEATHS: tuple[Scenario, ...] = (
    Death(
        "executor_death",
        "Executor, a killed worker, to its error",
        EXECUTOR,
        "submit(f).exception(), where f kills its worker",
        until="the error",
    ),
    Death(
        "executor_goes_on",
        "Executor, a killed worker, to the next result",
        EXECUTOR,
        "submit(f).exception(), then submit(g).result(), with another executor if that is needed",
        until="the next result",
    ),
    Tasks(
        "pool_recycled",
        "Pool, a worker for each task",
        POOL,
        "Pool(2, maxtasksperchild=1).map(f, xs, 1), per x",
        OfRecycled,
        all_at_once,
        methods=START_METHODS,
        first_batch=4,
    ),
)


def against(package: str, theirs: type[OfRival]) -> tuple[Tasks, ...]:
    """Calls and maps beside those of another package's pool. Its times stand in the stdlib's place then."""
    ways = (
        ("apply", "int, round trip", "one call and its result", one_by_one),
        ("burst", "int, many calls", "many calls, then their results, per call", start_all),
        ("map_int", "int, map", "a map with chunks of one, per x", all_at_once),
    )
    return tuple(
        RivalTasks(
            f"{package}_{key}",
            f"Pool, {title}, against {package}",
            f"Pool against {package}",
            operation,
            OfPool,
            loop,
            theirs=theirs,
            rival=package,
        )
        for key, title, operation, loop in ways
    )


PEERS: tuple[Tasks, ...] = tuple(cell for name, theirs in RIVALS.items() for cell in against(name, theirs))

# Enough for a history.
TRACKED = (
    *(
        "pool_apply",
        "pool_burst",
        "pool_map_int",
        "pool_map_many",
        "pool_map_64KiB",
        "pool_imap",
        "pool_1MiBarray_both",
    ),
    *("executor_submit", "executor_burst", "executor_map_int", "pool_life"),
)

SCENARIOS: tuple[Scenario, ...] = (*CALLS, *ARRAYS, *LIVES, *DEATHS, *PEERS)
