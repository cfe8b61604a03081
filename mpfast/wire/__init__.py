# SPDX-License-Identifier: MIT
"""What a connection is made of. mpfast.connection is its face."""
