# SPDX-License-Identifier: MIT
"""mpfast.synchronize, for old pickles."""

from mpfast.locks.semaphores import BoundedSemaphore, Event, Semaphore

__all__ = ["BoundedSemaphore", "Event", "Semaphore"]
