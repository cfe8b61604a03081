# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t
from mpfast.serialize.pickling cimport Pickling, Place
from mpfast.serialize.tree cimport TREE_SIZE

cdef enum:
    PAYLOAD_PICKLE    # a pickle
    PAYLOAD_BUFFERS   # buffers and the pickle that they belong to
    PAYLOAD_BYTES
    PAYLOAD_ASCII     # a str
    PAYLOAD_INT       # of 64 bits
    PAYLOAD_FLOAT
    PAYLOAD_TREE      # see serialize/tree.h

cdef struct payload:
    int kind
    size_t size
    const char *data    # what is stored, if that needs no pickle
    double number       # `data` of a float
    int64_t integer     # of an int
    char tree[TREE_SIZE]  # of a small container

cdef Place place  # where a program may replace the pickler of queues

cdef bint payload_immediate(object obj, int64_t *value)
cdef object payload_from_immediate(int64_t value)
cdef Pickling payload_measure(object obj, payload *p)
cdef Pickling payload_measure_by(object pickler, object obj, payload *p)
cdef int payload_store(const payload *p, Pickling pickling, char *where) except -1
cdef object payload_load(int kind, const char *data, size_t size, object pin, object source)
