# SPDX-License-Identifier: MIT
class View:
    """A buffer inside a message that stays in shared memory."""
