# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.sync.mutex import Lock, RLock

__all__ = ["Lock", "RLock"]
