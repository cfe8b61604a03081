# SPDX-License-Identifier: MIT
cdef extern from "core/base/hugemem.h" nogil:
    void hugemem_advise(void *start, size_t size)
    void *hugemem_map(size_t size)
    void hugemem_unmap(void *start, size_t size)
