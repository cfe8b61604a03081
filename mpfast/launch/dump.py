# SPDX-License-Identifier: MIT
"""What is sent to a child that is no fork. By reference as with multiprocessing, and by value where that cannot work.

Functions and classes are pickled as their name. Lambdas, closures, and what a command line, a REPL or a notebook
defines have no name that the child could import. They are sent by value if cloudpickle is installed. If no pickler can
send an object, the error names the part of the process's arguments. With mpfast.strict_pickling = True everything is
done as multiprocessing does it, except for that note.
"""

from __future__ import annotations

import io
import sys
import types
from multiprocessing.context import get_spawning_popen, reduction  # type: ignore[attr-defined]
from multiprocessing.reduction import ForkingPickler
from pickle import PicklingError

from .child import ANY_SIZE, MESSAGE_PIPED, files_may_have

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess
    from typing import IO, Any

    from .child import Child

    Dump = Callable[[object, IO[bytes]], None]

__all__ = ["Message", "dump", "let_go"]

LOOKS = 200  # parts of the arguments that are looked at to find the culprit
REFUSALS = (PicklingError, AttributeError, TypeError)


class Message:
    """A file into which is pickled what a child is to read. What is longer than a page goes to a memory file at once,
    unless there is a limit on the size of files."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._file: io.BytesIO | io.BufferedWriter = io.BytesIO()
        self._held = b""

    def write(self, data: Any) -> int:
        file = self._file
        if isinstance(file, io.BytesIO) and self._is_long(file, data) and files_may_have(ANY_SIZE):
            self._file = open(self._child._data(), "wb", closefd=False)  # noqa: SIM115
            self._file.write(file.getvalue())
        return self._file.write(data)

    @staticmethod
    def _is_long(file: io.BytesIO, data: Any) -> bool:
        return file.tell() + memoryview(data).nbytes > MESSAGE_PIPED

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def truncate(self) -> int:
        return self._file.truncate()

    def flush(self) -> None:
        self._file.flush()

    def hold(self) -> int:
        """Returns the descriptor from which the child reads it all."""
        if isinstance(self._file, io.BytesIO):
            self._held = self._file.getvalue()
            self._child._hold(self._held)
        else:
            self._file.seek(0)
            self._file.close()
        return self._child._data()

    def feed(self) -> None:
        """Called when there is a child. Blocks only if a limit on the size of files forbids a memory file."""
        self._child._feed(self._held)


def _has_name(main: types.ModuleType) -> bool:
    """Can a child import this process's main module?"""
    return getattr(main.__spec__, "name", None) is not None or getattr(main, "__file__", None) is not None


def _by_reference(obj: object, file: IO[bytes]) -> None:
    reduction.dump(obj, file)


class _NoMain(ForkingPickler):
    """A pickler for a main module that no child can import. The child could not use a name in it."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)) and obj.__module__ == "__main__":
            error = PicklingError(f"Can't pickle {obj!r}: the main module has no file that the child could import")
            error.names_culprit = True  # type: ignore[attr-defined]
            raise error
        return NotImplemented


def _no_main(obj: object, file: IO[bytes]) -> None:
    _NoMain(file).dump(obj)


def _cloudpickle() -> Dump | None:
    """Returns a dump() that uses cloudpickle, with multiprocessing's reducers first. None if it is not installed."""
    try:
        import cloudpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None

    def by_value(obj: object, file: IO[bytes]) -> None:
        pickler = cloudpickle.Pickler(file)
        pickler.dispatch_table = {**pickler.dispatch_table, **ForkingPickler._extra_reducers}  # type: ignore[attr-defined]
        pickler.dump(obj)

    return by_value


class _Restart:
    """Undoes what a pickler that failed has written and handed over."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._start = file, file.tell()
        self._fds: list[int] = getattr(get_spawning_popen(), "_fds", [])
        self._known = len(self._fds)

    def __call__(self) -> None:
        self._file.seek(self._start)
        self._file.truncate()
        del self._fds[self._known :]


def dump(process_obj: BaseProcess, file: IO[bytes]) -> None:
    """Pickles a process to a file that can seek. Raises as multiprocessing, with a note that names what is refused."""
    strict = getattr(sys.modules["mpfast"], "strict_pickling", False)
    theirs = reduction is not sys.modules["multiprocessing.reduction"]  # a program has set ctx.reducer
    reference = _by_reference if strict or theirs or _has_name(sys.modules["__main__"]) else _no_main
    restart = _Restart(file)
    try:
        reference(process_obj, file)
        return
    except REFUSALS as refusal:
        error = refusal
    restart()
    by_value = None if strict else _cloudpickle()
    if by_value is not None:
        try:
            by_value(process_obj, file)
            return
        except Exception:  # the first error tells more
            restart()
    if by_value is not None or not hasattr(error, "names_culprit"):
        error.add_note(_Culprit(by_value or reference).note(process_obj))
    raise error


def let_go(popen: Any) -> None:
    """Called when the launch is over. What was reserved for the child in its families is now the child's, or free."""
    if "_mpfast_reservations" in popen.__dict__:
        from ..family.family import close_reservations

        close_reservations(popen)


class _Nowhere:
    """A file that keeps nothing of what is written."""

    def write(self, data: bytes) -> int:
        return len(data)


class _Culprit:
    """Finds the part of a process that a pickler refuses, by pickling its parts one by one."""

    def __init__(self, pickle: Dump) -> None:
        self._pickle, self._left = pickle, LOOKS

    def note(self, process_obj: BaseProcess) -> str:
        for name, value in vars(process_obj).items():
            label = name[1:] if name in ("_target", "_args", "_kwargs") else f"self.{name}"
            if self._refused(value):
                path, culprit = self._descend(label, value)
                return f"{path} ({type(culprit).__name__}) cannot be sent to the child"
        return f"this {type(process_obj).__name__} cannot be sent to the child"

    def _refused(self, obj: object) -> bool:
        self._left -= 1
        try:
            self._pickle(obj, _Nowhere())  # type: ignore[arg-type]
        except Exception:
            return True
        return False

    def _descend(self, path: str, obj: object) -> tuple[str, object]:
        """Returns the innermost refused part of obj, which itself is refused."""
        seen = {id(obj)}
        while True:
            for step, part in _parts(obj):
                if self._left <= 0:
                    return path, obj
                if id(part) not in seen and self._refused(part):
                    seen.add(id(part))
                    path, obj = path + step, part
                    break
            else:
                return path, obj


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    """The parts that pickle sends with an object, as (how its path goes on, the part)."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r:.60}]", value
            yield f" key {key!r:.60}", key
    elif isinstance(obj, (list, tuple)):
        yield from ((f"[{i}]", part) for i, part in enumerate(obj))
    elif isinstance(obj, (set, frozenset)):
        yield from ((" element", part) for part in obj)
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
    elif not isinstance(obj, (type, types.FunctionType, types.ModuleType)):
        yield from ((f".{name}", getattr(obj, name)) for name in ("func", "args", "keywords") if _is_partial(obj))
        yield from ((f".{name}", part) for name, part in getattr(obj, "__dict__", {}).items())


def _is_partial(obj: object) -> bool:
    from functools import partial

    return isinstance(obj, partial)
