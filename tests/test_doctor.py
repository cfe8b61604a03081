# SPDX-License-Identifier: MIT
"""python -m mpfast doctor: it says what is there, and whatever is missing becomes a line, never a traceback."""

import ctypes
import errno
import fcntl
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mpfast.cli import doctor

ROOT = Path(__file__).parents[1]
REQUIRED = {"memfd with seals", "/proc/self/fd", "OFD locks", "futex"}


def finding(name):
    return next(f for f in doctor.examine() if f.name == name)


def command_line(*arguments):
    return subprocess.run([sys.executable, "-m", "mpfast", *arguments], capture_output=True, text=True, timeout=60)


def check_report(run, code):
    assert (run.returncode, run.stderr) == (code, "")
    assert "Traceback" not in run.stdout
    return json.loads(run.stdout)


def test_text():
    run = command_line("doctor")
    assert (run.returncode, run.stderr) == (0, "")
    for look in doctor.LOOKS:
        assert f"\n{look.name} " in run.stdout
    assert run.stdout.splitlines()[-1].startswith("mpfast works here")


def test_columns_are_aligned():
    lines = doctor.as_text(doctor.examine()).split("\n")
    head = lines[2]
    rows = lines[3 : lines.index("", 3)]
    for title in ("seen here", "used for"):
        start = head.index(title)
        assert all(row[start - 2 : start] == "  " and row[start] != " " for row in rows), lines


def test_json():
    report = check_report(command_line("doctor", "--json"), 0)
    assert report["works"] is True
    assert {f["name"] for f in report["findings"]} == {look.name for look in doctor.LOOKS}
    assert all(f["found"] for f in report["findings"] if f["name"] in REQUIRED)


def test_without_command():
    run = command_line()
    assert run.returncode == 0
    assert run.stdout.startswith("usage: python -m mpfast")


def test_bad_arguments():
    run = command_line("doctor", "--no-such-option")
    assert run.returncode == 2
    assert run.stderr.startswith("doctor knows only --json, not --no-such-option\nusage: python -m mpfast")


def test_required():
    assert {look.name for look in doctor.LOOKS if look.required} > REQUIRED


def test_leaves_no_descriptor():
    before = os.listdir("/proc/self/fd")
    doctor.examine()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("look", doctor.LOOKS, ids=[look.name for look in doctor.LOOKS])
def test_anything_may_be_missing(look, monkeypatch, capsys):
    def fails():
        raise OSError(errno.ENOSYS, "not here")

    looks = [other._replace(probe=fails if other is look else lambda: "there") for other in doctor.LOOKS]
    monkeypatch.setattr(doctor, "LOOKS", looks)
    assert doctor.main() == int(look.required)
    text = capsys.readouterr().out
    assert f"\n{look.name} " in text.split("\nmissing ")[1]
    assert "OSError: [Errno 38] not here" in text
    if look.required:
        assert text.endswith(f"\nmpfast's locks cannot work here: {look.name} missing.\n")
    else:
        assert look.instead in text
        assert text.endswith(f"\nmpfast works here, without {look.name}.\n")
    assert doctor.main(as_data=True) == int(look.required)
    assert json.loads(capsys.readouterr().out)["works"] is not look.required


def refuse(*_, **__):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def only_proc_refused(path, *arguments, original=os.open, **options):
    return refuse() if str(path).startswith("/proc/") else original(path, *arguments, **options)


def no_ofd_locks(fd, command, argument=0, original=fcntl.fcntl):
    if command in (doctor.F_OFD_GETLK, doctor.F_OFD_SETLK):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return original(fd, command, argument)


BREAKS = {
    "memfd with seals": [(os, "memfd_create", refuse), (os, "memfd_create", None), (fcntl, "fcntl", refuse)],
    "/proc/self/fd": [(os, "open", only_proc_refused)],
    "OFD locks": [(fcntl, "fcntl", no_ofd_locks), (os, "open", only_proc_refused)],
    "futex": [(ctypes, "CDLL", refuse)],
    "futex bit sets": [(ctypes, "CDLL", refuse)],
    "pidfd": [(os, "pidfd_open", refuse), (os, "pidfd_open", None)],
    "PIDFD_GET_INFO": [(fcntl, "ioctl", refuse), (os, "pidfd_open", None)],
    "MADV_WIPEONFORK": [(doctor, "mmap", types.SimpleNamespace(mmap=refuse))],
    "CPU number": [(ctypes, "CDLL", refuse)],
    "CPUs": [(os, "sched_getaffinity", refuse)],
    "huge pages": [(Path, "read_text", refuse)],
    "extensions": [(importlib, "import_module", refuse)],
    "lock": [(importlib, "import_module", refuse)],
}


@pytest.mark.parametrize(
    ("name", "module", "attribute", "value"),
    [(name, *change) for name, changes in BREAKS.items() for change in changes],
)
def test_looks_notice(name, module, attribute, value, monkeypatch):
    assert finding(name).found
    if value is None:
        monkeypatch.delattr(module, attribute)
    else:
        monkeypatch.setattr(module, attribute, value)
    assert not finding(name).found


def test_nothing_works(monkeypatch, capsys):
    for changes in BREAKS.values():
        monkeypatch.setattr(*changes[0])
    monkeypatch.setattr(platform, "libc_ver", refuse)
    assert doctor.main() == 1
    assert "cannot work here" in capsys.readouterr().out


FILTER = """
import ctypes, struct, sys
numbers = [int(n) for n in sys.argv[1].split(",")]
load, equal, answer = 0x20, 0x15, 0x06
program = [(load, 0, 0, 0)]
for number in numbers:
    program += [(equal, 0, 1, number), (answer, 0, 0, 0x00050000 | 38)]
code = b"".join(struct.pack("HBBI", *step) for step in [*program, (answer, 0, 0, 0x7FFF0000)])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))):
    sys.exit(77)
from mpfast.cli import doctor
sys.exit(doctor.main(as_data=True))
"""
SYSTEM_CALLS = {"x86_64": {"memfd_create": 319}, "aarch64": {"memfd_create": 279}}


@pytest.mark.parametrize(
    ("call", "missing", "code"),
    [("memfd_create", {"memfd with seals", "/proc/self/fd", "OFD locks", "lock"}, 1), ("pidfd_open", {"pidfd"}, 0)],
)
def test_older_kernel(call, missing, code):
    """A seccomp filter answers ENOSYS, so that mpfast itself meets the missing call too."""
    numbers = SYSTEM_CALLS.get(platform.machine(), {}) | {"pidfd_open": 434}
    if call not in numbers:
        pytest.skip(f"the number of {call} on {platform.machine()} is not known here")
    run = subprocess.run([sys.executable, "-c", FILTER, str(numbers[call])], capture_output=True, text=True, timeout=60)
    if run.returncode == 77:
        pytest.skip("this process may not filter system calls")
    report = check_report(run, code)
    assert missing <= {f["name"] for f in report["findings"] if not f["found"]}
    assert "Function not implemented" in next(f for f in report["findings"] if f["name"] in missing)["detail"]


def test_not_built(tmp_path):
    """`python mpfast/cli/doctor.py` needs nothing that is compiled."""
    shutil.copytree(ROOT / "mpfast", tmp_path / "mpfast", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = [sys.executable, str(tmp_path / "mpfast/cli/doctor.py"), "--json"]
    run = subprocess.run(script, capture_output=True, text=True, timeout=60, env=environment)
    findings = {f["name"]: f for f in check_report(run, 1)["findings"]}
    assert "ImportError" in findings["extensions"]["detail"]
    assert findings["memfd with seals"]["found"]


@pytest.mark.parametrize(
    ("name", "text", "quota"),
    [
        ("cpu.max", "150000 100000\n", 1.5),
        ("cpu.max", "max 100000\n", None),
        ("cpu.max", "nonsense", None),
        ("cpu.cfs_quota_us", "50000\n", 0.5),
        ("cpu.cfs_quota_us", "-1\n", None),
    ],
)
def test_quota(name, text, quota, tmp_path):
    (tmp_path / name).write_text(text)
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert doctor.quota_of(tmp_path / name) == quota


def test_smallest_quota_counts(tmp_path, monkeypatch):
    files = [tmp_path / str(n) / "cpu.max" for n in range(3)]
    for file, text in zip(files, ("max 100000", "200000 100000", "150000 100000"), strict=True):
        file.parent.mkdir()
        file.write_text(text)
    monkeypatch.setattr(doctor, "quota_files", lambda: iter(files))
    assert doctor.cpus().endswith("quota: time of 1.5")
