# SPDX-License-Identifier: MIT
"""A limit on the size of files (`ulimit -f`), wherever it is set: everything works that works with multiprocessing."""

import file_sizes
import pytest
from file_sizes import SIZES


@pytest.fixture
def program(mp, method, tmp_path):
    def run(*arguments, **environment):
        return file_sizes.program(tmp_path / "program.py", mp.__name__, method, *arguments, **environment)

    return run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", ["-f", "-S -f"], ids=["hard", "soft"])
def test_set_in_a_shell(program, size, options):
    assert program(file_sizes.ALL, size, options) == ["[1, 2]"]


@pytest.mark.parametrize("size", SIZES)
def test_set_later(program, size):
    assert program(file_sizes.LATER, size) == ["[1, 2]"]


@pytest.mark.parametrize("size", SIZES)
def test_set_by_a_worker(program, size):
    assert program(file_sizes.WORKER, size) == ["1 None 0", "3000000 None 0"]


def test_every_kind(program):
    (said,) = program(file_sizes.KINDS, 1 << 20, "-f")
    assert said.startswith("Barrier 0 <Condition(<Lock(owner=None)>")
