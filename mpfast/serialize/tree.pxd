# SPDX-License-Identifier: MIT
from cpython.object cimport PyObject

cdef extern from "serialize/tree.h":
    enum:
        TREE_SIZE
    size_t tree_dump(object obj, char *buffer)
    PyObject *tree_load(const char *data, size_t size) except? NULL
