# SPDX-License-Identifier: MIT
"""mpfast.connection, for old pickles."""

from mpfast.wire.wait import wait

__all__ = ["wait"]
