# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.sync.conditions import Barrier, Condition

__all__ = ["Barrier", "Condition"]
