# SPDX-License-Identifier: MIT
"""Fills in a template, which is a page and the blocks that it is made of."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

BLOCK = re.compile(r"<!-- block (\w+) -->\n(.*?)<!-- end -->\n", re.DOTALL)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(parts))


class Templates:
    """$name stands for a value, which is escaped unless it is Html."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self._blocks = {name: Template(block) for name, block in BLOCK.findall(text)}
        self._blocks["page"] = Template(BLOCK.sub("", text))

    def fill(self, block: str, /, **values: object) -> Html:
        safe = {name: v if isinstance(v, Html) else html.escape(str(v)) for name, v in values.items()}
        return Html(self._blocks[block].substitute(safe))
