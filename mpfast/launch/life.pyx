# SPDX-License-Identifier: MIT
# cython: language_level=3
"""The steps of a child, from its first instruction to its exit code.

A forked child pays 2 to 3 microseconds for each page that it writes to first. That is most of the cost of a short
child. So this is C where it can be, and nothing is made that the child may not need.
"""

from cpython.object cimport PyObject
from mpfast.core.child.child cimport *
from mpfast.core.base.posix cimport c_exit

import atexit
import itertools
import os
import posix
import sys
import threading
from multiprocessing import context as _context, process as _process, util as _util

from .lazy import NoInput, _parent_pidfd, _ParentProcess

cdef extern from "Python.h":
    PyObject *PySys_GetObject(const char *name)
    bint PyCFunction_Check(object o)
    bint PyFunction_Check(object o)
    PyObject *PyFunction_GET_GLOBALS(object function)
    bint PyMethod_Check(object o)
    PyObject *PyMethod_GET_FUNCTION(object method)

cdef _after_fork = _process.BaseProcess._after_fork
cdef bint _ATEXIT = sys.version_info >= (3, 13)  # children run what they registered with atexit


# Hooks are functions of the standard library that tools replace to take part in what multiprocessing does.

cdef dict _os = os.__dict__
cdef dict _posix = posix.__dict__  # tools replace nothing here
cdef dict _modules = sys.modules

# By start method, what its launcher in multiprocessing calls and ours does not. If such a hook was replaced, ours is
# not taken. What ours calls too needs no check. docs/launching.md has the whole list.
cdef tuple _OF_FORK = (("multiprocessing.popen_fork", ()),)
cdef tuple _OF_SPAWN = (
    *_OF_FORK,
    ("multiprocessing.popen_spawn_posix", ()),
    ("multiprocessing.spawn", ("get_command_line",)),
    ("multiprocessing.util", ("spawnv_passfds",)),
    ("multiprocessing.resource_tracker", ("getfd",)),
)
cdef tuple _OF_FORKSERVER = (
    *_OF_FORK,
    ("multiprocessing.popen_forkserver", ()),
    ("multiprocessing.spawn", ("get_preparation_data",)),
    ("multiprocessing.util", ("spawnv_passfds",)),
    ("multiprocessing.forkserver", ("connect_to_new_process", "ensure_running", "read_signed")),
    ("multiprocessing.resource_tracker", ("getfd", "ensure_running")),
)
cdef dict _BY_METHOD = {"fork": _OF_FORK, "spawn": _OF_SPAWN, "forkserver": _OF_FORKSERVER}
cdef tuple _POPEN = ("__init__", "_launch", "poll", "wait", "_send_signal", "interrupt", "terminate", "kill", "close",
                     "duplicate_for_child")
cdef tuple _IN_CHILDREN = ("_close_stdin", "_run_after_forkers", "_exit_function")


cdef bint is_own(object function, dict names):
    """Is this the function of the module with these names? Its globals tell. A wrapper may copy everything else."""
    if PyMethod_Check(function):
        function = <object>PyMethod_GET_FUNCTION(function)
    if not PyFunction_Check(function):
        return False
    if PyFunction_GET_GLOBALS(function) == <PyObject *>names:
        return True
    around = getattr(function, "_mpfast_around", None)  # the stand-in's. A wrapper may have copied it
    return around is not None and around[0] is function and is_own(around[1], names)


cdef bint is_replaced(str name):
    """Has a tool replaced this function of os?"""
    return _os[name] is not _posix[name]


cdef _replaced_in_class(dict names, str module):
    """The first method of a module's Popen class that is not the class's own, or None."""
    cls = names["Popen"]
    if getattr(cls, "__module__", None) != module:
        return "Popen"
    attributes = vars(cls)
    for name in _POPEN:
        if name in attributes and not is_own(attributes[name], names):
            return f"Popen.{name}"
    return None


def hooked(str method):
    """The name of a replaced part of multiprocessing's launcher, which must be used then. None: ours can be used."""
    cdef dict names
    if method == "forkserver":
        executes = _modules.get("_posixsubprocess")
        if executes is not None and not PyCFunction_Check(executes.fork_exec):
            return "_posixsubprocess.fork_exec"
    for module, functions in _BY_METHOD[method]:
        loaded = _modules.get(module)
        if loaded is None:
            continue
        names = loaded.__dict__
        if not functions:
            found = _replaced_in_class(names, module)
            if found is not None:
                return f"{module}.{found}"
        for name in functions:
            if name in names and not is_own(names[name], names):
                return f"{module}.{name}"
    return None


cdef bint _child_is_hooked():
    """Has a tool replaced a step that multiprocessing takes in a child?"""
    cdef dict names = _util.__dict__
    if not is_own(_process.BaseProcess._bootstrap, _process.__dict__):
        return True
    for name in _IN_CHILDREN:
        if not is_own(names[name], names):
            return True
    return False


cdef flush_streams():
    if is_own(_util._flush_std_streams, _util.__dict__):
        _flush_streams()
    else:
        _util._flush_std_streams()


cdef _flush_streams():
    cdef PyObject *stream
    cdef const char **name = ["stdout", "stderr"]
    for i in range(2):
        stream = PySys_GetObject(name[i])
        try:
            if stream != NULL:
                (<object>stream).flush()
        except (AttributeError, ValueError):
            pass


cdef live(process_obj, int parent, sigset_t *before):
    """The whole life of a forked child. Does not return, or its copy of its parent's stack would go on."""
    code = 1
    try:
        try:
            child_release_signals(before)
            if process_obj._config.get("daemon"):
                child_guard(parent, -1)
            if _ATEXIT:
                atexit._clear()
                atexit.register(_util._exit_function)
            code = process_obj._bootstrap(parent_sentinel=None)
        finally:
            if _ATEXIT:
                atexit._run_exitfuncs()
    finally:
        if is_replaced("_exit"):
            os._exit(code if isinstance(code, int) else 1)
        c_exit(code if isinstance(code, int) else 1)


cdef _close_input():
    """Leaves the terminal to the main process. As with multiprocessing, descriptor 0 stays what it was."""
    if sys.stdin is None or type(sys.stdin) is NoInput and "file" not in sys.stdin.__dict__:
        return
    try:
        sys.stdin.close()
    except (OSError, ValueError):
        pass
    sys.stdin = NoInput()


cdef _blank_parent = _ParentProcess("", 0)  # made here, so that the child need not run the Python that makes one


cdef _parent_of(process_obj):
    parent = _ParentProcess.__new__(_ParentProcess)
    parent.__dict__.update(_blank_parent.__dict__)
    parent._name = process_obj._parent_name
    parent._pid = process_obj._parent_pid
    return parent


cdef _enter(process_obj, parent_sentinel, bint rehearsing):
    """Makes this process the one that process_obj stands for. A rehearsal skips what a process does only once."""
    method = process_obj._start_method
    if method is not None:
        _context._force_start_method(method)
    _process._process_counter = itertools.count(1)
    _process._children = set()
    _close_input()
    old_process = _process._current_process  # finalized after the hooks, not before
    _process._current_process = process_obj
    if parent_sentinel is None:
        _process._parent_process = _parent_of(process_obj)
    else:
        _process._parent_process = _process._ParentProcess(
            process_obj._parent_name, process_obj._parent_pid, parent_sentinel)
    threading.main_thread()._set_native_id()
    if rehearsing:
        return
    if _util._afterfork_registry.data or type(process_obj)._after_fork is not _after_fork:
        process_obj._after_fork()
    else:
        _util._finalizer_registry.clear()  # which is all that it would do


cdef _run(process_obj, bint rehearsing):
    if rehearsing:
        process_obj.run()
        return
    _util.info("child process calling self.run()")
    if _ATEXIT:
        process_obj.run()
        return
    try:
        process_obj.run()
    finally:
        if _util._finalizer_registry or _process._children or _util._logger is not None:
            _util._exit_function()
        else:
            _util._exiting = True  # which is all that it would do


cdef _code_of(exception):
    """The exit code that multiprocessing makes of SystemExit."""
    if exception.code is None:
        return 0
    if isinstance(exception.code, int):
        return exception.code
    sys.stderr.write(f"{exception.code}\n")
    return 1


def bootstrap(process_obj, parent_sentinel=None):
    """Runs the process by multiprocessing's steps, in its order. Returns its exit code.

    parent_sentinel: a descriptor that is readable when the parent ends (None: a pidfd, opened when it is used). If a
    tool has wrapped multiprocessing's own steps, as coverage.py does, the tool and those steps run instead.
    """
    if not _child_is_hooked():
        return _live(process_obj, parent_sentinel, False)
    if parent_sentinel is None:
        parent_sentinel = _parent_pidfd(process_obj._parent_pid)
    return _process.BaseProcess._bootstrap(process_obj, parent_sentinel=parent_sentinel)


cdef _live(process_obj, parent_sentinel, bint rehearsing):
    code = 1
    try:
        _enter(process_obj, parent_sentinel, rehearsing)
        _run(process_obj, rehearsing)
        code = 0
    except SystemExit as e:
        code = _code_of(e)
    except:
        import traceback
        sys.stderr.write(f"Process {process_obj.name}:\n")
        traceback.print_exc()
    finally:
        if not rehearsing:
            threading._shutdown()
            _util.info("process exiting with exitcode %d" % code)
        flush_streams()
    return code


def rehearse(process_obj, int parent_sentinel):
    """Takes the steps of a process that does nothing, in a process that will be another one later.

    Most of a short process's time goes to pages that are touched for the first time. This touches them beforehand.
    """
    before = _process._current_process, _process._parent_process, _process._children, _process._process_counter
    method = _context._default_context._actual_context
    try:
        _live(process_obj, parent_sentinel, True)  # with no tool around it
    finally:
        (_process._current_process, _process._parent_process,
         _process._children, _process._process_counter) = before
        _context._default_context._actual_context = method


def guard(int parent, int until=-1):
    """This process, a daemon, ends with its parent, however that ends, and with the process of the pidfd `until`."""
    child_guard(parent, until)


def name_process(str name):
    """What ps and top call this process. The kernel keeps 15 bytes."""
    child_name(name.encode())
