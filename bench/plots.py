# SPDX-License-Identifier: MIT
"""What the plots of the page show, as data beside it; plots.js draws that with Observable Plot."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import assets
from .stats import Interval
from .templates import Html, joined

SCRIPT = Path(__file__).with_name("plots.js")
LIBRARY = ("d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js")
MOST_DOTS = 120
STRIP, DOUBLE_STRIP, HISTORY, TICKS = 24, 46, 30, 18  # heights


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

    def has(self, value: float) -> bool:
        return self.low <= value <= self.high


def dots(
    color: str | Sequence[str], values: Sequence[float], median: float | None = None, interval: Interval | None = None
) -> dict[str, Any]:
    """One row of a strip: values, and marks in it. A color, of all or of each, is a variable of the page's style."""
    colors = [color] * len(values) if isinstance(color, str) else color
    shown = sorted(zip(values, colors, strict=True))[:: len(values) // MOST_DOTS + 1]
    row: dict[str, Any] = {"values": short([value for value, _ in shown])}
    row["color"] = color if isinstance(color, str) else [of_it for _, of_it in shown]
    if median is not None:
        row["median"] = median
    if interval is not None:
        row["interval"] = [end for end in interval[:2] if math.isfinite(end)]
    return row


def strip(label: str, axis: Axis, rows: Sequence[dict[str, Any]], **lines: float) -> Html:
    """Rows of dots; lines are `unity` and `floor`, which is left out where it would be beyond an end."""
    seen = {name: x for name, x in lines.items() if axis.has(x)}
    height = STRIP if len(rows) == 1 else DOUBLE_STRIP
    return _element(label, height, kind="strip", domain=short([axis.low, axis.high]), rows=list(rows), **seen)


def ticks(axis: Axis, unit: str) -> Html:
    """The numbers of an axis; unit is "x" or "ns"."""
    return _element("", TICKS, kind="ticks", domain=short([axis.low, axis.high]), unit=unit)


def course(label: str, values: Sequence[float]) -> Html:
    """A line through values that follow each other, the last one marked; the axis is upright."""
    axis = Axis.around(values, 1)
    return _element(label, HISTORY, kind="course", domain=short([axis.low, axis.high]), values=short(values))


def short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _element(label: str, height: int, **data: Any) -> Html:
    said = f'role="img" aria-label="{html.escape(label)}"' if label else 'aria-hidden="true"'
    text = html.escape(json.dumps({"height": height, **data}, separators=(",", ":")))
    return Html(f'<div class="drawn" {said} style="height:{height}px" data-plot="{text}"></div>')


def scripts() -> Html:
    """The library, and what uses it, as elements of the page. AssetError: it cannot be had."""
    folder = assets.fetch(assets.OF_PAGE)
    texts = [(folder / name).read_text() for name in LIBRARY] + [SCRIPT.read_text()]
    return joined(f"<script>{text}</script>\n" for text in texts)
