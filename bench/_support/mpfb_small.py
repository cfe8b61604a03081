# SPDX-License-Identifier: MIT
"""The main module of a small program that reads options, logs and writes JSON, as many do."""

import argparse  # noqa: F401
import json  # noqa: F401
import logging  # noqa: F401

import mpfb_child  # noqa: F401
