# SPDX-License-Identifier: MIT
"""What the workers of pools run that look after themselves."""

import ctypes
import os
import sys

import pooled

_made = 0
_hoard = []


def make_state():
    """A state that is another one in each worker."""
    global _made
    _made += 1
    return {"pid": os.getpid(), "made": _made, "calls": 0}


def use_state(state, number, more=0):
    state["calls"] += 1
    return state["pid"] == os.getpid(), state["made"], state["calls"], number + more


def fail_state():
    raise ValueError("there is no state")


def leave(path):
    """Appends a line when the worker ends."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


class Leave:
    def __init__(self, path):
        self.path = path

    def __call__(self, state=None):
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {state and state['calls']}\n")


def hoard(size):
    """Keeps so many bytes of memory, and touches them."""
    _hoard.append(bytearray(os.urandom(1) * size))
    return os.getpid()


def tell_errors(path):
    """An initializer that sends standard error to a file."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())


def crash(_=None):
    ctypes.string_at(0)


def children_are_daemons(ctx, _=None):
    child = ctx.Process(target=pooled.square, args=(1,))
    return child.daemon


def nest(method, n):
    """A pool in a worker."""
    import mpfast

    with mpfast.get_context(method).Pool(2) as pool:
        found = pool.map(pooled.square, range(n), 1)
        pool.terminate()
        pool.join()
    return found


def nest_and_tell(method):
    """Starts a child that waits, and tells its pid, so that it can be seen to end with the worker."""
    import mpfast

    child = mpfast.get_context(method).Process(target=pooled.wait_for, args=(600,))
    child.start()
    return child.pid


def start_a_child(package):
    """May this worker have children of that package's?"""
    import importlib

    child = importlib.import_module(package).get_context("fork").Process(target=pooled.square, args=(1,))
    child.start()
    child.join()
    return child.exitcode
