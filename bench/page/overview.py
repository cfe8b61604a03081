# SPDX-License-Identifier: MIT
"""The page's answers in short, in a few sentences and as a map of primitive, payload and start method."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ..base.impls import START_METHODS
from ..base.units import three_digits, times
from ..measure.results import ALIKE, Result
from .templates import Html, Templates, joined

FASTER_STEPS = (1.5, 3, 10, 50)  # where the heat map's blue deepens
MUCH_SLOWER = 0.8


def headline(results: Sequence[Result], name: str) -> str:
    """How many times faster, where most, where least, and whether anything is slower. Of the stdlib's cells only."""
    ours = [result for result in results if result.status == "ok" and not result.cell.scenario.rival]
    if not ours:
        return "Nothing was measured."
    middles = by_primitive(ours)
    most, least = max(middles, key=middles.__getitem__), min(middles, key=middles.__getitem__)
    slower = sum(result.verdict == "slower" for result in ours)
    middle = times(median(result.ratio for result in ours))
    told = f"Half of the {len(ours)} measurements are at least {middle} as fast with {name}. "
    if most != least:
        told += f"{most} gains most ({times(middles[most])}), {least} least ({times(middles[least])}). "
    if not slower:
        return f"{told}None is slower than with multiprocessing."
    return f"{told}{slower} of them {'is' if slower == 1 else 'are'} slower than with multiprocessing."


def by_primitive(results: Sequence[Result]) -> dict[str, float]:
    """The middle ratio of each."""
    ratios: dict[str, list[float]] = {}
    for result in results:
        ratios.setdefault(result.cell.scenario.primitive, []).append(result.ratio)
    return {name: median(values) for name, values in ratios.items()}


def payload_map(templates: Templates, results: Sequence[Result]) -> Html:
    rows: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        scenario = result.cell.scenario
        rows.setdefault((scenario.primitive, scenario.payload), []).append(result)
    return joined(payload_row(templates, *name, found) for name, found in rows.items())


def payload_row(templates: Templates, primitive: str, payload: str, results: Sequence[Result]) -> Html:
    of_method = ([result for result in results if result.cell.method == method] for method in START_METHODS)
    cells = joined(payload_cell(templates, found) for found in of_method)
    return templates.fill("payload_row", name=", ".join(filter(None, (primitive, payload))), cells=cells)


def payload_cell(templates: Templates, results: Sequence[Result]) -> Html:
    if not results:
        return templates.fill("heat_cell", shade="none", wide=1, text="", hint="not measured")
    ratios = sorted(result.ratio for result in results)
    middle = median(ratios)
    text = three_digits(middle) + ("!" if any(result.verdict == "slower" for result in results) else "")
    hint = (
        f"{len(results)} measurements, {times(ratios[0])} to {times(ratios[-1])}"
        if len(results) > 1
        else "one measurement"
    )
    link = templates.fill("link", to=anchor(results[0]), text=text, hint=hint)
    return templates.fill("heat_cell", shade=middle_shade(results, middle), wide=1, text=link, hint=hint)


def middle_shade(results: Sequence[Result], middle: float) -> str:
    verdicts = {result.verdict for result in results}
    if len(verdicts) == 1 and verdicts <= {"same", "unclear"}:
        return verdicts.pop()
    return ratio_shade(middle)


def shade(result: Result) -> str:
    """The CSS class of a heat map's cell."""
    return result.verdict if result.verdict in ("same", "unclear") else ratio_shade(result.ratio)


def ratio_shade(ratio: float) -> str:
    if ratio < 1 - ALIKE:
        return "slow2" if ratio < MUCH_SLOWER else "slow1"
    return f"fast{sum(ratio >= step for step in FASTER_STEPS)}" if ratio > 1 + ALIKE else "same"


def anchor(result: Result) -> str:
    """Where a cell's own line is on the page."""
    cell = result.cell
    return f"{cell.scenario.key}-{cell.method}-{cell.placement}"
