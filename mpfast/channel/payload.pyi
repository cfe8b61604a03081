# SPDX-License-Identifier: MIT
class Mapping:
    """Memory from the system, to be used for one buffer after the other."""

class Memory:
    """A large buffer that was received."""

class View:
    """A buffer inside a message that stays in shared memory."""
