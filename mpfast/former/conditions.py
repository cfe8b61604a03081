# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.locks.conditions import Barrier, Condition

__all__ = ["Barrier", "Condition"]
