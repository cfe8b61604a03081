# SPDX-License-Identifier: MIT
"""`make picture` draws docs/speed.svg, the speed in one picture, from the data of the last `make bench`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from .. import ROOT
from ..base.units import times
from ..measure.results import ALIKE
from .templates import Html, Templates, joined

DRAWN, NOT_DRAWN = 0, 2
DATA = Path(ROOT, "build", "bench", "data.json")
PICTURE = Path(ROOT, "docs", "speed.svg")
TEMPLATE = Path(__file__).with_name("picture.svg.in")
TITLE = "How many times faster than multiprocessing?"
SUBTITLE = "mpfast against Python's own multiprocessing, longer is better"

# In units of the picture, which is read at 400 to 800 pixels.
WIDTH, ROW, HEAD, LINE = 480, 22, 64, 15
LEFT, RIGHT = 172, 350  # of the plot
VALUE, SPAN = 400, 464  # where the numbers end
TICK_ROOM = 24
LINE_LETTERS = 78


class Bar(NamedTuple):
    """What a bar is called, and how the names of the cells begin that it stands for."""

    name: str
    cells: str


GROUPS: dict[str, tuple[Bar, ...]] = {
    "Locks": (
        Bar("Lock, free", "locks/with_lock/"),
        Bar("Lock, two processes", "locks/contended_lock/"),
        Bar("Event, back and forth", "locks/event_turns/"),
    ),
    "Messages": (
        Bar("Queue of integers", "queues/stream_int/"),
        Bar("Queue of 1 MiB arrays", "queues/stream_1m_array/"),
        Bar("Pipe, small dicts", "connections/stream_duplex_dict/"),
        Bar("Manager, item of a dict", "connections/manager_store/"),
    ),
    "Workers": (
        Bar("Pool.map of integers", "pools/pool_map_int/"),
        Bar("Executor.submit", "pools/executor_submit/"),
    ),
    "Starting a process": (
        Bar("forkserver", "launch/start_join/forkserver/"),
        Bar("spawn", "launch/start_join/spawn/"),
        Bar("fork", "launch/start_join/fork/"),
    ),
}
MEANING = (
    "A bar is the median over the start methods, and over running on one CPU and on two. "
    "Its thin line goes from the lowest of these results to the highest. The scale is logarithmic."
)


class PictureError(Exception):
    """There is nothing to draw from. The text says what to do."""


@dataclass(frozen=True)
class Drawn:
    """A bar, and how many times faster each of its cells is."""

    name: str
    ratios: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.ratios)

    @property
    def span(self) -> str:
        return f"{short(min(self.ratios))} to {short(max(self.ratios))}"

    @property
    def told(self) -> str:
        return f"{self.name}: {times(self.middle)}, from {self.span}" if self.ratios else f"{self.name}: not measured"


def short(ratio: float) -> str:
    """In two digits, because a range is no more exact than that."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


class Scale:
    """A logarithmic axis that has 1 on it, and room for all of these."""

    def __init__(self, ratios: Sequence[float]) -> None:
        self._low, self._high = min(*ratios, 0.8) * 0.95, max(*ratios, 2) * 1.05

    def at(self, ratio: float) -> float:
        share = math.log(ratio / self._low) / math.log(self._high / self._low)
        return round(LEFT + (RIGHT - LEFT) * share, 1)

    def ticks(self) -> list[float]:
        """1, the powers of ten, and what else of 2 and 5 there is room for."""
        known = [digit * 10.0**power for digit in (1, 2, 5) for power in range(-2, 6)]
        fitting = [tick for tick in known if self._low <= tick <= self._high]
        shown: list[float] = []
        for tick in sorted(fitting, key=lambda tick: (tick != 1, known.index(tick))):
            if all(abs(self.at(tick) - self.at(other)) >= TICK_ROOM for other in shown):
                shown.append(tick)
        return sorted(shown)


def drawn(bar: Bar, cells: Sequence[dict[str, Any]]) -> Drawn:
    found = (cell["times_faster"] for cell in cells if cell["key"].startswith(bar.cells) and cell["status"] == "ok")
    return Drawn(bar.name, tuple(found))


def render(data: dict[str, Any]) -> str:
    """The picture. Raises PictureError if the data is not a comparison, or lacks the cells of most bars."""
    groups = {name: [drawn(bar, data["cells"]) for bar in bars] for name, bars in GROUPS.items()}
    everything = [bar for bars in groups.values() for bar in bars]
    measured = [bar for bar in everything if bar.ratios]
    if data["facts"]["same"]:
        raise PictureError("the last run measured the stdlib against itself")
    if len(measured) * 2 < len(everything):
        raise PictureError("the last run measured too little of what the picture shows. Run make bench without --only")
    scale = Scale([ratio for bar in measured for ratio in bar.ratios])
    return Picture(groups, scale, data["facts"]).render()


class Picture:
    def __init__(self, groups: dict[str, list[Drawn]], scale: Scale, facts: dict[str, Any]) -> None:
        self._groups, self._scale, self._facts = groups, scale, facts
        self._templates = Templates(TEMPLATE)

    def render(self) -> str:
        rows, bottom = self._rows()
        footer = textwrap.wrap(f"{MEANING} {self._measured_on()}", LINE_LETTERS)
        height = bottom + 30 + LINE * len(footer) + 4
        return self._templates.fill(
            "page",
            width=WIDTH,
            height=height,
            inner_width=WIDTH - 1,
            inner_height=height - 1,
            title=TITLE,
            desc=self._told(),
            subtitle=self._templates.fill("line", y=47, text=SUBTITLE),
            ticks=joined(self._ticks(bottom)),
            rows=rows,
            footer=joined(
                self._templates.fill("line", y=bottom + 36 + LINE * number, text=text)
                for number, text in enumerate(footer)
            ),
        )

    def _measured_on(self) -> str:
        facts = self._facts
        changes = " with changes" if facts["dirty"] else ""
        return (
            f"Measured on {facts['begun'].partition(' ')[0]}, commit {facts['commit']}{changes}, "
            f"{facts['python']}, machine {facts['machine']}{busy(facts)}."
        )

    def _told(self) -> str:
        """The same in words."""
        groups = (f"{name}: {', '.join(bar.told for bar in bars)}." for name, bars in self._groups.items())
        return " ".join((*groups, MEANING, self._measured_on()))

    def _rows(self) -> tuple[Html, float]:
        """The groups with their bars, and where they end."""
        parts, y = [], float(HEAD)
        for name, bars in self._groups.items():
            y += 18
            parts.append(self._templates.fill("group", y=y - 4, name=name))
            for bar in bars:
                parts.append(self._bar(bar, y + 14))
                y += ROW
        return joined(parts), y

    def _bar(self, bar: Drawn, y: float) -> Html:
        if not bar.ratios:
            return self._templates.fill("missing", name=bar.name, y=y, x=self._scale.at(1) + 6)
        one, end = self._scale.at(1), self._scale.at(bar.middle)
        return self._templates.fill(
            "bar",
            name=bar.name,
            y=y,
            top=y - 10,
            middle=y - 4,
            cap_top=y - 7,
            side=side(bar.middle),
            x=min(one, end),
            length=max(round(abs(end - one), 1), 1.5),
            low=self._scale.at(min(bar.ratios)),
            high=self._scale.at(max(bar.ratios)),
            value=times(bar.middle),
            value_x=VALUE,
            span=bar.span,
            span_x=SPAN,
        )

    def _ticks(self, bottom: float) -> Iterator[Html]:
        for tick in self._scale.ticks():
            yield self._templates.fill(
                "tick",
                kind="one" if tick == 1 else "rule",
                x=self._scale.at(tick),
                top=HEAD,
                bottom=bottom + 2,
                below=bottom + 15,
                text=f"{tick:g}x",
            )


def busy(facts: dict[str, Any]) -> str:
    """A warning if other programs had the CPUs too."""
    load = facts["load_before"]
    return f", which was busy with other work (load {load:.0f} on {facts['cpus']} CPUs)" if load > facts["cpus"] else ""


def side(ratio: float) -> str:
    if ratio > 1 + ALIKE:
        return "faster"
    return "slower" if ratio < 1 - ALIKE else "same"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make picture ARGS=...", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=DATA, metavar="FILE", help="what make bench has measured")
    add("--out", type=Path, default=PICTURE, metavar="FILE", help="where the picture goes")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if not options.data.exists():
            raise PictureError(f"{options.data} does not exist. make bench writes it")
        options.out.write_text(render(json.loads(options.data.read_text())), encoding="utf-8")
    except PictureError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return NOT_DRAWN
    print(f"picture: {options.out}")
    return DRAWN
