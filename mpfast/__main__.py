# SPDX-License-Identifier: MIT
"""python -m mpfast: what can be asked of mpfast from a shell."""

from __future__ import annotations

import argparse
import sys

from . import __version__, doctor


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mpfast", description="multiprocessing with other insides")
    parser.add_argument("--version", action="version", version=f"mpfast {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    examine = commands.add_parser("doctor", help="what this kernel and interpreter offer, and what mpfast makes of it")
    examine.add_argument("--json", action="store_true", help="as data")
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = arguments()
    chosen = parser.parse_args(argv)
    if chosen.command == "doctor":
        return doctor.main(chosen.json)
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
