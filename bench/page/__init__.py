# SPDX-License-Identifier: MIT
"""How the results are shown: the table, the page of `make bench`, and the dashboard of the history."""
