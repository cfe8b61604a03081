# SPDX-License-Identifier: MIT
"""Distributions as strips of dots on a logarithmic axis: small SVG pictures that stretch to any width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .templates import Html, joined

WIDTH = 1000  # of every picture's own coordinates; its CSS decides how wide that is on the screen
MOST_DOTS = 120
LANES = 7
ROUNDNESS = (
    (1,),
    (2, 5),
    (1.5, 3, 7),
    (1.2, 4, 6, 8),
    (1.1, 1.3, 1.4, 1.6, 1.7, 1.8, 1.9, 2.5, 9),
)  # best first
APART = 0.3  # of the axis


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from low to high; what lies outside is drawn at its ends."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], *always: float) -> Axis:
        """Wide enough for all but a hundredth of the values at either end."""
        ordered = sorted(values)
        cut = len(ordered) // 100
        shown = [*ordered[cut : len(ordered) - cut], *always]
        low, high = min(shown), max(shown)
        margin = max((high / low) ** 0.04, 1.02)
        return cls(low / margin, high * margin)

    def share(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        where = math.log(value / self.low) / math.log(self.high / self.low)
        return min(1.0, max(0.0, where))

    def x(self, value: float) -> int:
        return round(WIDTH * self.share(value))

    def ticks(self) -> list[float]:
        """Round numbers along the axis, so far apart that their labels do not touch."""
        chosen: list[float] = []
        for tick in (tick for digits in ROUNDNESS for tick in self._round_numbers(digits)):
            if all(abs(self.share(tick) - self.share(other)) >= APART for other in chosen):
                chosen.append(tick)
        return sorted(chosen)

    def _round_numbers(self, digits: Sequence[float]) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [d * 10.0**p for p in powers for d in digits if self.low <= d * 10.0**p <= self.high]


def labels(axis: Axis, text: Callable[[float], str]) -> Html:
    """The axis' numbers, as HTML so that they keep their size."""
    return joined(f'<span style="left:{100 * axis.share(t):.1f}%">{text(t)}</span>' for t in axis.ticks())


def grid(axis: Axis, height: int, unity: bool) -> str:
    lines = "".join(f"M{axis.x(tick)} 0v{height}" for tick in axis.ticks())
    one = f'<path class="one" d="M{axis.x(1)} 0v{height}"/>' if unity else ""
    return f'<path class="grid" d="{lines}"/>{one}'


def dots(axis: Axis, values: Sequence[float], top: int, name: str) -> str:
    """A dot a value, spread over a few lanes so that neighbours do not hide each other."""
    shown = sorted(values)[:: len(values) // MOST_DOTS + 1]
    path = "".join(f"M{axis.x(value)} {top + 3 * (index * 3 % LANES)}h0" for index, value in enumerate(shown))
    return f'<path class="dots {name}" d="{path}"/>'


def mark(axis: Axis, value: float, top: int, height: int) -> str:
    return f'<path class="median" d="M{axis.x(value)} {top}v{height}"/>'


def dashed(axis: Axis, value: float, height: int) -> str:
    """A line, unless it would be beyond an end."""
    return f'<path class="floor" d="M{axis.x(value)} 0v{height}"/>' if axis.low <= value <= axis.high else ""


def course(axis: Axis, values: Sequence[float], height: int) -> str:
    """A line through values that follow each other, the last one marked; the axis is upright."""
    step = WIDTH / max(1, len(values) - 1)
    ends = [(round(i * step), round((1 - axis.share(value)) * height)) for i, value in enumerate(values)]
    line = "L".join(f"{x} {y}" for x, y in ends)
    return f'<path class="course" d="M{line}"/><path class="dots pairs" d="M{ends[-1][0]} {ends[-1][1]}h0"/>'


def picture(height: int, content: str, label: str) -> Html:
    return Html(
        f'<svg viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" style="height:{height}px" '
        f'role="img" aria-label="{label}">{content}</svg>'
    )
