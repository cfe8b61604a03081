# SPDX-License-Identifier: MIT
"""What instructions depend on besides mpfast: interpreter, compilers, C library and what the CPU can do."""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

CPU_FEATURES = ("avx2", "erms")  # by which the C library chooses how to copy


def column() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags} {platform.machine()}"


def maker() -> str:
    build = platform.python_implementation(), platform.python_version(), f"by {platform.python_compiler()}"
    return ", ".join([" ".join(build), *optimized(), f"mpfast by {compiler()}", " ".join(platform.libc_ver()), *cpu()])


def optimized() -> list[str]:
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return [word for word in ("enable-optimizations", "with-lto") if f"--{word}" in arguments]


def compiler() -> str:
    name = str(sysconfig.get_config_var("CC")).split()[0]
    try:
        done = subprocess.run([name, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False)
    except OSError:
        return "no compiler"
    return f"{name} {done.stdout.strip()}"


def cpu() -> list[str]:
    flags = Path("/proc/cpuinfo").read_text().split()
    return [name for name in CPU_FEATURES if name in flags]
