# SPDX-License-Identifier: MIT
"""How the results are shown, in the table, on the page of `make bench`, in a picture and on the dashboard."""
