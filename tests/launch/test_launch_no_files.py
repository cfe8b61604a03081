# SPDX-License-Identifier: MIT
"""A limit on the size of files that leaves not a byte, with which multiprocessing makes no lock, and what mpfast's own
files are under any limit. Where nothing can work, one sentence says why. SIGXFSZ ends no process."""

import file_sizes
import pytest

import mpfast

SENTENCE = "the limit on the size of files (ulimit -f) leaves no room for a {}, neither mpfast's nor multiprocessing's"
THREAD = """
import threading
threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
"""


@pytest.fixture
def mp():
    return mpfast


@pytest.fixture
def program(mp, method, tmp_path):
    def run(*arguments, **environment):
        return file_sizes.program(tmp_path / "program.py", mp.__name__, method, *arguments, **environment)

    return run


def test_a_soft_limit(program):
    """The helper that makes the memory file raises it for itself alone."""
    shown = "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    assert program(f"{file_sizes.ALL}\n{shown}", 0, "-S -f") == ["[1, 2]", "0"]


def test_set_later(program):
    assert program(file_sizes.LATER, 0) == ["[1, 2]"]


def test_set_by_a_worker(program):
    assert program(file_sizes.WORKER, 0) == ["1 None 0", "3000000 None 0"]


def test_one_sentence(program):
    """Pipes and processes do without files."""
    sizes = [f"{size} None 0" for size in file_sizes.MESSAGES]
    refused = [SENTENCE.format(name) for name in ("Lock", "Queue", "Event")]
    assert program(file_sizes.NOTHING + file_sizes.PIPES, 0, "-f") == refused + sizes


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
@pytest.mark.parametrize("size", file_sizes.SIZES)
@pytest.mark.parametrize("options", ["-f", "-S -f"], ids=["hard", "soft"])
def test_the_exit_table(program, size, options):
    """As on kernels before 6.15. If it has no room, multiprocessing's fork server has."""
    assert program(file_sizes.ALL, size, options, MPFAST_LAUNCH="table") == ["[1, 2]"]


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_a_main_module_with_threads(program):
    """The server begins again, with orders that have no room in a pipe."""
    program_text = file_sizes.PROGRAM
    file_sizes.PROGRAM = program_text.replace("\ndef limit", THREAD + "def limit", 1)
    try:
        said = program(file_sizes.PIPES, 0, "-f", LONG="x" * 100_000)
    finally:
        file_sizes.PROGRAM = program_text
    assert said == [f"{size} None 0" for size in file_sizes.MESSAGES]
