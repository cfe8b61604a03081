# SPDX-License-Identifier: MIT

cdef extern from "core/values/beside.h":
    enum:
        BESIDE_AT
        BESIDE_SIZE
