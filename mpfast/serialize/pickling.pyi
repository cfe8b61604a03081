# SPDX-License-Identifier: MIT
class Pickling:
    """One object being pickled: the pickler and what it has produced so far."""
