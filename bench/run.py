# SPDX-License-Identifier: MIT
"""The main job, `python bench/run.py`: measure, print the table, write the page."""

import os
import sys

if __name__ == "__main__":
    if not __package__:  # run as a script: its own folder is no place to import from
        sys.path[0:1] = []
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from bench.main import main

    sys.exit(main())
