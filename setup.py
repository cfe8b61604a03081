# SPDX-License-Identifier: MIT
"""Builds one extension per .pyx below mpfast/. Metadata is in pyproject.toml.

MPFAST_DEBUG=1                            invariants and live-object counters, -O1 -g
MPFAST_SANITIZE=address,undefined|thread  instrumented for gcc's sanitizers

A build with a switch keeps its files in a directory of its own below build/, so it never mixes with another.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from glob import glob
from importlib.util import resolve_name
from os.path import dirname, exists, join, normpath, splitext
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("MPFAST_DEBUG", "") not in ("", "0")
SANITIZE = os.environ.get("MPFAST_SANITIZE", "")
# Cython knows no field that a later Python adds to its type objects.
WARNINGS = ["-Wall", "-Wextra", "-Wno-missing-field-initializers"]
INCLUDES = ["mpfast"]
# Headers that a source includes or declares, and modules that it cimports: `from A cimport B` or `cimport B`.
HEADER = re.compile(r'^\s*(?:#\s*include|include|cdef extern from)\s+"(.+?)"', re.M)
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+)?cimport\s+(\([^)]*|[^\n#]*)", re.M)


def requirements() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit(f"mpfast needs Linux (memfd, futex and OFD locks); this is {sys.platform}.")
    if sys.version_info < (3, 11):  # noqa: UP036 (pip asks pyproject.toml, a bare setup.py does not)
        sys.exit(f"mpfast needs Python 3.11 or later; this is {sys.version.split()[0]}.")
    if SANITIZE not in ("", "address", "undefined", "address,undefined", "thread"):
        sys.exit(f"MPFAST_SANITIZE={SANITIZE}: give address, undefined, both with a comma, or thread.")
    try:
        import Cython
    except ImportError:
        sys.exit("mpfast's build needs Cython: pip install 'Cython>=3.1'.")
    if tuple(map(int, Cython.__version__.split(".")[:2])) < (3, 1):
        sys.exit(f"mpfast's build needs Cython 3.1 or later; this is {Cython.__version__}.")


class Build(build_ext):
    def build_extensions(self) -> None:
        if shutil.which(cc := self.compiler.compiler_so[0]) is None:
            sys.exit(f"mpfast's build needs a C compiler, and '{cc}' is not there: apt install gcc.")
        if not exists(join(sysconfig.get_path("include"), "Python.h")):
            sys.exit("mpfast's build needs Python's C headers: apt install python3-dev.")
        super().build_extensions()


def flags() -> tuple[list[str], list[str]]:
    compile_flags = ["-std=gnu11", "-fvisibility=hidden", *WARNINGS]
    compile_flags += ["-O1", "-g", "-fno-omit-frame-pointer"] if DEBUG or SANITIZE else ["-O2"]
    link_flags = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"] if SANITIZE else []
    return compile_flags + link_flags, link_flags


def named(path: str) -> list[str]:
    """The files that this one may mean, some of which do not exist."""
    text, folder = Path(path).read_text(), dirname(path)
    files = [splitext(path)[0] + ".pxd"] if path.endswith(".pyx") else []
    files += [normpath(join(place, header)) for header in HEADER.findall(text) for place in (folder, *INCLUDES)]
    for parent, names in CIMPORT.findall(text):
        module = resolve_name(parent, folder.replace("/", ".")) if parent else ""
        modules = [module, *(f"{module}.{name}".lstrip(".") for name in re.findall(r"[\w.]+", names))]
        files += [name.replace(".", "/") + ".pxd" for name in modules]
    return files


def reached(path: str, found: set[str]) -> set[str]:
    """The headers and .pxd files that this one depends on, directly or through others. They are added to found."""
    for file in filter(exists, named(path)):
        if file not in found:
            found.add(file)
            reached(file, found)
    return found


def extension(source: str) -> Extension:
    compile_flags, link_flags = flags()
    return Extension(
        source.removesuffix(".pyx").replace("/", "."),
        [source],
        include_dirs=INCLUDES,
        depends=["setup.py", *sorted(reached(source, set()))],
        define_macros=[("MPFAST_DEBUG", "1")] if DEBUG else [],
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
    )


requirements()
switches = ["debug"] * DEBUG + [name for name in SANITIZE.split(",") if name]
setup(
    ext_modules=[extension(source) for source in sorted(glob("mpfast/**/*.pyx", recursive=True))],
    cmdclass={"build_ext": Build},
    options={
        "build": {"build_base": join("build", "-".join(switches))},
        "build_ext": {"cython_directives": {"language_level": 3}},
    },
)
