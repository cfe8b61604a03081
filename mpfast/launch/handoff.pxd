# SPDX-License-Identifier: MIT
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free


cdef inline int *numbers_of(fds, uint32_t *n) except NULL:
    """The numbers of the descriptors, and how many they are. The caller frees them."""
    cdef uint32_t i
    n[0] = len(fds)
    cdef int *numbers = <int *>calloc(n[0] + 1, sizeof(int))
    if numbers == NULL:
        raise MemoryError()
    try:
        for i in range(n[0]):
            numbers[i] = fds[i]
    except:
        free(numbers)
        raise
    return numbers
