# SPDX-License-Identifier: MIT
"""setup.py: a change of a header compiles what depends on it, and nothing else."""

import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[1]
CC = str(sysconfig.get_config_var("CC")).split()

needs_compiler = pytest.mark.skipif(shutil.which(CC[0]) is None, reason="no C compiler")

# one -> made_up/lock/deep.h -> made_up/near.h; two -> own.h and the .pxd of one; three stands alone.
FILES = {
    "mpfast/__init__.py": "",
    "mpfast/made_up_room/__init__.py": "",
    "mpfast/made_up_room/one.pyx": "from mpfast.made_up.lock cimport (\n    deep, \n    other)\nprint(deep.DEEP)\n",
    "mpfast/made_up_room/one.pxd": "cdef class One:\n    cdef int x\n",
    "mpfast/made_up_room/two.pyx": "from .one cimport One\nfrom ..own cimport OWN\nprint(OWN)\n",
    "mpfast/own.pxd": 'cdef extern from "made_up_room/own.h":\n    enum:\n        OWN\n',
    "mpfast/made_up_room/own.h": "enum { OWN };\n",
    "mpfast/made_up/lock/deep.pxd": 'cdef extern from "made_up/lock/deep.h":\n    enum:\n        DEEP\n',
    "mpfast/made_up/lock/other.pxd": "",
    "mpfast/made_up/lock/deep.h": '#include "../near.h"\nenum { DEEP = NEAR };\n',
    "mpfast/made_up/near.h": "enum { NEAR };\n",
    "mpfast/three.pyx": "",
}
CLASS = "cdef class One:\n    pass\n"


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + (CLASS if name == "mpfast/made_up_room/one.pyx" else ""))
    for package in ("made_up", "made_up/lock"):
        (tmp_path / "mpfast" / package / "__init__.py").write_text("")
    shutil.copy(ROOT / "setup.py", tmp_path)
    return tmp_path


def build(tree):
    """The extensions that were compiled."""
    before = {path: path.stat().st_mtime_ns for path in tree.glob("mpfast/**/*.so")}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    after = {path: path.stat().st_mtime_ns for path in tree.glob("mpfast/**/*.so")}
    return {path.name.partition(".")[0] for path in after if after[path] != before.get(path)}


@needs_compiler
def test_a_header_compiles_what_reaches_it(tree):
    assert build(tree) == {"one", "two", "three"}
    assert build(tree) == set()
    for touched, compiled in {
        "made_up/near.h": {"one"},
        "made_up/lock/other.pxd": {"one"},
        "made_up_room/own.h": {"two"},
        "made_up_room/one.pxd": {"one", "two"},
    }.items():
        os.utime(tree / "mpfast" / touched)  # no time to come, before which a quick compiler would be done
        assert build(tree) == compiled, touched


@pytest.fixture
def extensions(monkeypatch):
    """Those that setup.py would build of this repository."""
    said = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", said.update)
    runpy.run_path("setup.py")
    return said["ext_modules"]


def included(extension):
    """The files of this repository that the compiler reads for what Cython has made."""
    source = extension.sources[0].removesuffix(".pyx") + ".c"
    folders = [f"-I{folder}" for folder in (*extension.include_dirs, sysconfig.get_path("include"))]
    done = subprocess.run([*CC, "-MM", "-w", *folders, source], capture_output=True, text=True, timeout=60, check=True)
    names = done.stdout.partition(":")[2].replace("\\\n", " ").split()
    return {name for name in map(os.path.normpath, names) if name.startswith("mpfast/")} - {source}


@needs_compiler
def test_the_compiler_reads_what_setup_knows(extensions):
    """An extension that misses one of its headers would not be compiled when that changes."""
    for extension in extensions:
        headers = {name for name in extension.depends if name.endswith(".h")}
        assert included(extension) <= headers, extension.name
    assert len({frozenset(extension.depends) for extension in extensions}) > len(extensions) / 2
