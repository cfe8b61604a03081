# SPDX-License-Identifier: MIT
"""Starting one process, and the life of that process."""
