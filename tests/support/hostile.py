# SPDX-License-Identifier: MIT
"""What a task may do to its worker."""

import os
import signal
import sys
import time


def crash(_=None):
    """A segmentation fault, without a file of the memory."""
    import ctypes
    import faulthandler
    import resource

    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def abort(_=None):
    import faulthandler
    import resource

    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


def start_thread(daemon):
    """A thread that is there for a moment after the task."""
    import threading

    thread = threading.Thread(target=time.sleep, args=(0.2,), daemon=daemon)
    thread.start()
    return thread.daemon


def close_descriptors(_=None):
    os.closerange(3, 1024)


def become(user):
    os.setresuid(user, user, user)
    return os.getuid()


def eat_memory():
    """Takes all the memory that a limit leaves."""
    import resource

    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), resource.RLIM_INFINITY))
    return len([bytes(8 << 20) for _ in range(100)])


def rearrange():
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    sys.stdout = sys.stderr = None


def allow_memory(size):
    """For an initializer. The worker may have so many bytes of addresses."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size, size))
