# SPDX-License-Identifier: MIT
"""How asv is configured and started, and what it is told of the machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from .. import ROOT
from ..base.facts import Facts, system_name

FOLDER = Path(ROOT, "build", "asv")  # of the configuration that is made here
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


def command() -> str:
    """The asv of the running interpreter."""
    return str(Path(sys.executable).with_name("asv"))


def configure(repository: Path, results: Path, html: Path, part: str = "") -> Path:
    """Write asv.conf.json again, with results and pages elsewhere. Returns the new one."""
    folder = FOLDER / part
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(COMMENT.sub("", Path(ROOT, "asv.conf.json").read_text()))
    known |= {
        "repo": str(repository),
        "benchmark_dir": str(Path(ROOT, known["benchmark_dir"])),
        "env_dir": str(Path(ROOT, known["env_dir"])),
        "results_dir": str(results),
        "html_dir": str(html),
    }
    # asv works in the folder of its configuration, and reads there what the build requires.
    shutil.copy(Path(ROOT, "pyproject.toml"), folder)
    made = folder / "asv.conf.json"
    made.write_text(json.dumps(known, indent=1) + "\n")
    return made


def machine(facts: Facts) -> dict[str, str]:
    """What asv keeps of a machine. Times of machines that differ in any of it are different lines to asv.

    asv forgets a value that is the same as its own guess. The CPU is therefore told more exactly.
    """
    return {
        "machine": facts.machine,
        "os": system_name(facts),
        "cpu": f"{facts.cpu}, {'virtual' if facts.virtual else 'bare metal'}, {os.uname().machine}",
        "num_cpu": f"{facts.cpus} ({len(facts.siblings) or 'unknown'} cores)",
        "ram": facts.memory,
    }
