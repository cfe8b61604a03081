# SPDX-License-Identifier: MIT
"""The only room that changes multiprocessing: its names come to mean what mpfast has."""
