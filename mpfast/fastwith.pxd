# SPDX-License-Identifier: MIT

cdef extern from "fastwith.h":
    ctypedef object (*fastwith_function)(object self)
    int fastwith_install(object type, fastwith_function enter, fastwith_function leave) except -1
