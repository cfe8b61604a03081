# SPDX-License-Identifier: MIT
"""python -m mpfast. Runs a multiprocessing program on mpfast, and answers questions about mpfast."""

from mpfast.cli.commands import main

if __name__ == "__main__":
    main()
