# SPDX-License-Identifier: MIT
"""The source distribution has what the repository has: a user of it can build, test, measure and read."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = {".gitattributes", ".gitignore"}  # they are about the repository


def listed() -> set[str]:
    """The files of the repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in found.split("\0") if name and (ROOT / name).exists()}


def packed(files: set[str], folder: Path) -> set[str]:
    """The files of an sdist that is made now, of a copy: setuptools works in the folder of setup.py."""
    pytest.importorskip("Cython")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "sdist"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    (archive,) = folder.glob("dist/*.tar.gz")
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_sdist_has_all_files(tmp_path: Path) -> None:
    files = listed()
    assert files - packed(files, tmp_path) == LEFT_OUT
