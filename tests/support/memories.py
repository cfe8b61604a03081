# SPDX-License-Identifier: MIT
"""What tests of SharedMemory and ShareableList do, here and in children."""

import importlib
import os
import signal
import sys


def module(package):
    return importlib.import_module(f"{package}.shared_memory")


def attach(package, name, **options):
    """The first bytes of memory that has a name."""
    memory = module(package).SharedMemory(name, **options)
    found = bytes(memory.buf[:4])
    memory.close()
    return found


def first(memory):
    return memory.buf[0]


def put(memory, byte):
    memory.buf[0] = byte


def name_of(memory):
    return memory.name


def items(sequence):
    return list(sequence)


def put_item(sequence, position, value):
    sequence[position] = value


def made(package, size=100):
    """The name of memory that a child makes. It outlives the child."""
    memory = module(package).SharedMemory(create=True, size=size)
    memory.buf[0] = 9
    memory.close()
    return memory.name


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def tracked():
    """Does this process have a resource tracker?"""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    return bool(tracker and tracker._resource_tracker._fd is not None)


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


class Mine:
    """For classes that derive from a package's SharedMemory."""

    def __init__(self, name=None, create=False, size=0, extra=5):
        super().__init__(name, create, size)
        self.extra = extra


def mine(package):
    return type("MineOfPackage", (Mine, module(package).SharedMemory), {"__reduce__": _reduce, "package": package})


def _reduce(memory):
    return attach_mine, (memory.package, memory.name)


def attach_mine(package, name):
    return mine(package)(name)


def look(memory):
    """What a process knows of it, without asking for its name."""
    return repr(memory), tracked()


def hold_names(memory, link):
    """Holds what keeps others from naming it, until it is killed."""
    nameless = importlib.import_module("mpfast.values.nameless")
    nameless.alone(memory._fd)
    link.send("held")
    link.recv()


def name_at(barrier, memory):
    barrier.wait(60)
    return memory.name
