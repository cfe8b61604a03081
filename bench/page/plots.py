# SPDX-License-Identifier: MIT
"""What the page's plots show, as JSON. plots.js draws them in the browser with Observable Plot. The page has both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import assets
from .templates import Html, joined

DRAWING = Path(__file__).with_name("plots.js")
MOST_VALUES = 120  # of one distribution, because more dots would only hide each other


class Library(NamedTuple):
    """The scripts that draw, or why there are none."""

    scripts: Html = Html("")
    missing: str = "its scripts are missing"


def library(kept: Path = assets.KEPT) -> Library:
    """Blocks on the network if the packages are not there yet."""
    try:
        folder = assets.fetch(kept, assets.OF_PAGE)
        texts = [packed(folder / package.name, package) for package in assets.OF_PAGE]
    except (assets.AssetError, OSError) as error:
        return Library(missing=str(error))
    texts.append(DRAWING.read_text(encoding="utf-8"))
    return Library(joined(f"<script>\n{text}</script>\n" for text in texts), "")


def packed(folder: Path, package: assets.Package) -> str:
    """Its licence, which is to go with every copy, and its script."""
    script, licence = ((folder / name).read_text(encoding="utf-8") for name in package.wanted)
    return f"/*\n{licence}*/\n{script}".replace("</script", "<\\/script")


def domain(values: Sequence[float], *always: float) -> list[float]:
    """The ends of a logarithmic axis, wide enough for all but a hundredth of the values at either end."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    shown = [*ordered[cut : len(ordered) - cut], *always]
    low, high = min(shown), max(shown)
    margin = max((high / low) ** 0.04, 1.02)
    return [low / margin, high * margin]


def group(name: str, values: Sequence[float], **marks: Any) -> dict[str, Any]:
    """One distribution of a strip, in the colour of that name. Its marks: row, median, interval."""
    return {"name": name, "values": sorted(values)[:: len(values) // MOST_VALUES + 1], **marks}


def encoded(data: Any) -> Html:
    """For a script element, where nothing but an end tag could go wrong."""
    return Html(json.dumps(rounded(data), separators=(",", ":")).replace("<", "\\u003c"))


def rounded(data: Any) -> Any:
    """To more digits than there are pixels."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [rounded(value) for value in data]
    return float(f"{data:.4g}") if isinstance(data, float) else data
