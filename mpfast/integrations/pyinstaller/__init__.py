# SPDX-License-Identifier: MIT
"""Tells PyInstaller where its hook for mpfast is, by the entry point `hook-dirs` of the group `pyinstaller40`."""

from __future__ import annotations

import os

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """Returns the directories with hooks."""
    return [os.path.dirname(os.path.abspath(__file__))]
