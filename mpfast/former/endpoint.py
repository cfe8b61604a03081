# SPDX-License-Identifier: MIT
"""mpfast.connection, for old pickles."""

from mpfast.wire.endpoint import Connection, Pipe, rebuild_connection, reduce_connection

__all__ = ["Connection", "Pipe", "rebuild_connection", "reduce_connection"]
