# SPDX-License-Identifier: MIT
"""What is measured: a list of scenarios for each suite, and the plan that makes cells of them."""
