# SPDX-License-Identifier: MIT
"""Processes that give up their rights, as daemons do that were started by root."""

import ctypes
import os
import struct

import procfs

NOBODY = 65534
PR_GET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 3, 8, 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2  # an interpreter in root's home can be read
VERSION_3 = 0x20080522


def dumpable():
    """May other processes of this user look into this one?"""
    return ctypes.CDLL(None).prctl(PR_GET_DUMPABLE) == 1


def hard_to_reach():
    """May there be processes that cannot open this one's descriptors by way of /proc?"""
    return os.geteuid() == 0 or not dumpable() or procfs.foreign()


def drop():
    """This process is nobody's from now on. Others of that user may not look into it: it is not dumpable."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    mask = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH
    if libc.capset(struct.pack("=Ii", VERSION_3, 0), struct.pack("=6I", mask, mask, mask, 0, 0, 0)) != 0:
        return
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
