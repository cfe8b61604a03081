# SPDX-License-Identifier: MIT
"""What a test must not leave behind, and the deadline after which it is ended: the two fixtures of every test."""

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from multiprocessing import forkserver, process, resource_tracker
from pathlib import Path

import pytest
import shm
from harness import children_of, thread_state

try:
    from mpfast.launch.forkserver.client import client
except ImportError:
    client = None  # the tests say so

SEMAPHORES = f"mpfast-test-{os.getpid()}"  # see conftest.py
OTHERS = shm.listed()  # files: what lay there before the run, and what was found to be of others since


def servants():
    """The resource tracker and the fork servers with their spares, which stay until the program ends."""
    ours = client.processes() if client else set()
    return {resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid, *ours} - {None}


def below():
    """All processes below this one."""
    found, queue = set(), [os.getpid()]
    while queue:
        new = children_of(queue.pop()) - found
        found |= new
        queue += new
    return found


def descendants():
    """All processes below this one but the servants themselves."""
    return below() - servants()


def descriptors():
    """Descriptor -> what it is. Without the directory that is being read, and without those of spares, which change."""
    found = {}
    if client:
        client.rest()
    waiting = client.descriptors() if client else []
    for fd in set(map(int, os.listdir("/proc/self/fd"))).difference(waiting):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
    return {fd: target for fd, target in found.items() if not target.startswith("/proc/")}


def memory_files():
    """The mappings of memory files, counted by name."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return Counter(line.split(maxsplit=5)[5] for line in lines if "/memfd:" in line)


def candidates():
    """What may be this run's in /dev/shm. Of semaphores only its own, as every one has its name for an instant."""
    return {name for name in shm.listed() - OTHERS if not name.startswith("sem.") or SEMAPHORES in name}


def of_this_run(names):
    """Without the files of others. To know them takes a look at each process, so they are known from then on."""
    OTHERS.update(shm.foreign(names, lambda: {os.getpid(), *below()}))
    return names - OTHERS


def shared_files(patience=1.0):
    """What this run has made in /dev/shm. Another program's file looks the same until it is used, so it gets time."""
    deadline = time.monotonic() + patience
    while (found := of_this_run(candidates())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def live_objects():
    """How many locks and the like exist, in a build with MPFAST_DEBUG. Else 0."""
    family = sys.modules.get("mpfast.family.family")
    return (family and family.live_objects()) or 0


class Snapshot:
    def __init__(self):
        if client:
            client.rest()
        self.objects = live_objects()
        self.processes = descendants()
        self.descriptors = descriptors()
        self.memory = memory_files()
        self.shared = candidates()
        self.threads = set(threading.enumerate())

    def news(self):
        """What there is now and was not then, in words. Empty if nothing."""
        process.active_children()  # reaps
        gc.collect()
        now = Snapshot()
        opened = {fd: to for fd, to in now.descriptors.items() if self.descriptors.get(fd) != to}
        return {
            kind: new
            for kind, new in {
                "processes": now.processes - self.processes,
                "descriptors": opened if len(now.descriptors) > len(self.descriptors) else {},
                "mappings of memory files": now.memory - self.memory,
                "files in /dev/shm": of_this_run(now.shared - self.shared),
                "threads": now.threads - self.threads,
                "objects of mpfast": max(0, now.objects - self.objects),
                "active_children()": process.active_children(),
            }.items()
            if new
        }


def settled(before, seconds):
    """What is left of the news once there was time to go: for feeder threads to end, for the ended to be reaped."""
    deadline = time.monotonic() + seconds
    while (news := before.news()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return news


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end(pids, patience=5.0):
    """Kills the processes and sees to it that they are gone."""
    kill(pids)
    deadline = time.monotonic() + patience
    while any(thread_state(pid, pid) not in ("", "Z") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.active_children()  # reaps


class Deadline:
    """Ends a test that hangs: first its children, then, by an exception, itself, at last the whole run.

    Killing the children ends most waits in the parent. The exception needs a main thread that serves signals. It is
    raised again every few seconds, in case it came where Python swallows exceptions. If the main thread never serves
    signals, only the end of the run remains.
    """

    AGAIN = 5.0

    def __init__(self, seconds, terminal):
        self.seconds, self.terminal = seconds, terminal
        self.before = descendants()
        self.handler = signal.signal(signal.SIGALRM, self.expired)
        signal.setitimer(signal.ITIMER_REAL, seconds, self.AGAIN)

    def expired(self, *_):
        faulthandler.dump_traceback(file=self.terminal)
        started = descendants() - self.before
        kill(started)
        pytest.fail(f"not over after {self.seconds} s, killed the processes {sorted(started)}")

    @contextlib.contextmanager
    def paused(self):
        """The exception does not come meanwhile, and the time goes on afterwards."""
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, left or self.AGAIN, self.AGAIN)

    def arm_last(self, seconds):
        """To be called inside pytest's own use of faulthandler's only timer."""
        faulthandler.dump_traceback_later(self.seconds + seconds, exit=True, file=self.terminal)

    def cancel(self):
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.handler)


def terminal(config):
    """A descriptor for standard error that pytest does not capture."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return os.dup(sys.__stderr__.fileno())
