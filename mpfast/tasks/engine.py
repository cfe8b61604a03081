# SPDX-License-Identifier: MIT
"""What the faces use of this room."""

from .calls import call, call_for
from .crew import Crew
from .deaths import Engine
from .limits import check_limits, set_limits
from .maps import map_elements
from .streams import chunks, stream
from .views import TaskQueue

__all__ = [
    "Crew",
    "Engine",
    "TaskQueue",
    "call",
    "call_for",
    "check_limits",
    "chunks",
    "map_elements",
    "set_limits",
    "stream",
]
