# SPDX-License-Identifier: MIT

cdef extern from "sync/fastcall.h":
    ctypedef object (*fast_function)(object self)
    struct fastcall_type:
        pass
    struct PyMethodDef:
        pass
    int fastcall_install(object type, fastcall_type *fast, PyMethodDef *methods, fast_function enter,
                         fast_function release, fast_function leave, fast_function raised) except -1
