# SPDX-License-Identifier: MIT
"""Functions for workers whose names are unusual ones."""


def named(name):
    """A function that is a global of this module under that name."""

    def function(number):
        return number * number

    function.__name__ = function.__qualname__ = name
    globals()[name] = function
    return function


class Squares:
    @staticmethod
    def within(number):
        return number * number


ODDLY_NAMED = (named("carr\u00e9"), named("two\nlines"), named("long" * 100), Squares.within)
