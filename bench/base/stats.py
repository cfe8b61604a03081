# SPDX-License-Identifier: MIT
"""Medians and their intervals, from order statistics. Nothing is assumed about the distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The median of what was sampled lies between low and high with this confidence."""

    low: float
    high: float
    confidence: float


def interval_of_median(samples: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The narrowest symmetric interval of order statistics that reaches the confidence.

    Fewer than six samples cannot reach 95 %. Their whole range is returned then, with the confidence that it has.
    """
    ordered = sorted(samples)
    count = len(ordered)
    cut, reached = 0, outside_probability(count, 0)
    while 2 * (cut + 1) < count and 1 - outside_probability(count, cut + 1) >= confidence:
        cut += 1
        reached = outside_probability(count, cut)
    return Interval(ordered[cut], ordered[count - 1 - cut], 1 - reached)


def outside_probability(count: int, cut: int) -> float:
    """How likely the true median lies outside the samples that remain when `cut` are left out at each end."""
    tail: int = sum(math.comb(count, k) for k in range(cut + 1))
    return min(1.0, float(tail / 2 ** (count - 1)))
