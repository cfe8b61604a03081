# SPDX-License-Identifier: MIT
from cpython.object cimport PyObject

cdef extern from "serialize/tree.h":
    const size_t PLAIN_SIZE
    size_t plain_dump(object obj, char *buffer)
    PyObject *plain_load(const char *data, size_t size) except? NULL
