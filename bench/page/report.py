# SPDX-License-Identifier: MIT
"""The page. It is one file, opens from the file system, and says how much faster mpfast is and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from ..base.facts import Facts
from ..base.impls import OURS, START_METHODS, label
from ..base.placement import PLACEMENTS
from ..base.units import PLACEMENT_NAMES, duration, span, three_digits, times
from ..floors import yardsticks
from ..history.recorded import Recorded
from ..kinds.scenario import Scenario
from ..measure.results import ALIKE, VERDICTS, Result
from . import plots, table
from .floor import name_of
from .overview import anchor, headline, payload_map, shade
from .plots import Library, group
from .templates import Html, Templates, joined

TEMPLATE = Path(__file__).with_name("report.html.in")
STRIP, DOUBLE_STRIP, HISTORY, AXIS = 24, 46, 30, 20  # heights


def write_page(
    folder: Path,
    results: Sequence[Result],
    facts: Facts,
    notes: Sequence[str],
    library: Library,
    recorded: Recorded | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    text = Page(results, facts, notes, library, recorded or Recorded()).render()
    page.write_text(text, encoding="utf-8")
    return page


class Page:
    def __init__(
        self,
        results: Sequence[Result],
        facts: Facts,
        notes: Sequence[str],
        library: Library,
        recorded: Recorded,
    ) -> None:
        self._results, self._facts, self._notes = results, facts, notes
        self._library, self._recorded = library, recorded
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
            headline=headline(self._results, label(OURS, facts.same)),
            verdict=self._verdict(),
            primitives=self._primitives(),
            slower=self._places("slower", "Nowhere. Nothing that was measured is slower than multiprocessing."),
            same=self._places("same", "Nowhere."),
            unclear=self._unclear(),
            missing=self._missing(),
            payloads=payload_map(self._templates, self._measured),
            heat=self._heat(),
            scenarios=joined(self._scenario(list(results)) for _, results in by_scenario(self._results)),
            facts=self._facts_list(),
            scripts=self._library.scripts,
        )

    def _plot(self, label: str, height: int, **data: object) -> Html:
        """A place for a plot, with what it shows. The text in it stays if nothing draws there."""
        instead = "no plot: see the note at the top" if self._library.missing else "no plot: it needs JavaScript"
        shown = plots.encoded(data)
        return self._templates.fill("plot", label=label, height=height, data=shown, instead=instead)

    # The top of the page, for a reader in a hurry

    def _verdict(self) -> Html:
        count = table.counts(self._results)
        chosen = {name: text for name, text in VERDICTS.items() if count[name] or name in ("faster", "slower")}
        return joined(
            self._templates.fill("count", name=name, number=count[name], text=text) for name, text in chosen.items()
        )

    def _primitives(self) -> Html:
        """One line for each primitive, with the middle one of its cells and where all of them lie."""
        if not self._measured:
            return Html("")
        domain = plots.domain([result.ratio for result in self._measured], 1)
        names = list(dict.fromkeys(result.cell.scenario.primitive for result in self._measured))
        lines = joined(self._primitive(name, domain) for name in names)
        axis = self._plot("times faster", AXIS, domain=domain, format="times")
        return joined([lines, self._templates.fill("primitive_axis", plot=axis)])

    def _primitive(self, name: str, domain: list[float]) -> Html:
        of_it = [result for result in self._measured if result.cell.scenario.primitive == name]
        ratios = [result.ratio for result in of_it]
        verdicts = ("faster", "same", "unclear", "slower")  # the last ones are seen best
        groups = [group(verdict, [r.ratio for r in of_it if r.verdict == verdict]) for verdict in verdicts]
        lowest, highest = times(min(ratios)), times(max(ratios))
        plot = self._plot(f"{name}: {lowest} to {highest}", STRIP, domain=domain, format="times", groups=groups)
        return self._templates.fill(
            "primitive",
            name=name,
            middle=times(median(ratios)),
            side="slower" if median(ratios) < 1 - ALIKE else "",
            range=lowest if lowest == highest else f"{lowest} to {highest}",
            plot=plot,
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
            self._templates.fill("missing_line", name=r.cell.key, status=r.status, reason=r.reason) for r in missing
        )
        return self._templates.fill("missing", lines=lines)

    # The heat map

    def _heat(self) -> Html:
        return joined(self._heat_row(scenario, list(results)) for scenario, results in by_scenario(self._results))

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
        hint = f"{duration(result.base_ns)} and {duration(result.ours_ns)}, interval {span(result.interval)}"
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
        ratios = plots.domain([ratio for result in measured for ratio in result.ratios], 1)
        all_times = plots.domain([time for result in measured for pair in result.pairs for time in pair])
        return self._templates.fill(
            "scenario",
            key=scenario.key,
            title=scenario.title,
            operation=scenario.operation,
            ours=label(OURS, self._facts.same),
            rows=joined(self._cell(result, ratios, all_times) for result in measured),
            ratio_axis=self._plot("times faster", AXIS, domain=ratios, format="times"),
            time_axis=self._plot("time of one operation", AXIS, domain=all_times, format="duration"),
        )

    def _cell(self, result: Result, ratios: list[float], all_times: list[float]) -> Html:
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
            ratio_plot=self._ratio_strip(result, ratios),
            time_plot=self._times_strip(result, all_times),
        )

    def _ratio_strip(self, result: Result, domain: list[float]) -> Html:
        pairs = group("ours", result.ratios, median=result.ratio, interval=result.interval[:2])
        label = f"ratios around {times(result.ratio)}"
        return self._plot(label, STRIP, domain=domain, format="times", groups=[pairs])

    def _times_strip(self, result: Result, domain: list[float]) -> Html:
        base, ours = zip(*result.pairs, strict=True)
        groups = [group("base", base, median=result.base_ns), group("ours", ours, row=1, median=result.ours_ns)]
        floor = self._floor_ns(result)
        marks = {"floor": floor} if domain[0] <= floor <= domain[1] else {}
        label = f"{duration(result.base_ns)} and {duration(result.ours_ns)}"
        return self._plot(label, DOUBLE_STRIP, domain=domain, format="duration", groups=groups, **marks)

    def _floor_ns(self, result: Result) -> float:
        """What was measured for this very cell, or else what the machine takes for anything like it."""
        if result.floor_ns is not None:
            return result.floor_ns
        return self._facts.yardsticks.get(name_of(result.cell), 0)

    def _floor(self, result: Result) -> Html:
        nanoseconds = self._floor_ns(result)
        if not nanoseconds:
            return Html("")
        own = result.floor_ns is not None
        hint = "the same in C, without Python" if own else yardsticks.NAMES[name_of(result.cell)]
        return self._templates.fill("floor", text=duration(nanoseconds), hint=hint)

    def _history(self, result: Result) -> Html:
        """Higher is faster. What other machines, kernels or Pythons gave is not in it."""
        cell = result.cell
        points = self._recorded.of(cell.scenario.key, cell.method, cell.placement)
        if not points:
            return Html("")
        ratios = [point.ratio for point in points]
        first, last = points[0], points[-1]
        text = f"{times(first.ratio)} at {first.commit[:8]}, {times(last.ratio)} at {last.commit[:8]}"
        said = f"{len(points)} commits: {text}" if len(points) > 1 else f"one commit: {text.partition(',')[0]}"
        plot = self._plot(said, HISTORY, domain=plots.domain(ratios, 1), values=ratios)
        return self._templates.fill("history", hint=said, plot=plot)

    def _facts_list(self) -> Html:
        facts = self._facts
        known = {
            "CPU": f"{facts.cpu}{', in a virtual machine' if facts.virtual else ''}",
            "cores": "; ".join(facts.siblings) + " (CPUs that share a core are together)",
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
            or "not measured, because the run was stopped before or there is no C compiler",
            "machine": facts.machine,
            "history": self._history_fact(),
            "run": f"{facts.begun}, {facts.seconds:.0f} s",
        }
        return joined(self._templates.fill("fact", name=name, value=value) for name, value in known.items())

    def _history_fact(self) -> str:
        commits = {point.commit for points in self._recorded.series.values() for point in points}
        text = f"{len(commits)} commits of this machine, kernel and Python are recorded"
        if self._recorded.elsewhere:
            text += f". {self._recorded.elsewhere} results of other machines are not shown here"
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
