# SPDX-License-Identifier: MIT
"""A manager of a program's own. Its server finds it by importing this module."""

import jobs

from mpfast.managers import BaseManager


class BoxManager(BaseManager):
    pass


BoxManager.register("Box", jobs.Box)
