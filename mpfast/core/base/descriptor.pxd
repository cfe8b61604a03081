# SPDX-License-Identifier: MIT
cdef extern from "core/base/descriptor.h" nogil:
    const int DESCRIPTOR_FIRST
    int descriptor_above(int fd)
    int descriptors_above(int *ends)
