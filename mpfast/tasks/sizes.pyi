# SPDX-License-Identifier: MIT
# Elements are counted in C. Nothing here is for Python code.
