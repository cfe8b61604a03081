# SPDX-License-Identifier: MIT
from typing_extensions import disjoint_base

@disjoint_base
class Batch:
    """Values that are written already, for one change. With keyed=True, each has a key."""

@disjoint_base
class Rows:
    """What was copied out of a table at one instant."""
