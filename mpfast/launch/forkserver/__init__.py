# SPDX-License-Identifier: MIT
"""The start method forkserver. The client asks, the server forks, and a spare waits and becomes a child."""
