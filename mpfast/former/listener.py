# SPDX-License-Identifier: MIT
"""mpfast.connection, for old pickles."""

from mpfast.wire.listener import Client, Listener, XmlClient, XmlListener

__all__ = ["Client", "Listener", "XmlClient", "XmlListener"]
