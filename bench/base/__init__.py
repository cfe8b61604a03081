# SPDX-License-Identifier: MIT
"""What every room may use: the two implementations, facts of the machine, placement, deadlines, statistics, units."""
