# SPDX-License-Identifier: MIT
"""The command line of `python -m mpfast`."""

from __future__ import annotations

import sys

USAGE = """\
usage: python -m mpfast [-m module | -c code | script | directory | zip] [argument ...]
       python -m mpfast doctor [--json]
       python -m mpfast --version

Runs an unmodified multiprocessing program on mpfast, with the processes that it starts.
doctor says what this kernel and this interpreter offer, and what mpfast does without the rest.
"""


def main() -> None:
    """Runs what the arguments say, in the main module."""
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    if first == "doctor" and len(arguments) <= 2:
        sys.exit(_doctor(arguments[1:]))
    if first in ("--version", "-V"):
        from .. import __version__

        print(f"mpfast {__version__}")
    elif first in ("", "--help", "-h"):
        print(USAGE, end="")
    elif first in ("-m", "-c") and len(arguments) < 2:
        _refuse(f"argument expected for the {first} option")
    elif first.startswith("-") and first not in ("-m", "-c", "-"):
        _refuse(f"unknown option {first}")
    else:
        from . import run

        run.program(arguments)


def _doctor(options: list[str]) -> int:
    from . import doctor

    if options not in ([], ["--json"]):
        _refuse(f"doctor knows only --json, not {options[0]}")
    return doctor.main("--json" in options)


def _refuse(why: str) -> None:
    sys.stderr.write(f"{why}\n{USAGE}")
    sys.exit(2)
