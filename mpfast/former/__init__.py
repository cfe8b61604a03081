# SPDX-License-Identifier: MIT
"""Modules under the names that they had before mpfast had rooms. Pickles that were made then name them.

This folder comes last in mpfast's search path, so `mpfast.mutex` is found here. Nothing new is added.
"""
