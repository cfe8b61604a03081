# SPDX-License-Identifier: MIT
"""The tests of queues, bells and travelling descriptors once more, in places where a process may do less.

A pytest of its own runs them in each place (surroundings.py). A part of them is in every run, all are in `make stress`.
"""

import re
from pathlib import Path

import programs
import pytest
import surroundings

TESTS = Path(__file__).parent
QUEUES = sorted(f"queues/{path.name}" for path in (TESTS / "queues").glob("test_*.py"))
FILES = [
    *(name for name in QUEUES if "rights" not in name),  # whose programs go there by themselves
    "connections/test_connection_async.py",
    "connections/test_connection_wait.py",
    "serialize/test_travel.py",
]
PART = [
    "queues/test_queues_users.py::TestWait",
    "queues/test_queues_users.py::TestExecutor::test_results",
    "queues/test_queues_extensions.py::TestAsyncio",
    "serialize/test_travel.py::test_between_children",
]


def run(place, tmp_path, deadline, *chosen):
    """Runs the tests there. Returns how many have passed."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-r", "fE", f"--basetemp={tmp_path / 'inner'}"]
    options += ["-k", "not stdlib"]  # what multiprocessing does is known from the runs elsewhere
    arguments = [surroundings.__file__, place, *options, *(TESTS / choice for choice in chosen)]
    done = programs.run(*arguments, before=surroundings.before(place), deadline=deadline, cwd=TESTS.parent)
    assert done.code == 0, done.out[-20_000:] + done.err
    return int(re.search(r"(\d+) passed", done.out)[1])


@pytest.mark.timeout(630)
@pytest.mark.parametrize("place", surroundings.PLACES)
def test_a_part(place, tmp_path):
    assert run(place, tmp_path, 600, *PART) > 50


@pytest.mark.stress
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", surroundings.PLACES)
def test_all(place, file, tmp_path):
    assert run(place, tmp_path, 1170, file) > 0
