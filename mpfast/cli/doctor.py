# SPDX-License-Identifier: MIT
"""What this kernel and this interpreter offer to mpfast, what it uses of that, and what it does without the rest.

`python -m mpfast doctor [--json]` prints it. If mpfast cannot be imported, `python mpfast/cli/doctor.py` still does.
Every look is made when it is asked for. Any error that it meets is an answer, so no look raises.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib
import json
import mmap
import multiprocessing
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Not every libc's headers know these by name, and so not every Python does.
F_ADD_SEALS = 1033
F_SEALS = 1 | 2 | 4  # seal, shrink, grow
F_OFD_GETLK, F_OFD_SETLK = 36, 37
FUTEX_WAIT, FUTEX_WAIT_BITSET = 0, 9
MADV_WIPEONFORK = 18
PR_GET_PDEATHSIG = 2
FALLOC_FL_PUNCH_HOLE = 2 | 1  # and FALLOC_FL_KEEP_SIZE
PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
GENERIC_FUTEX = 98  # on machines whose kernel port is younger than 2011
FUTEX_NUMBERS = {"x86_64": 202, "i686": 240, "armv7l": 240, "ppc64le": 221, "s390x": 238}

LITTLE = 32  # bytes of a file, for a limit on the size of files that leaves little
FLOCK = "@hhqqi4x"  # struct flock: type, whence, start, length, pid


class Finding(NamedTuple):
    """The answer to one look. `instead` is what mpfast does where the service is missing."""

    name: str
    found: bool
    detail: str
    use: str
    instead: str
    required: bool


class Look(NamedTuple):
    name: str
    probe: Callable[[], str]  # returns what it saw, raises what it met
    use: str
    instead: str = ""
    required: bool = False


def find(look: Look) -> Finding:
    try:
        found, detail = True, look.probe()
    except Exception as e:
        found, detail = False, " ".join(f"{type(e).__name__}: {e}".split())
    return Finding(look.name, found, detail, look.use, "" if found else look.instead, look.required)


class Memfd:
    """A small sealed memory file for the length of a `with`."""

    def __enter__(self) -> int:
        self.fd = os.memfd_create("mpfast-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def sealed_memfd() -> str:
    with Memfd() as fd:
        os.ftruncate(fd, LITTLE)
        fcntl.fcntl(fd, F_ADD_SEALS, F_SEALS)
        try:
            os.ftruncate(fd, 0)
        except PermissionError:
            return "cannot shrink or grow once it is sealed"
        raise OSError("a sealed memory file let itself be truncated")


def hole_punching() -> str:
    with Memfd() as fd:
        os.pwrite(fd, b"x" * LITTLE, 0)
        c = libc()
        if c.fallocate(fd, FALLOC_FL_PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(4096)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if os.pread(fd, LITTLE, 0).strip(b"\0"):
            raise OSError("what was given back is still there")
    return "gives memory of a file back"


def reopen(fd: int) -> int:
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    if os.path.sameopenfile(fd, again):
        return again
    os.close(again)
    raise OSError("/proc/self/fd leads to another file")


def reopening() -> str:
    with Memfd() as fd:
        os.close(reopen(fd))
    return "gives a second description of a memory file"


def byte_lock(fd: int, command: int) -> int:
    answer = fcntl.fcntl(fd, command, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 1, 1, 0))
    return int(struct.unpack(FLOCK, answer)[0])


def ofd_locks() -> str:
    with Memfd() as fd:
        other = reopen(fd)
        try:
            byte_lock(other, F_OFD_SETLK)
            seen = byte_lock(fd, F_OFD_GETLK)
        finally:
            os.close(other)
        if seen != fcntl.F_WRLCK or byte_lock(fd, F_OFD_GETLK) != fcntl.F_UNLCK:
            raise OSError("the lock of one description is not what another sees")
    return "seen from another description, gone with their own"


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def futex(operation: int) -> str:
    """Waits for a word that has changed already. A kernel that knows the operation answers EAGAIN."""
    number = FUTEX_NUMBERS.get(platform.machine(), GENERIC_FUTEX)
    word = ctypes.c_uint32(1)
    rc = libc().syscall(number, ctypes.byref(word), operation, 0, None, None, ctypes.c_uint32(0xFFFFFFFF))
    if rc != -1 or ctypes.get_errno() != errno.EAGAIN:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f"system call {number}"


def pidfd() -> str:
    os.close(os.pidfd_open(os.getpid()))
    return "pidfd_open"


def pidfd_info() -> str:
    fd = os.pidfd_open(os.getpid())
    try:
        fcntl.ioctl(fd, PIDFD_GET_INFO, bytearray(struct.pack("Q56x", 1)))
    finally:
        os.close(fd)
    try:
        launcher = importlib.import_module("mpfast.launch.forkserver.exits")
    except ImportError:
        return "ioctl, of living processes, while mpfast is not built"
    if (reason := launcher.tells()) is not None:
        raise OSError(reason)
    return "ioctl, of a child that was reaped"


def parent_death_signal() -> str:
    signal = ctypes.c_int()
    if libc().prctl(PR_GET_PDEATHSIG, ctypes.byref(signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "prctl"


def message_sockets() -> str:
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
        end.close()
    return "socketpair"


def wipe_on_fork() -> str:
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        page.madvise(MADV_WIPEONFORK)
    return "madvise"


def huge_pages() -> str:
    base = Path("/sys/kernel/mm/transparent_hugepage")
    texts = [(base / name).read_text() for name in ("enabled", "shmem_enabled")]
    private, shared = (text.partition("[")[2].partition("]")[0] for text in texts)
    return f"private memory: {private}, shared memory: {shared}"


def cpu_number() -> str:
    cpu = libc().sched_getcpu()
    if cpu < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        registered = ctypes.c_uint.in_dll(libc(), "__rseq_size").value > 0
    except ValueError:
        registered = False
    return f"CPU {cpu}, by {'rseq' if registered else 'getcpu'}"


def quota_files() -> Iterator[Path]:
    """cgroup v2's cpu.max and v1's cpu.cfs_quota_us, of this process's group and all above it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        mounts = ["", "unified"] if not controllers else [controllers] if "cpu" in controllers.split(",") else []
        for mount in mounts:
            base = Path("/sys/fs/cgroup") / mount
            below = base / group.lstrip("/")
            for directory in (below, *below.parents):
                if directory == base or base in directory.parents:
                    yield directory / ("cpu.cfs_quota_us" if controllers else "cpu.max")


def quota_of(file: Path) -> float | None:
    """How many CPUs' time the group may use. None if it has no limit."""
    try:
        words = file.read_text().split()
        if file.name == "cpu.cfs_quota_us":
            words.append(file.with_name("cpu.cfs_period_us").read_text())
        return int(words[0]) / int(words[1]) if words[0] not in ("max", "-1") else None
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None


def cpus() -> str:
    try:
        quotas = [quota for file in quota_files() if (quota := quota_of(file)) is not None]
    except (OSError, ValueError):
        quotas = []
    limit = f"quota: time of {min(quotas):g}" if quotas else "no quota"
    return f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} in the affinity mask, {limit}"


def start_methods() -> str:
    methods = multiprocessing.get_all_start_methods()
    return ", ".join([f"{methods[0]} (default)", *methods[1:]])


def launching() -> str:
    """Do mpfast's launchers start children? Where something that they need is missing, multiprocessing's do."""
    reason = importlib.import_module("mpfast.launch.child").available()
    if reason is not None:
        raise OSError(reason)
    told = importlib.import_module("mpfast.launch.forkserver.exits").kernel_tells()
    by = "the kernel" if told else "a table, as PIDFD_GET_INFO does not tell or is not to be asked"
    return f"by mpfast itself, with the exit codes of the fork server's children from {by}"


def extensions() -> str:
    """Imports what was compiled. The package's own message says how to build it."""
    package = importlib.import_module("mpfast")
    _ = importlib.import_module("mpfast.synchronize").Lock  # its ImportError says how to build
    build = getattr(importlib.import_module("mpfast.family.family"), "build", None)
    return f"mpfast {package.__version__}" + (f", {build}" if build else "")


def lock() -> str:
    with importlib.import_module("mpfast").Lock():
        return "made, acquired and released"


def address_space() -> str:
    """Is there room for the segment and one queue? Each further queue needs as much again."""
    segment = importlib.import_module("mpfast.family.family").address_space() >> 20
    queue = importlib.import_module("mpfast.channel.channel").address_space() >> 20
    need = f"locks need {segment} MiB of it in each process, each queue {queue} MiB"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return f"no limit, {need}"
    if limit >> 20 < segment + queue:
        raise MemoryError(f"ulimit -v is {limit >> 20} MiB, {need}")
    return f"ulimit -v is {limit >> 20} MiB, {need}"


def file_size() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard != resource.RLIM_INFINITY:
        raise OSError(errno.EFBIG, f"ulimit -f is {hard} bytes at most")
    return "no limit" if soft == hard else f"ulimit -f is {soft} bytes, and may be raised"


def family() -> str:
    """How full the tables of this process's family were at most. It is for programs that call examine()."""
    usage = importlib.import_module("mpfast.family.census").usage()
    if usage is None:
        return "none in this process yet"
    return "at most {} processes, {} small and {} large objects at once".format(*usage)


NOT_YET = "nothing yet"
LOOKS = [
    Look("memfd with seals", sealed_memfd, "the memory that all processes of a program share", "", True),
    Look(
        "hole punching",
        hole_punching,
        "giving the memory of queues back",
        "memory stays with its queue, and is overwritten before another queue gets it",
    ),
    Look("/proc/self/fd", reopening, "a description of its own for every process", "", True),
    Look("OFD locks", ofd_locks, "first proof that a process is dead", "", True),
    Look("futex", lambda: futex(FUTEX_WAIT), "sleeping and waking", "", True),
    Look(
        "futex bit sets",
        lambda: futex(FUTEX_WAIT_BITSET),
        "sleeping until the very wake-up that is meant",
        "waiters look once in a millisecond",
    ),
    Look("pidfd", pidfd, "second proof that a process is dead", "kill(pid, 0) is the second proof"),
    Look(
        "PIDFD_GET_INFO",
        pidfd_info,
        "exit codes of children that other code reaped",
        "their exit code is not known",
    ),
    Look(
        "PR_SET_PDEATHSIG",
        parent_death_signal,
        "ending daemons when their parent is killed",
        "they live on, as with multiprocessing",
    ),
    Look("SOCK_SEQPACKET", message_sockets, "mpfast's fork server", "multiprocessing's own fork server"),
    Look(
        "MADV_WIPEONFORK",
        wipe_on_fork,
        "recognizing a fork behind libc's back",
        "locks used after such a fork are not refused",
    ),
    Look("CPU number", cpu_number, "spinning only for a peer on another CPU", "waiters never spin"),
    Look("CPUs", cpus, "no spinning where there is only one", "waiters never spin"),
    Look("huge pages", huge_pages, NOT_YET, "nothing is lost"),
    Look(
        "address space",
        address_space,
        "mapping the memory of locks and queues",
        "MemoryError where it is used up",
    ),
    Look(
        "size of files",
        file_size,
        "making the memory file of locks and queues",
        "multiprocessing's own locks and queues",
    ),
    Look("start methods", start_methods, "the contexts of mpfast.get_context()", "no process can be started", True),
    Look("launching", launching, "starting, watching and reaping children", "multiprocessing's own launchers do it"),
    Look("extensions", extensions, "all that mpfast does itself", "", True),
    Look("lock", lock, "a trial of all of the above", "", True),
    Look("family", family, "counting how full the tables are", "not known"),
]


def examine() -> list[Finding]:
    """Looks at everything. Never raises."""
    return [find(look) for look in LOOKS]


def about() -> dict[str, str]:
    probes: dict[str, Callable[[], str]] = {
        "python": lambda: f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": lambda: f"{platform.system()} {platform.release()}",
        "machine": platform.machine,
        "libc": lambda: " ".join(platform.libc_ver()).strip() or "unknown libc",
    }
    return {name: find(Look(name, probe, "")).detail for name, probe in probes.items()}


def verdict(findings: list[Finding]) -> str:
    missing = [f.name for f in findings if f.required and not f.found]
    if missing:
        return f"mpfast's locks cannot work here: {', '.join(missing)} missing."
    without = [f.name for f in findings if not f.found]
    return f"mpfast works here, without {', '.join(without)}." if without else "mpfast works here, and lacks nothing."


def table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_text(findings: list[Finding]) -> str:
    rows = [("", "seen here", "used for"), *((f.name, f.detail, f.use) for f in findings if f.found)]
    lines = [", ".join(about().values()), "", *table(rows)]
    missing = [(f.name, "required" if f.required else f.instead, f.detail) for f in findings if not f.found]
    if missing:
        lines += ["", *table([("missing", "instead", "because"), *missing])]
    return "\n".join([*lines, "", verdict(findings)])


def as_json(findings: list[Finding]) -> str:
    report: dict[str, Any] = {
        **about(),
        "works": all(f.found or not f.required for f in findings),
        "verdict": verdict(findings),
        "findings": [f._asdict() for f in findings],
    }
    return json.dumps(report, indent=2)


def main(as_data: bool = False) -> int:
    """Prints the report. Returns the exit code, 1 if something is missing that mpfast cannot do without, else 0."""
    findings = examine()
    print(as_json(findings) if as_data else as_text(findings))
    return int(any(f.required and not f.found for f in findings))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the package, not its inside
    sys.exit(main("--json" in sys.argv[1:]))
