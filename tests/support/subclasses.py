# SPDX-License-Identifier: MIT
"""Classes and objects that children find by importing this module."""

import multiprocessing.synchronize
import os

import mpfast
import mpfast.synchronize


class Tools:
    """What a subclass of a lock adds."""

    def held(self):
        with self:
            return not self.acquire(False)


class StdlibLock(Tools, multiprocessing.synchronize.Lock):
    pass


class FastLock(Tools, mpfast.synchronize.Lock):
    pass


class FastBarrier(mpfast.synchronize.Barrier):
    """Has state of its own."""

    def __init__(self, parties, label):
        super().__init__(parties)
        self.label = label


# As a program may do: every process that imports this module makes a lock of its own.
LOCK_AT_IMPORT = mpfast.Lock()


def use_both(lock):
    """A lock that this process made when it had no family yet, and one that it was given."""
    with LOCK_AT_IMPORT, lock:
        return LOCK_AT_IMPORT.acquire(False), lock.acquire(False), mpfast.Lock().acquire(False), os.getpid()
