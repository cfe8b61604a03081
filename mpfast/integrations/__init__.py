# SPDX-License-Identifier: MIT
"""What other projects ask mpfast for. Each is loaded by that project, never by mpfast."""
