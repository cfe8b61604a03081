# SPDX-License-Identifier: MIT
"""The main module that the children of a benchmark see. It is as empty as a user's smallest script."""
