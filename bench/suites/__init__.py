# SPDX-License-Identifier: MIT
"""What is measured. Each suite is a list of scenarios, and the plan makes cells of them."""
