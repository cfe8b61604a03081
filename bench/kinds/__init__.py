# SPDX-License-Identifier: MIT
"""The shapes that a scenario can have: one process, two, a crowd, a process that is started."""
