# SPDX-License-Identifier: MIT
from mpfast.channel.channel cimport Channel


cdef class Ring(Channel):
    pass
