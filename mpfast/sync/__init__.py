# SPDX-License-Identifier: MIT
"""The lock family. mpfast.synchronize is its face."""
