# SPDX-License-Identifier: MIT
"""Why a cell has no result."""


class CellError(Exception):
    """The cell was tried and gave no time, because a child failed, a process hung, or the wrong code ran."""


class WrongClass(CellError):
    """What ran is not of the package that was to be measured."""


class Skipped(Exception):
    """This machine cannot measure the cell."""
