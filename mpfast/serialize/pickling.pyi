# SPDX-License-Identifier: MIT
class Pickling:
    """One object being pickled, with its pickler and what that has produced so far."""
