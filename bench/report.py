# SPDX-License-Identifier: MIT
"""The page: one file that opens from the file system and says how much faster mpfast is, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from . import plots, table
from .facts import Facts
from .impls import OURS, START_METHODS, label
from .placement import PLACEMENTS
from .plots import Axis
from .results import ALIKE, Result
from .scenario import Scenario
from .templates import Html, Templates, joined
from .units import PLACEMENT_NAMES, duration, round_duration, round_times, span, three_digits, times

TEMPLATE = Path(__file__).with_name("report.html.in")
FASTER_STEPS = (1.5, 3, 10, 50)  # where the heat map's blue deepens
MUCH_SLOWER = 0.8
STRIP, DOUBLE_STRIP = 24, 46


def write_page(folder: Path, results: Sequence[Result], facts: Facts, notes: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(Page(results, facts, notes).render())
    return page


class Page:
    def __init__(self, results: Sequence[Result], facts: Facts, notes: Sequence[str]) -> None:
        self._results, self._facts, self._notes = results, facts, notes
        self._measured = [result for result in results if result.status == "ok"]
        self._templates = Templates(TEMPLATE)

    def render(self) -> str:
        facts = self._facts
        return self._templates.fill(
            "page",
            ours=label(OURS, facts.same),
            python=facts.python,
            commit=facts.commit + ("+changes" if facts.dirty else ""),
            begun=facts.begun,
            notes=joined(self._templates.fill("note", text=note) for note in self._notes),
            overhead=f"{facts.overhead_ns:.0f}",
            verdict=self._verdict(),
            primitives=self._primitives(),
            slower=self._places("slower", "Nothing that was measured is slower than the stdlib."),
            same=self._places("same", "None."),
            missing=self._missing(),
            heat=self._heat(),
            scenarios=joined(self._scenario(list(results)) for _, results in by_scenario(self._results)),
            facts=self._facts_list(),
        )

    # The top: five seconds

    def _verdict(self) -> Html:
        count = table.counts(self._results)
        names = ("faster", "same", "slower", "failed", "skipped")
        texts = {"same": "the same within the noise", "failed": "could not be measured"}
        chosen = [name for name in names if count[name] or name in ("faster", "slower")]
        return joined(
            self._templates.fill("count", name=name, number=count[name], text=texts.get(name, name))
            for name in chosen
        )

    def _primitives(self) -> Html:
        """One line a primitive: the middle one of its cells, and where all of them lie."""
        if not self._measured:
            return Html("")
        axis = Axis.around([result.ratio for result in self._measured], 1)
        names = list(dict.fromkeys(result.cell.scenario.primitive for result in self._measured))
        lines = joined(self._primitive(name, axis) for name in names)
        return joined([lines, self._templates.fill("primitive_axis", ticks=plots.labels(axis, round_times))])

    def _primitive(self, name: str, axis: Axis) -> Html:
        of_it = [result for result in self._measured if result.cell.scenario.primitive == name]
        ratios = [result.ratio for result in of_it]
        strip = plots.grid(axis, STRIP, unity=True)
        for verdict in ("faster", "same", "slower"):
            strip += plots.dots(axis, [r.ratio for r in of_it if r.verdict == verdict], 2, verdict)
        lowest, highest = times(min(ratios)), times(max(ratios))
        return self._templates.fill(
            "primitive",
            name=name,
            middle=times(median(ratios)),
            side="slower" if median(ratios) < 1 - ALIKE else "",
            range=lowest if lowest == highest else f"{lowest} to {highest}",
            plot=plots.picture(STRIP, strip, f"{name}: {lowest} to {highest}"),
        )

    def _places(self, verdict: str, otherwise: str) -> Html:
        """Where a verdict was found, the start methods that share it on one line."""
        found = [result for result in self._measured if result.verdict == verdict]
        if not found:
            return self._templates.fill("item", text=otherwise)
        grouped = groupby(found, key=lambda r: (r.cell.scenario.title, r.cell.placement))
        merged: dict[tuple[str, str], list[Result]] = {}
        for key, results in grouped:
            merged.setdefault(key, []).extend(results)
        return joined(self._templates.fill("item", text=place_text(*key, rs)) for key, rs in merged.items())

    def _missing(self) -> Html:
        missing = [result for result in self._results if result.status != "ok"]
        if not missing:
            return Html("")
        lines = joined(
            self._templates.fill("missing_line", name=r.cell.key, status=r.status, reason=r.reason)
            for r in missing
        )
        return self._templates.fill("missing", lines=lines)

    # The heat map

    def _heat(self) -> Html:
        return joined(
            self._heat_row(scenario, list(results)) for scenario, results in by_scenario(self._results)
        )

    def _heat_row(self, scenario: Scenario, results: Sequence[Result]) -> Html:
        found = {(result.cell.method, result.cell.placement): result for result in results}
        columns = [(method, placement) for method in START_METHODS for placement in scenario.placements]
        wide = len(PLACEMENTS) // len(scenario.placements)
        cells = joined(self._heat_cell(found.get(column), wide) for column in columns)
        return self._templates.fill("heat_row", key=scenario.key, title=scenario.title, cells=cells)

    def _heat_cell(self, result: Result | None, wide: int) -> Html:
        if result is None or result.status != "ok":
            text = {"failed": "failed", "skipped": "n/a"}.get(result.status, "") if result else ""
            hint = result.reason if result else "not tried"
            return self._templates.fill("heat_cell", wide=wide, shade="none", text=text, hint=hint)
        text = three_digits(result.ratio) + ("!" if result.verdict == "slower" else "")
        hint = f"{duration(result.base_ns)} and {duration(result.ours_ns)}; interval {span(result.interval)}"
        return self._templates.fill("heat_cell", wide=wide, shade=shade(result), text=text, hint=hint)

    # The scenarios

    def _scenario(self, results: Sequence[Result]) -> Html:
        scenario = results[0].cell.scenario
        measured = [result for result in results if result.status == "ok"]
        if not measured:
            return Html("")
        ratios = Axis.around([ratio for result in measured for ratio in result.ratios], 1)
        all_times = Axis.around([time for result in measured for pair in result.pairs for time in pair])
        return self._templates.fill(
            "scenario",
            key=scenario.key,
            title=scenario.title,
            operation=scenario.operation,
            ours=label(OURS, self._facts.same),
            rows=joined(self._cell(result, ratios, all_times) for result in measured),
            ratio_ticks=plots.labels(ratios, round_times),
            time_ticks=plots.labels(all_times, round_duration),
        )

    def _cell(self, result: Result, ratios: Axis, all_times: Axis) -> Html:
        return self._templates.fill(
            "cell",
            method=result.cell.method,
            placement=PLACEMENT_NAMES[result.cell.placement],
            base=duration(result.base_ns),
            ours=duration(result.ours_ns),
            name=label(OURS, self._facts.same),
            ratio=times(result.ratio),
            verdict=result.verdict,
            mark=table.MARKS[result.verdict],
            interval=span(result.interval),
            floor=floor_text(result),
            pairs=len(result.pairs),
            ratio_plot=ratio_strip(result, ratios),
            time_plot=times_strip(result, all_times),
        )

    def _facts_list(self) -> Html:
        facts = self._facts
        known = {
            "CPU": f"{facts.cpu}{', in a virtual machine' if facts.virtual else ''}",
            "CPUs": f"{facts.cpus}, of which this run may use {', '.join(map(str, facts.affinity))}",
            "governor": facts.governor,
            "load": f"{facts.load_before} before, {facts.load_after} after (its own included)",
            "kernel": facts.kernel,
            "C library": facts.libc,
            "Python": f"{facts.python}, {facts.compiler}",
            "mpfast": facts.mpfast,
            "commit": f"{facts.commit}, {'with changes' if facts.dirty else 'clean'}",
            "run": f"{facts.begun}, {facts.seconds:.0f} s",
        }
        return joined(self._templates.fill("fact", name=name, value=value) for name, value in known.items())


def by_scenario(results: Sequence[Result]) -> list[tuple[Scenario, list[Result]]]:
    merged: dict[str, tuple[Scenario, list[Result]]] = {}
    for result in results:
        merged.setdefault(result.cell.scenario.key, (result.cell.scenario, []))[1].append(result)
    return list(merged.values())


def place_text(title: str, placement: str, results: Sequence[Result]) -> str:
    each = ", ".join(f"{result.cell.method} {times(result.ratio)}" for result in results)
    return f"{title}, {PLACEMENT_NAMES[placement]}: {each}"


def floor_text(result: Result) -> str:
    floor, above = table.above_floor(result)
    return f"raw C {floor}, {above}" if floor else ""


def shade(result: Result) -> str:
    """The CSS class of a heat map's cell."""
    if result.verdict == "same":
        return "same"
    if result.verdict == "slower":
        return "slow2" if result.ratio < MUCH_SLOWER else "slow1"
    return f"fast{sum(result.ratio >= step for step in FASTER_STEPS)}"


def ratio_strip(result: Result, axis: Axis) -> Html:
    low, high, _ = result.interval
    bar = f'<path class="interval" d="M{axis.x(low)} 12H{axis.x(high)}"/>'
    content = (
        plots.grid(axis, STRIP, unity=True)
        + plots.dots(axis, result.ratios, 3, "pairs")
        + bar
        + plots.mark(axis, result.ratio, 2, 20)
    )
    return plots.picture(STRIP, content, f"ratios around {times(result.ratio)}")


def times_strip(result: Result, axis: Axis) -> Html:
    base, ours = zip(*result.pairs, strict=True)
    content = (
        plots.grid(axis, DOUBLE_STRIP, unity=False)
        + plots.dots(axis, base, 2, "base")
        + plots.mark(axis, result.base_ns, 1, 20)
        + plots.dots(axis, ours, 25, "ours")
        + plots.mark(axis, result.ours_ns, 24, 20)
    )
    return plots.picture(DOUBLE_STRIP, content, f"{duration(result.base_ns)} and {duration(result.ours_ns)}")
