# SPDX-License-Identifier: MIT
"""The command line: python -m mpfast."""
