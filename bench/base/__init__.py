# SPDX-License-Identifier: MIT
"""What every room may use, the two implementations and the facts of the machine among it."""
