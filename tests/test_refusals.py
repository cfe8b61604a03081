# SPDX-License-Identifier: MIT
"""Programs whose system calls are refused, by a filter of their container or an older kernel.

Each thing that works with multiprocessing then works with mpfast too, or one sentence names the call. What
docs/differences.md says of such systems is LACKS here.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import deny
import pytest
import refusals

ROOT = Path(__file__).parents[1]
DEADLINE = 100
ERRORS = ("EPERM", "ENOSYS")

# What works, with something else in the call's place or none.
REPLACED = [
    *("prctl", "eventfd2", "getrandom", "pidfd_open", "pidfd_send_signal", "pidfd_getfd", "waitid", "fallocate"),
    *("madvise", "membarrier", "rseq", "sched_yield", "sched_getaffinity", "sched_setaffinity", "process_vm_readv"),
    *("close_range", "fchmod", "setsockopt", "socket", "bind", "connect", "epoll_create1", "readlinkat"),
    "socketpair@1:0x80005",  # SOCK_SEQPACKET
    "futex@1:9",  # FUTEX_WAIT_BITSET
    "futex@1:10",  # FUTEX_WAKE_BITSET
    "fcntl@1:36",  # F_OFD_GETLK
    "fcntl@1:1034",  # F_GET_SEALS
    "fcntl@1:1031",  # F_SETPIPE_SZ
    "ioctl@1:0xc040ff0b",  # PIDFD_GET_INFO
    "preadv2 pwritev2",
    "pidfd_open prctl waitid eventfd2",
]
ALL = set(refusals.STEPS)
FAMILY = ALL - {"pipe"}
SERVER = {"process forkserver", "pool forkserver"}
# What does not: the steps, and the name that the sentence has.
LACKS = {
    "memfd_create": (FAMILY, "memfd_create"),
    "ftruncate": (FAMILY, "ftruncate"),
    "fcntl@1:1033": (FAMILY, "F_ADD_SEALS"),
    "fcntl@1:37": (FAMILY, "F_OFD_SETLK"),
}
# What does not with multiprocessing either.
BOTH = {
    "pipe2": (ALL - {"lock", "queue", "process fork", "death"}, "pipe2"),
    "fcntl@1:1030": (SERVER, "F_DUPFD_CLOEXEC"),
    "sendmsg": (SERVER, "sendmsg"),
    "recvmsg": (SERVER, "recvmsg"),
}

pytestmark = pytest.mark.skipif(not deny.possible(), reason="the numbers of the system calls are not known")


def run(command):
    """Runs it as a session of its own, which ends with it. Returns its exit code, output and standard error."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as program:
        try:
            out, err = program.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            out, err = program.communicate()
            pytest.fail(f"it hangs after {out}{err[-2000:]}")
    return program.returncode, out, err


def denied(calls, error, *command):
    rules = [f"{call}={error}" for call in calls.split()]
    return run([sys.executable, deny.__file__, *rules, "--", sys.executable, *command])


def said(package, calls, error, steps=()):
    """What each step said, and what came to standard error."""
    _, out, err = denied(calls, error, refusals.__file__, package, *steps)
    return dict(json.loads(line) for line in out.splitlines()), err


def with_errors(cases):
    """Each case with both errors. `make test` has one, EPERM and ENOSYS in turn, and `make stress` the other."""
    found = []
    for number, calls in enumerate(cases):
        for error in ERRORS:
            marks = [pytest.mark.stress] if error != ERRORS[number % 2] else []
            found.append(pytest.param(calls, error, marks=marks, id=f"{calls}-{error}"))
    return found


@pytest.mark.parametrize(("calls", "error"), with_errors(REPLACED))
def test_it_works_without(calls, error):
    ours, err = said("mpfast", calls, error)
    assert ours == dict.fromkeys(refusals.STEPS, "good")
    assert err == ""


@pytest.mark.parametrize(("calls", "error"), with_errors([*LACKS, *BOTH]))
def test_one_sentence_names_it(calls, error):
    expected, name = {**LACKS, **BOTH}[calls]
    ours, err = said("mpfast", calls, error)
    failed = {step: text for step, text in ours.items() if text != "good"}
    assert failed.keys() == expected, err
    for text in failed.values():
        assert text.startswith(("PermissionError: ", "OSError: "))
        assert "this system refuses" in text
        assert name in text
    # A spare says it too: those of the fork server for a process and a pool of two, and those of the templates that a
    # pool and an executor by fork have.
    assert err.count("Traceback") <= (5 if calls == "recvmsg" else 0)


@pytest.mark.parametrize("calls", BOTH)
def test_nor_does_multiprocessing(calls):
    expected, _ = BOTH[calls]
    theirs, _ = said("multiprocessing", calls, "EPERM", sorted(expected))
    assert "good" not in theirs.values()


NARROWED = """
import sys; sys.path.insert(0, {support!r})
import deny, mpfast as mp

def leaf(q):
    q.put("leaf")

def child(q):
    deny.deny("memfd_create=EPERM", "ioctl@1:0xc040ff0b=ENOTTY")
    with mp.Lock():
        grandchild = mp.get_context("spawn").Process(target=leaf, args=(q,))
        grandchild.start()
        grandchild.join()
    q.put(grandchild.exitcode)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        q = mp.Queue()
        p = mp.get_context(method).Process(target=child, args=(q,))
        p.start()
        print(q.get(timeout=20), q.get(timeout=20))
        p.join()
"""


LOCKLESS = """
import sys, mpfast as mp

def say(writer, text):
    writer.send(text)
    sys.exit(5)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        ctx = mp.get_context(method)
        reader, writer = ctx.Pipe()
        p = ctx.Process(target=say, args=(writer, "x" * 200_000))  # more than a pipe takes
        p.start()
        print(len(reader.recv()), p.join(), p.exitcode)
"""


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("calls", ["memfd_create", "memfd_create ioctl@1:0xc040ff0b", "fcntl@1:37"])
def test_processes_need_no_family(calls, error, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(LOCKLESS)
    assert denied(calls, error, str(program)) == (0, "200000 None 5\n" * 3, "")


def test_a_child_narrows_its_own_rights(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(NARROWED.format(support=str(ROOT / "tests/support")))
    assert run([sys.executable, str(program)]) == (0, "leaf 0\n" * 3, "")


@pytest.mark.parametrize("error", ["ENOTTY", "EINVAL", "ENOSYS", "EPERM"])
def test_doctor_says_one_thing_of_exit_codes(error):
    code, out, err = denied("ioctl@1:0xc040ff0b", error, "-m", "mpfast", "doctor")
    assert (code, err) == (0, "")
    assert "children from a table" in out
    assert "from the kernel" not in out
    assert out.endswith("mpfast works here, without PIDFD_GET_INFO.\n")


@pytest.mark.parametrize("error", ["ENOTTY", "EINVAL"])
def test_exit_codes_where_only_the_version_promises_them(error):
    ours, err = said("mpfast", "ioctl@1:0xc040ff0b", error, sorted(SERVER))
    assert (ours, err) == (dict.fromkeys(SERVER, "good"), "")


TRIAL = """
import os, signal
from mpfast.launch.forkserver import exits
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append("a signal"))
before = os.listdir("/proc/self/fd")
answer = exits.tells()
assert os.listdir("/proc/self/fd") == before
try:
    seen.append(os.wait())
except ChildProcessError:
    pass
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
exits._answer = None
print(seen, exits.tells() == answer)
"""


def test_the_program_sees_nothing_of_the_trial():
    assert run([sys.executable, "-c", TRIAL]) == (0, "[] True\n", "")
