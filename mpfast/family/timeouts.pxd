# SPDX-License-Identifier: MIT
"""The arguments that methods of all shared objects have. How long to wait, and what happens if an owner dies."""

from libc.errno cimport EINVAL
from libc.stdint cimport int64_t
from mpfast.core.base.clock cimport NEVER, clock_deadline
from mpfast.errors cimport raise_errno


cdef inline int64_t deadline_of(block, timeout) except? -1:
    """The arguments of acquire() as a point in time. 0 is long past, so the call does not wait."""
    cdef double seconds = 0 if timeout is None else timeout
    if not block:
        return 0
    if seconds != seconds:
        raise_errno(-EINVAL)  # as sem_timedwait does for a timeout that is not a number
    return NEVER if timeout is None else clock_deadline(seconds)


cdef inline int policy_of(str policy, dict allowed) except -1:
    found = allowed.get(policy)
    if found is None:
        raise ValueError(f"on_owner_death must be one of {', '.join(map(repr, allowed))}, not {policy!r}")
    return found
