# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.locks.mutex import Lock, RLock

__all__ = ["Lock", "RLock"]
