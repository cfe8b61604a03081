# SPDX-License-Identifier: MIT
"""multiprocessing.shared_memory, without a name and without a tracker process until the program asks for a name.

A SharedMemory is a file that has no name in the system. So nothing is left of it, however its processes end. Reading
`name`, or sending the object to a process that runs already, gives it one, and then it is the resource tracker's
business as in multiprocessing. A program that reads each name gets the next memory with a name at once. A child that is
started with the object gets the file itself. What has a name is multiprocessing's in every respect, so processes with
and without mpfast can share it.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import mmap
import os
from functools import partial
from multiprocessing import context, reduction, resource_tracker
from struct import Struct

from .launch import tracker
from .values import items, nameless

tracker.lead()

from multiprocessing import shared_memory as _stdlib  # noqa: E402  # after lead(), which looks whether it is loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.shared_memory import ShareableList as _List
    from multiprocessing.shared_memory import SharedMemory as _Memory
    from typing import Any, TypeVar

    _T = TypeVar("_T")  # the stdlib's is one of the types of items, and each would be checked here
else:
    _Memory, _List = vars(_stdlib)["SharedMemory"], vars(_stdlib)["ShareableList"]  # not the stand-in's properties
    _T = object

__all__ = ["ShareableList", "SharedMemory"]

_module: Any = _stdlib
_KIND = "shared_memory"  # what the tracker calls it
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR
_DRAW = _module._make_filename
# What it does takes half the time here. False if the program has replaced it.
_DRAWS = getattr(_DRAW, "__module__", None) == _module.__name__ and _DRAW
_FOLDER, _EXISTS = nameless.FOLDER + "/", os.F_OK
_habit = nameless.habit
_TRACKS = hasattr(_Memory, "_track")  # from 3.13 on it has the argument
_FORMAT, _COUNT = Struct(f"{items.MOST}s"), Struct("q")
_format_at, _put_format = _FORMAT.unpack_from, _FORMAT.pack_into


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


class SharedMemory(_Memory):
    """Memory that processes share. With create=True and no name, it has none in the system before `name` is read.

    A program that has read the names of all that it made gets the next one with a name.
    Making one does not block. OSError says what the system refuses. Threads and forked children may use one object.
    """

    _known: str | None = None  # the name, as far as this process knows
    _nameless = False  # made without a name, here or in the process that this one has it from
    _unread = False  # got its name when it was made, and the program has not read it
    _gone = False  # unlink() was called here
    _kept = -1  # the descriptor after close(), because unlink() and `name` need it
    _told: Callable[[str], object] | None = None  # a manager's, for when it gets a name
    _habit = _habit  # found here also at the interpreter's end, when this module is empty
    _track = True
    _fd: int
    _mmap: mmap.mmap | None
    _buf: memoryview | None
    _mode: int
    _prepend_leading_slash: bool

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:
        if not track:
            self._track = track
        if create and name is None and size >= 0 and size:
            if _habit.spend():
                self._make_named(size)
                return
            fd = nameless.make(self._mode)
            if fd >= 0:
                self._flags = _NEW
                self._nameless = True
                self._take(fd, size)
                if track:
                    tracker.share()
                return
        if track:
            tracker.ensure()
        if _TRACKS:
            super().__init__(name, create, size, track=track)  # type: ignore[call-arg]
        elif track or size < 0 or (create and size == 0) or (name is None and not create):
            super().__init__(name, create, size)
        else:
            self._open(name, create, size)

    def _make_named(self, size: int) -> None:
        """With a name at once, which costs less than to give it one later."""
        self._flags = _NEW
        self._known, fd = self._drawn()
        self._unread = True
        try:
            self._take(fd, size)
        except BaseException:
            self.unlink()
            raise

    def _open(self, name: str | None, create: bool, size: int) -> None:
        """A named one that no tracker hears of, for versions that cannot make it."""
        if create:
            self._flags = _NEW
        while True:
            path = self._slashed(name) if name is not None else _module._make_filename()
            try:
                fd = _posixshmem.shm_open(path, self._flags, mode=self._mode)
                break
            except FileExistsError:
                if name is not None:
                    raise
        self._known = path
        try:
            self._take(fd, size if create else None)
        except OSError:
            self.unlink()
            raise

    def _take(self, fd: int, size: int | None = None) -> None:
        """Maps the file. It is closed if that fails."""
        try:
            if size is None:
                size = os.fstat(fd).st_size
            else:
                os.ftruncate(fd, size)
            self._size = int(size)
            self._mmap = mmap.mmap(fd, self._size)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._buf = memoryview(self._mmap)

    def _slashed(self, name: str) -> str:
        return f"/{name}" if self._prepend_leading_slash else name

    @property
    def _name(self) -> str | None:
        if self._known is None and self._nameless:
            self._be_named()
        elif self._unread:
            self._was_read()
        return self._known

    @_name.setter
    def _name(self, name: str | None) -> None:
        self._known = name

    @property
    def name(self) -> str:
        """The name, under which any process can attach. The first look gives it one, and starts the tracker if need be.

        FileNotFoundError if it was unlinked before it had a name, OSError if the system refuses.
        """
        name: Any = self._known
        if self._unread:
            self._was_read()
        elif name is None:
            name = self._name
        return name.removeprefix("/") if self._prepend_leading_slash else name  # type: ignore[no-any-return]

    def _was_read(self) -> None:
        self._unread = False
        _habit.read()
        if self._told is not None:
            self._tell()

    def _read_name(self) -> str | None:
        """The name, if the program knows it."""
        return None if self._known is None or self._unread else self.name

    def _file(self) -> int:
        return self._fd if self._fd >= 0 else self._kept

    def _be_named(self) -> None:
        fd = self._file()
        if self._gone or fd < 0:
            raise nameless.unlinked()
        threads = nameless.alone(fd)
        try:
            if self._known is not None:  # another thread was first
                return
            name = self._found(fd) or self._linked(fd)
            if self._known is not None:  # a signal handler of this thread was first
                os.unlink(nameless.path_of(name))
                self._forget(name)
                return
            self._known = name
        finally:
            nameless.among_others(fd, threads)
        self._let_go()
        if self._told is not None:
            self._tell()

    def _when_named(self, told: Callable[[str], object]) -> None:
        """Has `told` called with the name, once the program may know one. If that fails, the memory is unlinked."""
        self._told = told
        if self._known is not None and not self._unread:
            self._tell()

    def _tell(self) -> None:
        try:
            self._told(self.name)  # type: ignore[misc]
        except BaseException:
            self.unlink()
            raise

    def _found(self, fd: int) -> str | None:
        """The name that another process has given it. It is registered as if this one had attached by that name."""
        found = nameless.find(fd)
        if found is None:
            return None
        name = self._slashed(found)
        self._remember(name)
        return name

    def _linked(self, fd: int) -> str:
        name = self._drawn(fd)[0]
        _habit.read()
        return name

    def _drawn(self, fd: int = -1) -> tuple[str, int]:
        """A name that nobody had, and the file that has it now, which is a new one unless `fd` is."""
        while True:
            draw = _module._make_filename
            name: str = f"{_module._SHM_NAME_PREFIX}{os.urandom(4).hex()}" if draw is _DRAWS else draw()
            if os.access(_FOLDER + name, _EXISTS):
                continue
            if self._track:  # first, so that a process that is killed here leaves no name that nobody knows
                tracker.ensure()
                resource_tracker.register(name, _KIND)
            try:
                if fd < 0:
                    return name, _posixshmem.shm_open(name, _NEW, self._mode)
                nameless.link(fd, name)
                return name, fd
            except FileExistsError:
                self._forget(name)
            except BaseException:
                self._forget(name)
                raise

    def _remember(self, name: str) -> None:
        if self._track:
            tracker.ensure()
            resource_tracker.register(name, _KIND)

    def _forget(self, name: str) -> None:
        if self._track:
            resource_tracker.unregister(name, _KIND)

    def _travels(self) -> bool:
        """Does a child that is being started get the file? A subclass may be more than a file."""
        return (
            self._nameless
            and self._known is None
            and not self._gone
            and self._file() >= 0
            and type(self).__init__ is SharedMemory.__init__
            and context.get_spawning_popen() is not None
        )

    def __reduce__(self) -> Any:
        if self._travels():
            return _rebuild, (type(self), reduction.DupFd(self._file()), self._track)
        if self._unread and context.get_spawning_popen() is not None:
            self._habit.ends()  # the child would have needed no name
        rebuilt: Any = super().__reduce__()
        return rebuilt if self._track else (partial(rebuilt[0], track=False), *rebuilt[1:])

    def __repr__(self) -> str:
        """Shows no name that nobody has asked for."""
        return f"{type(self).__name__}({self._read_name()!r}, size={self.size})"

    def close(self) -> None:
        """Ends this object's access. BufferError if there are views of it."""
        view, memory = self._buf, self._mmap
        if view is not None:
            view.release()
            self._buf = None
        if memory is not None:
            memory.close()
            self._mmap = None
        fd = self._fd
        if fd < 0:
            return
        self._kept, self._fd = fd, -1
        keep = self._known is None and self._nameless and not self._gone
        if keep or self._unread:
            self._habit.ends()
        if not keep:
            self._let_go()

    def unlink(self) -> None:
        """Removes the name, and no process can attach any more. Call it once in all processes.

        FileNotFoundError if that was done. What had no name gets none from now on.
        """
        known = self._known
        if known is not None and not self._nameless:
            _posixshmem.shm_unlink(known)
            if self._track:
                resource_tracker.unregister(known, _KIND)
            if self._unread:
                self._habit.ends()
            return
        fd = self._file() if self._nameless and not self._gone else -1
        if fd >= 0 and self._known is None:
            threads = nameless.alone(fd)
            try:
                self._known = self._found(fd)
                if self._known is None:
                    nameless.shut(fd, self._mode)
                    self._gone = True
                    self._habit.ends()
            finally:
                nameless.among_others(fd, threads)
        if not self._gone or fd < 0:
            self._remove()
            if fd >= 0:
                nameless.shut(fd, self._mode)
                self._gone = True
        self._let_go()

    def _remove(self) -> None:
        if self._known is None:
            if self._nameless:
                raise nameless.unlinked()
        else:
            _posixshmem.shm_unlink(self._known)
            self._forget(self._known)

    def _let_go(self, close: Callable[[int], object] = os.close) -> None:
        """Also at the interpreter's end, when this module is empty."""
        if self._kept >= 0:
            fd, self._kept = self._kept, -1
            close(fd)

    def __del__(self) -> None:
        try:
            self.close()
        except OSError:  # the program has closed its descriptor
            pass
        finally:  # there may be views. They keep the memory, and need no descriptor
            if self._fd >= 0:
                self._kept, self._fd = self._fd, -1
            if self._kept >= 0:
                try:  # noqa: SIM105  # at the interpreter's end there is no suppress() in this module
                    self._let_go()
                except OSError:
                    pass


def _rebuild(cls: type[SharedMemory], file: Any, track: bool) -> SharedMemory:
    self = cls.__new__(cls)
    self._track, self._nameless, self._flags = track, True, _NEW
    fd = file.detach()
    os.set_inheritable(fd, False)
    self._take(fd)
    return self


class ShareableList(_List[_T]):  # type: ignore[type-var]
    """A list in shared memory, of fixed length, of ints, floats, bools, str, bytes and None. It has no lock.

    Strings and bytes may have as many bytes as the item's first value, rounded up to 8. They come back as they were
    put, also if they end in NUL. The layout is multiprocessing's. Making one does not block, and raises what
    SharedMemory raises.
    """

    shm: SharedMemory
    _list_len: int
    _allocated_offsets: list[int]
    _types_mapping: dict[type, str]

    def __init__(self, sequence: Iterable[_T] | None = None, *, name: str | None = None) -> None:
        if name is not None and sequence is None:
            self._use(SharedMemory(name))
            return
        values = list(sequence or ())
        rooms = [self._room(value) for value in values]
        laid = [items.lay(value, room, self._types_mapping) for value, room in zip(values, rooms, strict=True)]
        ends = [0]
        for room in rooms:
            ends.append(ends[-1] + room)
        image = b"".join(
            (
                *map(_COUNT.pack, (len(laid), *ends)),
                *(data for _, _, data in laid),
                *(form.ljust(items.MOST, b"\0") for form, _, _ in laid),
                bytes(code for _, code, _ in laid),
            )
        )
        shm = SharedMemory(name, create=True, size=len(image))
        buffer: Any = shm.buf
        buffer[: len(image)] = image
        self._use(shm)

    def _room(self, value: Any) -> int:
        self._types_mapping[type(value)]  # KeyError of what cannot be an item
        return items.room(value)

    def _use(self, shm: SharedMemory) -> None:
        """Reads the layout from memory that has a list."""
        self.shm = shm
        buffer: Any = shm.buf
        self._list_len = count = _COUNT.unpack_from(buffer)[0]
        self._allocated_offsets = list(Struct(f"{count + 1}q").unpack_from(buffer, _COUNT.size))
        self._data_at = _COUNT.size * (count + 2)
        self._formats_at = self._data_at + self._allocated_offsets[-1]
        self._codes_at = self._formats_at + items.MOST * count

    def _place(self, position: int, problem: str) -> int:
        place = position if position >= 0 else position + self._list_len
        if not 0 <= place < self._list_len:
            raise IndexError(problem)
        return place

    def __getitem__(self, position: int) -> _T:
        place = self._place(position, "index out of range")
        buffer: Any = self.shm._buf
        offsets = self._allocated_offsets
        form = _format_at(buffer, self._formats_at + items.MOST * place)[0]
        begin = offsets[place]
        number = items.NUMBERS.get(form)
        if number is not None:
            return number(buffer, self._data_at + begin)[0]  # type: ignore[no-any-return]
        try:
            return items.read(  # type: ignore[no-any-return]
                form, buffer[self._codes_at + place], buffer, self._data_at + begin, offsets[place + 1] - begin
            )
        except LookupError:  # of a kind that only multiprocessing may know
            return super().__getitem__(place)

    def __setitem__(self, position: int, value: _T) -> None:
        place = self._place(position, "assignment index out of range")
        begin, end = self._allocated_offsets[place], self._allocated_offsets[place + 1]
        form, code, data = items.lay(value, end - begin, self._types_mapping)
        buffer: Any = self.shm._buf
        at = self._data_at + begin
        buffer[at : at + len(data)] = data
        _put_format(buffer, self._formats_at + items.MOST * place, form)
        buffer[self._codes_at + place] = code

    def __reduce__(self) -> Any:
        if self.shm._travels() and type(self).__init__ is ShareableList.__init__:
            return _rebuild_list, (type(self), self.shm)
        return super().__reduce__()

    def __repr__(self) -> str:
        """Shows no name that nobody has asked for."""
        return f"{type(self).__name__}({list(iter(self))}, name={self.shm._read_name()!r})"


def _rebuild_list(cls: type[ShareableList[Any]], shm: SharedMemory) -> ShareableList[Any]:
    self = cls.__new__(cls)
    self._use(shm)
    return self
