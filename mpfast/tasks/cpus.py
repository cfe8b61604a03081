# SPDX-License-Identifier: MIT
"""How many CPUs this process may use. That many workers a pool has that is not told how many."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["usable_cpus"]

ROOT = "/sys/fs/cgroup"


def usable_cpus(root: str = ROOT, own: str = "/proc/self/cgroup") -> int:
    """The CPUs in this process's mask, or fewer if the quota of a cgroup is for fewer. At least 1.

    A number that was given to the interpreter (-X cpu_count) is taken as it is.
    """
    if hasattr(os, "process_cpu_count") and (sys._xoptions.get("cpu_count") or os.environ.get("PYTHON_CPU_COUNT")):
        return os.process_cpu_count() or 1
    try:
        cpus = len(os.sched_getaffinity(0))
    except OSError:  # a filter refuses to say
        cpus = os.cpu_count() or 1
    return max(1, min([cpus, *(-(-quota // period) for quota, period in quotas(root, own))]))


def quotas(root: str, own: str) -> Iterator[tuple[int, int]]:
    """(microseconds of CPU time, microseconds in which they may be used) of the cgroups that this process is in."""
    with contextlib.suppress(OSError), open(own, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if not controllers:
                for folder in upwards(root, path):
                    yield from unified(folder)
            elif "cpu" in controllers.split(","):
                for folder in upwards(f"{root}/cpu", path):
                    yield from former(folder)


def upwards(root: str, path: str) -> Iterator[str]:
    """The folder of a cgroup, and those of the cgroups around it. In a container it may be seen as the root itself."""
    parts = [part for part in path.split("/") if part and part != ".."]
    for n in range(len(parts), -1, -1):
        yield "/".join([root, *parts[:n]])


def unified(folder: str) -> Iterator[tuple[int, int]]:
    """Version 2."""
    with contextlib.suppress(OSError, ValueError), open(f"{folder}/cpu.max", encoding="ascii") as file:
        quota, period = file.read().split()
        if quota != "max":
            yield positive(int(quota), int(period))


def former(folder: str) -> Iterator[tuple[int, int]]:
    """Version 1."""
    with contextlib.suppress(OSError, ValueError):
        with open(f"{folder}/cpu.cfs_quota_us", encoding="ascii") as file:
            quota = int(file.read())
        with open(f"{folder}/cpu.cfs_period_us", encoding="ascii") as file:
            period = int(file.read())
        if quota != -1:
            yield positive(quota, period)


def positive(quota: int, period: int) -> tuple[int, int]:
    if quota <= 0 or period <= 0:
        raise ValueError("no quota")
    return quota, period
