# SPDX-License-Identifier: MIT
"""The same cells for asv, which keeps their history as mpfast's time in times of the stdlib's. Lower is better.

asv gets fewer cells than the report. What one process does with a lock does not depend on the start method. With two
CPUs a ratio says more about the machine's wake-ups than about the code, so it is shown but must not gate anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .base.deadline import Limits
from .base.errors import Skipped
from .base.impls import START_METHODS
from .base.placement import PLACEMENTS
from .kinds.scenario import Scenario
from .measure.pairs import measure
from .suites import connections, launch, pools, queues
from .suites.locks import ALONE, CREATION, DUO
from .suites.plan import Budget, find

SECONDS = {"alone": 0.4, "duo": 1.0, "talk": 0.6, "crowd": 1.0, "launch": 1.5}
ROUNDS = 3  # processes for each cell. asv puts their samples together
VERSION = "1"  # raise it by hand when what is measured changes, and asv starts a new history


def keys(scenarios: Iterable[Scenario]) -> list[str]:
    return [scenario.key for scenario in scenarios]


def shares(suite: str, scenario: str, method: str, placement: str) -> dict[str, Any]:
    """mpfast's share of the stdlib's time in each pair, in the form in which asv keeps samples."""
    cell = find(f"{suite}/{scenario}/{method}/{placement}")
    try:
        budget = Budget(SECONDS[cell.scenario.kind], 6, 60)
        pairs = measure(cell, budget, Limits()).pairs
    except Skipped as reason:
        raise NotImplementedError(reason) from None
    return {"samples": [float(f"{ours / base:.4g}") for base, ours in pairs], "number": 1}


def track_alone(scenario: str, method: str) -> dict[str, Any]:
    return shares("locks", scenario, method, "one_cpu")


def track_duo(scenario: str, method: str, placement: str) -> dict[str, Any]:
    return shares("locks", scenario, method, placement)


def track_queue(scenario: str, method: str, placement: str) -> dict[str, Any]:
    return shares("queues", scenario, method, placement)


def track_connections(scenario: str, method: str, placement: str) -> dict[str, Any]:
    return shares("connections", scenario, method, placement)


def track_look(scenario: str, method: str) -> dict[str, Any]:
    return shares("connections", scenario, method, "one_cpu")


def track_launch(scenario: str, method: str) -> dict[str, Any]:
    return shares("launch", scenario, method, "one_cpu")


def track_pool(scenario: str, method: str, placement: str) -> dict[str, Any]:
    return shares("pools", scenario, method, placement)


def tell_asv(benchmark: Callable[..., Any], **params: Sequence[str]) -> None:
    """asv reads these from the function itself. Some of them it ignores anywhere else."""
    benchmark.__dict__.update(
        params=list(params.values()),
        param_names=list(params),
        unit="x stdlib time",
        rounds=ROUNDS,
        version=VERSION,
        timeout=120,
    )


tell_asv(track_alone, scenario=keys([*ALONE, *CREATION]), method=["fork"])
tell_asv(track_duo, scenario=keys(DUO), method=["fork"], placement=list(PLACEMENTS))
tell_asv(
    track_queue,
    scenario=keys([*queues.FLOWS, *queues.CROWDS]),
    method=["fork"],
    placement=list(PLACEMENTS),
)
tell_asv(
    track_connections,
    scenario=connections.TRACKED,
    method=["fork"],
    placement=list(PLACEMENTS),
)
tell_asv(track_look, scenario=keys(connections.LOOKS), method=["fork"])
tell_asv(
    track_launch,
    scenario=[key for key in keys(launch.PLAIN) if key in ("start", "first_line", "start_join")],
    method=list(START_METHODS),
)
tell_asv(track_pool, scenario=pools.TRACKED, method=["fork"], placement=list(PLACEMENTS))
