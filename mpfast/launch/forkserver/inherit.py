# SPDX-License-Identifier: MIT
"""What a child of the fork server takes over from its client. It is gathered in the client and taken over in the child.

The server was started earlier, so a child is told what has changed since.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAIN", "become", "gather", "main_module"]

MAIN = ("init_main_from_name", "init_main_from_path")


def gather() -> dict[str, Any]:
    """This process's search path, arguments, directory, environment, log level, key, signal mask and CPUs."""
    state: dict[str, Any] = spawn.get_preparation_data("")
    for name in ("name", *MAIN):
        state.pop(name, None)
    state["authkey"] = bytes(state["authkey"])
    state["dir"] = os.getcwd()
    state["environ"] = dict(os.environ._data)  # type: ignore[attr-defined]  # os.environ decodes each of them
    state["mask"] = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    state["affinity"] = _cpus()
    return state


def _cpus() -> set[int]:
    """The CPUs that this process may use. Empty where a filter refuses to say."""
    try:
        return os.sched_getaffinity(0)
    except OSError:
        return set()


def main_module() -> dict[str, Any]:
    """The name or the path by which the main module is imported. Empty if it cannot be imported."""
    preparation: dict[str, Any] = spawn.get_preparation_data("")
    return {name: preparation[name] for name in MAIN if name in preparation}


def become(state: dict[str, Any]) -> None:
    """Takes over all of that state, or a part that has changed. The caller sets the signal mask when it is ready."""
    environ = state.get("environ")
    if environ is not None:
        for name in os.environb.keys() - environ.keys():
            del os.environb[name]
        os.environb.update(environ)
    cpus = state.get("affinity")
    if cpus and cpus != _cpus():
        os.sched_setaffinity(0, cpus)
    spawn.prepare({name: value for name, value in state.items() if name not in ("environ", "affinity", "mask")})
