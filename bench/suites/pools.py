# SPDX-License-Identifier: MIT
"""Pool and ProcessPoolExecutor over the contexts of both sides."""

from __future__ import annotations

from ..base.impls import START_METHODS
from ..kinds.scenario import Scenario
from ..kinds.tasks import Life, OfExecutor, OfPool, Tasks, all_at_once, one_by_one

APPLY, SUBMIT = "pool.apply(f, (x,))", "executor.submit(f, x).result()"
MAP, EXECUTOR_MAP = "pool.map(f, xs, 1), per x", "list(executor.map(f, xs)), per x"

SCENARIOS: tuple[Scenario, ...] = (
    Tasks("pool_apply", "Pool, int, round trip", "Pool", APPLY, OfPool, one_by_one),
    Tasks("pool_map_int", "Pool, int, map", "Pool", MAP, OfPool, all_at_once, methods=START_METHODS),
    Tasks("pool_map_64KiB", "Pool, 64 KiB, map", "Pool", MAP, OfPool, all_at_once, payload="64 KiB"),
    Tasks("executor_submit", "Executor, int, round trip", "ProcessPoolExecutor", SUBMIT, OfExecutor, one_by_one),
    Tasks("executor_map_int", "Executor, int, map", "ProcessPoolExecutor", EXECUTOR_MAP, OfExecutor, all_at_once),
    Life("pool_life", "Pool(2), from start to end", "Pool", "Pool(2), two tasks, close(), join()", OfPool),
)
