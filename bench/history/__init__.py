# SPDX-License-Identifier: MIT
"""The recorded history. `make history` measures commits with asv, and the page reads the results back."""
