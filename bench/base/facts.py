# SPDX-License-Identifier: MIT
"""What the numbers were measured on. Any fact may be unknown, and the run goes on without it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from .. import ROOT

UNKNOWN = "unknown"
CPU_FOLDER = "/sys/devices/system/cpu"


@dataclass
class Facts:
    cpu: str
    cpus: int
    siblings: list[str]  # the threads of each core: "0-1" is one core with two
    affinity: list[int]
    virtual: bool
    memory: str
    governor: str
    mitigations: dict[str, str]
    kernel: str
    libc: str
    python: str
    compiler: str
    mpfast: str
    commit: str
    dirty: bool
    machine: str
    begun: str
    load_before: float
    load_after: float = 0.0
    seconds: float = 0.0
    overhead_ns: float = 0.0
    yardsticks: dict[str, float] = field(default_factory=dict)  # nanoseconds, by the names of yardsticks.py
    same: bool = False
    _start: float = 0.0

    def finish(self) -> None:
        self.load_after = load()
        self.seconds = monotonic() - self._start

    def active_mitigations(self) -> list[str]:
        """What the kernel does, and what it leaves open. Weaknesses that the CPU does not have are left out."""
        return [f"{name}: {text}" for name, text in self.mitigations.items() if text != "Not affected"]

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


def gather(same: bool) -> Facts:
    info = cpu_info()
    cpu, cores = info.get("model name", platform.machine()), siblings()
    virtual = "hypervisor" in info.get("flags", "").split()
    commit, dirty = revision()
    return Facts(
        cpu=cpu,
        cpus=os.cpu_count() or 0,
        siblings=cores,
        affinity=sorted(os.sched_getaffinity(0)),
        virtual=virtual,
        memory=memory(),
        governor=read(f"{CPU_FOLDER}/cpu0/cpufreq/scaling_governor"),
        mitigations=mitigations(),
        kernel=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()),
        python=f"{platform.python_implementation()} {sys.version.split()[0]}",
        compiler=platform.python_compiler(),
        mpfast="not used" if same else mpfast_version(),
        commit=commit,
        dirty=dirty,
        machine=machine_name(cpu, cores, virtual),
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


def siblings() -> list[str]:
    """Which CPUs share a core, core by core."""
    files = Path(CPU_FOLDER).glob("cpu[0-9]*/topology/thread_siblings_list")
    return sorted({read(str(path)) for path in files})


def mitigations() -> dict[str, str]:
    """What the kernel does about each weakness of the CPU. Some of it makes system calls dearer."""
    return {path.name: read(str(path)) for path in sorted(Path(CPU_FOLDER, "vulnerabilities").glob("*"))}


def memory() -> str:
    """In whole GiB, because the kernel's own share differs from boot to boot."""
    found = re.match(r"MemTotal:\s+(\d+) kB", read("/proc/meminfo"))
    return f"{round(int(found[1]) / 2**20)} GiB" if found else UNKNOWN


def machine_name(cpu: str, cores: list[str], virtual: bool) -> str:
    """A name of the hardware, not of the host. Machines with the same name are one line in the history.

    A container has another host name each time, and two machines may have the same host name.
    """
    words = re.sub(r"\W+", "-", re.sub(r"\(\w+\)|@.*|\bCPU\b", "", cpu)).strip("-").lower()
    number = hashlib.sha256(repr((cpu, platform.machine(), cores, virtual)).encode()).hexdigest()[:6]
    return f"{words}-{os.cpu_count()}cpu{'-vm' if virtual else ''}-{number}"


def system_name(facts: Facts) -> str:
    """The kernel, and in short what decides the price of its calls. Times under another kernel are another line."""
    number = hashlib.sha256(repr((facts.mitigations, facts.governor)).encode()).hexdigest()[:4]
    return f"{facts.kernel}, mitigations {number}"


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
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
