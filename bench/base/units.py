# SPDX-License-Identifier: MIT
"""Numbers as people read them."""

from __future__ import annotations

from .stats import CONFIDENCE, Interval

PLACEMENT_NAMES = {"one_cpu": "one CPU", "two_cpus": "two CPUs"}


def three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def duration(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= 0.9995 * size:
            return f"{three_digits(nanoseconds / size)} {unit}"
    return f"{three_digits(nanoseconds)} ns"


def times(ratio: float) -> str:
    """How many times faster."""
    return f"{three_digits(ratio)}x"


def span(interval: Interval) -> str:
    """An interval. A question mark says that there were too few samples for the usual confidence."""
    doubt = "" if interval.confidence >= CONFIDENCE else "?"
    return f"{three_digits(interval.low)}–{three_digits(interval.high)}{doubt}"  # noqa: RUF001
