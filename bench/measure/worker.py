# SPDX-License-Identifier: MIT
"""The process that measures. It reads jobs from stdin, a JSON object a line, and answers each with one on stdout.

A process of its own, so that whatever a cell does to it (hangs, dies, leaves descriptors behind) ends with it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .. import use_main
from ..base.deadline import Limits
from ..base.errors import Skipped
from ..suites.plan import Budget, find
from .pairs import measure


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Never raises. If there is no result, the answer says why."""
    try:
        measured = measure(find(job["cell"]), Budget(**job["budget"]), Limits(**job["limits"]), job["same"])
    except Skipped as reason:
        return {"status": "skipped", "reason": str(reason), "measured": None}
    except Exception as error:
        detail = "" if type(error).__module__.startswith("bench.") else f"\n{traceback.format_exc()}"
        return {"status": "failed", "reason": f"{error or type(error).__name__}{detail}", "measured": None}
    return {"status": "ok", "reason": "", "measured": asdict(measured)}


def main(_arguments: list[str] | None = None) -> None:
    serve(answer)


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer jobs until there are no more."""
    from mpfb_peer import die_with_parent  # bench has made it importable

    use_main()
    die_with_parent()
    answers = os.dup(1)
    os.dup2(2, 1)  # what a child prints is no answer
    for line in sys.stdin:
        said = answer(json.loads(line))
        os.write(answers, json.dumps(said).encode() + b"\n")
        if said["status"] == "failed":
            break  # the next cell gets a fresh process, because this one may be damaged
