# SPDX-License-Identifier: MIT
from mpfast.channel.channel cimport Channel


cdef class Ring(Channel):
    cdef bint large  # a large block was put lately
