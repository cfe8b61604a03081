# SPDX-License-Identifier: MIT
"""What a shared Dict and a shared List are made of. mpfast.shared is their face."""
