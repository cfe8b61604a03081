# SPDX-License-Identifier: MIT
"""Which functions of the standard library a process's life passes, as a tool sees it that replaces them.

hooked.py PACKAGE METHOD FILE [HOOK ...] replaces each hook by itself and starts a process. Without hooks, it replaces
all that there are. The file has what was called, line by line, as parents and forked children write to it. It prints
each hook and the package whose launcher started the process.
"""

import functools
import importlib
import os
import signal
import sys
import types

MODULES = ("context", "forkserver", "popen_fork", "popen_forkserver", "popen_spawn_posix", "process", "reduction")
MODULES += ("resource_tracker", "spawn", "util")
OF_OS = ("_exit", "fork", "kill", "waitpid")


def owners():
    """(name, object, its attributes that may be hooks): modules of multiprocessing, and classes in them."""
    for name in MODULES:
        module = importlib.import_module(f"multiprocessing.{name}")
        yield name, module, [key for key, value in vars(module).items() if is_function(value, module)]
        for key in ("Popen", "BaseProcess"):
            cls = vars(module).get(key)
            if isinstance(cls, type) and cls.__module__ == module.__name__:
                yield f"{name}.{key}", cls, [key for key, value in vars(cls).items() if is_function(value, module)]
    yield "os", os, OF_OS
    yield "_posixsubprocess", importlib.import_module("_posixsubprocess"), ["fork_exec"]


def is_function(value, module):
    function = getattr(value, "__func__", value)
    return isinstance(function, types.FunctionType) and function.__module__ == module.__name__


def every():
    return {f"{name}.{key}": (owner, key) for name, owner, keys in owners() for key in keys}


def replace(path, name, owner, key):
    """By what says that it was called. Returns how to undo it."""
    before = vars(owner)[key]
    real = getattr(before, "__func__", before) if isinstance(before, staticmethod) else before

    @functools.wraps(real)
    def hook(*args, **kwargs):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{name}\n".encode())
        os.close(fd)
        return real(*args, **kwargs)

    setattr(owner, key, staticmethod(hook) if isinstance(before, staticmethod) else hook)
    return functools.partial(setattr, owner, key, before)


def live(ctx):
    """All that a process may meet: it is started, looked at, waited for, and another one is ended."""
    process = ctx.Process(target=signal.Signals, args=(2,))
    process.start()
    launcher = type(process._popen)
    process.is_alive()
    process.join()
    assert process.exitcode == 0, process
    process.close()
    another = ctx.Process(target=signal.pause)
    another.start()
    another.terminate()
    another.join()
    assert another.exitcode == -signal.SIGTERM, another
    return launcher


def main(package, method, path, *names):
    from multiprocessing import forkserver, popen_fork

    ctx = importlib.import_module(package).get_context(method)
    hooks = every()
    for chosen in ([name] for name in names) if names else [list(hooks)]:
        forkserver._forkserver._stop()
        undo = [replace(path, name, *hooks[name]) for name in chosen if name in hooks]
        launcher = live(ctx)
        print(chosen[0], "theirs" if issubclass(launcher, popen_fork.Popen) else "ours")
        for back in undo:
            back()
    forkserver._forkserver._stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
