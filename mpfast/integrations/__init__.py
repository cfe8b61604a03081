# SPDX-License-Identifier: MIT
"""Modules that other projects load from mpfast. mpfast itself never loads them."""
