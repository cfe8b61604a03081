# SPDX-License-Identifier: MIT
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

cdef extern from "serialize/shortload.h":
    PyObject *short_load(const uint8_t *data, size_t size)  # a new reference, or NULL without an exception
