# SPDX-License-Identifier: MIT
"""A program whose kernel refuses some system calls, as containers' filters and other kernels do.

    python deny.py fallocate=EOPNOTSUPP preadv2=EPERM -- program arguments

Classic BPF for seccomp: the call's number is loaded, and each refused one is compared with it.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"fallocate": 285, "lseek": 8, "madvise": 28, "memfd_create": 319, "preadv2": 327, "pwritev2": 328},
    "aarch64": {"fallocate": 47, "lseek": 62, "madvise": 233, "memfd_create": 279, "preadv2": 286, "pwritev2": 287},
}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, ANSWER = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, k, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, k)


def filter_of(refused):
    """refused: number of a system call -> errno."""
    lines = [instruction(LOAD, 0)]
    for number, error in refused.items():
        lines += [instruction(EQUAL, number, 0, 1), instruction(ANSWER, ERRNO | error)]
    return [*lines, instruction(ANSWER, ALLOW)]


def deny(**calls):
    """This process and its children are refused these calls from now on: deny(fallocate="EOPNOTSUPP")."""
    numbers = NUMBERS[platform.machine()]
    lines = filter_of({numbers[name]: getattr(errno, error) for name, error in calls.items()})
    code = ctypes.create_string_buffer(b"".join(lines))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, FILTER, ctypes.addressof(program))):
        if libc.prctl(*map(ctypes.c_ulong, arguments), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({arguments[0]})")


def possible():
    return platform.machine() in NUMBERS


if __name__ == "__main__":
    end = sys.argv.index("--")
    deny(**dict(argument.split("=") for argument in sys.argv[1:end]))
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
