# SPDX-License-Identifier: MIT
"""The only room that changes multiprocessing. It makes multiprocessing's names mean mpfast's objects."""
