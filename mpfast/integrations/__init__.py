# SPDX-License-Identifier: MIT
"""Modules for other projects, or that these load. mpfast itself never loads them."""
