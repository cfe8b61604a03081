# SPDX-License-Identifier: MIT
"""How an object is pickled for another process, and made again there."""
