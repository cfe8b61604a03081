# SPDX-License-Identifier: MIT
"""The shapes that a scenario can have. It may need one process, two, a crowd, or a process that is started."""
