# SPDX-License-Identifier: MIT
"""What Values and Arrays are made of."""
