# SPDX-License-Identifier: MIT
"""What the machine itself takes for the least that a cell has to do, measured by the C programs in bench/c."""
