# SPDX-License-Identifier: MIT
"""What the numbers were measured on. Every fact may be unknown; none is a reason to fail."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from . import ROOT

UNKNOWN = "unknown"


@dataclass
class Facts:
    cpu: str
    cpus: int
    affinity: list[int]
    virtual: bool
    governor: str
    kernel: str
    libc: str
    python: str
    compiler: str
    mpfast: str
    commit: str
    dirty: bool
    begun: str
    load_before: float
    load_after: float = 0.0
    seconds: float = 0.0
    overhead_ns: float = 0.0
    same: bool = False
    _start: float = 0.0

    def finish(self) -> None:
        self.load_after = load()
        self.seconds = monotonic() - self._start

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


def gather(same: bool) -> Facts:
    info = cpu_info()
    commit, dirty = revision()
    return Facts(
        cpu=info.get("model name", platform.machine()),
        cpus=os.cpu_count() or 0,
        affinity=sorted(os.sched_getaffinity(0)),
        virtual="hypervisor" in info.get("flags", "").split(),
        governor=read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        kernel=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()),
        python=f"{platform.python_implementation()} {sys.version.split()[0]}",
        compiler=platform.python_compiler(),
        mpfast="not used" if same else mpfast_version(),
        commit=commit,
        dirty=dirty,
        begun=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        load_before=load(),
        same=same,
        _start=monotonic(),
    )


def read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return UNKNOWN


def load() -> float:
    return round(os.getloadavg()[0], 2)


def cpu_info() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    first, _, _ = read("/proc/cpuinfo").partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def mpfast_version() -> str:
    try:
        import mpfast
    except ImportError as error:
        return f"cannot be imported: {error}"
    return str(getattr(mpfast, "__version__", UNKNOWN))


def revision() -> tuple[str, bool]:
    """The commit of the working tree, and whether it differs from that."""
    commit = git("rev-parse", "--short=12", "HEAD")
    return (commit or UNKNOWN, bool(git("status", "--porcelain")))


def git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
