# SPDX-License-Identifier: MIT
"""The start method forkserver: the client asks, the server forks, a spare waits and becomes a child."""
