# SPDX-License-Identifier: MIT
"""The rooms of mpfast, and which room may import which: docs/architecture.md as a test.

Every import, cimport and include counts, wherever it stands in its file. An import that the table forbids is a *late
door*: it stands inside a function or a TYPE_CHECKING block, and the list below has its reason. Each rule is tried on
lines that break it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mpfast"

# A room of the core includes only rooms that stand before it, and only those named.
CORE = {
    "base": (),
    "family": ("base",),
    "locks": ("base", "family"),
    "store": ("base", "family"),
    "queue": ("base", "family", "store"),
    "tasks": ("base", "family", "store", "queue"),
    "values": ("base", "family", "locks", "store"),
    "tables": ("base", "family", "locks", "store"),
    "life": ("base", "family", "locks", "store", "queue", "tasks"),
    "wire": ("base",),
    "child": ("base",),
}
# The rooms, and the single files at the top that others may import. A room imports itself, what is named here, and
# nothing else of mpfast.
ROOMS = {
    "errors": (),
    "family": ("core", "errors"),
    "serialize": ("core", "errors"),
    "sync": ("core", "errors", "family"),
    "values": ("core", "errors", "family", "sync"),
    "channel": ("core", "errors", "family", "serialize"),
    "wire": ("core", "errors", "serialize"),
    "proxies": ("core", "errors", "family", "serialize", "channel", "wire"),
    "launch": ("core", "errors", "family"),
    "tables": ("core", "errors", "family", "serialize", "sync", "channel"),
    "diagnostics": ("channel",),
    "tasks": ("core", "errors", "family", "serialize", "channel", "launch"),
    "faces": (
        *("core", "errors", "family", "serialize", "sync", "values", "channel", "wire", "launch", "diagnostics"),
        *("tables", "tasks", "proxies"),
    ),
    "standin": ("faces",),
    "cli": ("faces", "standin"),
    "integrations": ("faces",),
    "former": ("sync", "wire", "standin"),
    "top": ("faces", "errors"),
}
# The public modules with a content of their own; the other files at the top are aliases of the stdlib's modules.
FACES = {
    *("connection", "context", "executor", "managers", "pool", "queues", "shared", "shared_memory", "sharedctypes"),
    "synchronize",
}
TOP = {"__init__", "__main__"}

# (file, what it imports): why it may.
LATE_DOORS = {
    ("__init__.py", "diagnostics"): "mpfast.locks() and its named tuples, when they are used",
    ("__init__.py", "standin.install"): "mpfast.install(), for programs that call it",
    ("__init__.py", "channel.channel"): "mpfast.ShutDown, when it is used",
    ("__init__.py", "tasks.errors"): "mpfast.WorkerDied and its kin, when they are used",
    ("__init__.py", "tasks.stats"): "what stats() of a pool gives, when it is used",
    ("__init__.pyi", "channel.channel"): "types only",
    ("__init__.pyi", "diagnostics"): "types only",
    ("__init__.pyi", "standin.install"): "types only",
    ("__init__.pyi", "tasks.errors"): "types only",
    ("__init__.pyi", "tasks.stats"): "types only",
    ("diagnostics.py", "family.census"): "only mpfast.locks() counts",
    ("cli/doctor.py", "*"): "it looks into every room, and says which one cannot be loaded",
    ("__main__.py", "cli.commands"): "python -m mpfast is the command line",
}

STATEMENT = re.compile(
    r"^(?P<indent> *)(?:from +(?P<dots>\.*)(?P<source>[\w.]*) +c?import +(?P<names>\([^)]*\)|[^\n#]*)"
    r"|c?import +(?P<module>mpfast[\w.]*)"
    r'|(?:cdef extern from|#\s*include) +"(?P<header>[\w/]+)\.h")',
    re.M,
)


def room_of(name: str) -> str:
    """The room of a module or file, by its dotted name below mpfast: "core.queue.bell" is in "core.queue"."""
    parts = name.split(".")
    if parts[0] == "core":
        return ".".join(parts[:2])
    if parts[0] in FACES:
        return "faces"
    if parts[0] in TOP:
        return "top"
    return parts[0]


def is_room(name: str) -> bool:
    return (PACKAGE / name.replace(".", "/")).is_dir()


def imports(path: str, text: str) -> Iterator[tuple[int, bool, str]]:
    """(line, is it at the file's own level?, dotted name below mpfast) of all that a file imports of mpfast."""
    package = ["mpfast", *Path(path).parts[:-1]]
    for match in STATEMENT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        outside = not match["indent"]
        if match["header"]:
            yield line, True, match["header"].replace("/", ".")
            continue
        if match["module"]:
            yield line, outside, match["module"].removeprefix("mpfast").removeprefix(".")
            continue
        base = package[: len(package) - len(match["dots"]) + 1] if match["dots"] else []
        source = ".".join([*base, *filter(None, [match["source"]])])
        if source != "mpfast" and not source.startswith("mpfast."):
            continue
        source = source.removeprefix("mpfast").removeprefix(".")
        if source and not is_room(source):
            yield line, outside, source
            continue
        names = re.findall(r"(\w+)(?: +as +\w+)?", match["names"])
        yield from ((line, outside, ".".join(filter(None, [source, name]))) for name in names)


def allowed(room: str, target: str) -> bool:
    if room.startswith("core."):
        return target == room or target.removeprefix("core.") in CORE[room[5:]]
    return target == room or target.partition(".")[0] in ROOMS[room]


def forbidden(path: str, text: str) -> Iterator[str]:
    """Yields "line N: what is wrong". path is relative to mpfast/."""
    room = room_of(".".join(Path(path).with_suffix("").parts))
    for line, outside, name in imports(path, text):
        target = room_of(name)
        if not name or target in ROOMS.get(room, ()) or allowed(room, target):
            continue
        if not is_known(target):
            continue
        door = (path, name) in LATE_DOORS or (path, "*") in LATE_DOORS
        if door and (not outside or path.endswith(".pyi") or path in ("__main__.py",)):
            continue
        yield f"line {line}: {room} imports {name}, which is in {target}"


def is_known(target: str) -> bool:
    """A room, and not a name that __init__ or an alias of the stdlib's has."""
    return target.startswith("core.") or target in ROOMS


def sources() -> list[Path]:
    found = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".h")]
    assert len(found) > 100
    return sorted(found)


def test_every_import_keeps_to_the_rooms() -> None:
    names = [(path.relative_to(PACKAGE).as_posix(), path.read_text()) for path in sources()]
    assert not [f"{name}, {problem}" for name, text in names for problem in forbidden(name, text)]


def test_every_file_has_a_room() -> None:
    """A new file at the top is a face, or an alias of one of multiprocessing's modules."""
    for path in sources():
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        room = room_of(name)
        known = room in ROOMS or room.removeprefix("core.") in CORE or name == "core.__init__"
        assert known or "sys.modules[__name__] = " in path.read_text(), f"{name} is in no room"


def test_no_room_hides_a_public_name() -> None:
    """An imported room becomes an attribute of mpfast. `mpfast.locks()` is a function, so no room is called locks."""
    import mpfast

    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not rooms & set(mpfast.__all__)


def test_every_late_door_is_used() -> None:
    for path, name in LATE_DOORS:
        text = (PACKAGE / path).read_text()
        assert name == "*" or any(found == name for _, _, found in imports(path, text)), f"{path} needs no {name}"


def test_no_circle() -> None:
    """The tables are orders: a room imports only rooms that stand above it."""
    for table in (CORE, ROOMS):
        order = ["core", *table]
        for room, others in table.items():
            assert all(order.index(other) < order.index(room) for other in others), room


BAD = [
    ("context.py", "from . import standin"),
    ("context.py", "def f():\n    from .cli import run\n"),
    ("context.py", "from .standin import install"),
    ("context.py", "def f():\n    from .standin.install import install\n"),
    ("launch/forkserver/exits.py", "from ...context import Context"),
    ("launch/forkserver/server.py", "def f():\n    from ...context import ForkServerProcess\n"),
    ("launch/child.pyx", "from ..context import Context"),
    ("sync/mutex.pyx", "from mpfast.queues cimport x"),
    ("sync/mutex.pyx", "from mpfast.channel.channel cimport Channel"),
    ("family/family.pyx", "from ..context import x"),
    ("family/family.pyx", "from .. import errors, context"),
    ("channel/channel.pyx", "        from ..diagnostics import QueueStats"),
    ("channel/channel.pyx", "from mpfast.tasks.rings cimport Ring"),
    ("launch/child.pyx", "def f():\n    from ..tasks import crew\n"),
    ("diagnostics.py", "def f():\n    from .tasks.desk import Desk\n"),
    ("tasks/crew.py", "def f():\n    from ..pool import Pool\n"),
    ("tasks/desk.pyx", "from mpfast.sync.mutex import Lock"),
    ("tasks/calls.pyx", "from ..executor import Future"),
    ("wire/wire.pyx", "from mpfast.family.family cimport Handle"),
    ("wire/wire.pyx", "import mpfast.sync.mutex"),
    ("errors.py", "import mpfast.context"),
    ("errors.py", "from mpfast import (\n    context,\n)"),
    ("diagnostics.py", "from .family import census"),
    ("core/queue/queue.h", '#include "core/life/reap.h"'),
    ("core/store/block.h", '#include "core/queue/take.h"'),
    ("core/queue/reap.h", '#include "core/tasks/ledger.h"'),
    ("core/tasks/ledger.h", '#include "core/life/reap.h"'),
    ("core/wire/wire.h", '#  include "core/family/peers.h"'),
    ("core/base/spin.h", '#include "core/family/participant.h"'),
    ("core/wire/wire.pxd", 'cdef extern from "core/family/family.h" nogil:'),
    ("core/store/item.pxd", "from mpfast.core.queue.queue cimport queue"),
]


@pytest.mark.parametrize(("path", "text"), BAD)
def test_rule_refuses(path: str, text: str) -> None:
    assert list(forbidden(path, text))


GOOD = [
    ("context.py", "def f():\n    from .pool import Pool\n"),
    ("launch/forkserver/exits.py", "from ..child import Child\nfrom . import inherit\n"),
    ("channel/channel.pyx", "from mpfast.serialize.pickling cimport done\nfrom ..errors import CorruptedQueueError\n"),
    ("diagnostics.py", "def locks():\n    from .family import census\n"),
    ("pool.py", "def f():\n    from .tasks import engine\n"),
    ("tasks/worker.pyx", "from . import failures\nfrom ..launch import child\n"),
    ("tasks/parcel.pyx", "from mpfast.channel.payload cimport payload\nfrom mpfast.serialize.pickling cimport done\n"),
    ("core/life/tend.h", '#include "core/queue/queue.h"'),
    ("core/tasks/ledger.h", '#include "core/queue/reap.h"'),
    ("errors.py", "from multiprocessing import ProcessError, context"),
]


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_rule_lets_pass(path: str, text: str) -> None:
    assert not list(forbidden(path, text))
