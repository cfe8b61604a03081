# SPDX-License-Identifier: MIT
"""What managers and their proxies are made of: the way to a server, the connection of a thread, the server's part."""
