# SPDX-License-Identifier: MIT
"""Commits, built side by side outside the working tree."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import ROOT
from ..base.facts import git

FOLDER = Path(ROOT, "build", "gate")


class BuildError(Exception):
    """There is nothing to measure."""


@dataclass(frozen=True)
class Build:
    """One commit's mpfast, compiled for this interpreter."""

    name: str  # "base" or "head"
    commit: str
    lib: Path  # the folder with the package

    @property
    def short(self) -> str:
        return self.commit[:12]

    def environment(self) -> dict[str, str]:
        """For processes that shall import this mpfast and no other."""
        lib = str(self.lib)
        return {**os.environ, "PYTHONPATH": lib, "MPFAST_BENCH_LIB": lib, "PYTHONHASHSEED": "0"}

    def copied_to(self, folder: Path) -> Build:
        """The same in other files.

        Where a file happens to lie in memory can cost a third of a short operation's time, as long as it stays there.
        """
        lib = folder / self.name
        shutil.copytree(self.lib, lib, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(lib, quiet=2)
        return Build(self.name, self.commit, lib)


def commit_of(revision: str) -> str:
    commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        raise BuildError(f"git knows no commit {revision!r} here (a shallow clone has only a few)")
    return commit


def build(name: str, revision: str) -> Build:
    """Compile a commit, unless that was done before. The name keeps two builds of one commit apart."""
    commit = commit_of(revision)
    folder = FOLDER / f"{name}-{commit[:12]}-{sys.implementation.cache_tag}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        unpack(commit, folder / "source")
        compile_in(folder / "source", folder / "lib", commit)
        (folder / "done").touch()
    return Build(name, commit, folder / "lib")


def unpack(commit: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    with subprocess.Popen(("git", "archive", commit), cwd=ROOT, stdout=subprocess.PIPE) as archive:
        unpacked = subprocess.run(("tar", "-x", "-C", str(folder)), stdin=archive.stdout, check=False)
    if archive.returncode or unpacked.returncode:
        raise BuildError(f"git archive {commit} failed")


def compile_in(source: Path, lib: Path, commit: str) -> None:
    command = (sys.executable, "setup.py", "--quiet", "build", "--build-lib", str(lib))
    done = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise BuildError(f"commit {commit} does not build:\n{done.stdout[-2000:]}")
