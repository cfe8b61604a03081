# SPDX-License-Identifier: MIT
"""Refuses system calls, as seccomp filters of containers and old kernels do: in this process and its children.

As a program: python deny.py CALL[@ARGUMENT:VALUE][=ERROR] ... -- command. For example `deny.py socket=EPERM -- id`.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {  # x86-64, aarch64
    "bind": (49, 200),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "connect": (42, 203),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "eventfd2": (290, 19),
    "fallocate": (285, 47),
    "fchmod": (91, 52),
    "fcntl": (72, 25),
    "flock": (73, 32),
    "fstat": (5, 80),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "ioctl": (16, 29),
    "linkat": (265, 37),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "memfd_create": (319, 279),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pipe2": (293, 59),
    "prctl": (157, 167),
    "preadv2": (327, 286),
    "process_vm_readv": (310, 270),
    "pwritev2": (328, 287),
    "readlinkat": (267, 78),
    "recvmsg": (47, 212),
    "rseq": (334, 293),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "sched_yield": (24, 124),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setsockopt": (54, 208),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "statx": (332, 291),
    "waitid": (247, 95),
    "writev": (20, 66),
}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
RETURN_ERROR, RETURN_ALLOW = 0x00050000, 0x7FFF0000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def number(name):
    """The number that a system call of CALLS has on this machine."""
    return CALLS[name][platform.machine() == "aarch64"]


def _rule(text):
    """The instructions for one CALL[@ARGUMENT:VALUE][=ERROR]."""
    text, _, error = text.partition("=")
    name, _, condition = text.partition("@")
    answer = (RETURN, 0, 0, RETURN_ERROR | getattr(errno, error or "EPERM"))
    code = [answer]
    if condition:
        index, value = (int(part, 0) for part in condition.split(":"))
        code = [(LOAD, 0, 0, 16 + 8 * index), (JUMP_EQUAL, 0, 1, value & 0xFFFFFFFF), answer]
    return [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, len(code), number(name)), *code]


def deny(*rules, **calls):
    """From now on these calls fail: deny("socket=EPERM", madvise="ENOMEM"). OSError where no filter can be set."""
    rules = (*rules, *(f"{name}={error}" for name, error in calls.items()))
    code = [instruction for rule in rules for instruction in _rule(rule)] + [(RETURN, 0, 0, RETURN_ALLOW)]
    program = _Program(len(code), b"".join(struct.pack("=HBBI", *instruction) for instruction in code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no seccomp filter can be set here")


def possible():
    return platform.machine() in ("x86_64", "aarch64")


def main():
    here = sys.argv.index("--")
    deny(*sys.argv[1:here])
    os.execvp(sys.argv[here + 1], sys.argv[here + 1 :])


if __name__ == "__main__":
    main()
