# SPDX-License-Identifier: MIT
"""A manager of the user's own, where its server finds it by importing this module."""

import jobs

from mpfast.managers import BaseManager


class BoxManager(BaseManager):
    pass


BoxManager.register("Box", jobs.Box)
