# SPDX-License-Identifier: MIT
"""The branch of the recorded history. Its work tree lies below build/, so that the user's work tree stays as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BRANCH = "bench-data"
FOLDER = Path("build", BRANCH)
NOBODY = ("-c", "user.name=mpfast history", "-c", "user.email=history@mpfast.invalid")


class BranchError(Exception):
    """The branch cannot be used. The text says why and what to do."""


class DataBranch:
    """The branch of a repository, made if there is none. Not for two programs at once."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.folder = self._checked_out() or self._check_out()

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def facts(self) -> Path:
        return self.folder / "facts"

    def keep(self, message: str) -> bool:
        """Commit what is new. False if nothing is."""
        self._git("add", "--all", at=self.folder)
        if not self._git("status", "--porcelain", at=self.folder):
            return False
        author = () if self._git("config", "--default", "", "user.email") else NOBODY
        commit = ("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message)
        self._git(*author, *commit, at=self.folder)
        return True

    def restore(self) -> None:
        """Drop what was changed since keep(). New files stay."""
        self._git("reset", "--quiet", "--hard", at=self.folder)

    def _checked_out(self) -> Path | None:
        """Another work tree of the same repository may have it already. git allows it in one of them only."""
        self._git("worktree", "prune")
        folder = None
        for line in self._git("worktree", "list", "--porcelain").splitlines():
            name, _, value = line.partition(" ")
            if name == "worktree":
                folder = Path(value)
            elif (name, value) == ("branch", f"refs/heads/{BRANCH}"):
                return self._usable(folder)
        return None

    def _usable(self, folder: Path | None) -> Path | None:
        if folder and folder.parts[-2:] != FOLDER.parts:
            raise BranchError(f"{BRANCH} is checked out in {folder}: git switch to another branch there")
        return folder

    def _check_out(self) -> Path:
        folder = self._repository / FOLDER
        if folder.exists():
            raise BranchError(f"{folder} is in the way, because it is no work tree of {BRANCH}. Remove or rename it")
        if not self._exists(f"refs/heads/{BRANCH}"):
            self._git("branch", "--no-track", BRANCH, self._first())
        self._git("worktree", "add", "--quiet", str(folder), BRANCH)
        return folder

    def _first(self) -> str:
        """The commit that the branch begins at, the one on origin or else an empty one."""
        remote = f"refs/remotes/origin/{BRANCH}"
        if self._exists(remote):
            return remote
        tree = self._git("hash-object", "-t", "tree", "-w", os.devnull)
        author = () if self._git("config", "--default", "", "user.email") else NOBODY
        return self._git(*author, "commit-tree", tree, "-m", "The recorded history of the benchmarks")

    def _exists(self, reference: str) -> bool:
        return bool(self._git("for-each-ref", reference))

    def _git(self, *arguments: str, at: Path | None = None) -> str:
        return git(at or self._repository, *arguments)


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises BranchError with git's own words."""
    done = subprocess.run(("git", *arguments), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BranchError(f"git {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def find(repository: Path) -> Path | None:
    """Where the recorded results are checked out, if anything was recorded."""
    known = git(repository, "for-each-ref", f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}")
    return DataBranch(repository).folder if known else None
