# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.sync.semaphores import BoundedSemaphore, Event, Semaphore

__all__ = ["BoundedSemaphore", "Event", "Semaphore"]
