# SPDX-License-Identifier: MIT
"""`make counts`: the system calls and instructions of single operations, compared with a table in the repository.

Counts do not vary with the machine's load, so a few percent are a difference. docs/benchmarking.md has the options.
"""
