# SPDX-License-Identifier: MIT
"""Dict and List, which lie in the memory that all processes of a tree share.

They have the methods of a manager's proxies, and there is no server. `MISSING` stands for no value in
Dict.compare_exchange().
"""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence

from .synchronize import load
from .tables.missing import MISSING
from .tables.stats import TableStats

TYPE_CHECKING = False  # typing costs each spawned child 2 ms
if TYPE_CHECKING:
    from .tables.dicts import Dict as Dict
    from .tables.lists import List as List
else:
    Dict, List = load("mpfast.tables.dicts").Dict, load("mpfast.tables.lists").List

__all__ = ["MISSING", "Dict", "List", "TableStats"]

MutableMapping.register(Dict)
MutableSequence.register(List)
