# SPDX-License-Identifier: MIT
"""Reads the recorded history back. It says how many times faster each cell was at each commit, on this machine."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .. import ROOT
from ..base.facts import Facts
from . import asv, databranch
from .databranch import BranchError


class Point(NamedTuple):
    commit: str
    ratio: float  # times faster than the stdlib
    low: float
    high: float


@dataclass
class Recorded:
    """What is known of the commits before this one."""

    series: dict[tuple[str, str, str], list[Point]] = field(default_factory=dict)  # scenario, method, placement
    elsewhere: int = 0  # results of other machines, kernels or Pythons, which are not in the series

    def of(self, scenario: str, method: str, placement: str) -> list[Point]:
        return self.series.get((scenario, method, placement), [])


def recorded(facts: Facts, repository: Path = Path(ROOT)) -> Recorded:
    """Nothing, if nothing was recorded or git cannot say."""
    known = Recorded()
    try:
        folder = databranch.find(repository)
        commits = databranch.git(repository, "rev-list", "--reverse", "--first-parent", "HEAD").split()
    except (BranchError, OSError):
        return known
    if folder is None:
        return known
    benchmarks = known_benchmarks(folder / "results" / "benchmarks.json")
    place = {commit: number for number, commit in enumerate(commits)}
    results = [json.loads(path.read_text()) for path in folder.glob("results/*/*-*.json")]
    results = [data for data in results if data["commit_hash"] in place]
    ours = [data for data in results if comparable(data, facts)]
    known.elsewhere = len(results) - len(ours)
    for data in sorted(ours, key=lambda data: place[data["commit_hash"]]):
        for key, point in points(data, benchmarks):
            known.series.setdefault(key, []).append(point)
    return known


def known_benchmarks(path: Path) -> dict[str, dict[str, Any]]:
    known = json.loads(path.read_text()) if path.exists() else {}
    return {name: value for name, value in known.items() if isinstance(value, dict)}


def comparable(data: dict[str, Any], facts: Facts) -> bool:
    """All that asv keeps of a machine is as it is here, and the Python is."""
    machine = asv.machine(facts)
    python = facts.python.split()[-1].rpartition(".")[0]
    same = all(data["params"].get(name, value) == value for name, value in machine.items())
    return same and data["params"]["machine"] == machine["machine"] and data["python"] == python


def points(data: dict[str, Any], benchmarks: dict[str, dict[str, Any]]) -> Iterator[tuple[tuple[str, str, str], Point]]:
    """asv keeps mpfast's time in times of the stdlib's, for each combination of parameters in turn."""
    for name, row in data["results"].items():
        found = dict(zip(data["result_columns"], row, strict=False))
        benchmark = benchmarks.get(name, {})
        if not found.get("result") or found.get("version") != benchmark.get("version"):
            continue
        values = found["result"]
        lows, highs = (found.get(column) or values for column in ("stats_ci_99_a", "stats_ci_99_b"))
        combinations = itertools.product(*found["params"])
        for words, value, low, high in zip(combinations, values, lows, highs, strict=True):
            if value is not None and value == value:  # nan is what could not be measured
                names = zip(benchmark["param_names"], map(ast.literal_eval, words), strict=True)
                cell = {"method": "fork", "placement": "one_cpu"} | dict(names)
                point = Point(data["commit_hash"], 1 / value, 1 / (high or value), 1 / (low or value))
                yield (cell["scenario"], cell["method"], cell["placement"]), point
