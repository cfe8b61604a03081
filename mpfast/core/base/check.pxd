# SPDX-License-Identifier: MIT
from mpfast.core.base.atomic cimport shared64

cdef extern from *:
    """
    #ifdef MPFAST_DEBUG
    #define CHECK_ENABLED 1
    #else
    #define CHECK_ENABLED 0
    #endif
    """
    const bint CHECK_ENABLED

cdef extern from "core/base/check.h":
    void COUNT(shared64 counter, int n) nogil
