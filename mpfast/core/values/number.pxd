# SPDX-License-Identifier: MIT
from libc.stdint cimport int64_t, uint64_t

cdef extern from "core/values/number.h":
    uint64_t number_read(const void *p, int size) nogil
    void number_write(void *p, int size, uint64_t v) nogil
    uint64_t number_load(const void *p, int size) nogil
    void number_store(void *p, int size, uint64_t v) nogil
    uint64_t number_swap(void *p, int size, uint64_t v) nogil
    uint64_t number_add(void *p, int size, uint64_t v) nogil
    uint64_t number_and(void *p, int size, uint64_t v) nogil
    uint64_t number_or(void *p, int size, uint64_t v) nogil
    uint64_t number_xor(void *p, int size, uint64_t v) nogil
    bint number_cas(void *p, int size, uint64_t expected, uint64_t then) nogil
    uint64_t number_cut(uint64_t bits, int size) nogil
    int64_t number_extend(uint64_t bits, int size) nogil
    double number_double(uint64_t bits, int size) nogil
    uint64_t number_bits(double value, int size) nogil
    uint64_t number_add_double(void *p, int size, double n) nogil
