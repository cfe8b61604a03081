# SPDX-License-Identifier: MIT
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Mapping:
    """Memory from the system, which is used for one buffer after the other."""

@disjoint_base
class Memory:
    """A large buffer that was received."""

@disjoint_base
class View:
    """A buffer inside a message that stays in shared memory."""

def pickler_names(names: dict[str, Any]) -> None: ...
