# SPDX-License-Identifier: MIT
"""What an object becomes on its way to another process, and how it is made again there."""
