# SPDX-License-Identifier: MIT
"""What pools and executors are made of. The faces `pool.py` and `executor.py` are the only ones that use it."""
