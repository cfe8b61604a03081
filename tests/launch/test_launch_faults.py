# SPDX-License-Identifier: MIT
"""Programs that met a fault in launching: main modules that start threads or look at their name, and warnings."""

import gc
import os
import sys
from typing import NamedTuple

import programs

from mpfast import launch, parked

FORK_BESIDE_A_THREAD = """
import {mp} as mp, threading
if __name__ == "__main__":
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    process = mp.get_context({method}).Process(target=print, args=("child",), kwargs={"flush": True})
    try:
        process.start()
        process.join()
        print(process.exitcode)
    except DeprecationWarning as warning:
        print("This process" in str(warning))
    end.set()
    thread.join()
"""


def test_a_start_beside_a_thread_where_warnings_are_errors(mp, method, tmp_path):
    """os.fork() drops the error up to 3.14. 3.15 raises it."""
    path = programs.write(tmp_path / "program.py", FORK_BESIDE_A_THREAD, mp=mp.__name__, method=repr(method))
    done = programs.run("-W", "error", path)
    if method == "fork" and sys.version_info >= (3, 15):
        assert done.out.splitlines()[-1] == "True"
    else:
        assert done == (0, "child\n0\n", "")


class Source(NamedTuple):
    """Refers to what refers to it. The collector clears no tuple, so it comes to the others."""

    table: None
    keeper: dict


def test_children_that_wait_in_a_cycle(monkeypatch):
    """Their descriptors are closed, whatever the collector has cleared before."""
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: complaints.append(repr(unraisable.exc_value)))
    before = len(os.listdir("/proc/self/fd"))
    fd = os.memfd_create("server")
    source = Source(None, {})
    source.keeper["parked"] = parked.Parked(fd, launch.Child(), source)
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del source
    gc.collect()
    assert (complaints, len(os.listdir("/proc/self/fd"))) == ([], before)
