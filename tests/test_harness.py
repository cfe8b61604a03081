# SPDX-License-Identifier: MIT
"""The tests' own safety net: what hangs is ended with all that it started, and what is left behind is found."""

import contextlib
import ctypes
import mmap
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Thread, until

HERE = Path(__file__).parent

SHARED = Path(f"/dev/shm/mpfast-test-{secrets.token_hex(4)}")
CASES = {
    "descriptor": ("keep(open(__file__))", "descriptors"),
    "process": ("keep(context.Process(target=time.sleep, args=(60,))).start()", "processes"),
    "subprocess": ("keep(subprocess.Popen(['sleep', '60']))", "processes"),
    "mapping": ("with memory_file() as fd: keep(mmap.mmap(fd, 4096))", "mappings"),
    "shared_memory": (f"Path('{SHARED}').touch()", "files in /dev/shm"),
    "thread": ("keep(threading.Thread(target=time.sleep, args=(60,), daemon=True)).start()", "threads"),
}
IMPORTS = """
import contextlib, mmap, multiprocessing, os, subprocess, threading, time
from pathlib import Path

import pytest

context, kept = multiprocessing.get_context("fork"), []

def keep(thing):
    kept.append(thing)
    return thing

@contextlib.contextmanager
def memory_file():
    fd = os.memfd_create("x")
    os.ftruncate(fd, 4096)
    yield fd
    os.close(fd)
"""

# What the session's fixtures make is on its time. The deadlines are for the other tests.
FIRST = """
@pytest.mark.timeout(60)
def test_first():
    pass
"""


def run_pytest(path, text, *options):
    test = path / "test_inner.py"
    test.write_text(IMPORTS + FIRST + text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", *options, test],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )


def test_what_is_left_behind_is_found(tmp_path):
    """One run for all cases, each of which fails for its own reason, and does not spoil the next one."""
    text = ""
    for name, (line, _) in CASES.items():
        text += f"def test_{name}():\n    {line}\n"
    done = run_pytest(tmp_path, text, "-o", "settle=0")
    SHARED.unlink(missing_ok=True)
    for name, (_, reason) in CASES.items():
        found = [line for line in done.stdout.splitlines() if line.startswith("ERROR") and f"::test_{name} " in line]
        assert len(found) == 1, done.stdout
        assert re.search(f"the test left {{.*'{reason}", done.stdout)
    assert f"{len(CASES) + 1} passed, {len(CASES)} errors" in done.stdout


@contextlib.contextmanager
def mapping(path):
    """Of the file, without a descriptor beside it as Python's mmap has one."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with path.open("rb") as file:
        address = libc.mmap(None, ctypes.c_size_t(1), mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), ctypes.c_long(0))
    yield
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(1))


@contextlib.contextmanager
def files_of_another_program():
    """What this process makes is another program's for the run in a process below it."""
    named = Path(f"/dev/shm/joblib_memmapping_folder_{os.getpid()}_{secrets.token_hex(4)}")
    opened, mapped = (Path(f"/dev/shm/mpfast-test-{secrets.token_hex(4)}") for _ in range(2))
    named.mkdir()
    mapped.write_bytes(bytes(mmap.PAGESIZE))
    try:
        with opened.open("wb"), mapping(mapped):
            yield
    finally:
        named.rmdir()
        opened.unlink()
        mapped.unlink()


def test_files_of_another_program_are_not_counted(tmp_path):
    """They come while a test runs, and stay."""
    text = """
def test_meanwhile():
    Path("begun").touch()
    while not Path("made").exists():
        time.sleep(0.001)
"""
    run = Thread(run_pytest, tmp_path, text, "-o", "settle=0")
    until((tmp_path / "begun").exists, "the inner test runs")
    with files_of_another_program():
        (tmp_path / "made").touch()
        done = run.result(60)
    assert "2 passed" in done.stdout, done.stdout
    assert "error" not in done.stdout, done.stdout


@pytest.mark.parametrize("wait", ["lock.acquire()", "process.join()", "time.sleep(60)", "thread.join()"])
def test_what_hangs_is_ended(tmp_path, wait):
    """The children of a test that hangs are killed, and the tests behind it run."""
    done = run_pytest(
        tmp_path,
        f"""
def test_hang():
    ctx = multiprocessing.get_context("fork")
    lock = ctx.Lock()
    lock.acquire()
    process = ctx.Process(target=time.sleep, args=(60,))
    process.start()
    Path("pid").write_text(str(process.pid))
    thread = threading.Thread(target=process.join, daemon=True)
    thread.start()
    {wait}
    time.sleep(60)

def test_next():
    pid = int(Path("pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
""",
        "--timeout=1",
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "killed the processes" in done.stdout
    assert "most recent call first" in done.stderr


def test_fixtures_that_hang_after_a_failure_are_ended(tmp_path):
    done = run_pytest(
        tmp_path,
        """
@pytest.fixture
def hang():
    yield
    time.sleep(60)

def test_fail(hang):
    assert False

def test_next():
    pass
""",
        "--timeout=1",
    )
    assert "1 failed, 2 passed, 1 error" in done.stdout, done.stdout


def test_a_report_may_take_longer_than_the_test(tmp_path):
    """pytest writes it when the test has ended. An exception in the middle of that would end the whole run."""
    done = run_pytest(
        tmp_path,
        """
def test_fail():
    real = pytest.ExceptionInfo.getrepr

    def slow(*args, **options):
        time.sleep(2)
        return real(*args, **options)

    pytest.ExceptionInfo.getrepr = slow
    assert False

def test_next():
    pass
""",
        "--timeout=1",
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout


def test_what_never_serves_signals_ends_the_run(tmp_path):
    """The last resort, when the main thread is lost in C: the run ends, with a traceback."""
    done = run_pytest(
        tmp_path,
        """
def test_hang():
    import ctypes, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    ctypes.CDLL(None).sleep(60)
""",
        "--timeout=1",
        "-o",
        "last_resort=2",
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "test_hang" in done.stderr
