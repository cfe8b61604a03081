# SPDX-License-Identifier: MIT
"""Runs a program with mpfast in multiprocessing's place, as if the interpreter itself had been given its name.

The program runs in the existing module `__main__`, as with runpy. `__mp_main__` and everything that is pickled by
reference depend on that.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys

from ..standin.install import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_HERE = os.path.dirname(__file__)
_OURS = frozenset((__file__, os.path.join(_HERE, "commands.py"), os.path.join(os.path.dirname(_HERE), "__main__.py")))
_replaced: list[Any] = []


def program(arguments: list[str]) -> None:
    """Runs what `arguments` name. -m module, -c code, a script, a directory, a zip file, or - for standard input."""
    install()
    kind, rest = arguments[0], arguments[1:]
    try:
        if kind == "-m":
            _run_module(rest[0], rest[1:])
        elif kind == "-c":
            _run_code(_command(rest[0]), ["-c", *rest[1:]], "")
        elif kind == "-":
            _run_code(compile(sys.stdin.read(), "<stdin>", "exec"), arguments, "", __file__="<stdin>")
        else:
            _run_path(kind, arguments)
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook = _without_us(sys.excepthook)
        raise


def _command(text: str) -> Any:
    """The code of a -c. Tracebacks show its lines since 3.13, and its indentation does not matter since 3.14."""
    if sys.version_info >= (3, 14) and text[:1].isspace():
        from textwrap import dedent

        text = dedent(text)
    code = compile(text, "<string>", "exec")
    if sys.version_info >= (3, 13):
        import linecache

        linecache._register_code(code if sys.version_info >= (3, 14) else "<string>", text, "<string>")
    return code


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-m", *arguments]
    _empty_main()
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _run_path(path: str, argv: list[str]) -> None:
    if os.path.isdir(path) or not _is_script(path):
        sys.argv[:] = argv
        sys.path[: not sys.flags.safe_path] = [path]
        _empty_main()
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    with io.open_code(os.path.abspath(path)) as file:
        code = compile(file.read(), path, "exec")
    _run_code(code, argv, os.path.dirname(os.path.realpath(path)), __file__=path)


def _is_script(path: str) -> bool:
    """Is this file a script, and not something to import from, as a zip file is? Exits if it cannot be opened."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {os.path.abspath(path)!r}: ")
        sys.stderr.write(f"[Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)
    return not any(_imports_from(hook, path) for hook in sys.path_hooks)


def _imports_from(hook: Any, path: str) -> bool:
    try:
        hook(path)
    except ImportError:
        return False
    return True


def _run_code(code: Any, argv: list[str], folder: str, **names: str) -> None:
    sys.argv[:] = argv
    _first_in_path(folder)
    main = _empty_main()
    main.update(names)
    exec(code, main)


def _first_in_path(folder: str) -> None:
    """Replaces what -m has put there, unless the interpreter was told to put nothing there."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _empty_main() -> dict[str, Any]:
    """The main module as the interpreter would have begun it."""
    main = sys.modules["__main__"].__dict__
    main.clear()
    main.update(
        __name__="__main__", __doc__=None, __package__=None, __loader__=None, __spec__=None, __builtins__=builtins
    )
    return main


def _without_us(hook: Any) -> Any:
    """The hook that prints an exception, once, without the frames that led to the program."""

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        _replaced.append(excepthook)  # until 3.12 the interpreter, which calls it, has no reference of its own
        sys.excepthook = hook
        error = error.with_traceback(_own(traceback))
        hook(kind, error, error.__traceback__)

    return excepthook


def _own(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that belongs to the program."""
    rest, frame = traceback, traceback
    while frame is not None and _leads_here(frame.tb_frame.f_code.co_filename):
        if frame.tb_frame.f_code.co_filename in _OURS:
            rest = frame.tb_next
        frame = frame.tb_next
    return rest


def _leads_here(file: str) -> bool:
    return file in _OURS or file.endswith(("<frozen runpy>", os.sep + "runpy.py"))
