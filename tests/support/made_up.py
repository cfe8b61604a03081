# SPDX-License-Identifier: MIT
"""Results that were not measured."""

from bench.measure.results import Measured, Result
from bench.suites.plan import cells


def results():
    """One cell that is faster, one that is slower, one that is too noisy to say."""
    pairs = {
        "with_lock": [(150 + i % 3, 50) for i in range(20)],
        "semaphore": [(50 + i % 3, 80) for i in range(20)],
        "bounded": [(50.0, 30.0), (50.0, 80.0)] * 10,
    }
    return [result(cell, made_up) for name, made_up in pairs.items() for cell in cells([f"locks/{name}/fork/"])]


def result(cell, pairs):
    made_up = Result(cell)
    made_up.add("ok", "", Measured(pairs, {}, {}))
    return made_up
