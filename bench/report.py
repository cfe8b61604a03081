# SPDX-License-Identifier: MIT
"""The page: one file that opens from the file system and says how much faster mpfast is, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from . import plots, table, yardsticks
from .assets import AssetError
from .facts import Facts
from .impls import OURS, START_METHODS, label
from .overview import anchor, headline, payload_map, shade
from .placement import PLACEMENTS
from .plots import Axis
from .recorded import Recorded
from .results import ALIKE, Result
from .scenario import Scenario
from .templates import Html, Templates, joined
from .units import PLACEMENT_NAMES, duration, span, three_digits, times

TEMPLATE = Path(__file__).with_name("report.html.in")


def write_page(
    folder: Path,
    results: Sequence[Result],
    facts: Facts,
    notes: Sequence[str],
    recorded: Recorded | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    try:
        scripts = plots.scripts()
    except AssetError as error:
        scripts, notes = Html(""), [*notes, f"This page has its numbers, but no plots. {error}"]
    page.write_text(Page(results, facts, notes, recorded or Recorded()).render(scripts))
    return page


class Page:
    def __init__(
        self, results: Sequence[Result], facts: Facts, notes: Sequence[str], recorded: Recorded
    ) -> None:
        self._results, self._facts, self._notes = results, facts, notes
        self._recorded = recorded
        self._measured = [result for result in results if result.status == "ok"]
        self._templates = Templates(TEMPLATE)

    def render(self, scripts: Html) -> str:
        facts = self._facts
        return self._templates.fill(
            "page",
            ours=label(OURS, facts.same),
            python=facts.python,
            commit=facts.commit + ("+changes" if facts.dirty else ""),
            begun=facts.begun,
            notes=joined(self._templates.fill("note", text=note) for note in self._notes),
            overhead=f"{facts.overhead_ns:.0f}",
            headline=headline(self._results, label(OURS, facts.same)),
            verdict=self._verdict(),
            primitives=self._primitives(),
            slower=self._places("slower", "Nothing that was measured is slower than the stdlib."),
            same=self._places("same", "None."),
            unclear=self._unclear(),
            missing=self._missing(),
            payloads=payload_map(self._templates, self._measured),
            heat=self._heat(),
            scenarios=joined(self._scenario(list(results)) for _, results in by_scenario(self._results)),
            facts=self._facts_list(),
            scripts=scripts,
        )

    # The top: five seconds

    def _verdict(self) -> Html:
        count = table.counts(self._results)
        names = ("faster", "same", "unclear", "slower", "failed", "skipped")
        texts = {
            "same": "the same within the noise",
            "unclear": "too noisy to say",
            "failed": "could not be measured",
        }
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
        return joined([lines, self._templates.fill("primitive_axis", ticks=plots.ticks(axis, "x"))])

    def _primitive(self, name: str, axis: Axis) -> Html:
        of_it = [result for result in self._measured if result.cell.scenario.primitive == name]
        ratios = [result.ratio for result in of_it]
        verdicts = ["same" if result.verdict == "unclear" else result.verdict for result in of_it]
        lowest, highest = times(min(ratios)), times(max(ratios))
        return self._templates.fill(
            "primitive",
            name=name,
            middle=times(median(ratios)),
            side="slower" if median(ratios) < 1 - ALIKE else "",
            range=lowest if lowest == highest else f"{lowest} to {highest}",
            plot=plots.strip(f"{name}: {lowest} to {highest}", axis, [plots.dots(verdicts, ratios)], unity=1),
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

    def _unclear(self) -> Html:
        if not any(result.verdict == "unclear" for result in self._measured):
            return Html("")
        return self._templates.fill("unclear", places=self._places("unclear", ""))

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
        text += "?" if result.verdict == "unclear" else ""
        hint = f"{duration(result.base_ns)} and {duration(result.ours_ns)}; interval {span(result.interval)}"
        if result.verdict == "unclear":
            hint += ", too wide to say anything"
        link = self._templates.fill("link", to=anchor(result), text=text, hint=hint)
        return self._templates.fill("heat_cell", wide=wide, shade=shade(result), text=link, hint=hint)

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
            ratio_ticks=plots.ticks(ratios, "x"),
            time_ticks=plots.ticks(all_times, "ns"),
        )

    def _cell(self, result: Result, ratios: Axis, all_times: Axis) -> Html:
        return self._templates.fill(
            "cell",
            anchor=anchor(result),
            floor=self._floor(result),
            history=self._history(result),
            method=result.cell.method,
            placement=PLACEMENT_NAMES[result.cell.placement],
            base=duration(result.base_ns),
            ours=duration(result.ours_ns),
            name=label(OURS, self._facts.same),
            ratio=times(result.ratio),
            verdict=result.verdict,
            mark=table.MARKS[result.verdict],
            interval=span(result.interval),
            pairs=len(result.pairs),
            ratio_plot=ratio_strip(result, ratios),
            time_plot=times_strip(result, all_times, self._floor_ns(result)),
        )

    def _floor_ns(self, result: Result) -> float:
        """What was measured for this very cell, or else what the machine takes for anything like it."""
        if result.floor_ns is not None:
            return result.floor_ns
        return self._facts.yardsticks.get(yardsticks.name_of(result.cell), 0)

    def _floor(self, result: Result) -> Html:
        nanoseconds = self._floor_ns(result)
        if not nanoseconds:
            return Html("")
        own = result.floor_ns is not None
        hint = "the same in C, and no more" if own else yardsticks.NAMES[yardsticks.name_of(result.cell)]
        return self._templates.fill("floor", text=duration(nanoseconds), hint=hint)

    def _history(self, result: Result) -> Html:
        """Higher is faster. What other machines, kernels or Pythons gave is not in it."""
        cell = result.cell
        points = self._recorded.of(cell.scenario.key, cell.method, cell.placement)
        if not points:
            return Html("")
        first, last = points[0], points[-1]
        text = f"{times(first.ratio)} at {first.commit[:8]}, {times(last.ratio)} at {last.commit[:8]}"
        said = f"{len(points)} commits: {text}" if len(points) > 1 else f"one commit: {text.partition(',')[0]}"
        return self._templates.fill(
            "history", hint=said, plot=plots.course(said, [point.ratio for point in points])
        )

    def _facts_list(self) -> Html:
        facts = self._facts
        known = {
            "CPU": f"{facts.cpu}{', in a virtual machine' if facts.virtual else ''}",
            "cores": "; ".join(facts.siblings) + " (CPUs that share one are together)",
            "memory": facts.memory,
            "CPUs": f"{facts.cpus}, of which this run may use {', '.join(map(str, facts.affinity))}",
            "governor": facts.governor,
            "load": f"{facts.load_before} before, {facts.load_after} after (its own included)",
            "kernel": facts.kernel,
            "mitigations": ", ".join(facts.active_mitigations()) or "none are needed or known",
            "C library": facts.libc,
            "Python": f"{facts.python}, {facts.compiler}",
            "mpfast": facts.mpfast,
            "commit": f"{facts.commit}, {'with changes' if facts.dirty else 'clean'}",
            "floors": ", ".join(f"{yardsticks.NAMES[n]} {duration(ns)}" for n, ns in facts.yardsticks.items())
            or "not measured: stopped before, or no C compiler",
            "machine": facts.machine,
            "history": self._history_fact(),
            "run": f"{facts.begun}, {facts.seconds:.0f} s",
        }
        return joined(self._templates.fill("fact", name=name, value=value) for name, value in known.items())


    def _history_fact(self) -> str:
        commits = {point.commit for points in self._recorded.series.values() for point in points}
        text = f"{len(commits)} commits of this machine, kernel and Python are recorded"
        if self._recorded.elsewhere:
            text += f"; {self._recorded.elsewhere} results of others are not shown here"
        return text


def by_scenario(results: Sequence[Result]) -> list[tuple[Scenario, list[Result]]]:
    merged: dict[str, tuple[Scenario, list[Result]]] = {}
    for result in results:
        merged.setdefault(result.cell.scenario.key, (result.cell.scenario, []))[1].append(result)
    return list(merged.values())


def place_text(title: str, placement: str, results: Sequence[Result]) -> str:
    each = ", ".join(place_ratio(result) for result in results)
    return f"{title}, {PLACEMENT_NAMES[placement]}: {each}"


def place_ratio(result: Result) -> str:
    doubt = f" ({span(result.interval)})" if result.verdict == "unclear" else ""
    return f"{result.cell.method} {times(result.ratio)}{doubt}"


def ratio_strip(result: Result, axis: Axis) -> Html:
    row = plots.dots("ours", result.ratios, result.ratio, result.interval)
    return plots.strip(f"ratios around {times(result.ratio)}", axis, [row], unity=1)


def times_strip(result: Result, axis: Axis, floor: float) -> Html:
    base, ours = zip(*result.pairs, strict=True)
    rows = [plots.dots("base", base, result.base_ns), plots.dots("ours", ours, result.ours_ns)]
    said = f"{duration(result.base_ns)} and {duration(result.ours_ns)}"
    return plots.strip(said, axis, rows, floor=floor)
