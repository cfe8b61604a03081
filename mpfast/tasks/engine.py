# SPDX-License-Identifier: MIT
"""What the faces use of this room."""

from __future__ import annotations

from .beyond import room_of
from .calls import call, call_for
from .cpus import usable_cpus
from .crew import Crew
from .deaths import Engine
from .limits import check_limits, set_limits
from .maps import map_elements
from .options import Options, care_of
from .places import check_places, set_places
from .progress import Background, Progress
from .stats import of_pool
from .streams import chunks, stream
from .views import TaskQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Background",
    "Crew",
    "Engine",
    "Options",
    "Progress",
    "TaskQueue",
    "call",
    "call_for",
    "care_of",
    "check_limits",
    "check_places",
    "chunks",
    "make_crew",
    "map_elements",
    "of_pool",
    "room_of",
    "set_limits",
    "set_places",
    "stream",
    "usable_cpus",
]


def make_crew(
    ctx: Any, size: int, initializer: Any, initargs: Any, maxtasks: int | None, kind: str, **more: Any
) -> Crew:
    """A crew with its desk. Its workers are not started. OSError, and nothing is left of it."""
    crew = Crew(ctx, size, initializer, initargs, maxtasks, kind, **more)
    try:
        crew.desk = Engine(crew, maxtasks is not None)
    except BaseException:
        crew.release()
        raise
    return crew
