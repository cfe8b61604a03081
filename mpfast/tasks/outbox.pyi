# SPDX-License-Identifier: MIT
from typing_extensions import disjoint_base

@disjoint_base
class Outbox:
    """The results of the worker that has a seat."""
